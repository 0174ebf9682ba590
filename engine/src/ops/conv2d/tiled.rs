//! The kernels of `conv2d_tiled.wgsl`: the same sums as products of matrices, for GPUs.

use super::{Epilogue, Sizes, ranges};
use crate::kernel::Kernel;
use crate::ops::partials::in_splits;
use crate::record::{Backward, BufferId, Forward, NOTHING, Request, grid};
use crate::tuning::Tiles;
use std::ops::Range;

static FORWARD: Kernel = Kernel { file: "conv2d_tiled", entry: "forward" };
static BACKWARD_INPUT: Kernel = Kernel { file: "conv2d_tiled", entry: "backward_input" };
static BACKWARD_WEIGHT: Kernel = Kernel { file: "conv2d_tiled", entry: "backward_weight" };

/// Slices that one split of `backward_weight` adds up at least: fewer are not worth a partial sum.
const SLICES_PER_SPLIT: usize = 8;
/// Pixels that one split of `backward_weight` adds up at most.
const RUN: usize = 2_048;

/// Loop turns of an invocation that adds up slices of `k` in all.
fn turns(k: usize, tiles: Tiles) -> usize {
    k.div_ceil(tiles.bk as usize) * (1 + (tiles.bk / tiles.fragment) as usize)
}

/// What share of `macs` falls to `range` of `0..depth`.
fn share(macs: usize, range: &Range<usize>, depth: usize) -> usize {
    macs / depth * range.len() + (macs % depth * range.end) / depth - (macs % depth * range.start) / depth
}

/// Records y = act(conv(x, w) · scale + shift + residual).
pub(super) fn forward(f: &mut Forward<'_, '_>, sizes: Sizes, tiles: Tiles, epilogue: Epilogue) {
    let pixels = sizes.n * sizes.h_out * sizes.w_out;
    let depth4 = sizes.kh * sizes.kw * sizes.c_in.div_ceil(4);
    let slices = ranges(depth4, 4, tiles.bk as usize / 4);
    let (y, bytes) = (f.output(), f.output_shape().bytes());
    let outputs = f.chain(y, bytes, slices.len());
    for (i, slice) in slices.iter().enumerate() {
        let request = request(FORWARD, sizes, tiles, [pixels, padded(sizes.c_out)], 1)
            .params(&[("pixels", pixels), ("k_first4", slice.start), ("k_end4", slice.end)])
            .bind(&[("x", f.input(0)), ("w", f.weight(1)), ("y", outputs[i])])
            .turns(turns(4 * slice.len(), tiles))
            .macs(share(sizes.macs(), slice, depth4));
        f.dispatch(epilogue.link(i, &outputs).end(request));
    }
}

/// Records dx from `dy`, plus `earlier` if there is one.
pub(super) fn backward_input(b: &mut Backward<'_, '_>, sizes: Sizes, tiles: Tiles, dy: BufferId, dx: BufferId, earlier: Option<BufferId>) {
    let stride = sizes.stride;
    let pixels = sizes.n * sizes.h_in.div_ceil(stride) * sizes.w_in.div_ceil(stride);
    // Of the phase with the most taps.
    let depth4 = sizes.kh.div_ceil(stride) * sizes.kw.div_ceil(stride) * sizes.c_out.div_ceil(4);
    let slices = ranges(depth4, 4, tiles.bk as usize / 4);
    let bytes = b.shape(0).bytes();
    let outputs = b.chain(dx, bytes, slices.len());
    for (i, slice) in slices.iter().enumerate() {
        let residual = Epilogue::adding(earlier).link(i, &outputs).residual;
        let request = request(BACKWARD_INPUT, sizes, tiles, [pixels, padded(sizes.c_in)], stride * stride)
            .params(&[("pixels", pixels), ("k_first4", slice.start), ("k_end4", slice.end)])
            .params(&[("residual", residual.is_some() as usize)])
            .bind(&[("w", b.weight(1)), ("dy", dy), ("residual", residual.unwrap_or(NOTHING)), ("dx", outputs[i])])
            .turns(turns(4 * slice.len(), tiles))
            .macs(share(sizes.macs(), slice, depth4));
        b.dispatch(request);
    }
}

/// Records dw from `dy` and the kept input.
pub(super) fn backward_weight(b: &mut Backward<'_, '_>, sizes: Sizes, tiles: Tiles, dy: BufferId, dw: BufferId) {
    let (bk, pixels) = (tiles.bk as usize, sizes.n * sizes.h_out * sizes.w_out);
    let matrix = [sizes.kh * sizes.kw * padded(sizes.c_in), padded(sizes.c_out)];
    let slices = pixels.div_ceil(bk);
    let wanted = b.tuning().fill / tiles.count(matrix[0], matrix[1]);
    let slices_per_split = slices.div_ceil(wanted.max(1)).clamp(SLICES_PER_SPLIT, RUN / bk);
    let splits = slices.div_ceil(slices_per_split);
    let pixels_per_split = slices_per_split * bk;
    let bytes = b.shape(1).bytes();
    in_splits(b, dw, splits, bytes, |b, dw| {
        request(BACKWARD_WEIGHT, sizes, tiles, matrix, splits)
            .params(&[("pixels", pixels), ("pixels_per_split", pixels_per_split)])
            .bind(&[("x", b.kept_input(0)), ("dy", dy), ("dw", dw)])
            .turns(turns(pixels_per_split.min(pixels), tiles))
    });
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
