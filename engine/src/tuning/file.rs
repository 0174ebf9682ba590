//! The file with the measured choices: JSON, for one adapter, driver and version.

use super::{Algorithm, Class, Conv, Measured, Tuning};
use crate::cache::{self, CacheFile};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Increased when the file's format changes, and when kernels change so that old figures are wrong.
const VERSION: u32 = 1;

/// The machine on which choices were measured; they are valid only there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The adapter's name.
    pub adapter: String,
    /// Its driver.
    pub driver: String,
    /// The driver's version.
    pub driver_info: String,
    /// The class of kernels.
    pub class: Class,
}

impl Machine {
    /// The adapter that `info` describes, with kernels of `class`.
    pub fn new(info: &wgpu::AdapterInfo, class: Class) -> Self {
        Self {
            adapter: info.name.clone(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            class,
        }
    }

    /// The file at `place`.
    pub fn file(&self, place: &CacheFile) -> Result<PathBuf> {
        let name = cache::file_name(&format!("tuning {} {:?}", self.adapter, self.class)) + ".json";
        let nowhere = || Error::CacheFile {
            path: PathBuf::from(&name),
            reason: "there is no cache directory for it".to_owned(),
        };
        place.path(&name).ok_or_else(nowhere)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    frostline: String,
    machine: Machine,
    choices: Vec<Choice>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    conv: Conv,
    algorithm: Algorithm,
}

impl Measured {
    /// Writes the choices to `path` atomically.
    pub fn save(&self, path: &Path, machine: &Machine) -> Result<()> {
        let choices = self.iter().map(|(&conv, &algorithm)| Choice { conv, algorithm }).collect();
        let frostline = env!("CARGO_PKG_VERSION").to_owned();
        let file = File { version: VERSION, frostline, machine: machine.clone(), choices };
        let text = serde_json::to_string_pretty(&file).map_err(|error| wrong(path, error.to_string()))?;
        cache::replace(path, text.as_bytes())
    }

    /// Reads the choices at `path`, measured on `machine` among the candidates of `tuning`.
    pub fn load(path: &Path, machine: &Machine, tuning: &Tuning) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?;
        // The version is checked first, because another version may have another format.
        let version = serde_json::from_str::<serde_json::Value>(&text)
            .map_err(|error| wrong(path, error.to_string()))?;
        let (version, frostline) = (&version["version"], version["frostline"].as_str().unwrap_or("?"));
        if *version != VERSION || frostline != env!("CARGO_PKG_VERSION") {
            let reason = format!(
                "it is of version {version} for frostline {frostline}; this is frostline {}",
                env!("CARGO_PKG_VERSION")
            );
            return Err(wrong(path, reason));
        }
        let file: File = serde_json::from_str(&text).map_err(|error| wrong(path, error.to_string()))?;
        if file.machine != *machine {
            return Err(wrong(
                path,
                format!("it was measured on {:?}, but this is {machine:?}", file.machine),
            ));
        }
        let mut measured = Measured::default();
        for Choice { conv, algorithm } in file.choices {
            if !is_plausible(&conv) || conv != conv.class() || !tuning.suits_class(&conv, algorithm) {
                return Err(wrong(path, format!("{algorithm:?} is not a candidate for {conv:?}")));
            }
            measured.insert(&conv, algorithm);
        }
        Ok(measured)
    }
}

/// Small enough that no product of sizes overflows, because the file may have any contents.
fn is_plausible(conv: &Conv) -> bool {
    let &Conv { pass: _, kh, kw, stride, c_in, c_out, width, rows } = conv;
    let small = [kh, kw, stride].iter().all(|size| (1..=1 << 8).contains(size));
    let narrow = [c_in, c_out].iter().all(|size| (1..=1 << 16).contains(size));
    small && narrow && (1..=1u64 << 40).contains(&(rows as u64).saturating_mul(width as u64))
}

fn wrong(path: &Path, reason: String) -> Error {
    let reason =
        format!("{reason}. Without FROSTLINE_TUNING=tuned it is not needed; `make tune` writes a new one");
    Error::CacheFile { path: PathBuf::from(path), reason }
}
