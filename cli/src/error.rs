//! The errors of the commands, and their exit codes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use frostline_loader::refusal;

/// An error of a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is explained by the message it stands in")]
pub enum Error {
    /// Training, and all below it.
    #[error(transparent)]
    Trainer(#[from] frostline_trainer::Error),
    /// A file that cannot be written.
    #[error("{}: cannot write: {}", path.display(), refusal::writing(path, source))]
    Write { path: PathBuf, source: std::io::Error },
    /// A figure.
    #[error(transparent)]
    Figure(#[from] frostline_charts::Error),
    /// A step that cannot be timed.
    #[error(transparent)]
    Bench(#[from] frostline_bench::Error),
    /// Flags that do not go together.
    #[error("{0}")]
    Flags(String),
    /// No photo to validate with.
    #[error("{}: no class has two photos, so none can be kept for validation; add photos, or a folder `val` beside `train`", path.display())]
    NoValidation { path: PathBuf },
    /// The folder of a new run holds one already.
    #[error("{0} holds a run already: go on with it by `frostline train --resume {0}`, or give another --out", path.display())]
    RunExists { path: PathBuf },
    /// Another process trains there.
    #[error("{}: another process trains here now; wait until it ends, or give another --out", path.display())]
    Running { path: PathBuf },
    /// A folder to resume from that is no run's.
    #[error("{}: not the folder of a run that can be resumed: {reason}", path.display())]
    NotARun { path: PathBuf, reason: String },
    /// A checkpoint that another run wrote.
    #[error("{}: another run wrote this file, not the one in {}: put the right one back, or begin a new run", path.display(), run.display())]
    ForeignCheckpoint { path: PathBuf, run: PathBuf },
    /// The photos of a run are where they were no longer.
    #[error(
        "{}: the photos of this run are not there. If they were moved, say where they are now:\n\n    frostline train --resume {} --data FOLDER\n",
        data.display(), quoted(&run.display().to_string())
    )]
    DataGone { data: PathBuf, run: PathBuf },
    /// The photos of a run are others now.
    #[error(
        "{}: these are not the photos that this run was begun with:{differences}\nPut them back as they were, or begin a new run. If the photos of the run are elsewhere: `frostline train --resume {} --data FOLDER`",
        data.display(), quoted(&run.display().to_string())
    )]
    OtherData { data: PathBuf, run: PathBuf, differences: String },
    /// Ctrl-C while training.
    #[error("stopped after step {step} of {steps}, and saved. Go on with\n\n    frostline train --resume {}\n", quoted(&run.display().to_string()))]
    Interrupted { run: PathBuf, step: u64, steps: u64 },
    /// Ctrl-C before a step of this process was taken.
    #[error("stopped before the next step; nothing was changed. Go on with\n\n    frostline train --resume {}\n", quoted(&run.display().to_string()))]
    Unchanged { run: PathBuf },
    /// Ctrl-C after the last step.
    #[error("stopped after the last step: all is saved but the report, which is written by\n\n    frostline train --resume {}\n", quoted(&run.display().to_string()))]
    NoReport { run: PathBuf },
    /// Ctrl-C before training.
    #[error("stopped before the first step; there is nothing to resume")]
    Nothing,
    /// The system refuses to report Ctrl-C.
    #[error("cannot listen for Ctrl-C: {0}")]
    Signal(ctrlc::Error),
    /// The current folder is gone.
    #[error("the current folder: {0}")]
    CurrentFolder(std::io::Error),
    /// A file or folder that cannot be read.
    #[error("{}: cannot read: {}", path.display(), refusal::reading(path, source))]
    Read { path: PathBuf, source: std::io::Error },
    /// A file that would be lost.
    #[error("{}: this file is there already; give --force to replace it, or another name", path.display())]
    Exists { path: PathBuf },
    /// A file in a folder that is not there.
    #[error("{}: {}", path.display(), refusal::missing(folder))]
    NoFolder { path: PathBuf, folder: PathBuf },
    /// A folder that holds no photos.
    #[error("{}: no photos inside (PNG, JPEG or WebP)", folder.display())]
    NoImages { folder: PathBuf },
    /// Class folders that are no classes of the model.
    #[error("{}: the model knows no class named {unknown}; folders are compared with its classes by name: {known}", folder.display())]
    FolderClasses { folder: PathBuf, unknown: String, known: String },
    /// Some photos could not be read, and each was reported.
    #[error("{unreadable} of {photos} photos could not be read; the results are those of the others")]
    Unreadable { unreadable: usize, photos: usize },
    /// For some photos the network's output was not a number, and each was named.
    #[error(
        "the network's output is not a number for {not_numbers} of {photos} photos; the results are those of the others"
    )]
    NotNumbers { not_numbers: usize, photos: usize },
    /// Nothing of a model at this path.
    #[error(
        "{}: no model here; give a checkpoint, a safetensors file, a folder with model.safetensors, or hf:owner/name", path.display()
    )]
    NoSuchModel { path: PathBuf },
    /// Weights of a network that is not supported.
    #[error(
        "{weights}: these weights look like no network this program knows; `frostline inspect` lists their tensors"
    )]
    UnknownNetwork { weights: String },
    /// Weights of a network that is known, and not built here.
    #[error("{weights}: {what}, which is not built here: {advice}")]
    OtherNetwork { weights: String, what: String, advice: String },
    /// A folder of photos where a model should be.
    #[error("{}: this is a folder of photos, no model; {advice}", path.display())]
    PhotosForModel { path: PathBuf, advice: &'static str },
    /// Weights without a classifier.
    #[error(
        "{weights}: these weights have no last layer that tells classes apart; train one with `frostline train --weights {weights}`"
    )]
    NoHead { weights: String },
    /// A conversion that makes no sense.
    #[error("{}: {reason}", path.display())]
    Convert { path: PathBuf, reason: String },
    /// A model that cannot leave.
    #[error(transparent)]
    Export(#[from] frostline_export::Error),
    /// An exported graph that predicts something else than the model it was made from.
    #[error(
        "{}: do not use this file: its probabilities are off by {worst:.1e} (at most {limit:.0e} is right), its class is another one for {others} of {photos} photos; please report this with the line \"adapter\" of `frostline doctor`", path.display()
    )]
    Parity { path: PathBuf, worst: f64, limit: f64, others: usize, photos: usize },
    /// A repository's name that is none.
    #[error(
        "hf:{name}: a model on the hub is named owner/name, such as hf:timm/resnet18.tv_in1k, with @revision if wanted"
    )]
    HubName { name: String },
    /// Nowhere to keep downloads.
    #[error("there is no home folder to keep downloads in; set HF_HOME to a folder")]
    NoHome,
    /// The hub has no such file, or shows it to members only.
    #[error("{url}: the hub has no such file, or shows it to members only; is the name right?")]
    NotOnHub { url: String },
    /// The hub cannot be reached.
    #[error(
        "hf:{name} is not in the cache, and the hub cannot be asked ({reason}). Either copy {} from a machine that has it, or save {url}, and config.json and preprocessor_config.json from beside it, in one folder and give that folder instead of hf:{name}",
        cache.display()
    )]
    NoNetwork { name: String, reason: String, url: String, cache: PathBuf },
    /// Something else went wrong on the way.
    #[error("{what}: {reason}; try again")]
    Download { what: String, reason: String },
    /// A downloaded file that is not what it should be.
    #[error("{}: this file is damaged: {reason}. Delete it and try again", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// Kernels that compute something else than they should.
    #[error("{failed} of {checks} self-tests failed")]
    SelfTest { failed: usize, checks: usize },
    /// An address that the server cannot have.
    #[error("{host}:{port}: {}", listen_advice(source))]
    Listen { host: String, port: u16, source: std::io::Error },
    /// Something that a page would replace and that is none.
    #[error("{}: exists and is no page that frostline wrote; give another name for the page", path.display())]
    NotAPage { path: PathBuf },
    /// More photos in a step than there are.
    #[error("--batch {batch}: there are {images} photos to train on, which do not fill one batch")]
    LargeBatch { batch: usize, images: usize },
    /// A batch that batch norms cannot be trained with.
    #[error(
        "--batch {batch} is too small for batch norms with the batch's statistics ({reason}). Give a larger --batch, a larger --size, or --bn running"
    )]
    SmallBatch { batch: usize, reason: String },
    /// A warm-up that does not end.
    #[error(
        "--warm-up {warm_up}: the run has {steps} steps, so its rate would never be reached; give fewer, or more --epochs"
    )]
    LongWarmUp { warm_up: u64, steps: u64 },
    /// A checkpoint that cannot be gone on from.
    #[error("{error}\n{advice}")]
    BrokenCheckpoint { error: Box<Error>, advice: String },
    /// A photo that was there when the run began, and is not any more.
    #[error("{error}\nA run needs its photos, unchanged, until it ends. {advice}")]
    PhotoGone { error: Box<Error>, advice: String },
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
            _ if self.is_closed_pipe() => ExitCode::SUCCESS,
            Self::Flags(_) => ExitCode::from(WRONG_FLAGS),
            Self::Interrupted { .. } | Self::Unchanged { .. } | Self::NoReport { .. } | Self::Nothing => {
                ExitCode::from(INTERRUPTED)
            }
            _ => ExitCode::FAILURE,
        }
    }
}

impl Error {
    /// Whether the reader of the results has closed the pipe, as `| head` does.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Fails if there is something at `path` and it is not to be replaced.
    ///
    /// # Errors
    /// [`Error::Exists`].
    pub fn if_exists(path: &Path, force: bool) -> Result<()> {
        if !force && path.exists() { Err(Self::Exists { path: path.to_owned() }) } else { Ok(()) }
    }

    /// Fails if no file can be made at `path`, as its folder is not there: before the work, and not after it.
    ///
    /// # Errors
    /// [`Error::NoFolder`].
    pub fn if_no_folder(path: &Path) -> Result<()> {
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => {
                Err(Self::NoFolder { path: path.to_owned(), folder: folder.to_owned() })
            }
            _ => Ok(()),
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

/// Why a server cannot listen, and what to do.
fn listen_advice(source: &std::io::Error) -> String {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    match source.kind() {
        AddrInUse => {
            "another program listens there; give another --port, or --port 0 for one that is free".into()
        }
        AddrNotAvailable => {
            "this is no address of this machine; leave --host out, or give one of its own".into()
        }
        PermissionDenied => {
            "the system does not let this program listen there; give a --port above 1023".into()
        }
        _ => format!("cannot listen there: {source}"),
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,\\".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
