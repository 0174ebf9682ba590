//! The errors of the engine. Each text contains what a person needs to act on it.

use crate::shape::Shape;
use std::path::PathBuf;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No adapter could be found.
    #[error(
        "no GPU adapter was found, not even a software one. On Debian or Ubuntu, `apt-get install mesa-vulkan-drivers` gives a \
         software Vulkan driver; on other systems install the graphics driver ({reason})"
    )]
    NoAdapter {
        /// The message of the driver loader.
        reason: String,
    },
    /// An adapter was chosen that this machine does not have.
    #[error(
        "no adapter of this machine is `{wanted}`: give an index, a part of a name, `gpu` or `software`. There are: {known}"
    )]
    NoSuchAdapter {
        /// What was requested.
        wanted: String,
        /// The existing adapters, with their indices.
        known: String,
    },
    /// The adapter gave no device.
    #[error("adapter `{adapter}` gave no device: {reason}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// Its message.
        reason: String,
    },
    /// A plan stores activations as 16-bit floats, and the adapter has none.
    #[error(
        "adapter `{adapter}` has no 16-bit floats in shaders (the feature SHADER_F16): store activations as f32"
    )]
    NoHalf {
        /// The adapter's name.
        adapter: String,
    },
    /// The device went away (driver reset, unplugged, time-out).
    #[error(
        "the GPU device was lost: {reason}. Nothing after the last checkpoint is kept; start again from it with a new device"
    )]
    DeviceLost {
        /// The driver's message.
        reason: String,
    },
    /// The device refused a call, and still works.
    #[error(
        "the GPU refused {what}: {reason}. The device still works; this is a bug of frostline or of the driver: \
         please report it with the output of `frostline doctor`"
    )]
    Refused {
        /// What was refused: a kernel with its layer, a submission, an allocation.
        what: String,
        /// wgpu's message.
        reason: String,
    },
    /// In a browser, a call would have to wait for the device.
    #[error(
        "this thread of a browser cannot wait for the device: use the method whose name ends in `_async`, and await it"
    )]
    CannotBlock,
    /// One submission takes longer than allowed.
    #[error(
        "the GPU did not finish within {seconds} s: {what}. Either its driver hangs (the system's log may \
         contain the reason), or \
         the submission is too large: use a smaller batch or image, or allow more time with \
         FROSTLINE_DEADLINE=seconds (or `off`); \
         FROSTLINE_CHECKED=1 submits kernels one by one"
    )]
    Deadline {
        /// The time that was allowed.
        seconds: f64,
        /// What was submitted.
        what: String,
    },
    /// A kernel wrote outside its buffer. Detected if [`GpuOptions::guard`](crate::GpuOptions::guard) is on.
    #[error(
        "{kernels} wrote past the end of `{buffer}` ({bytes} bytes), {past} bytes after it: a bug of \
         frostline, please report it"
    )]
    OutOfBounds {
        /// The tensor.
        buffer: String,
        /// Its size in bytes.
        bytes: u64,
        /// The distance of the first changed byte from its end.
        past: u64,
        /// The kernels that write it, each with its layer.
        kernels: String,
    },
    /// A kernel took more loop turns than its dispatch declares. Detected if
    /// [`GpuOptions::checked`](crate::GpuOptions::checked) is on.
    #[error(
        "{kernel} of {layer} took {counted} loop turns in one invocation, and {declared} are declared: a bug of frostline, please \
         report it"
    )]
    Turns {
        /// The kernel.
        kernel: String,
        /// The layer.
        layer: String,
        /// Turns counted on the device, the maximum over invocations.
        counted: u64,
        /// Turns that the plan declares.
        declared: u64,
    },
    /// A buffer could not be allocated.
    #[error(
        "out of GPU memory: {bytes} bytes were requested for {purpose}{}. A smaller batch, a smaller image \
         or more frozen layers need less",
        in_use.map(|bytes| format!(", with {bytes} bytes in use already")).unwrap_or_default()
    )]
    OutOfMemory {
        /// The size of the request.
        bytes: u64,
        /// The purpose of the memory.
        purpose: String,
        /// Bytes in use at that time, if the backend counts them.
        in_use: Option<u64>,
    },
    /// A tensor is larger than kernels can index, or than the adapter lets one buffer or binding be.
    #[error(
        "{tensor} needs {bytes} bytes, and {limited} at most {limit} at once: use a smaller batch or image"
    )]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Its size.
        bytes: u64,
        /// What has the limit, and for what: "this adapter binds".
        limited: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// Two shapes do not go together.
    #[error("{op} {layer}: {reason}")]
    Shape {
        /// The op, such as `conv2d`.
        op: &'static str,
        /// The layer, such as `layer2.0.conv1`.
        layer: String,
        /// Both shapes and what was expected.
        reason: String,
    },
    /// Data of the wrong length or shape was given for a tensor.
    #[error("{tensor}: expected {expected}, got {got}")]
    Data {
        /// The tensor.
        tensor: String,
        /// What was expected.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A name that the model does not have.
    #[error("there is no {what} named `{name}`; there are: {known}")]
    Unknown {
        /// "parameter", "group" …
        what: &'static str,
        /// The name that was requested.
        name: String,
        /// The existing names.
        known: String,
    },
    /// Everything is frozen.
    #[error("nothing to train: every parameter that reaches the loss is frozen")]
    NothingToTrain,
    /// A graph that cannot be planned.
    #[error("cannot plan this graph: {0}")]
    Graph(String),
    /// A shader did not pass validation; a bug of frostline or of the driver.
    #[error("shader {kernel}: {reason}")]
    Shader {
        /// The kernel.
        kernel: String,
        /// The compiler's message.
        reason: String,
    },
    /// A file in the user's cache directory cannot be used.
    #[error("{}: {reason}", path.display())]
    CacheFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A setting that makes no sense.
    #[error("{name} = {value}: {reason}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// The value given.
        value: String,
        /// The valid values.
        reason: &'static str,
    },
}

/// A result of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn shape(op: &'static str, layer: &str, reason: impl Into<String>) -> Self {
        Self::Shape { op, layer: layer.to_owned(), reason: reason.into() }
    }

    pub(crate) fn data(tensor: &str, expected: &Shape, got: impl Into<String>) -> Self {
        Self::Data { tensor: tensor.to_owned(), expected: format!("shape {expected}"), got: got.into() }
    }
}
