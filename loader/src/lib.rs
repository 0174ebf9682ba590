//! Everything between files and tensors: weights, checkpoints, photos, folders, batches.
//!
//! This crate does not depend on the engine or a GPU. It converts bytes from disk, which may be malformed, to
//! plain `Vec<f32>` and `Vec<u8>` of the right sizes, or returns an [`Error`] that names the file and states
//! what to do. No *content* of a file causes a panic.
//!
//! | from | to | module |
//! |---|---|---|
//! | `*.safetensors` | [`StateDict`]: name → [`HostTensor`] in PyTorch order | [`safetensors`] |
//! | a training run | one file to resume from | [`checkpoint`] |
//! | PNG, JPEG, WebP | [`RgbImage8`] | [`image`] |
//! | photo | network input, as from Pillow and torchvision | [`resize`], [`preprocess`] |
//! | a hub's configuration files | preprocessing and class names | [`preset`] |
//! | a folder of class folders | paths and labels, images on demand | [`folder`] |
//! | folders and their contents | the photos, the same for every command | [`listing`] |
//! | `train` and `val` with class folders | both, and a report: skipped files, duplicates | [`training_folder`], [`report`] |
//! | such a folder, however large | batches, decoded ahead on worker threads | [`stream`] |
//! | many small images | one packed set in memory | [`dataset`] |
//! | labels | which images are for training, which for validation | [`split`] |
//! | a count | which images go into which step | [`batch`] |
//!
//! Random numbers are from ChaCha8 with the caller's seed ([`shuffle`]), so a seed gives the same batches on
//! every platform and in every release.

pub mod atomic;
pub mod batch;
pub mod checkpoint;
pub mod dataset;
mod error;
mod file;
pub mod folder;
pub mod idx;
pub mod image;
mod jpeg;
mod kind;
pub mod listing;
mod png;
mod prefetch;
pub mod preprocess;
pub mod preset;
pub mod refusal;
pub mod report;
pub mod resize;
pub mod safetensors;
pub mod shuffle;
pub mod split;
pub mod stream;
mod tensor;
pub mod training_folder;
mod webp;

pub use batch::{BatchState, Batches, EvalBatch, eval_batches};
pub use checkpoint::Checkpoint;
pub use dataset::ImageSet;
pub use error::Error;
pub use folder::{ImageFolder, OnCorrupt, Skipped};
pub use image::RgbImage8;
pub use kind::FileKind;
pub use preprocess::{Frame, Preprocessing, normalize};
pub use preset::{Network, Preset};
pub use report::FolderReport;
pub use resize::Interpolation;
pub use split::{Split, stratified_split, stratified_subset};
pub use stream::{ImageStream, StreamOptions};
pub use tensor::{HostTensor, StateDict, shape_text};
pub use training_folder::TrainingFolder;
