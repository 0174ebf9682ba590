//! The error type of this crate. Every text names the file (or tensor, class, index), contains the
//! conflicting numbers, and states what to do, if anything can be done.
//!
//! Names that come from a file are printed quoted and escaped (`{:?}`), so that a hostile file cannot write
//! control sequences to a terminal.

use std::io;
use std::path::{Path, PathBuf};

use crate::safetensors::Dtype;
use crate::{refusal, shape_text};

/// An error between files and tensors. The fields are the values in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is explained by the message that contains it")]
pub enum Error {
    /// An error of the operating system.
    #[error("{}: cannot {action}: {}", path.display(), refused(path, action, source))]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    /// A folder, pipe or device where a file was expected.
    #[error("{}: this is not a regular file; give the path of a file", path.display())]
    NotAFile { path: PathBuf },
    /// A file that is too large; refused before reading, to protect memory.
    #[error("{}: the file has {bytes} bytes, more than the {limit} allowed here", path.display())]
    FileTooLarge { path: PathBuf, bytes: u64, limit: u64 },

    /// A file of images or labels that is not valid gzipped IDX.
    #[error("{}: {reason}", path.display())]
    Idx { path: PathBuf, reason: String },
    /// A safetensors file that ends early.
    #[error(
        "{}: the file ends after {actual} bytes, but {needed} are needed; it was cut short, so download or copy it again",
        path.display()
    )]
    Truncated { path: PathBuf, needed: u64, actual: u64 },
    /// A safetensors file with bytes that belong to no tensor.
    #[error(
        "{}: {extra} bytes after the last tensor belong to no tensor; the file is damaged or not safetensors",
        path.display()
    )]
    TrailingBytes { path: PathBuf, extra: u64 },
    /// The first eight bytes give an impossible length of the header.
    #[error(
        "{}: not a safetensors file: its first 8 bytes give a header length of {header} bytes, more than \
         the limit of {limit}",
        path.display()
    )]
    HeaderTooLarge { path: PathBuf, header: u64, limit: u64 },
    /// A file of another kind in place of weights.
    #[error("{}: this is {what}, not weights in a safetensors file; {advice}", path.display())]
    NotWeights { path: PathBuf, what: &'static str, advice: &'static str },
    /// The header is not valid JSON of the expected form.
    #[error("{}: the safetensors header cannot be read: {reason}", path.display())]
    Header { path: PathBuf, reason: String },
    /// One name twice.
    #[error("{}: the header lists tensor {tensor:?} twice", path.display())]
    DuplicateTensor { path: PathBuf, tensor: String },
    /// Offsets outside the file.
    #[error(
        "{}: tensor {tensor:?} should be in bytes {begin}..{end}, but the file contains {available} bytes \
         of data; it is damaged or cut short",
        path.display()
    )]
    TensorOutOfRange { path: PathBuf, tensor: String, begin: u64, end: u64, available: u64 },
    /// Tensors that overlap or leave a gap.
    #[error(
        "{}: tensor {tensor:?} begins at byte {begin}, but the tensor before it ends at byte {expected}; \
         tensors must follow each other without overlap or gap",
        path.display()
    )]
    TensorOverlap { path: PathBuf, tensor: String, begin: u64, expected: u64 },
    /// Shape and number of bytes disagree.
    #[error(
        "{}: tensor {tensor:?} of shape {} and type {dtype} takes {expected} bytes, but the header gives it {actual}",
        path.display(), shape_text(shape)
    )]
    TensorSize { path: PathBuf, tensor: String, dtype: Dtype, shape: Vec<usize>, expected: u64, actual: u64 },
    /// An unsupported number type.
    #[error(
        "{}: tensor {tensor:?} has type {dtype}; supported are F32, F16, BF16, and I64 for a single num_batches_tracked. Convert it with `.float()` before saving",
        path.display()
    )]
    UnsupportedDtype { path: PathBuf, tensor: String, dtype: String },
    /// A weight that is NaN or infinite.
    #[error(
        "{}: tensor {tensor:?} of shape {} contains {value} at element {index}; the training run that wrote \
         it diverged, so use an earlier checkpoint",
        path.display(), shape_text(shape)
    )]
    NonFinite { path: PathBuf, tensor: String, shape: Vec<usize>, index: usize, value: f32 },
    /// A weight outside the range of half precision.
    #[error(
        "{}: tensor {tensor:?} contains {value} at element {index}, which rounds to infinity in {dtype}; \
         save as F32",
        path.display()
    )]
    TooLargeForHalf { path: PathBuf, tensor: String, index: usize, value: f32, dtype: Dtype },
    /// A name that the file format reserves.
    #[error("{}: a tensor cannot be named {tensor:?}: {reason}", path.display())]
    ReservedName { path: PathBuf, tensor: String, reason: &'static str },
    /// A host tensor whose two fields contradict each other.
    #[error("tensor {tensor:?}: shape {} has {expected} values, got {actual}", shape_text(shape))]
    ElementCount { tensor: String, shape: Vec<usize>, expected: u64, actual: usize },

    /// Weights without the state of a run.
    #[error(
        "{}: contains weights but is not a frostline checkpoint (no {:?} in its metadata); load it as plain \
         weights instead",
        path.display(), crate::checkpoint::VERSION_KEY
    )]
    NotACheckpoint { path: PathBuf },
    /// A checkpoint written by another release.
    #[error(
        "{}: checkpoint format {found:?}, this release reads {supported}; load it with the release that wrote it",
        path.display()
    )]
    CheckpointVersion { path: PathBuf, found: String, supported: u64 },
    /// A checkpoint field that is missing or invalid.
    #[error("{}: checkpoint field {field:?}: {reason}", path.display())]
    CheckpointField { path: PathBuf, field: String, reason: String },

    /// A file that is neither PNG, JPEG nor WebP by its content; the name does not matter.
    #[error("{}: not an image that this program reads (PNG, JPEG or WebP), according to its first \
             bytes", path.display())]
    UnknownImageFormat { path: PathBuf },
    /// The decoder failed.
    #[error("{}: the image is damaged: {reason}", path.display())]
    CorruptImage { path: PathBuf, reason: String },
    /// The file ends before its picture does.
    #[error("{}: the image was cut off: {reason}; copy or download it again", path.display())]
    TruncatedImage { path: PathBuf, reason: String },
    /// The file is valid, but this kind is not supported.
    #[error("{}: a valid {format}, but {kind} is not supported; save it again as an ordinary JPEG or \
             PNG", path.display())]
    UnreadKind { path: PathBuf, format: &'static str, kind: &'static str },
    /// An image that is too large; refused from the header, before any pixel was decoded.
    #[error(
        "{}: the image is {width}x{height} pixels; the limit is {max_pixels} pixels, and {max_side} on a side. Scale it down first",
        path.display()
    )]
    ImageTooLarge { path: PathBuf, width: u32, height: u32, max_pixels: u64, max_side: u32 },
    /// A resize to or from an empty image, or to an enormous one.
    #[error(
        "cannot resize an image of {}x{} to {}x{} pixels: sides must be at least 1, and the result at most {max_pixels} pixels",
        from.0, from.1, to.0, to.1
    )]
    ResizeSize { from: (usize, usize), to: (usize, usize), max_pixels: u64 },
    /// Pixel data that is not width x height x channels long.
    #[error("an image of {width}x{height} with {channels} channels needs {} bytes, got {actual}", *width as u128 * *height as u128 * *channels as u128)]
    PixelCount { width: usize, height: usize, channels: usize, actual: usize },
    /// Invalid settings.
    #[error("preprocessing: {reason}")]
    Preprocessing { reason: String },

    /// A configuration file that is damaged or requires something that is not supported.
    #[error("{}: {reason}", path.display())]
    Preset { path: PathBuf, reason: String },

    /// The data folder does not exist.
    #[error("{}: no such folder; give a folder with one sub-folder of images per class", path.display())]
    NoSuchFolder { path: PathBuf },
    /// A folder without class folders.
    #[error("{}: no class folders inside; expected one sub-folder of images per class, such as {0}/cat and {0}/dog", path.display())]
    NoClassFolders { path: PathBuf },
    /// Only one class.
    #[error("{}: only one class folder, {class:?}; a classifier needs at least two", path.display())]
    OneClass { path: PathBuf, class: String },
    /// The right folder is inside this one.
    #[error("{}: contains one folder, and the class folders are inside that; give {} \
             instead", path.display(), inner.display())]
    OneFolderDown { path: PathBuf, inner: PathBuf },
    /// Photos of a class that was not trained.
    #[error("{}: {class:?} is not one of the classes ({}); rename the folder or move it \
             away", path.display(), crate::report::printable(known))]
    UnknownClass { path: PathBuf, class: String, known: String },
    /// A class without images.
    #[error("{}: this class folder contains no usable images (PNG, JPEG or WebP); fill it or remove \
             it", path.display())]
    EmptyClass { path: PathBuf },
    /// Class folders that are all empty.
    #[error("{}: none of the {classes} class folders contains an image (PNG, JPEG or WebP)", path.display())]
    NoImages { path: PathBuf, classes: usize },

    /// A validation fraction that is not between 0 and 1.
    #[error("a validation fraction must be between 0 and 1, both excluded; got {fraction}")]
    Fraction { fraction: f64 },
    /// More images were requested than there are.
    #[error("cannot choose {wanted} images: there are {available}")]
    SubsetTooLarge { wanted: usize, available: usize },
    /// A label that names no class.
    #[error("image {index} has label {label}, but there are {classes} classes (labels start at 0)")]
    LabelOutOfRange { index: usize, label: usize, classes: usize },
    /// An index past the end of a set.
    #[error("image {index} was requested, but the set contains {len}")]
    IndexOutOfRange { index: usize, len: usize },
    /// A class that a set does not have.
    #[error("class {class} was requested, but the set has {classes}, counted from 0")]
    ClassOutOfRange { class: usize, classes: usize },
    /// A batch that is larger than the data set.
    #[error("a batch of {batch} cannot be filled from {len} images; choose a batch between 1 and {len}")]
    BatchTooLarge { batch: usize, len: usize },
    /// A batch of 0 images, or from 0 images.
    #[error("cannot make batches of {batch} from {len} images: both must be at least 1")]
    EmptyBatch { batch: usize, len: usize },
    /// A saved position that this data does not have.
    #[error(
        "cannot continue at batch {position} of an epoch of {per_epoch} batches; the data or the batch size changed since the state was saved"
    )]
    BatchPosition { position: usize, per_epoch: usize },

    /// A packed image sheet whose parts contradict each other.
    #[error("image sheet: {reason}")]
    Sheet { reason: String },
}

impl Error {
    /// The unreadable file, if it may be an image.
    pub fn image(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::NotAFile { path }
            | Self::FileTooLarge { path, .. }
            | Self::UnknownImageFormat { path }
            | Self::CorruptImage { path, .. }
            | Self::TruncatedImage { path, .. }
            | Self::UnreadKind { path, .. }
            | Self::ImageTooLarge { path, .. } => Some(path),
            _ => None,
        }
    }

    /// For `map_err`: an [`io::Error`] that occurred during `action` on this file.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, action, source }
    }
}

fn refused(path: &Path, action: &str, source: &io::Error) -> String {
    match action {
        "write" | "replace" => refusal::writing(path, source),
        _ => refusal::reading(path, source),
    }
}

/// The first 300 characters of a message made by a parser, which may quote the whole input.
pub(crate) fn clip(message: impl ToString) -> String {
    let message = message.to_string();
    match message.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", message[..end].escape_debug()),
        None => message.escape_debug().to_string(),
    }
}
