//! The errors of a chapter.

use std::path::PathBuf;

/// An error of a chapter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Training or evaluation failed.
    #[error(transparent)]
    Trainer(#[from] frostline_trainer::Error),
    /// A file could not be used.
    #[error(transparent)]
    Loader(#[from] frostline_loader::Error),
    /// A model could not be built or loaded.
    #[error(transparent)]
    Models(#[from] frostline_models::Error),
    /// A figure could not be written.
    #[error(transparent)]
    Charts(#[from] frostline_charts::Error),
    /// A step could not be timed.
    #[error(transparent)]
    Bench(#[from] frostline_bench::Error),
    /// The device refused.
    #[error(transparent)]
    Engine(#[from] frostline_engine::Error),
    /// Flags that cannot be combined.
    #[error("{0}")]
    Flags(String),
    /// The file of finished runs cannot be used.
    #[error(transparent)]
    Runs(#[from] frostline_study::Error),
    /// A measurement of a run is not a number.
    #[error("{name} is {value}, which cannot be compared")]
    Number {
        /// What was measured.
        name: String,
        /// What came out.
        value: f64,
    },
    /// A chapter's claim is invalid.
    #[error("a claim of this chapter cannot be judged: {0}")]
    Claim(String),
    /// The explorer's port cannot be opened.
    #[error("--port {port}: {reason}. Give another port, or --port 0 for a free one")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        reason: String,
    },
    /// The explorer cannot serve its page.
    #[error("the explorer's server: {0}")]
    Server(String),
    /// A result could not be written.
    #[error("{path}: {reason}")]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The result of a function of a chapter.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn server(error: impl std::fmt::Display) -> Self {
        Self::Server(error.to_string())
    }
}
