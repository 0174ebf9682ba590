//! Weights by a path or by a name on the Hugging Face hub, with their preprocessing.

use crate::embedded::Embedded;
use crate::hub::Hub;
use crate::{Error, Result};
use frostline_loader::listing::photos_below;
use frostline_loader::safetensors::{self, SafeFile};
use frostline_loader::{Error as LoaderError, Network, Preset};
use frostline_models::{Model, NAMES, guess, looks_like, plain_names};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The prefix of a name on the hub: `hf:timm/resnet18.tv_in1k`.
pub const HUB: &str = "hf:";
const TENSORS: &str = "model.safetensors";
/// A hub repository's files about preprocessing and classes.
const CONFIGS: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// The metadata key under which `convert` keeps the stride of the first convolution.
pub const FIRST_STRIDE: &str = "frostline.first_stride";
/// The metadata key under which checkpoints store the name of their network.
const ARCHITECTURE: &str = "frostline.architecture";
/// A larger value in a file is rejected.
const LARGEST_STRIDE: usize = 8;
/// A configuration file has a few kilobytes; a file with 21,000 class names is smaller than this limit.
const LARGEST_CONFIG: u64 = 16 << 20;

const PHOTOS_FOR_MODEL: &str =
    "the model comes first and the photos after it, as in `frostline predict MODEL PHOTO…`";

/// Weights and what is known about them.
#[derive(Debug)]
pub struct Weights {
    /// The requested weights, for messages.
    pub name: String,
    /// The file of the tensors.
    pub path: PathBuf,
    /// The tensors.
    pub file: SafeFile,
    /// Preprocessing and class names, if they are given.
    pub preset: Preset,
}

impl Weights {
    /// Opens `spec`:
    ///
    /// - `embedded`, `embedded-resnet10`: weights that are built in;
    /// - `hf:owner/name` or `hf:owner/name@revision`: from the hub's cache, or downloaded into it;
    /// - a folder in the hub's layout: `model.safetensors`, and, if present,
    ///   `config.json` and `preprocessor_config.json`;
    /// - a run folder, from which the best checkpoint is opened;
    /// - a safetensors file.
    ///
    /// The preprocessing stored in a checkpoint, or kept from it by `convert`, has precedence.
    ///
    /// # Errors
    /// The errors of [`Hub`] and [`safetensors::read`]; [`Error::NoSuchModel`] if nothing is there.
    pub fn open(spec: impl AsRef<OsStr>) -> Result<Self> {
        let path = Path::new(spec.as_ref());
        // Names of embedded weights and of the hub are Unicode; a path need not be.
        let spec = path.to_string_lossy();
        if let Some(embedded) = Embedded::find(&spec) {
            let (file, mut preset) = (embedded.read()?, Preset::default());
            own(&file, &mut preset);
            return Ok(Self { name: embedded.title.to_owned(), path: path.to_owned(), file, preset });
        }
        let (path, configs) = match spec.strip_prefix(HUB) {
            Some(repository) => download(repository)?,
            None => local(path)?,
        };
        let mut preset = Preset::default();
        for config in configs {
            preset.read(&read(&config)?, &config)?;
        }
        let mut file = safetensors::read(&path)?;
        if let Some(Network::HuggingFace { stride_first: true, unusual, .. }) = &preset.network
            && unusual.is_empty()
            && let Some(model) = guess(&file.tensors)
        {
            // In the form that a checkpoint has, so that converted weights keep it.
            file.metadata.insert(ARCHITECTURE.to_owned(), format!("{}_v1", model.name()));
        }
        // The optimiser state of a checkpoint is not part of the network.
        file.tensors.retain(|name, _| !name.starts_with(OPTIMIZER));
        file.tensors = plain_names(file.tensors);
        own(&file, &mut preset);
        Ok(Self { name: spec.into_owned(), path, file, preset })
    }

    /// The network they belong to.
    ///
    /// # Errors
    /// [`Error::UnknownNetwork`].
    pub fn model(&self) -> Result<Model> {
        if let Some(other) = looks_like(&self.file.tensors) {
            return Err(self.other(format!("these weights are {other}")));
        }
        let model =
            guess(&self.file.tensors).ok_or_else(|| Error::UnknownNetwork { weights: self.name.clone() })?;
        let model = self.as_configured(model)?;
        Ok(match first_stride(&self.file) {
            Some(stride) if model.first_stride().is_some_and(|usual| usual != stride) => {
                model.stem_stride(stride)
            }
            _ => model,
        })
    }
}

impl Weights {
    /// The network `model`, which fits the tensors, or the network that the configuration beside them names:
    /// names and shapes often fit several networks.
    fn as_configured(&self, model: Model) -> Result<Model> {
        let Some(name) = self.file.metadata.get(ARCHITECTURE).cloned() else {
            return match &self.preset.network {
                None => Ok(model),
                Some(Network::Timm(name)) if is_timms(name, model.name()) => Ok(model),
                Some(Network::Timm(name)) => Err(self.other(format!(
                    "its config.json says that it is {name:?}, though names and shapes are those of {}",
                    model.name()
                ))),
                Some(Network::HuggingFace { family, .. }) if family != "resnet" => Err(self.other(format!(
                    "its config.json says that it is a {family:?}, though names and shapes are those of {}",
                    model.name()
                ))),
                Some(Network::HuggingFace { unusual, .. }) if !unusual.is_empty() => {
                    Err(self.other(format!("its config.json says {}", unusual.join(" and "))))
                }
                // `open` has written the entry into the metadata if a block has its stride in the first
                // convolution.
                Some(Network::HuggingFace { .. }) => Ok(model),
            };
        };
        // The entries that `convert` kept from a checkpoint. A name that does not fit its tensors is ignored.
        Ok(model.clone().called(&name).unwrap_or(model))
    }

    fn other(&self, what: String) -> Error {
        let advice = format!("use weights of another network; supported are {}", NAMES.join(", "));
        Error::OtherNetwork { weights: self.name.clone(), what, advice }
    }
}

/// Whether timm's network `name` is the one that is called `ours` here. Where timm's name differs from
/// torchvision's, it is an older name of weights for the same network.
fn is_timms(name: &str, ours: &str) -> bool {
    let prefixed = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest == ours);
    name == ours
        || ["tv_", "ssl_", "swsl_", "tf_"].iter().any(|prefix| prefixed(prefix))
        || name == format!("gluon_{ours}_v1b")
}

/// The prefix of the names of optimiser state in a checkpoint.
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

/// The model's checkpoint in a run folder: the best, or else the last. `None` if this is not a run folder.
pub fn of_run(folder: &Path) -> Option<PathBuf> {
    ["best.safetensors", "last.safetensors"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|file| file.is_file())
}

fn local(path: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let path = path.to_owned();
    if path.is_dir() {
        if let Some(checkpoint) = of_run(&path) {
            return Ok((checkpoint, vec![]));
        }
        let configs = CONFIGS.iter().map(|name| path.join(name)).filter(|config| config.is_file());
        let configs = configs.collect();
        let tensors = path.join(TENSORS);
        return if tensors.is_file() {
            Ok((tensors, configs))
        } else if photos_below(&path).is_ok_and(|(photos, _)| !photos.is_empty()) {
            Err(Error::PhotosForModel { path, advice: PHOTOS_FOR_MODEL })
        } else {
            Err(Error::NoSuchModel { path })
        };
    }
    if !path.exists() {
        return Err(Error::NoSuchModel { path });
    }
    // The file in a hub folder is treated like the folder.
    let beside = path.parent().filter(|_| path.file_name().is_some_and(|name| name == TENSORS));
    let configs = beside.map(|folder| CONFIGS.map(|name| folder.join(name)).into_iter());
    let configs = configs.into_iter().flatten().filter(|config| config.is_file()).collect();
    Ok((path, configs))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |source| Error::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(wrong)?.len();
    if bytes > LARGEST_CONFIG {
        return Err(LoaderError::FileTooLarge { path: path.to_owned(), bytes, limit: LARGEST_CONFIG }.into());
    }
    std::fs::read(path).map_err(wrong)
}

/// The stride of the first convolution, which does not follow from the shapes of weights: a learner's
/// checkpoint stores it, and so does a file that `convert` made from one.
pub fn first_stride(file: &SafeFile) -> Option<usize> {
    let kept = file.metadata.get(FIRST_STRIDE).and_then(|text| text.parse().ok());
    let learner = || {
        let extra = serde_json::from_str::<Value>(file.metadata.get("frostline.extra")?).ok()?;
        serde_json::from_str::<Value>(extra.get("trainer")?.as_str()?).ok()?.get("first_stride")?.as_u64()
    };
    let stride = kept.or_else(|| learner().and_then(|stride| usize::try_from(stride).ok()));
    stride.filter(|stride| (1..=LARGEST_STRIDE).contains(stride))
}

/// The metadata that this program wrote into a file. An invalid value is ignored, because the file is read
/// for its tensors.
fn own(file: &SafeFile, preset: &mut Preset) {
    let field = |name: &str| file.metadata.get(&format!("frostline.{name}"));
    if let Some(preprocessing) = field("preprocessing").and_then(|text| serde_json::from_str(text).ok()) {
        preset.preprocessing = Some(preprocessing);
    }
    if let Some(classes) = field("classes").and_then(|text| serde_json::from_str(text).ok()) {
        preset.classes = Some(classes);
    }
}
