//! A training run in one file: weights, optimiser state, and everything else that a resumed run needs.
//!
//! The file is ordinary safetensors. Weights keep their torchvision names, so any other program can load
//! them; the optimiser's state is stored beside them as `optimizer.<slot>.<parameter>`
//! (`optimizer.momentum_buffer.fc.weight`); all else is JSON text under `__metadata__`, each field as
//! `frostline.<field>`. Everything is stored as F32, so a resumed run continues bit for bit.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::clip;
use crate::safetensors::{self, Dtype, SafeFile};
use crate::{Error, HostTensor, Preprocessing, StateDict, shape_text};

/// The version of this layout, written to every file.
pub const FORMAT_VERSION: u64 = 1;
pub(crate) const VERSION_KEY: &str = "frostline.version";
const OPTIMIZER_PREFIX: &str = "optimizer.";

/// Everything that a training run needs to continue, and that inference needs to be correct.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The network, by its torchvision name: `resnet18`.
    pub architecture: String,
    /// Names of the classes, in the order of the last layer's outputs.
    pub classes: Vec<String>,
    /// The preprocessing of images for these weights.
    pub preprocessing: Preprocessing,
    /// Names of the parameters that were frozen.
    pub frozen: Vec<String>,
    /// Seed of the run.
    pub seed: u64,
    /// Optimiser steps taken.
    pub step: u64,
    /// Epochs completed.
    pub epoch: u64,
    /// State of other parts, by name; free text, JSON by convention.
    pub extra: BTreeMap<String, String>,
    /// Parameters and running statistics, by torchvision name.
    pub weights: StateDict,
    /// Optimiser state, by `<slot>.<parameter>`, each with its parameter's shape. PyTorch's slot names:
    /// `momentum_buffer` (SGD), `exp_avg` and `exp_avg_sq` (Adam).
    pub optimizer: StateDict,
}

impl Checkpoint {
    /// Writes the checkpoint, replacing an older one only when the new one is safely on disk.
    ///
    /// # Errors
    /// [`Error::CheckpointField`] and [`Error::ReservedName`] if its parts contradict each other (see
    /// [`Checkpoint::load`]); otherwise as [`safetensors::write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let (tensors, metadata) = self.parts(path)?;
        safetensors::write(path, &tensors, &metadata, Dtype::F32)
    }

    /// The bytes that [`Checkpoint::save`] writes. `label` replaces the path in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::save`], except [`Error::Io`].
    pub fn to_bytes(&self, label: &Path) -> Result<Vec<u8>, Error> {
        let (tensors, metadata) = self.parts(label)?;
        safetensors::to_bytes(label, &tensors, &metadata, Dtype::F32)
    }

    /// Tensors and metadata, in the form of a file.
    fn parts(&self, path: &Path) -> Result<(StateDict, BTreeMap<String, String>), Error> {
        self.check(path)?;
        // Other loaders read from "format" which framework's conventions the tensors follow.
        let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let mut put = |field: &str, json: String| metadata.insert(key(field), json);
        put("version", to_json(&FORMAT_VERSION));
        put("architecture", to_json(&self.architecture));
        put("classes", to_json(&self.classes));
        put("preprocessing", to_json(&self.preprocessing));
        put("frozen", to_json(&self.frozen));
        put("seed", to_json(&self.seed));
        put("step", to_json(&self.step));
        put("epoch", to_json(&self.epoch));
        put("extra", to_json(&self.extra));

        let mut tensors = self.weights.clone();
        for (name, state) in &self.optimizer {
            tensors.insert(format!("{OPTIMIZER_PREFIX}{name}"), state.clone());
        }
        Ok((tensors, metadata))
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// As [`safetensors::read`]; [`Error::NotACheckpoint`] for a file of plain weights;
    /// [`Error::CheckpointVersion`] for another format; [`Error::CheckpointField`] for metadata
    /// that is missing, not JSON of the right kind, or contradicts the tensors: a frozen name
    /// without weight, optimiser state without weight or of another shape.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::from_file(safetensors::read(path)?, path)
    }

    /// Reads a checkpoint that is already in memory. `label` replaces the path in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn parse(bytes: &[u8], label: &Path) -> Result<Self, Error> {
        Self::from_file(safetensors::parse(bytes, label)?, label)
    }

    fn from_file(file: SafeFile, path: &Path) -> Result<Self, Error> {
        let metadata = &file.metadata;
        let version =
            metadata.get(VERSION_KEY).ok_or_else(|| Error::NotACheckpoint { path: path.to_owned() })?;
        if version.parse() != Ok(FORMAT_VERSION) {
            return Err(Error::CheckpointVersion {
                path: path.to_owned(),
                found: clip(version),
                supported: FORMAT_VERSION,
            });
        }
        let mut weights = StateDict::new();
        let mut optimizer = StateDict::new();
        for (name, tensor) in file.tensors {
            match name.strip_prefix(OPTIMIZER_PREFIX) {
                Some(state) => optimizer.insert(state.to_owned(), tensor),
                None => weights.insert(name, tensor),
            };
        }
        let checkpoint = Self {
            architecture: from_json(metadata, "architecture", path)?,
            classes: from_json(metadata, "classes", path)?,
            preprocessing: from_json(metadata, "preprocessing", path)?,
            frozen: from_json(metadata, "frozen", path)?,
            seed: from_json(metadata, "seed", path)?,
            step: from_json(metadata, "step", path)?,
            epoch: from_json(metadata, "epoch", path)?,
            extra: from_json(metadata, "extra", path)?,
            weights,
            optimizer,
        };
        checkpoint.check(path)?;
        Ok(checkpoint)
    }

    /// The conditions that every valid checkpoint meets; checked both before saving and after loading.
    fn check(&self, path: &Path) -> Result<(), Error> {
        let wrong = |field: &str, reason: String| Error::CheckpointField {
            path: path.to_owned(),
            field: field.to_owned(),
            reason,
        };
        self.preprocessing.check().map_err(|error| wrong("preprocessing", error.to_string()))?;
        if let Some(name) = self.weights.keys().find(|n| n.starts_with(OPTIMIZER_PREFIX)) {
            return Err(Error::ReservedName {
                path: path.to_owned(),
                tensor: name.clone(),
                reason: "names that begin with \"optimizer.\" are reserved for the optimiser's state",
            });
        }
        if let Some(name) = self.frozen.iter().find(|n| !self.weights.contains_key(*n)) {
            let reason = format!("lists {:?}, which is not among the weights", clip(name));
            return Err(wrong("frozen", reason));
        }
        for (name, state) in &self.optimizer {
            let weight = name.split_once('.').and_then(|(_slot, parameter)| self.weights.get(parameter));
            match weight {
                None => {
                    let reason = "belongs to no weight; expected optimizer.<slot>.<parameter>";
                    return Err(wrong(&format!("{OPTIMIZER_PREFIX}{name}"), reason.to_owned()));
                }
                Some(weight) if weight.shape != state.shape => {
                    let reason = mismatch(state, weight);
                    return Err(wrong(&format!("{OPTIMIZER_PREFIX}{name}"), reason));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn mismatch(state: &HostTensor, weight: &HostTensor) -> String {
    let (state, weight) = (shape_text(&state.shape), shape_text(&weight.shape));
    format!("has shape {state}, but its weight has shape {weight}")
}

fn key(field: &str) -> String {
    format!("frostline.{field}")
}

/// The field types are strings, numbers, lists and maps of strings; none of them can fail.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data always has a JSON form")
}

fn from_json<T: DeserializeOwned>(
    metadata: &BTreeMap<String, String>,
    field: &str,
    path: &Path,
) -> Result<T, Error> {
    let wrong = |reason| Error::CheckpointField { path: path.to_owned(), field: field.to_owned(), reason };
    let text = metadata.get(&key(field)).ok_or_else(|| wrong("is missing from the metadata".to_owned()))?;
    serde_json::from_str(text).map_err(|error| wrong(clip(error)))
}
