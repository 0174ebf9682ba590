//! A trained network for other programs.
//!
//! [`onnx::model`] writes one ONNX graph from a decoded photo to probabilities: the preprocessing is part of
//! it, because a model with other preprocessing than in training gives wrong predictions without an error.
//! `Runner`, of the feature `runner`, runs such a graph with tract, an ONNX runtime in Rust that shares no code
//! with this program's kernels, so that an export can be compared with its model. [`pytorch`] writes weights under
//! torchvision's or timm's names, and a Python file that uses them.

mod error;
pub mod onnx;
pub mod pytorch;
#[cfg(feature = "runner")]
mod runner;

pub use error::{Error, Result};
#[cfg(feature = "runner")]
pub use runner::Runner;

use frostline_loader::{Preprocessing, StateDict};
use frostline_models::Model;
use std::collections::BTreeMap;

/// A trained network and all that is needed to use it.
#[derive(Clone, Copy, Debug)]
pub struct Trained<'a> {
    /// The network, with a head.
    pub model: &'a Model,
    /// Its weights and statistics, by the model's names in PyTorch's shapes.
    pub weights: &'a StateDict,
    /// How a photo becomes its input.
    pub preprocessing: &'a Preprocessing,
    /// Names of its classes, in the order of its outputs.
    pub classes: &'a [String],
    /// Further metadata, such as its model card.
    pub about: &'a BTreeMap<String, String>,
}

impl Trained<'_> {
    /// The number of classes, if all fits together.
    pub(crate) fn check(&self) -> Result<usize> {
        let model = self.model;
        let outputs = model.class_count().ok_or_else(|| Error::NoHead { model: model.to_string() })?;
        if self.classes.len() != outputs {
            return Err(Error::Classes { names: self.classes.len(), outputs });
        }
        self.preprocessing.check()?;
        Ok(outputs)
    }

    fn classes_json(&self) -> String {
        serde_json::json!(self.classes).to_string()
    }

    /// The preprocessing as checkpoints have it.
    fn preprocessing_json(&self) -> String {
        // Not by way of `Value`, which would write 0.485 as the f64 next to its f32.
        serde_json::to_string(self.preprocessing).unwrap_or_default()
    }
}
