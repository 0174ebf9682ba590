//! The kernels of `conv2d_tiled.wgsl`: the same sums as matrix products, for GPUs.

use super::{Epilogue, LINK, Sizes, ranges};
use crate::context::{Backward, Forward};
use crate::dispatch::{BufferId, grid};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::ops::partials::in_splits;
use crate::request::Request;
use crate::tuning::{LEAST_SLICES, LONGEST_RUN, Tiles};
use std::ops::Range;

static FORWARD: Kernel = Kernel { file: "conv2d_tiled", entry: "forward" };
static BACKWARD_INPUT: Kernel = Kernel { file: "conv2d_tiled", entry: "backward_input" };
static BACKWARD_WEIGHT: Kernel = Kernel { file: "conv2d_tiled", entry: "backward_weight" };
static FINISH: Kernel = Kernel { file: "conv2d_tiled", entry: "finish" };

/// Maximum number of pixels that one split of `backward_weight` sums.
const RUN: usize = 2_048;

/// Loop turns of an invocation that sums a total depth of `k` in slices.
fn turns(k: usize, tiles: Tiles) -> usize {
    k.div_ceil(tiles.bk as usize) * (1 + (tiles.bk / tiles.fragment) as usize)
}

/// The share of `macs` in `range` of `0..depth`.
fn share(macs: u64, range: &Range<usize>, depth: usize) -> u64 {
    let [start, end, depth] = [range.start, range.end, depth].map(|blocks| blocks as u64);
    macs / depth * (end - start) + (macs % depth * end) / depth - (macs % depth * start) / depth
}

/// A result of `bytes`, m × n, whose depth of `depth4` blocks is summed in `phases` in parallel.
struct Deep {
    bytes: u64,
    c4: usize,
    depth4: usize,
    /// Splits of the depth that run in parallel, because the result alone does not fill the machine.
    splits: usize,
    /// Blocks of the depth in a split.
    split4: usize,
    /// The ranges of the depth that are summed by successive dispatches; a single range if there are splits.
    chain: Vec<Range<usize>>,
}

impl Deep {
    fn new([m, n]: [usize; 2], phases: usize, depth4: usize, tiles: Tiles, fill: usize, bytes: u64) -> Self {
        let (bk4, c4) = (tiles.bk as usize / 4, n / 4);
        let splits = tiles.splits(m, n, phases, 4 * depth4, fill);
        if splits == 1 {
            let chain = ranges(depth4, 4, bk4);
            return Self { bytes, c4, depth4, splits, split4: depth4.next_multiple_of(bk4), chain };
        }
        // A split that is too long for one running sum is split further, into short ones.
        let parts = if 4 * depth4 > LONGEST_RUN { splits.max((4 * depth4).div_ceil(LINK)) } else { splits };
        let split4 = depth4.div_ceil(parts).next_multiple_of(bk4);
        Self {
            bytes,
            c4,
            depth4,
            splits: depth4.div_ceil(split4),
            split4,
            chain: std::iter::once(0..depth4).collect(),
        }
    }

    /// Bytes of all splits.
    fn partial_bytes(&self) -> u64 {
        self.bytes * self.splits as u64
    }

    /// `request`, which sums `range` of `macs` multiply-accumulates.
    fn link(&self, request: Request, range: &Range<usize>, macs: u64, tiles: Tiles) -> Request {
        request
            .params(&[("k_first4", range.start), ("k_end4", range.end), ("k_split4", self.split4)])
            .turns(turns(4 * range.len().min(self.split4), tiles))
            .macs(share(macs, range, self.depth4))
    }

    /// The dispatch that sums the splits in `partial` and writes the result to `y`.
    fn finish(&self, partial: BufferId, y: BufferId, epilogue: Epilogue) -> Request {
        let size4 = (self.bytes / 16) as usize;
        let request = Request::new(FINISH, grid(size4, 64))
            .bind(&[("x", partial), ("y", y)])
            .params(&[("size4", size4), ("splits", self.splits), ("c_out4", self.c4)])
            .turns(self.splits);
        epilogue.end(request)
    }
}

/// Records y = act(conv(x, w) · scale + shift + residual).
pub(super) fn forward(f: &mut Forward<'_, '_>, sizes: Sizes, tiles: Tiles, epilogue: Epilogue) -> Result<()> {
    let matrix = [sizes.n * sizes.h_out * sizes.w_out, padded(sizes.c_out)];
    let depth4 = sizes.kh * sizes.kw * sizes.c_in.div_ceil(4);
    let deep = Deep::new(matrix, 1, depth4, tiles, f.tuning().fill, f.output_shape().bytes());
    let y = f.output();
    let outputs = match deep.splits {
        1 => f.chain(y, deep.bytes, deep.chain.len()),
        _ => vec![f.scratch("partial sums", deep.partial_bytes())],
    };
    for (i, range) in deep.chain.iter().enumerate() {
        let request = request(FORWARD, sizes, tiles, matrix, deep.splits)
            .params(&[("pixels", matrix[0])])
            .bind(&[("x", f.input(0)), ("w", f.weight(1)?), ("y", outputs[i])]);
        let own = if deep.splits > 1 { Epilogue::adding(None) } else { epilogue.link(i, &outputs) };
        f.dispatch(own.end(deep.link(request, range, sizes.macs(), tiles)))?;
    }
    if deep.splits > 1 {
        f.dispatch(deep.finish(outputs[0], y, epilogue))?;
    }
    Ok(())
}

/// Records dx from `dy`, plus `earlier` if there is one.
pub(super) fn backward_input(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    tiles: Tiles,
    dy: BufferId,
    dx: BufferId,
    earlier: Option<BufferId>,
) -> Result<()> {
    let stride = sizes.stride;
    let phases = stride * stride;
    let matrix = [sizes.n * sizes.h_in.div_ceil(stride) * sizes.w_in.div_ceil(stride), padded(sizes.c_in)];
    // The number for the phase with the most taps.
    let depth4 = sizes.kh.div_ceil(stride) * sizes.kw.div_ceil(stride) * sizes.c_out.div_ceil(4);
    let busy = phases.min(sizes.kh * sizes.kw);
    let deep = Deep::new(matrix, busy, depth4, tiles, b.tuning().fill, b.shape(0).bytes());
    let outputs = match deep.splits {
        1 => b.chain(dx, deep.bytes, deep.chain.len()),
        _ => vec![b.scratch("partial sums", deep.partial_bytes())],
    };
    let epilogue = Epilogue::adding(earlier);
    for (i, range) in deep.chain.iter().enumerate() {
        let residual = if deep.splits > 1 { None } else { epilogue.link(i, &outputs).residual };
        let request = request(BACKWARD_INPUT, sizes, tiles, matrix, deep.splits * phases)
            .params(&[("pixels", matrix[0]), ("residual", residual.is_some() as usize)])
            .params(&[("size4", (deep.bytes / 16) as usize)])
            .bind(&[("w", b.weight(1)?), ("dy", dy), ("dx", outputs[i])])
            .bind_if("residual", residual);
        b.dispatch(deep.link(request, range, sizes.macs(), tiles))?;
    }
    if deep.splits > 1 {
        b.dispatch(deep.finish(outputs[0], dx, epilogue))?;
    }
    Ok(())
}

/// Records dw from `dy` and the kept input.
pub(super) fn backward_weight(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    tiles: Tiles,
    dy: BufferId,
    dw: BufferId,
) -> Result<()> {
    let (bk, pixels) = (tiles.bk as usize, sizes.n * sizes.h_out * sizes.w_out);
    let matrix = [sizes.kh * sizes.kw * padded(sizes.c_in), padded(sizes.c_out)];
    let slices = pixels.div_ceil(bk);
    let wanted = b.tuning().fill / tiles.count(matrix[0], matrix[1]);
    let slices_per_split = slices.div_ceil(wanted.max(1)).clamp(LEAST_SLICES, RUN / bk);
    let splits = slices.div_ceil(slices_per_split);
    let pixels_per_split = slices_per_split * bk;
    let bytes = b.shape(1).bytes();
    in_splits(b, dw, splits, bytes, |b, dw| {
        let request = request(BACKWARD_WEIGHT, sizes, tiles, matrix, splits)
            .params(&[("pixels", pixels), ("pixels_per_split", pixels_per_split)])
            .bind(&[("x", b.input(0)), ("dy", dy), ("dw", dw)])
            .turns(turns(pixels_per_split.min(pixels), tiles));
        Ok(request)
    })
}

fn padded(channels: usize) -> usize {
    channels.next_multiple_of(4)
}

/// The common part of the three passes: an m × n matrix in tiles, computed in `parts`.
fn request(kernel: Kernel, sizes: Sizes, tiles: Tiles, [m, n]: [usize; 2], parts: usize) -> Request {
    let [x, y, _] = grid(tiles.count(m, n), 1);
    sizes.request(kernel, [x, y, parts as u32]).constants(&tiles.constants()).params(&[
        ("kw", sizes.kw),
        ("stride", sizes.stride),
        ("tiles_n", n.div_ceil(tiles.bn as usize)),
    ])
}
