//! What goes wrong, and the exit code for it.

use std::path::PathBuf;
use std::process::ExitCode;

/// An error of a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is explained by the message it stands in")]
pub enum Error {
    /// Training, and all below it.
    #[error(transparent)]
    Trainer(#[from] frostline_trainer::Error),
    /// A file that cannot be written.
    #[error("{}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// Standard output is gone, or its disk is full.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

/// A result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code: 1, or 0 where a reader of the output has seen enough (`| head`).
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

impl From<frostline_engine::Error> for Error {
    fn from(error: frostline_engine::Error) -> Self {
        Self::Trainer(error.into())
    }
}

impl From<frostline_loader::Error> for Error {
    fn from(error: frostline_loader::Error) -> Self {
        Self::Trainer(error.into())
    }
}

impl From<frostline_models::Error> for Error {
    fn from(error: frostline_models::Error) -> Self {
        Self::Trainer(error.into())
    }
}
