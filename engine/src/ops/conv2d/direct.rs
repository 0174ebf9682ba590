//! The kernels of `conv2d.wgsl`: every size, stride and padding.

use super::{Affine, Sizes, sum_partials};
use crate::kernel::Kernel;
use crate::ops::Activation;
use crate::record::{Backward, BufferId, Forward, NOTHING};
use crate::tuning::Tile;

static FORWARD: Kernel = Kernel { file: "conv2d", entry: "forward" };
static BACKWARD_INPUT: Kernel = Kernel { file: "conv2d", entry: "backward_input" };
static BACKWARD_WEIGHT: Kernel = Kernel { file: "conv2d", entry: "backward_weight" };

/// The constants of windows of `taps` taps of a row; successive ones overlap.
fn window(taps: usize, stride: usize) -> [(&'static str, u32); 3] {
    [("KW", taps as u32), ("STRIDE", stride as u32), ("OVERLAP", taps.saturating_sub(stride) as u32)]
}

/// How many channels of a vec4 are not padding: an image has one vec4 of 1 or 3.
fn filled(channels: usize) -> u32 {
    channels.min(4) as u32
}

/// Records y = act(conv(x, w) · scale + shift + residual).
pub(super) fn forward(
    f: &mut Forward<'_, '_>,
    sizes: Sizes,
    tile: Tile,
    affine: Affine,
    residual: Option<BufferId>,
    activation: Activation,
) {
    let (s, wg) = f.tuning().lanes();
    let strips_per_row = sizes.w_out.div_ceil(tile.pw as usize);
    let strips = sizes.n * sizes.h_out * strips_per_row;
    let tiles = sizes.c_out.next_multiple_of(4).div_ceil(tile.tm as usize);
    let (kind, affine) = affine.parts();
    let bindings =
        [("x", f.input(0)), ("w", f.weight(1)), ("affine", affine), ("residual", residual.unwrap_or(NOTHING)), ("y", f.output())];
    let request = sizes
        .request(FORWARD, [strips.div_ceil(wg as usize) as u32, tiles as u32, 1])
        .constants(&[("S", s), ("WG", wg), ("TM", tile.tm), ("PW", tile.pw)])
        .constants(&window(tile.taps(sizes.kw), sizes.stride))
        .constants(&[("CI", filled(sizes.c_in))])
        .params(&[("kw", sizes.kw)])
        .params(&[("affine", kind), ("residual", residual.is_some() as usize), ("act", activation.code() as usize)])
        .bind(&bindings)
        .params(&[("strips_per_row", strips_per_row), ("strips", strips)]);
    f.dispatch(request);
}

/// Records dx from `dy`, plus `earlier` if there is one.
pub(super) fn backward_input(b: &mut Backward<'_, '_>, sizes: Sizes, tile: Tile, dy: BufferId, dx: BufferId, earlier: Option<BufferId>) {
    let stride = sizes.stride;
    let columns = sizes.w_in.div_ceil(stride);
    let (s, wg) = b.tuning().lanes();
    let strips_per_row = columns.div_ceil(tile.pw as usize);
    let strips = sizes.n * sizes.h_in.div_ceil(stride) * strips_per_row;
    let tiles = sizes.c_in.next_multiple_of(4).div_ceil(tile.tm as usize);
    let phases = (stride * stride) as u32;
    let bindings = [("w", b.weight(1)), ("dy", dy), ("residual", earlier.unwrap_or(NOTHING)), ("dx", dx)];
    let request = sizes
        .request(BACKWARD_INPUT, [strips.div_ceil(wg as usize) as u32, tiles as u32, phases])
        .constants(&[("S", s), ("WG", wg), ("TM", tile.tm), ("PW", tile.pw)])
        .constants(&window(if stride == 1 { tile.taps(sizes.kw) } else { 1 }, stride))
        .params(&[("kw", sizes.kw)])
        .params(&[("residual", earlier.is_some() as usize)])
        .bind(&bindings)
        .params(&[("strips_per_row", strips_per_row), ("strips", strips)]);
    b.dispatch(request);
}

/// Records dw from `dy` and the kept input.
pub(super) fn backward_weight(b: &mut Backward<'_, '_>, sizes: Sizes, tile: Tile, dy: BufferId, dw: BufferId) {
    let (s, wg) = b.tuning().lanes();
    let lanes = (sizes.kh * sizes.c_in.div_ceil(4)).div_ceil(wg as usize);
    let tiles = sizes.c_out.next_multiple_of(4).div_ceil(tile.tm as usize);
    let mut sizes = sizes;
    if sizes.is_one_long_row() {
        // Cut it, or it could not be split.
        let width = (1..=64).rev().find(|width| sizes.w_out.is_multiple_of(*width)).unwrap_or(1);
        (sizes.h_in, sizes.w_in) = (sizes.w_in / width, width);
        (sizes.h_out, sizes.w_out) = (sizes.h_in, width);
    }
    let rows = sizes.n * sizes.h_out;
    let splits = b.tuning().fill.div_ceil(lanes * tiles).clamp(1, rows);
    let rows_per_split = rows.div_ceil(splits);
    let splits = rows.div_ceil(rows_per_split);
    let bytes = b.shape(1).bytes();
    let partial = if splits > 1 { b.scratch("partial weight gradients", bytes * splits as u64) } else { dw };
    let bindings = [("x", b.kept_input(0)), ("dy", dy), ("dw", partial)];
    let request = sizes
        .request(BACKWARD_WEIGHT, [lanes as u32, tiles as u32, splits as u32])
        .constants(&[("S", s), ("WG", wg), ("TM", tile.tm), ("U", tile.u)])
        .constants(&window(sizes.kw, sizes.stride))
        .constants(&[("CI", filled(sizes.c_in))])
        .bind(&bindings)
        .params(&[("rows", rows), ("rows_per_split", rows_per_split)]);
    b.dispatch(request);
    if splits > 1 {
        b.dispatch(sum_partials(partial, dw, splits, bytes));
    }
}
