//! A run's folder: claimed by one process at a time; the paths of its files, and the settings that a resumed
//! run reads from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_loader::atomic::write_atomically;
use frostline_trainer::Learner;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};
use crate::train::choices::Chosen;
use crate::train::claim::{Claim, Leftovers};
use crate::train::data::Data;
use crate::train::manifest::Manifest;
use crate::train::metrics::METRICS;
use crate::train::recipe::Recipe;
use crate::train::report::Report;
use crate::train::tensorboard::EVENTS;

/// The folder of a run. No other process writes to it as long as this value exists. If a new run ends without
/// a checkpoint, its folder is removed.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Released when this value is dropped, or by the system when the process ends.
    _claim: Claim,
    leftovers: Leftovers,
}

/// `run.json`: the requested settings and the chosen ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The command that began it.
    pub command: String,
    /// What was requested.
    pub recipe: Recipe,
    /// The chosen settings; `None` before the choice.
    pub chosen: Option<Chosen>,
    /// Time budget in minutes, counted from the beginning of the run, not from when it is resumed.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// Whether it writes an event file for TensorBoard.
    #[serde(default)]
    pub tensorboard: bool,
    /// The mark of its checkpoints; `None` before the choices were made.
    #[serde(default)]
    pub identity: Option<String>,
}

impl RunFolder {
    /// Claims the folder of a new run on the photos in `data`: `out`, or the first of `runs/<name>`,
    /// `runs/<name>-2` … that contains no run and in which no other process trains.
    ///
    /// # Errors
    /// [`Error::RunExists`] if `out` already contains a run, [`Error::Running`] if another process trains
    /// there; [`Error::Write`] if it cannot be created.
    pub fn create(out: Option<&Path>, data: &Path) -> Result<Self> {
        if let Some(out) = out {
            let claim = Claim::new(out)?.ok_or_else(|| Error::Running { path: out.to_owned() })?;
            return Self::begin(out, claim)?.ok_or_else(|| Error::RunExists { path: out.to_owned() });
        }
        let name = data.file_name().unwrap_or("photos".as_ref());
        let mut number = 1;
        loop {
            let mut numbered = name.to_owned();
            if number > 1 {
                numbered.push(format!("-{number}"));
            }
            let path = Path::new("runs").join(numbered);
            // A folder with a checkpoint is not claimed, because another process may be about to resume its
            // run.
            if !has_checkpoint(&path)
                && let Some(claim) = Claim::new(&path)?
                && let Some(folder) = Self::begin(&path, claim)?
            {
                return Ok(folder);
            }
            number += 1;
        }
    }

    /// The claimed folder, without the files of a run that ended before its first checkpoint; `None` if it
    /// contains a checkpoint.
    fn begin(path: &Path, claim: Claim) -> Result<Option<Self>> {
        if has_checkpoint(path) {
            return Ok(None);
        }
        let leftovers = Leftovers::of_new(path, &claim);
        leftovers.remove_files();
        Ok(Some(Self { path: path.to_owned(), _claim: claim, leftovers }))
    }

    /// The folder of a run that was begun.
    ///
    /// # Errors
    /// [`Error::NotARun`] if there is no readable `run.json` in it; [`Error::Running`] if another process
    /// trains there.
    pub fn open(path: &Path) -> Result<(Self, Run)> {
        let settings = path.join(SETTINGS);
        if !settings.is_file() {
            let reason = format!("it contains no {SETTINGS}");
            return Err(Error::NotARun { path: path.to_owned(), reason });
        }
        let claim = Claim::new(path)?.ok_or_else(|| Error::Running { path: path.to_owned() })?;
        let leftovers = Leftovers::of_begun(path);
        let folder = Self { path: path.to_owned(), _claim: claim, leftovers };
        let run = folder.read(SETTINGS)?;
        Ok((folder, run))
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, run: &Run) -> Result<()> {
        self.write_json(SETTINGS, run)
    }

    /// Writes `data.json`: the photos of the run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.write_json(MANIFEST, manifest)
    }

    /// The photos that the run was begun with.
    ///
    /// # Errors
    /// [`Error::NotARun`] if their list is missing.
    pub fn manifest(&self) -> Result<Manifest> {
        self.read(MANIFEST)
    }

    /// Writes `report.json`, which marks the run as finished.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&self, report: &Report) -> Result<()> {
        self.write_json(REPORT, report)?;
        // A finished run is not resumed.
        let _ = std::fs::remove_file(self.file(TUNED));
        Ok(())
    }

    /// Renames the best fine-tuned weights, if the probe becomes the run's model: a run that ends before its
    /// report is resumed from them.
    ///
    /// # Errors
    /// If the file cannot be renamed.
    pub fn put_tuned_aside(&self) -> Result<()> {
        self.rename(&self.best(), &self.file(TUNED))
    }

    /// Renames them back.
    ///
    /// # Errors
    /// If the file cannot be renamed.
    pub fn put_tuned_back(&self) -> Result<()> {
        if self.file(TUNED).exists() { self.rename(&self.file(TUNED), &self.best()) } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to).map_err(|source| Error::Write { path: to.to_owned(), source })
    }

    /// The report of a run that is finished.
    ///
    /// # Errors
    /// [`Error::NotARun`] if it exists and cannot be read.
    pub fn finished(&self) -> Result<Option<Report>> {
        self.file(REPORT).is_file().then(|| self.read(REPORT)).transpose()
    }

    /// The learner in the checkpoint `path` of this folder.
    ///
    /// # Errors
    /// [`Error::ForeignCheckpoint`] for one that another run wrote; as [`Learner::resume`].
    pub fn learner(&self, gpu: &Arc<Gpu>, path: &Path, run: &Run) -> Result<Learner> {
        let learner = Learner::resume(gpu, path)?;
        if learner.identity() != run.identity.as_deref() {
            return Err(Error::ForeignCheckpoint { path: path.to_owned(), run: self.path.clone() });
        }
        Ok(learner)
    }

    /// The error of a last checkpoint that cannot be read, with the usable files of the run.
    pub fn without_last(&self, error: Error, run: &Run) -> Error {
        use frostline_trainer::Error::{Checkpoint, Loader};
        if !matches!(error, Error::Trainer(Checkpoint { .. } | Loader(_))) {
            return error;
        }
        let path = |path: PathBuf| quoted(&path.display().to_string());
        let (best, last, folder) = (path(self.best()), path(self.last()), path(self.path.clone()));
        let advice = match frostline_loader::Checkpoint::load(self.best()) {
            Ok(best_one) if best_one.step > 0 => format!(
                "The best weights so far, those of step {}, are intact: `frostline predict {folder} PHOTO…` \
                 uses them. Resume from there with\n\n    cp {best} {last}\n    frostline train --resume \
                 {folder}\n",
                best_one.step
            ),
            Ok(_) => format!(
                "{best}, from before the first step, is intact: `frostline predict {folder} PHOTO…` uses \
                 it. Begin \
                 again, in another folder, with\n\n    {}\n",
                run.command
            ),
            Err(_) => format!(
                "No other checkpoint of the run can be read. Begin again, in another folder, \
                 with\n\n    {}\n",
                run.command
            ),
        };
        Error::BrokenCheckpoint { error: Box::new(error), advice }
    }

    /// The error of a photo of `data` that was removed or changed while the run needed it, with how to
    /// continue.
    pub fn without_photo(&self, error: Error, data: &Data) -> Error {
        use frostline_trainer::Error::Loader;
        let photo = match &error {
            Error::Trainer(Loader(error)) => error.image(),
            _ => None,
        };
        if !photo.is_some_and(|photo| data.holds(photo)) {
            return error;
        }
        let advice = match self.leftovers.is_nothing() {
            true => "Put them back, and begin again: there is no checkpoint yet".to_owned(),
            false => format!(
                "Put them back as they were, and resume from the last checkpoint with\n\n    frostline train \
                 --resume {}\n",
                quoted(&self.path.display().to_string())
            ),
        };
        Error::PhotoGone { error: Box::new(error), advice }
    }

    /// Writes the file `name` atomically: completely or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(write_atomically(&self.file(name), |file| file.write_all(bytes))?)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec_pretty(value)
            .map_err(|error| Error::Write { path: self.file(name), source: error.into() })?;
        self.write(name, &text)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let not =
            |reason: String| Error::NotARun { path: self.path.clone(), reason: format!("{name}: {reason}") };
        let text = std::fs::read(self.file(name)).map_err(|error| not(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| not(error.to_string()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file `name` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The newest checkpoint, from which a run is resumed.
    pub fn last(&self) -> PathBuf {
        self.file(LAST)
    }

    /// The checkpoint with the best validation result.
    pub fn best(&self) -> PathBuf {
        self.file(BEST)
    }

    /// The linear probe that fine-tuning began with.
    pub fn probe(&self) -> PathBuf {
        self.file(PROBE)
    }

    /// The files to remove if the run ends before its first checkpoint.
    pub fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        self.leftovers.remove();
    }
}

const PROBE: &str = "probe.safetensors";
/// The best fine-tuned weights, while the probe has their file name and the run has no report.
const TUNED: &str = "tuned.safetensors";
const SETTINGS: &str = "run.json";
const MANIFEST: &str = "data.json";
const REPORT: &str = "report.json";
const LAST: &str = "last.safetensors";
const BEST: &str = "best.safetensors";
/// The files that a run writes before its first checkpoint.
pub(crate) const BEFORE_THE_FIRST: [&str; 5] = [SETTINGS, MANIFEST, "plan.txt", METRICS, EVENTS];

/// The report of a finished run in `folder`, if it can be read. The folder is not claimed.
pub fn report_in(folder: &Path) -> Option<Report> {
    serde_json::from_slice(&std::fs::read(folder.join(REPORT)).ok()?).ok()
}

/// Whether a run has a usable result.
pub(crate) fn has_checkpoint(folder: &Path) -> bool {
    [LAST, BEST].iter().any(|name| folder.join(name).exists())
}
