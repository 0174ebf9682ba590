//! The kernels of `conv2d_tiled.wgsl`: the same sums as products of matrices, for GPUs.

use super::{Affine, Sizes, sum_partials};
use crate::kernel::Kernel;
use crate::ops::Activation;
use crate::record::{Backward, BufferId, Forward, NOTHING, Request, grid};
use crate::tuning::Tiles;

static FORWARD: Kernel = Kernel { file: "conv2d_tiled", entry: "forward" };
static BACKWARD_INPUT: Kernel = Kernel { file: "conv2d_tiled", entry: "backward_input" };
static BACKWARD_WEIGHT: Kernel = Kernel { file: "conv2d_tiled", entry: "backward_weight" };

/// Slices that one split of `backward_weight` adds up at least: fewer are not worth a partial sum.
const SLICES_PER_SPLIT: usize = 8;

/// Records y = act(conv(x, w) · scale + shift + residual).
pub(super) fn forward(
    f: &mut Forward<'_, '_>,
    sizes: Sizes,
    tiles: Tiles,
    affine: Affine,
    residual: Option<BufferId>,
    activation: Activation,
) {
    let pixels = sizes.n * sizes.h_out * sizes.w_out;
    let (kind, affine) = affine.parts();
    let bindings =
        [("x", f.input(0)), ("w", f.weight(1)), ("affine", affine), ("residual", residual.unwrap_or(NOTHING)), ("y", f.output())];
    let request = request(FORWARD, sizes, tiles, [pixels, padded(sizes.c_out)], 1)
        .params(&[("pixels", pixels), ("affine", kind), ("residual", residual.is_some() as usize), ("act", activation.code() as usize)])
        .bind(&bindings);
    f.dispatch(request);
}

/// Records dx from `dy`, plus `earlier` if there is one.
pub(super) fn backward_input(b: &mut Backward<'_, '_>, sizes: Sizes, tiles: Tiles, dy: BufferId, dx: BufferId, earlier: Option<BufferId>) {
    let stride = sizes.stride;
    let pixels = sizes.n * sizes.h_in.div_ceil(stride) * sizes.w_in.div_ceil(stride);
    let bindings = [("w", b.weight(1)), ("dy", dy), ("residual", earlier.unwrap_or(NOTHING)), ("dx", dx)];
    let request = request(BACKWARD_INPUT, sizes, tiles, [pixels, padded(sizes.c_in)], stride * stride)
        .params(&[("pixels", pixels), ("residual", earlier.is_some() as usize)])
        .bind(&bindings);
    b.dispatch(request);
}

/// Records dw from `dy` and the kept input.
pub(super) fn backward_weight(b: &mut Backward<'_, '_>, sizes: Sizes, tiles: Tiles, dy: BufferId, dw: BufferId) {
    let (bk, pixels) = (tiles.bk as usize, sizes.n * sizes.h_out * sizes.w_out);
    let matrix = [sizes.kh * sizes.kw * padded(sizes.c_in), padded(sizes.c_out)];
    let slices = pixels.div_ceil(bk);
    let wanted = b.tuning().fill / tiles.count(matrix[0], matrix[1]);
    let slices_per_split = slices.div_ceil(wanted.max(1)).max(SLICES_PER_SPLIT);
    let splits = slices.div_ceil(slices_per_split);
    let bytes = b.shape(1).bytes();
    let partial = if splits > 1 { b.scratch("partial weight gradients", bytes * splits as u64) } else { dw };
    let bindings = [("x", b.kept_input(0)), ("dy", dy), ("dw", partial)];
    let request = request(BACKWARD_WEIGHT, sizes, tiles, matrix, splits)
        .params(&[("pixels", pixels), ("pixels_per_split", slices_per_split * bk)])
        .bind(&bindings);
    b.dispatch(request);
    if splits > 1 {
        b.dispatch(sum_partials(partial, dw, splits, bytes));
    }
}

fn padded(channels: usize) -> usize {
    channels.next_multiple_of(4)
}

/// What the three have in common: an m × n matrix in tiles, computed in `parts`.
fn request(kernel: Kernel, sizes: Sizes, tiles: Tiles, [m, n]: [usize; 2], parts: usize) -> Request {
    let [x, y, _] = grid(tiles.count(m, n), 1);
    sizes.request(kernel, [x, y, parts as u32]).constants(&tiles.constants()).params(&[
        ("kw", sizes.kw),
        ("stride", sizes.stride),
        ("tiles_n", n.div_ceil(tiles.bn as usize)),
    ])
}
