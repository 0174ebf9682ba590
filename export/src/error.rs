//! The errors of an export.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is explained by the message that contains it")]
pub enum Error {
    /// A network without a classifier.
    #[error("{model}: a network without a last layer has no probabilities to export")]
    NoHead { model: String },
    /// More or fewer names than outputs.
    #[error("{names} names of classes for a network with {outputs} outputs")]
    Classes { names: usize, outputs: usize },
    /// A weight that the network needs.
    #[error("{name}: the network needs this tensor in shape {expected:?}, got {got}")]
    Weight { name: String, expected: Vec<usize>, got: String },
    /// An operation that has no counterpart there yet.
    #[error("{layer}: {op} cannot be exported")]
    Op { layer: String, op: String },
    /// A network that torchvision and timm do not have.
    #[error("{model}: {reason}; export it as ONNX")]
    Elsewhere { model: String, reason: String },
    /// The ONNX runtime refused.
    #[error("the exported graph does not run: {0}")]
    Runtime(String),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] frostline_engine::Error),
    /// The loader refused.
    #[error(transparent)]
    Loader(#[from] frostline_loader::Error),
    /// The model refused.
    #[error(transparent)]
    Models(#[from] frostline_models::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
