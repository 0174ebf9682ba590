//! The kernels of `conv2d.wgsl`: every size, stride and padding.

use super::{Epilogue, Sizes, ranges};
use crate::context::{Backward, Forward};
use crate::dispatch::{BufferId, grid};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::ops::partials::in_splits;
use crate::request::Request;
use crate::tuning::Tile;
use std::ops::Range;

static FORWARD: Kernel = Kernel { file: "conv2d", entry: "forward" };
static BACKWARD_INPUT: Kernel = Kernel { file: "conv2d", entry: "backward_input" };
static BACKWARD_WEIGHT: Kernel = Kernel { file: "conv2d", entry: "backward_weight" };

/// The constants of windows of `taps` taps of a row; successive windows overlap.
fn window(taps: usize, stride: usize) -> [(&'static str, u32); 3] {
    [("KW", taps as u32), ("STRIDE", stride as u32), ("OVERLAP", taps.saturating_sub(stride) as u32)]
}

/// The number of channels of a vec4 that are not padding: an image has one vec4 of 1 or 3.
fn filled(channels: usize) -> u32 {
    channels.min(4) as u32
}

/// Length in pixels of the pieces into which `backward_weight` cuts the one long row of a 1×1 convolution.
const CUT: usize = 64;
/// Number of pixels in one running sum of `backward_weight`, or one row if that is longer.
const RUN: usize = 512;
/// Maximum number of loop turns of an invocation of `backward_weight`, or those of one row.
const TURNS: usize = 32_768;

/// A request over strips of pixels and tiles of `channels`, in `phases`, that sums `range` of the channel
/// blocks of a depth of `depth` channels.
fn request(
    kernel: Kernel,
    sizes: &Sizes,
    (tile, lanes): (Tile, (u32, u32)),
    [strips, channels, phases]: [usize; 3],
    range: &Range<usize>,
    depth: usize,
) -> Request {
    let (s, wg) = lanes;
    let [x, folds, _] = grid(strips, wg);
    let tiles = channels.next_multiple_of(4).div_ceil(tile.tm as usize);
    let share = depth.min(4 * range.end) - 4 * range.start;
    sizes
        .request(kernel, [x, tiles as u32, folds * phases as u32])
        .constants(&[("S", s), ("WG", wg), ("TM", tile.tm), ("PW", tile.pw)])
        .params(&[("kw", sizes.kw), ("c_first4", range.start), ("c_end4", range.end), ("strips", strips)])
        .macs(sizes.macs() / depth as u64 * share as u64)
}

/// Records y = act(conv(x, w) · scale + shift + residual).
pub(super) fn forward(f: &mut Forward<'_, '_>, sizes: Sizes, tile: Tile, epilogue: Epilogue) -> Result<()> {
    let lanes = f.tuning().lanes();
    let strips_per_row = sizes.w_out.div_ceil(tile.pw as usize);
    let grid = [sizes.n * sizes.h_out * strips_per_row, sizes.c_out, 1];
    let taps = tile.taps(sizes.kw);
    let steps = sizes.kh * sizes.kw / taps;
    let ranges = ranges(sizes.c_in.div_ceil(4), 4 * sizes.kh * sizes.kw, 1);
    let (y, bytes) = (f.output(), f.output_shape().bytes());
    let outputs = f.chain(y, bytes, ranges.len());
    for (i, range) in ranges.iter().enumerate() {
        let request = request(FORWARD, &sizes, (tile, lanes), grid, range, sizes.c_in)
            .constants(&window(taps, sizes.stride))
            .constants(&[("CI", filled(sizes.c_in))])
            .params(&[("strips_per_row", strips_per_row)])
            .bind(&[("x", f.input(0)), ("w", f.weight(1)?), ("y", outputs[i])])
            .turns(steps * (1 + range.len()));
        f.dispatch(epilogue.link(i, &outputs).end(request))?;
    }
    Ok(())
}

/// Records dx from `dy`, plus `earlier` if there is one.
pub(super) fn backward_input(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    tile: Tile,
    dy: BufferId,
    dx: BufferId,
    earlier: Option<BufferId>,
) -> Result<()> {
    let (stride, lanes) = (sizes.stride, b.tuning().lanes());
    let strips_per_row = sizes.w_in.div_ceil(stride).div_ceil(tile.pw as usize);
    let grid = [sizes.n * sizes.h_in.div_ceil(stride) * strips_per_row, sizes.c_in, stride * stride];
    let taps = if stride == 1 { tile.taps(sizes.kw) } else { 1 };
    let (rows, columns) = (sizes.kh.div_ceil(stride), sizes.kw.div_ceil(stride * taps));
    let ranges = ranges(sizes.c_out.div_ceil(4), 4 * sizes.kh * sizes.kw, 1);
    let bytes = b.shape(0).bytes();
    let outputs = b.chain(dx, bytes, ranges.len());
    for (i, range) in ranges.iter().enumerate() {
        let residual = Epilogue::adding(earlier).link(i, &outputs).residual;
        let request = request(BACKWARD_INPUT, &sizes, (tile, lanes), grid, range, sizes.c_out)
            .constants(&window(taps, stride))
            .params(&[("strips_per_row", strips_per_row), ("residual", residual.is_some() as usize)])
            .bind(&[("w", b.weight(1)?), ("dy", dy), ("dx", outputs[i])])
            .bind_if("residual", residual)
            .turns(rows * (1 + columns * (1 + range.len())));
        b.dispatch(request)?;
    }
    Ok(())
}

/// Records dw from `dy` and the kept input.
pub(super) fn backward_weight(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    tile: Tile,
    dy: BufferId,
    dw: BufferId,
) -> Result<()> {
    let (s, wg) = b.tuning().lanes();
    let lanes = (sizes.kh * sizes.c_in.div_ceil(4)).div_ceil(wg as usize);
    let tiles = sizes.c_out.next_multiple_of(4).div_ceil(tile.tm as usize);
    let (macs, mut sizes, mut missing) = (sizes.macs(), sizes, 0);
    if sizes.is_one_long_row() {
        let pixels = sizes.w_out;
        let width = pixels.min(CUT);
        let rows = pixels.div_ceil(width);
        missing = rows * width - pixels;
        (sizes.h_in, sizes.w_in, sizes.h_out, sizes.w_out) = (rows, width, rows, width);
    }
    let rows = sizes.n * sizes.h_out;
    let turns_per_row = 1 + sizes.w_out.div_ceil(tile.u as usize);
    let splits = b.tuning().fill.div_ceil(lanes * tiles).clamp(1, rows);
    let rows_per_split = rows.div_ceil(splits).min((TURNS / turns_per_row).max(1));
    let rows_per_run = (RUN / sizes.w_out).max(1);
    let splits = rows.div_ceil(rows_per_split);
    let bytes = b.shape(1).bytes();
    in_splits(b, dw, splits, bytes, |b, dw| {
        let request = sizes
            .request(BACKWARD_WEIGHT, [lanes as u32, tiles as u32, splits as u32])
            .constants(&[("S", s), ("WG", wg), ("TM", tile.tm), ("U", tile.u)])
            .constants(&window(sizes.kw, sizes.stride))
            .constants(&[("CI", filled(sizes.c_in))])
            .bind(&[("x", b.input(0)), ("dy", dy), ("dw", dw)])
            .params(&[("rows", rows), ("rows_per_split", rows_per_split)])
            .params(&[("rows_per_run", rows_per_run), ("missing", missing)])
            .turns(rows_per_split * turns_per_row + rows_per_split.div_ceil(rows_per_run))
            .macs(macs);
        Ok(request)
    })
}
