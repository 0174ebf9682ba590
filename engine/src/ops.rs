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

pub use crate::activation::Activation;
pub use crate::op::Op;

use crate::error::{Error, Result};
use crate::shape::Shape;

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
