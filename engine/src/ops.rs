//! The ops: one file here and one `.wgsl` of the same name for each.

pub mod add;
pub mod augment;
pub mod batch_norm;
pub mod conv2d;
pub mod cross_entropy;
pub mod depthwise_conv2d;
pub mod global_avg_pool;
pub mod linear;
pub mod max_pool2d;
pub mod mixup;
pub mod multi_margin;
pub mod normalize;
pub(crate) mod partials;
pub mod relu;

pub use add::Add;
pub use augment::{Augment, Interpolation, Jitter, Transform, Window};
pub use batch_norm::{BatchNorm, Stats};
pub use conv2d::{Conv2d, Padding};
pub use cross_entropy::CrossEntropy;
pub use depthwise_conv2d::DepthwiseConv2d;
pub use global_avg_pool::GlobalAvgPool;
pub use linear::Linear;
pub use max_pool2d::MaxPool2d;
pub use mixup::{Mix, Mixup};
pub use multi_margin::MultiMargin;
pub use normalize::Normalize;
pub use relu::Relu;

use crate::error::{Error, Result};
use crate::record::{Backward, Forward};
use crate::shape::Shape;
use std::any::Any;
use std::fmt::Debug;

/// What an op computes, forward and backward.
pub trait Op: Debug + Any + Send + Sync {
    /// The op's name, such as `conv2d`.
    fn name(&self) -> &'static str;

    /// The output's shape, or an error that names the layer and both shapes.
    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape>;

    /// Whether the output is an activation that a gradient can flow through to input `i`.
    fn differentiable(&self, _input: usize) -> bool {
        true
    }

    /// Which inputs backward reads. `wants[i]` is true if input `i` needs a gradient.
    fn keeps(&self, wants: &[bool]) -> Vec<usize>;

    /// Must input `i` be f32 where activations are stored as f16?
    fn reads_f32(&self, _input: usize) -> bool {
        false
    }

    /// The activation at the op's end. Backward needs to find the places where it is open.
    fn activation(&self) -> Activation {
        Activation::None
    }

    /// Can backward compute the output again from inputs that are kept anyway?
    fn recomputable(&self) -> bool {
        false
    }

    /// Records the dispatches that compute the output.
    fn forward(&self, f: &mut Forward<'_, '_>);

    /// Records the dispatches that compute the gradients that are needed.
    fn backward(&self, b: &mut Backward<'_, '_>);

    /// Records the output once more, during backward; only called if `recomputable`.
    fn recompute(&self, _b: &mut Backward<'_, '_>) {}
}

/// An activation fused into the end of another op.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// y = x.
    #[default]
    None,
    /// y = max(x, 0).
    Relu,
    /// y = min(max(x, 0), 6).
    Relu6,
}

impl Activation {
    /// The value of the shaders' `ACT`.
    pub(crate) fn code(self) -> u32 {
        match self {
            Activation::None => 0,
            Activation::Relu => 1,
            Activation::Relu6 => 2,
        }
    }
}

/// Rows of 8 pixels times channel blocks: what the element-wise kernels have one invocation for.
pub(crate) fn row_blocks(shape: Shape) -> usize {
    shape.rows().div_ceil(8) * channel_blocks(shape)
}

/// Channels in blocks of 4.
pub(crate) fn channel_blocks(shape: Shape) -> usize {
    shape.channels().div_ceil(4)
}

/// The pixels of an image shape, or an error of `op` that contains the shape it got.
pub(crate) fn image(op: &'static str, layer: &str, shape: Shape) -> Result<[usize; 4]> {
    match shape {
        Shape::Image { n, h, w, c } => Ok([n, h, w, c]),
        other => Err(Error::shape(op, layer, format!("expects images (N, C, H, W), got {other}"))),
    }
}

/// The largest window, stride or padding: kernels count in 32 bits, signed.
const LARGEST_WINDOW: usize = 1 << 20;

/// Height and width of the output if windows of `kernel` (height, width) move over the images `input`, or an
/// error of `op` with the reason why there is no output.
pub(crate) fn windows(
    op: &'static str,
    layer: &str,
    input: Shape,
    kernel: (usize, usize),
    stride: usize,
    padding: Padding,
) -> Result<(usize, usize)> {
    let [_, h, w, _] = image(op, layer, input)?;
    let wrong = |reason| Err(Error::shape(op, layer, reason));
    if stride == 0 {
        return wrong("stride 0: windows must move by a pixel or more".to_owned());
    }
    let (kh, kw) = kernel;
    if kh == 0 || kw == 0 {
        return wrong(format!("kernel {kh}x{kw}: a window must have a pixel or more"));
    }
    let Padding { top, left, bottom, right } = padding;
    if let Some(size) =
        [kh, kw, stride, top, left, bottom, right].into_iter().find(|&size| size > LARGEST_WINDOW)
    {
        return wrong(format!(
            "kernel {kh}x{kw}, stride {stride}, {padding:?}: {size} is too large, at most {LARGEST_WINDOW} will do"
        ));
    }
    match padding.output(h, w, kernel, stride) {
        Some(size) => Ok(size),
        None => {
            wrong(format!("a window of {kh}x{kw} does not fit into input {input} with padding {padding:?}"))
        }
    }
}

/// Rows per chunk, and chunks, for a reduction over `rows`: enough to fill the machine, and short
/// enough that rounding errors of one running sum do not pile up.
pub(crate) fn chunks(rows: usize) -> (usize, usize) {
    let per_chunk = rows.div_ceil(256).clamp(32, 512).min(rows.max(1));
    (per_chunk, rows.div_ceil(per_chunk))
}
