//! The parts of a plan: virtual buffers, and the dispatches that read and write them.

use crate::kernel::{Scalar, Variant};
use frostline_shaders::{Format, TEXELS_PER_ROW};

/// A virtual buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub(crate) u32);

impl BufferId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The location of a virtual buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the pool, between its first and last use.
    Pool,
    /// A parameter, by name.
    Parameter(String),
    /// A running statistic, by name.
    Statistic(String),
    /// The gradient of a parameter, by name.
    Gradient(String),
    /// The whole flat buffer of parameters, from the first to the last of a run of names.
    ParameterRun(String, String),
    /// The same run in the flat buffer of gradients.
    GradientRun(String, String),
    /// The same run in one of the optimiser's flat buffers.
    MomentRun(usize, String, String),
    /// The optimiser's loss scale, if gradients are stored as f16.
    LossScaler,
    /// Owned by the plan for the plan's lifetime: inputs, the loss, what the prologue computes.
    Plan,
}

/// The kind of memory of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Buffer,
    Texture,
    /// A texture and a buffer at once.
    Aliased,
}

/// Bytes of a row of a texture that holds a virtual buffer.
pub(crate) const ROW_BYTES: u64 = 16 * TEXELS_PER_ROW as u64;

/// A virtual buffer.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Its contents, for people.
    pub label: String,
    /// Its size.
    pub bytes: u64,
    /// Its location.
    pub home: Home,
    /// Its format.
    pub format: Format,
}

impl Buffer {
    /// The kind of memory that it needs.
    pub(crate) fn memory(&self) -> Memory {
        match self.format {
            Format::Single | Format::Half => Memory::Buffer,
            Format::Texture => Memory::Texture,
            Format::Aliased => Memory::Aliased,
        }
    }
}

/// The phase in which a dispatch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Once, and again when parameters changed: values that depend only on frozen parameters.
    Prologue,
    /// Every step.
    Forward,
    /// Every training step.
    Backward,
    /// Every training step: the optimiser.
    Update,
}

/// The buffer of one binding of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The binding's name in the WGSL.
    pub name: &'static str,
    /// The buffer; `None` if the kernel declares the binding but does not use it with these constants.
    pub buffer: Option<BufferId>,
    /// Whether the kernel stores to it.
    pub written: bool,
}

/// One dispatch of a plan.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel and its constants.
    pub variant: Variant,
    /// The layer it belongs to.
    pub layer: String,
    /// When it runs.
    pub phase: Phase,
    /// What is bound.
    pub bindings: Vec<Binding>,
    /// Fields of `Params`.
    pub params: Vec<(&'static str, Scalar)>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Maximum number of loop iterations of one invocation; never above [`MOST_TURNS`].
    pub turns: u64,
    /// Bytes of the buffers it reads.
    pub bytes_read: u64,
    /// Bytes of the buffers it writes.
    pub bytes_written: u64,
}

impl Dispatch {
    /// The kernel and the layer, for people: `conv2d.forward of conv1`.
    pub fn label(&self) -> String {
        format!("{} of {}", self.variant.kernel.name(), self.layer)
    }

    /// The buffers it reads or writes.
    pub fn used(&self) -> impl Iterator<Item = BufferId> {
        self.bindings.iter().filter_map(|binding| binding.buffer)
    }

    /// The buffers it writes.
    pub fn written(&self) -> impl Iterator<Item = BufferId> {
        self.bindings.iter().filter(|binding| binding.written).filter_map(|binding| binding.buffer)
    }
}

/// The maximum number of loop iterations of an invocation, over all its loops. Mesa's llvmpipe leaves every
/// loop of an invocation after 65,535 iterations and reports nothing (its `LP_MAX_TGSI_LOOP_ITERATIONS`), so
/// that a longer sum would be a wrong sum.
pub const MOST_TURNS: u64 = 65_000;

/// The number of workgroups of `workgroup` that cover `items`, folded into two dimensions, because one
/// dimension of a dispatch is limited to 65,535 workgroups.
pub fn grid(items: usize, workgroup: u32) -> [u32; 3] {
    let groups = items.div_ceil(workgroup as usize).max(1);
    let y = groups.div_ceil(32_768);
    [groups.div_ceil(y) as u32, y as u32, 1]
}
