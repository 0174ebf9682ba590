//! The errors of drawing a figure.

use std::path::PathBuf;

/// An error of a figure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A figure could not be written.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The result of drawing.
pub type Result<T, E = Error> = std::result::Result<T, E>;
