//! The errors of the commands, and their exit codes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use frostline_loader::refusal;

/// An error of a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is explained by the message that contains it")]
pub enum Error {
    /// An error of training, or of the crates that it uses.
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
    /// Flags that cannot be combined.
    #[error("{0}")]
    Flags(String),
    /// No photo for validation.
    #[error("{}: no class has two photos, so none can be kept for validation; add photos, or a folder `val` beside `train`", path.display())]
    NoValidation { path: PathBuf },
    /// The folder of a new run already contains a run.
    #[error("{0} already contains a run: resume it with `frostline train --resume {0}`, or give another \
             --out", path.display())]
    RunExists { path: PathBuf },
    /// Another process is training there.
    #[error("{}: another process is training in this folder; wait until it ends, or give another \
             --out", path.display())]
    Running { path: PathBuf },
    /// A folder to resume from that is not a run folder.
    #[error("{}: not the folder of a run that can be resumed: {reason}", path.display())]
    NotARun { path: PathBuf, reason: String },
    /// A checkpoint that another run wrote.
    #[error("{}: another run wrote this file, not the one in {}: put the right one back, or begin a new run", path.display(), run.display())]
    ForeignCheckpoint { path: PathBuf, run: PathBuf },
    /// The photos of a run are no longer in their folder.
    #[error(
        "{}: the photos of this run are not there. If they were moved, give their present \
         folder:\n\n    frostline train --resume {} --data FOLDER\n",
        data.display(), quoted(&run.display().to_string())
    )]
    DataGone { data: PathBuf, run: PathBuf },
    /// The photos of a run have changed.
    #[error(
        "{}: these are not the photos that this run was begun with:{differences}\nPut them back as they were, or begin a new run. If the photos of the run are elsewhere: `frostline train --resume {} --data FOLDER`",
        data.display(), quoted(&run.display().to_string())
    )]
    OtherData { data: PathBuf, run: PathBuf, differences: String },
    /// Ctrl-C while training.
    #[error("stopped after step {step} of {steps}, and saved. Resume with\n\n    frostline train --resume \
             {}\n", quoted(&run.display().to_string()))]
    Interrupted { run: PathBuf, step: u64, steps: u64 },
    /// Ctrl-C before a step of this process was taken.
    #[error("stopped before the next step; nothing was changed. Resume with\n\n    frostline train --resume \
             {}\n", quoted(&run.display().to_string()))]
    Unchanged { run: PathBuf },
    /// Ctrl-C after the last step.
    #[error("stopped after the last step: everything is saved except the report. Write it \
             with\n\n    frostline train --resume {}\n", quoted(&run.display().to_string()))]
    NoReport { run: PathBuf },
    /// Ctrl-C before training.
    #[error("stopped before the first step; there is nothing to resume")]
    Nothing,
    /// The system refuses to report Ctrl-C.
    #[error("cannot listen for Ctrl-C: {0}")]
    Signal(ctrlc::Error),
    /// The current folder no longer exists.
    #[error("the current folder: {0}")]
    CurrentFolder(std::io::Error),
    /// A file or folder that cannot be read.
    #[error("{}: cannot read: {}", path.display(), refusal::reading(path, source))]
    Read { path: PathBuf, source: std::io::Error },
    /// A file that would be overwritten.
    #[error("{}: this file already exists; give --force to replace it, or another name", path.display())]
    Exists { path: PathBuf },
    /// A file in a folder that does not exist.
    #[error("{}: {}", path.display(), refusal::missing(folder))]
    NoFolder { path: PathBuf, folder: PathBuf },
    /// A folder without photos.
    #[error("{}: no photos inside (PNG, JPEG or WebP)", folder.display())]
    NoImages { folder: PathBuf },
    /// Class folders that are not classes of the model.
    #[error("{}: the model has no class named {unknown}; folders are matched with its classes by name: \
             {known}", folder.display())]
    FolderClasses { folder: PathBuf, unknown: String, known: String },
    /// Some photos could not be read; each was reported.
    #[error("{unreadable} of {photos} photos could not be read; the results are those of the others")]
    Unreadable { unreadable: usize, photos: usize },
    /// For some photos the network's output was not a number, and each was named.
    #[error(
        "the network's output is not a number for {not_numbers} of {photos} photos; the results are those of the others"
    )]
    NotNumbers { not_numbers: usize, photos: usize },
    /// No model at this path.
    #[error(
        "{}: no model here; give a checkpoint, a safetensors file, a folder with model.safetensors, or hf:owner/name", path.display()
    )]
    NoSuchModel { path: PathBuf },
    /// Weights of a network that is not supported.
    #[error(
        "{weights}: these weights fit no network that this program supports; `frostline inspect` lists \
         their tensors"
    )]
    UnknownNetwork { weights: String },
    /// Weights of a network that is recognised but not supported.
    #[error("{weights}: {what}, which this program does not support: {advice}")]
    OtherNetwork { weights: String, what: String, advice: String },
    /// A folder of photos where a model should be.
    #[error("{}: this is a folder of photos, not a model; {advice}", path.display())]
    PhotosForModel { path: PathBuf, advice: &'static str },
    /// Weights without a classifier.
    #[error(
        "{weights}: these weights have no last layer for classification; train one with `frostline train \
         --weights {weights}`"
    )]
    NoHead { weights: String },
    /// A conversion that makes no sense.
    #[error("{}: {reason}", path.display())]
    Convert { path: PathBuf, reason: String },
    /// A model that cannot be exported.
    #[error(transparent)]
    Export(#[from] frostline_export::Error),
    /// An exported graph whose predictions differ from those of its model.
    #[error(
        "{}: do not use this file: its probabilities are off by {worst:.1e} (at most {limit:.0e} is right), its class is another one for {others} of {photos} photos; please report this with the line \"adapter\" of `frostline doctor`", path.display()
    )]
    Parity { path: PathBuf, worst: f64, limit: f64, others: usize, photos: usize },
    /// An invalid repository name.
    #[error(
        "hf:{name}: a model on the hub is named owner/name, such as hf:timm/resnet18.tv_in1k, optionally \
         with @revision"
    )]
    HubName { name: String },
    /// No folder for downloads.
    #[error("there is no home folder to keep downloads in; set HF_HOME to a folder")]
    NoHome,
    /// The hub has no such file, or only members can access it.
    #[error("{url}: the hub has no such file, or only members can access it; check the name")]
    NotOnHub { url: String },
    /// The hub cannot be reached.
    #[error(
        "hf:{name} is not in the cache, and the hub cannot be reached ({reason}). Either copy {} from a \
         machine that has it, or save {url}, and config.json and preprocessor_config.json from beside it, \
         in one folder and give that folder instead of hf:{name}",
        cache.display()
    )]
    NoNetwork { name: String, reason: String, url: String, cache: PathBuf },
    /// Another error during a download.
    #[error("{what}: {reason}; try again")]
    Download { what: String, reason: String },
    /// A downloaded file whose size or hash is wrong.
    #[error("{}: this file is damaged: {reason}. Delete it and try again", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// Kernels that compute wrong results.
    #[error("{failed} of {checks} self-tests failed")]
    SelfTest { failed: usize, checks: usize },
    /// An address at which the server cannot listen.
    #[error("{host}:{port}: {}", listen_advice(source))]
    Listen { host: String, port: u16, source: std::io::Error },
    /// A file in the place of a page that is not a page of this program.
    #[error("{}: exists and is not a page written by frostline; give another name for the \
             page", path.display())]
    NotAPage { path: PathBuf },
    /// A batch that is larger than the number of photos.
    #[error("--batch {batch}: there are {images} photos to train on, which do not fill one batch")]
    LargeBatch { batch: usize, images: usize },
    /// A batch that batch norms cannot be trained with.
    #[error(
        "--batch {batch} is too small for batch norms with the batch's statistics ({reason}). Give a larger --batch, a larger --size, or --bn running"
    )]
    SmallBatch { batch: usize, reason: String },
    /// A warm-up longer than the run.
    #[error(
        "--warm-up {warm_up}: the run has {steps} steps, so its rate would never be reached; give fewer, or more --epochs"
    )]
    LongWarmUp { warm_up: u64, steps: u64 },
    /// A checkpoint that cannot be resumed.
    #[error("{error}\n{advice}")]
    BrokenCheckpoint { error: Box<Error>, advice: String },
    /// A photo that existed when the run began, and no longer does.
    #[error("{error}\nA run needs its photos, unchanged, until it ends. {advice}")]
    PhotoGone { error: Box<Error>, advice: String },
    /// Standard output is closed, or its disk is full.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

/// Exit code for wrong flags, as in clap.
const WRONG_FLAGS: u8 = 2;
/// Exit code after Ctrl-C: 128 plus the number of the signal, as in shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// The result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code: 1, 2 for wrong flags, 130 after Ctrl-C, or 0 if the reader of the output has closed the
    /// pipe (`| head`).
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

    /// Fails if `path` exists and must not be replaced.
    ///
    /// # Errors
    /// [`Error::Exists`].
    pub fn if_exists(path: &Path, force: bool) -> Result<()> {
        if !force && path.exists() { Err(Self::Exists { path: path.to_owned() }) } else { Ok(()) }
    }

    /// Fails if no file can be created at `path` because its folder does not exist. Called before the work
    /// begins.
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
        AddrInUse => "another program listens there; give another --port, or --port 0 for a free one".into(),
        AddrNotAvailable => {
            "this is not an address of this machine; leave --host out, or give one of the machine's addresses"
                .into()
        }
        PermissionDenied => {
            "the system does not let this program listen there; give a --port above 1023".into()
        }
        _ => format!("cannot listen there: {source}"),
    }
}

/// A word, quoted for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,\\".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
