//! Weights by a path or by a name on the Hugging Face hub, with the preprocessing they come with.

use crate::embedded::Embedded;
use crate::hub::Hub;
use crate::{Error, Result};
use frostline_loader::safetensors::{self, SafeFile};
use frostline_loader::{Error as LoaderError, Preset};
use frostline_models::{Model, guess};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a name on the hub begins with: `hf:timm/resnet18.tv_in1k`.
pub const HUB: &str = "hf:";
const TENSORS: &str = "model.safetensors";
/// What a hub's repository says about preprocessing and classes.
const CONFIGS: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// Under which `convert` keeps the stride of the first convolution.
pub const FIRST_STRIDE: &str = "frostline.first_stride";
/// A file that says more is not believed.
const LARGEST_STRIDE: usize = 8;
/// A configuration file has some kilobytes; one with 21,000 class names has less than this.
const LARGEST_CONFIG: u64 = 16 << 20;

/// Weights and what is known about them.
#[derive(Debug)]
pub struct Weights {
    /// What was asked for, for messages.
    pub name: String,
    /// Where the tensors are on disk.
    pub path: PathBuf,
    /// The tensors.
    pub file: SafeFile,
    /// Preprocessing and class names, where somebody says.
    pub preset: Preset,
}

impl Weights {
    /// Opens `spec`:
    ///
    /// - `embedded`, `embedded-resnet10`: weights that are built in;
    /// - `hf:owner/name` or `hf:owner/name@revision`: from the hub's cache, or downloaded into it;
    /// - a folder as the hub has it: `model.safetensors`, and `config.json` and
    ///   `preprocessor_config.json` if they are there;
    /// - a run folder, of which it is the best checkpoint;
    /// - a safetensors file.
    ///
    /// A checkpoint's own preprocessing, and what `convert` keeps of it, goes before all.
    ///
    /// # Errors
    /// What [`Hub`] and [`safetensors::read`] say; [`Error::NoSuchModel`] if nothing is there.
    pub fn open(spec: &str) -> Result<Self> {
        if let Some(embedded) = Embedded::find(spec) {
            let (file, mut preset) = (embedded.read()?, Preset::default());
            own(&file, &mut preset);
            return Ok(Self { name: embedded.title.to_owned(), path: PathBuf::from(spec), file, preset });
        }
        let (path, configs) = match spec.strip_prefix(HUB) {
            Some(repository) => download(repository)?,
            None => local(spec)?,
        };
        let mut preset = Preset::default();
        for config in configs {
            preset.read(&read(&config)?, &config)?;
        }
        let mut file = safetensors::read(&path)?;
        // A checkpoint's optimiser is no part of the network.
        file.tensors.retain(|name, _| !name.starts_with(OPTIMIZER));
        own(&file, &mut preset);
        Ok(Self { name: spec.to_owned(), path, file, preset })
    }

    /// The network they belong to.
    ///
    /// # Errors
    /// [`Error::UnknownNetwork`].
    pub fn model(&self) -> Result<Model> {
        let model =
            guess(&self.file.tensors).ok_or_else(|| Error::UnknownNetwork { weights: self.name.clone() })?;
        Ok(match first_stride(&self.file) {
            Some(stride) if model.first_stride().is_some_and(|usual| usual != stride) => {
                model.stem_stride(stride)
            }
            _ => model,
        })
    }
}

/// Begins the names of an optimiser's state in a checkpoint.
pub const OPTIMIZER: &str = "optimizer.";

fn download(repository: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    let hub = Hub::open(repository)?;
    let path = hub.file(TENSORS)?;
    let mut configs = vec![];
    for config in CONFIGS {
        configs.extend(hub.file_if_any(config)?);
    }
    Ok((path, configs))
}

/// The checkpoint of a run folder that holds the model, if this is one: the best, or else the last.
pub fn of_run(folder: &Path) -> Option<PathBuf> {
    ["best.safetensors", "last.safetensors"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|file| file.is_file())
}

fn local(spec: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    let path = PathBuf::from(spec);
    if path.is_dir() {
        if let Some(checkpoint) = of_run(&path) {
            return Ok((checkpoint, vec![]));
        }
        let configs = CONFIGS.iter().map(|name| path.join(name)).filter(|config| config.is_file());
        let configs = configs.collect();
        let tensors = path.join(TENSORS);
        return if tensors.is_file() { Ok((tensors, configs)) } else { Err(Error::NoSuchModel { path }) };
    }
    if path.exists() { Ok((path, vec![])) } else { Err(Error::NoSuchModel { path }) }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |source| Error::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(wrong)?.len();
    if bytes > LARGEST_CONFIG {
        return Err(LoaderError::FileTooLarge { path: path.to_owned(), bytes, limit: LARGEST_CONFIG }.into());
    }
    std::fs::read(path).map_err(wrong)
}

/// The stride of the first convolution, which no weight's shape tells: a learner's checkpoint says
/// it, and what `convert` made of one.
pub fn first_stride(file: &SafeFile) -> Option<usize> {
    let kept = file.metadata.get(FIRST_STRIDE).and_then(|text| text.parse().ok());
    let learner = || {
        let extra = serde_json::from_str::<Value>(file.metadata.get("frostline.extra")?).ok()?;
        serde_json::from_str::<Value>(extra.get("trainer")?.as_str()?).ok()?.get("first_stride")?.as_u64()
    };
    let stride = kept.or_else(|| learner().and_then(|stride| usize::try_from(stride).ok()));
    stride.filter(|stride| (1..=LARGEST_STRIDE).contains(stride))
}

/// What a file of this program says about itself. A value that is broken is as good as none: the
/// tensors are what the file is read for.
fn own(file: &SafeFile, preset: &mut Preset) {
    let field = |name: &str| file.metadata.get(&format!("frostline.{name}"));
    if let Some(preprocessing) = field("preprocessing").and_then(|text| serde_json::from_str(text).ok()) {
        preset.preprocessing = Some(preprocessing);
    }
    if let Some(classes) = field("classes").and_then(|text| serde_json::from_str(text).ok()) {
        preset.classes = Some(classes);
    }
}
