//! A trained network for other programs.
//!
//! [`onnx::model`] writes one ONNX graph from a decoded photo to probabilities: the preprocessing is
//! part of it, because a model that is fed otherwise than it was trained predicts something else, and
//! no error shows. [`Runner`] runs such a graph with tract, an ONNX runtime in Rust that shares no code
//! with this program's kernels, so that an export can be compared with what it was made from.
//! [`pytorch`] writes weights under torchvision's or timm's names, and a Python file that uses them.

mod error;
pub mod onnx;
pub mod pytorch;
mod runner;

pub use error::{Error, Result};
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
    /// What else to say about it, such as its model card.
    pub about: &'a BTreeMap<String, String>,
}
