//! Deltas: the tensors that a task changed in a network from which many tasks start.
//!
//! Frozen tensors do not change, bit for bit. Ten tasks fine-tuned from one base therefore need the base only
//! once, and for each task only the tensors that trained. A delta is a safetensors file of these tensors. It
//! lists the tensors that it left out with a SHA-256 of their values. Loading it on another base is refused,
//! because the result would be another network.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_loader::safetensors::{self, Dtype};
use frostline_loader::{HostTensor, Preprocessing, StateDict};
use frostline_models::{Dialect, LoadOptions, state_dict};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::model;
use crate::error::{Error, Result};
use crate::learner::Learner;

/// The metadata key of the [`Description`], stored as JSON.
const KEY: &str = "frostline.delta";

/// Everything in a delta except its tensors.
#[derive(Serialize, Deserialize)]
struct Description {
    architecture: String,
    first_stride: Option<usize>,
    classes: Vec<String>,
    preprocessing: Preprocessing,
    /// Names of the tensors that are taken from the base.
    shared: Vec<String>,
    /// SHA-256 of their names, shapes and values.
    base: String,
}

/// The tensors that [`Learner::save_delta`] left out, and those that it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaReport {
    /// Names of the tensors that are bit-identical to the base's.
    pub shared: Vec<String>,
    /// Names of the tensors in the file.
    pub changed: Vec<String>,
}

impl Learner {
    /// Writes to `path` the tensors that differ in any bit from those of `base`: the weights that this
    /// learner had before it was trained. [`Learner::load_delta`] combines the two.
    ///
    /// Values are stored as F32. Running statistics count as tensors: those of a frozen layer are
    /// shared as long as its batch norm runs on them, which is the default.
    ///
    /// # Errors
    /// [`Error::Loader`] if a value is not finite or the file cannot be written; [`Error::Engine`] if
    /// the device is gone.
    pub fn save_delta(&self, base: &StateDict, path: impl AsRef<Path>) -> Result<DeltaReport> {
        let base = in_own_names(base);
        let bits = |tensor: &HostTensor| tensor.data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let same = |name: &String, tensor: &HostTensor| {
            base.get(name).is_some_and(|other| other.shape == tensor.shape && bits(other) == bits(tensor))
        };
        let (shared, changed): (StateDict, StateDict) =
            state_dict::save(&self.params)?.into_iter().partition(|(name, tensor)| same(name, tensor));
        let report = DeltaReport {
            shared: shared.keys().cloned().collect(),
            changed: changed.keys().cloned().collect(),
        };
        let description = Description {
            architecture: self.model.name().to_owned(),
            first_stride: self.model.first_stride(),
            classes: self.classes.clone(),
            preprocessing: self.preprocessing.clone(),
            base: hash(shared.iter()),
            shared: report.shared.clone(),
        };
        let description = serde_json::to_string(&description).expect("plain data always has a JSON form");
        let metadata =
            BTreeMap::from([("format".to_owned(), "pt".to_owned()), (KEY.to_owned(), description)]);
        safetensors::write(path, &changed, &metadata, Dtype::F32)?;
        Ok(report)
    }

    /// The learner that [`Learner::save_delta`] saved: all its weights and statistics, bit for bit,
    /// with its classes and its preprocessing. Nothing is frozen, and there is no run to continue.
    ///
    /// # Errors
    /// [`Error::Loader`] for a file that is not valid safetensors; [`Error::Checkpoint`] for one that is not
    /// a delta, that contains invalid entries, or that was made on another base.
    pub fn load_delta(gpu: &Arc<Gpu>, base: &StateDict, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let file = safetensors::read(path)?;
        let text = file
            .metadata
            .get(KEY)
            .ok_or_else(|| wrong("this is not a delta; `save_delta` writes one".to_owned()))?;
        let description: Description = serde_json::from_str(text)
            .map_err(|error| wrong(format!("its description cannot be read: {error}")))?;
        let base = in_own_names(base);
        let mut weights = StateDict::new();
        for name in &description.shared {
            let tensor = *base.get(name).ok_or_else(|| {
                wrong(format!("it was made on a base with a tensor {name:?}, which this base does not have"))
            })?;
            weights.insert(name.clone(), tensor.clone());
        }
        if hash(weights.iter()) != description.base {
            return Err(wrong(
                "it was made on another base: the tensors that it shares have other values in this one"
                    .to_owned(),
            ));
        }
        if let Some(twice) = file.tensors.keys().find(|name| weights.contains_key(*name)) {
            return Err(wrong(format!(
                "it contains {twice:?}, but its description says that this tensor is \
                                      the base's"
            )));
        }
        weights.extend(file.tensors);

        let model =
            model(&description.architecture, &weights, description.classes.len(), description.first_stride)
                .map_err(wrong)?;
        let mut learner = Self::new(gpu, model, description.preprocessing.crop, 0)?;
        learner.set_preprocessing(description.preprocessing)?;
        learner.load(&weights, &LoadOptions::strict())?;
        learner.classes = description.classes;
        Ok(learner)
    }
}

/// A base may have timm's or Hugging Face's names.
fn in_own_names(base: &StateDict) -> BTreeMap<String, &HostTensor> {
    let dialect = Dialect::detect(base.keys().map(String::as_str));
    base.iter().map(|(name, tensor)| (dialect.to_model(name), tensor)).collect()
}

/// SHA-256 over name, shape and values of each tensor, in this order.
fn hash<'a>(tensors: impl Iterator<Item = (&'a String, &'a HostTensor)>) -> String {
    let mut hash = Sha256::new();
    for (name, HostTensor { shape, data }) in tensors {
        // Lengths come first, so that no two lists give the same bytes.
        let sizes = [name.len(), shape.len()].into_iter().chain(shape.iter().copied());
        sizes.for_each(|size| hash.update((size as u64).to_le_bytes()));
        hash.update(name);
        data.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
