//! A run's folder: what lies where, and the settings that a resumed run takes from it.

use std::path::{Path, PathBuf};

use frostline_loader::atomic::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::train::choices::Chosen;
use crate::train::recipe::Recipe;

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// `run.json`: what was asked for, and what was chosen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The command that began it.
    pub command: String,
    /// What was asked for.
    pub recipe: Recipe,
    /// What was chosen; nothing before it was.
    pub chosen: Option<Chosen>,
}

impl RunFolder {
    /// Makes the folder of a new run on the photos in `data`: `out`, or the first of `runs/<name>`,
    /// `runs/<name>-2` … that holds no run.
    ///
    /// # Errors
    /// [`Error::RunExists`] if `out` holds a run already; [`Error::Write`] if it cannot be made.
    pub fn create(out: Option<&Path>, data: &Path) -> Result<Self> {
        let folder = match out {
            Some(out) => Self { path: out.to_owned() },
            None => {
                let name = data.file_name().map_or("photos".into(), |name| name.to_string_lossy());
                let numbered =
                    |number: u32| if number == 1 { name.to_string() } else { format!("{name}-{number}") };
                let mut folders = (1..).map(|number| Self { path: Path::new("runs").join(numbered(number)) });
                folders
                    .find(|folder| !folder.settings().exists())
                    .unwrap_or_else(|| Self { path: "runs".into() })
            }
        };
        if folder.settings().exists() {
            return Err(Error::RunExists { path: folder.path });
        }
        std::fs::create_dir_all(&folder.path)
            .map_err(|source| Error::Write { path: folder.path.clone(), source })?;
        Ok(folder)
    }

    /// The folder of a run that was begun.
    ///
    /// # Errors
    /// [`Error::NotARun`] if there is no readable `run.json` in it.
    pub fn open(path: &Path) -> Result<(Self, Run)> {
        let folder = Self { path: path.to_owned() };
        let not = |reason: String| Error::NotARun { path: path.to_owned(), reason };
        let text = std::fs::read(folder.settings()).map_err(|error| not(error.to_string()))?;
        let run = serde_json::from_slice(&text).map_err(|error| not(error.to_string()))?;
        Ok((folder, run))
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, run: &Run) -> Result<()> {
        let path = self.settings();
        let text = serde_json::to_vec_pretty(run)
            .map_err(|error| Error::Write { path: path.clone(), source: error.into() })?;
        self.write("run.json", &text)
    }

    /// Writes the file `name`, all of it or nothing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(write_atomically(&self.file(name), |file| file.write_all(bytes))?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file `name` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The newest checkpoint: what a resumed run goes on from.
    pub fn last(&self) -> PathBuf {
        self.file("last.safetensors")
    }

    /// The checkpoint that validation liked best.
    pub fn best(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    fn settings(&self) -> PathBuf {
        self.file("run.json")
    }
}
