//! The kernels of `winograd.wgsl`: 3×3 convolutions of stride 1 with fewer multiplications.

use super::{Epilogue, GradOutput, Sizes};
use crate::context::{Backward, Forward};
use crate::dispatch::{BufferId, grid};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::ops::partials::in_splits;
use crate::request::Request;
use crate::tuning::{Filtering, Tuning};

static TRANSFORM_FILTER: Kernel = Kernel { file: "winograd", entry: "transform_filter" };
static TRANSFORM_INPUT: Kernel = Kernel { file: "winograd", entry: "transform_input" };
static MULTIPLY: Kernel = Kernel { file: "winograd", entry: "multiply" };
static TRANSFORM_OUTPUT: Kernel = Kernel { file: "winograd", entry: "transform_output" };
static TRANSFORM_GRAD: Kernel = Kernel { file: "winograd", entry: "transform_grad" };
static MULTIPLY_INPUT: Kernel = Kernel { file: "winograd", entry: "multiply_input" };
static TRANSFORM_OVERLAP: Kernel = Kernel { file: "winograd", entry: "transform_overlap" };
static MULTIPLY_WEIGHT: Kernel = Kernel { file: "winograd", entry: "multiply_weight" };
static TRANSFORM_WEIGHT: Kernel = Kernel { file: "winograd", entry: "transform_weight" };

/// Invocations of a workgroup of the transforms.
const WORKGROUP: u32 = 64;
/// Number of tiles in one running sum of `multiply_weight`.
const RUN: usize = 512;
/// Maximum number of tiles in one of its splits.
const TILES_PER_SPLIT: usize = 32 * RUN;

/// The common sizes of all kernels of one convolution.
struct Tiling {
    sizes: Sizes,
    filtering: Filtering,
    /// (lanes that share a block, workgroup size) of the products.
    lanes: (u32, u32),
    c_in4: usize,
    c_out4: usize,
    tiles_h: usize,
    tiles_w: usize,
}

impl Tiling {
    fn new(sizes: Sizes, filtering: Filtering, tuning: &Tuning) -> Self {
        let m = filtering.m as usize;
        let (c_in4, c_out4) = (sizes.c_in.div_ceil(4), sizes.c_out.div_ceil(4));
        let (tiles_h, tiles_w) = (sizes.h_out.div_ceil(m), sizes.w_out.div_ceil(m));
        Self { sizes, filtering, lanes: tuning.lanes(), c_in4, c_out4, tiles_h, tiles_w }
    }

    fn tiles(&self) -> usize {
        self.sizes.n * self.tiles_h * self.tiles_w
    }

    /// Tiles of a block.
    fn block(&self) -> usize {
        (self.filtering.p * self.lanes.1) as usize
    }

    /// Number of blocks of tiles; the last is padded.
    fn blocks(&self) -> usize {
        self.tiles().div_ceil(self.block())
    }

    /// Places in a tile.
    fn places(&self) -> usize {
        (self.filtering.m as usize + 2).pow(2)
    }

    /// Bytes of the transformed tiles of `c4` channel blocks.
    fn tile_bytes(&self, c4: usize) -> u64 {
        16 * (self.places() * (c4 * self.blocks() * self.block() + 4)) as u64
    }

    /// Bytes of the transformed filter.
    fn filter_bytes(&self) -> u64 {
        let c_out = (4 * self.c_out4).next_multiple_of(self.filtering.tm as usize);
        16 * (self.places() * (self.c_in4 * c_out + 4)) as u64
    }

    fn request(&self, kernel: Kernel, grid: [u32; 3]) -> Request {
        let sizes = &self.sizes;
        Request::new(kernel, grid)
            .constants(&[("M", self.filtering.m), ("TM", self.filtering.tm), ("B", self.block() as u32)])
            .params(&[("h_in", sizes.h_in), ("w_in", sizes.w_in), ("c_in4", self.c_in4)])
            .params(&[("h_out", sizes.h_out), ("w_out", sizes.w_out), ("c_out4", self.c_out4)])
            .params(&[("top", sizes.padding.top), ("left", sizes.padding.left)])
            .params(&[
                ("tiles_h", self.tiles_h),
                ("tiles_w", self.tiles_w),
                ("tiles", self.tiles()),
                ("blocks", self.blocks()),
            ])
    }

    /// A product over a grid of (`groups`, blocks of TM of 4·`c4` channels, places in `splits`). Its
    /// multiply-accumulates are those of the convolution that it replaces.
    fn product(&self, kernel: Kernel, groups: usize, c4: usize, splits: usize) -> Request {
        let (s, wg) = self.lanes;
        let blocks = (4 * c4).div_ceil(self.filtering.tm as usize);
        let grid = [groups as u32, blocks as u32, (self.places() * splits) as u32];
        self.request(kernel, grid).constants(&[("S", s), ("WG", wg)]).macs(self.sizes.macs())
    }

    fn transform_filter(&self, w: BufferId, u: BufferId) -> Request {
        let tm4 = self.filtering.tm as usize / 4;
        let items = 4 * self.c_in4 * self.c_out4.next_multiple_of(tm4);
        self.request(TRANSFORM_FILTER, grid(items, WORKGROUP)).bind(&[("w", w), ("u_out", u)])
    }

    fn transform_input(&self, x: BufferId, v: BufferId) -> Request {
        self.request(TRANSFORM_INPUT, grid(self.blocks() * self.block() * self.c_in4, WORKGROUP))
            .bind(&[("x", x), ("v_out", v)])
    }

    fn multiply(&self, v: BufferId, u: BufferId, m: BufferId) -> Request {
        let request = self.product(MULTIPLY, self.blocks(), self.c_out4, 1).turns(self.c_in4);
        request.bind(&[("v", v), ("u", u), ("m_out", m)])
    }

    fn transform_output(&self, m: BufferId, epilogue: Epilogue, y: BufferId) -> Request {
        let items = self.tiles().next_multiple_of(8) * self.c_out4;
        let request = self.request(TRANSFORM_OUTPUT, grid(items, WORKGROUP)).bind(&[("m", m), ("y", y)]);
        epilogue.end(request)
    }

    fn transform_grad(&self, dy: BufferId, s: BufferId) -> Request {
        let items = self.blocks() * self.block() * self.c_out4;
        self.request(TRANSFORM_GRAD, grid(items, WORKGROUP)).bind(&[("dy", dy), ("s_out", s)])
    }

    fn multiply_input(&self, s: BufferId, u: BufferId, v: BufferId) -> Request {
        let request = self.product(MULTIPLY_INPUT, self.blocks(), self.c_in4, 1).turns(self.c_out4);
        request.bind(&[("s", s), ("u", u), ("v_out", v)])
    }

    /// dx from v, plus `earlier` if there is one, in squares of M×M pixels: rows and columns 1 to M of a tile.
    fn transform_overlap(&self, v: BufferId, earlier: Option<BufferId>, dx: BufferId) -> Request {
        let &Sizes { n, h_in, w_in, padding, .. } = &self.sizes;
        let m = self.filtering.m as isize;
        let squares = |size: usize, before: usize| {
            let first = (before as isize - 1).div_euclid(m);
            let last = (size as isize + before as isize - 2).div_euclid(m);
            (first as usize, (last - first + 1) as usize)
        };
        let ((first_h, cells_h), (first_w, cells_w)) =
            (squares(h_in, padding.top), squares(w_in, padding.left));
        let cells = n * cells_h * cells_w;
        self.request(TRANSFORM_OVERLAP, grid(cells.next_multiple_of(8) * self.c_in4, WORKGROUP))
            .params(&[("cells_h", cells_h), ("cells_w", cells_w), ("cells", cells)])
            .params(&[("first_h", first_h), ("first_w", first_w), ("residual", earlier.is_some() as usize)])
            .bind(&[("v", v), ("dx", dx)])
            .bind_if("residual", earlier)
    }
}

/// s, from dy: computed once if both gradients have the same tiles.
fn transformed(b: &mut Backward<'_, '_>, tiling: &Tiling, grad: &mut GradOutput) -> Result<BufferId> {
    let tiles = (tiling.filtering.m, tiling.block());
    if let Some((_, s)) = grad.transformed.filter(|made| made.0 == tiles) {
        return Ok(s);
    }
    let s = b.scratch("transformed grad output", tiling.tile_bytes(tiling.c_out4));
    b.dispatch(tiling.transform_grad(grad.dy, s))?;
    grad.transformed = Some((tiles, s));
    Ok(s)
}

/// Records y = act(conv(x, w) · scale + shift + residual).
pub(super) fn forward(
    f: &mut Forward<'_, '_>,
    sizes: Sizes,
    filtering: Filtering,
    epilogue: Epilogue,
) -> Result<()> {
    let tiling = Tiling::new(sizes, filtering, f.tuning());
    let u =
        f.from_weight(1, "transformed filter", tiling.filter_bytes(), |w, u| tiling.transform_filter(w, u))?;
    let v = f.scratch("transformed input", tiling.tile_bytes(tiling.c_in4));
    let m = f.scratch("products", tiling.tile_bytes(tiling.c_out4));
    let (x, y) = (f.input(0), f.output());
    f.dispatch(tiling.transform_input(x, v))?;
    f.dispatch(tiling.multiply(v, u, m))?;
    f.dispatch(tiling.transform_output(m, epilogue, y))
}

/// Records dx from dy, plus `earlier` if there is one: every dispatch of the forward pass transposed.
pub(super) fn backward_input(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    filtering: Filtering,
    grad: &mut GradOutput,
    dx: BufferId,
    earlier: Option<BufferId>,
) -> Result<()> {
    let tiling = Tiling::new(sizes, filtering, b.tuning());
    let u =
        b.from_weight(1, "transformed filter", tiling.filter_bytes(), |w, u| tiling.transform_filter(w, u))?;
    let s = transformed(b, &tiling, grad)?;
    let v = b.scratch("transformed grad input", tiling.tile_bytes(tiling.c_in4));
    b.dispatch(tiling.multiply_input(s, u, v))?;
    b.dispatch(tiling.transform_overlap(v, earlier, dx))
}

/// Records dw from dy and the kept input.
pub(super) fn backward_weight(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    filtering: Filtering,
    grad: &mut GradOutput,
    dw: BufferId,
) -> Result<()> {
    let tiling = Tiling::new(sizes, filtering, b.tuning());
    let x = b.input(0);
    let v = b.scratch("transformed input", tiling.tile_bytes(tiling.c_in4));
    b.dispatch(tiling.transform_input(x, v))?;
    let s = transformed(b, &tiling, grad)?;
    let u = b.scratch("transformed weight gradient", tiling.filter_bytes());
    let groups = tiling.c_in4.div_ceil((filtering.q * tiling.lanes.1) as usize);
    let in_blocks = |tiles: usize| (tiles / tiling.block()).max(1);
    let per_split = in_blocks(TILES_PER_SPLIT).min(tiling.blocks());
    let per_run = in_blocks(RUN);
    let splits = tiling.blocks().div_ceil(per_split);
    in_splits(b, u, splits, tiling.filter_bytes(), |_, u| {
        let request = tiling
            .product(MULTIPLY_WEIGHT, groups, tiling.c_out4, splits)
            .constants(&[("Q", filtering.q)])
            .params(&[("blocks_per_split", per_split), ("blocks_per_run", per_run)])
            .bind(&[("v", v), ("s", s), ("u_out", u)])
            .turns(per_split * tiling.block() / 4 + per_split.div_ceil(per_run));
        Ok(request)
    })?;
    let items = 4 * tiling.c_in4 * tiling.c_out4.next_multiple_of(filtering.tm as usize / 4);
    b.dispatch(tiling.request(TRANSFORM_WEIGHT, grid(items, WORKGROUP)).bind(&[("u", u), ("dw", dw)]))
}
