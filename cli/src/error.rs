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
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A figure.
    #[error(transparent)]
    Figure(#[from] frostline_lesson::Error),
    /// Flags that do not go together.
    #[error("{0}")]
    Flags(String),
    /// No photo to validate with.
    #[error("{}: no class has two photos, so none can be kept for validation; add photos, or a folder `val` beside `train`", path.display())]
    NoValidation { path: PathBuf },
    /// The folder of a new run holds one already.
    #[error("{0} holds a run already: go on with it by `frostline train --resume {0}`, or give another --out", path.display())]
    RunExists { path: PathBuf },
    /// A folder to resume from that is no run's.
    #[error("{}: not the folder of a run that can be resumed: run.json: {reason}", path.display())]
    NotARun { path: PathBuf, reason: String },
    /// Ctrl-C while training.
    #[error("stopped after step {step} of {steps}, and saved. Go on with\n\n    frostline train --resume {}\n", quoted(&run.display().to_string()))]
    Interrupted { run: PathBuf, step: u64, steps: u64 },
    /// Ctrl-C before training.
    #[error("stopped before the first step; there is nothing to resume")]
    Nothing,
    /// The system refuses to tell of Ctrl-C.
    #[error("cannot listen for Ctrl-C: {0}")]
    Signal(ctrlc::Error),
    /// The current folder is gone.
    #[error("the current folder: {0}")]
    CurrentFolder(std::io::Error),
    /// Standard output is gone, or its disk is full.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

/// Exit code for wrong flags; clap's, too.
const WRONG_FLAGS: u8 = 2;
/// Exit code after Ctrl-C: 128 and the number of the signal, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// A result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code: 1, 2 for wrong flags, 130 after Ctrl-C, or 0 where a reader of the output has seen enough (`| head`).
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Flags(_) => ExitCode::from(WRONG_FLAGS),
            Self::Interrupted { .. } | Self::Nothing => ExitCode::from(INTERRUPTED),
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

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,\\".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
