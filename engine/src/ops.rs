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
pub mod silu;
mod windows;

pub use add::Add;
pub use augment::{Augment, Interpolation, Jitter, Transform, Window};
pub use batch_norm::{BatchNorm, Stats};
pub use conv2d::Conv2d;
pub use cross_entropy::CrossEntropy;
pub use depthwise_conv2d::DepthwiseConv2d;
pub use global_avg_pool::GlobalAvgPool;
pub use linear::Linear;
pub use max_pool2d::MaxPool2d;
pub use mixup::{Mix, Mixup};
pub use multi_margin::MultiMargin;
pub use normalize::Normalize;
pub use relu::Relu;
pub use silu::Silu;
pub use windows::Padding;
pub(crate) use windows::windows;

pub use crate::activation::Activation;
pub use crate::op::Op;

use crate::error::{Error, Result};
use crate::shape::Shape;

/// Rows of 8 pixels times channel blocks: the element-wise kernels have one invocation for each.
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

/// Rows per chunk, and chunks, for a reduction over `rows`: enough to fill the machine, and short enough to
/// limit the rounding error of one running sum.
pub(crate) fn chunks(rows: usize) -> (usize, usize) {
    let per_chunk = rows.div_ceil(256).clamp(32, 512).min(rows.max(1));
    (per_chunk, rows.div_ceil(per_chunk))
}
