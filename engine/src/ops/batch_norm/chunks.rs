//! How the rows of a batch norm are divided among invocations.

use crate::dispatch::grid;
use crate::kernel::Kernel;
use crate::ops::{channel_blocks, row_blocks};
use crate::request::Request;
use crate::shape::Shape;
use crate::tuning::{Class, Tuning};

/// Maximum number of rows in one running sum of `batch_norm.wgsl`.
const BLOCK: usize = 32;

/// How the sums over the rows are divided.
#[derive(Clone, Copy)]
pub(super) struct Chunks {
    rows_per_chunk: usize,
    pub chunks: usize,
    /// Number of invocations of a finishing kernel for the same channels.
    lanes: usize,
}

impl Chunks {
    /// Chunks of `shape` that fill the machine: tens of thousands of invocations on a GPU, whose
    /// workgroups join them; few elsewhere, where one invocation joins them, one after the other.
    ///
    /// A small batch does not fill a GPU, and the time is that of the rows that one invocation adds up and of
    /// the chunks that one lane joins, one after the other: there it is the size for which these are fewest.
    pub fn new(shape: Shape, tuning: &Tuning) -> Self {
        let gpu = tuning.class == Class::Gpu;
        let (invocations, most, lanes) = if gpu { (65_536, 4096, 64) } else { (2048, 64, 1) };
        let (rows, c4) = (shape.rows(), channel_blocks(shape));
        let wanted = rows.div_ceil(invocations / c4.clamp(1, invocations)).max(rows.div_ceil(most));
        // An invocation's loop must not become too long for any number of rows.
        let whole_blocks = wanted.next_multiple_of(BLOCK).min(1 << 15);
        let parts = [8, 16, BLOCK].into_iter().filter(|&part| gpu && part >= wanted);
        let rows_per_chunk =
            parts.min_by_key(|part| part + rows.div_ceil(part * lanes)).unwrap_or(whole_blocks);
        Self { rows_per_chunk, chunks: rows.div_ceil(rows_per_chunk), lanes }
    }

    /// A request for `kernel` on `shape`, with an invocation for 4 channels.
    fn request(self, kernel: Kernel, shape: Shape) -> Request {
        let (rows, c4) = (shape.rows(), channel_blocks(shape));
        let params =
            [("rows", rows), ("c4", c4), ("rows_per_chunk", self.rows_per_chunk), ("chunks", self.chunks)];
        Request::new(kernel, grid(c4, 64)).params(&params)
    }

    /// A request with an invocation for 4 channels of a chunk.
    pub fn reduce(self, kernel: Kernel, shape: Shape) -> Request {
        let mut request = self.request(kernel, shape);
        request.grid = grid(self.chunks * channel_blocks(shape), 64);
        let rows = self.rows_per_chunk.min(shape.rows());
        request.turns(rows + rows.div_ceil(BLOCK))
    }

    /// A request that joins the chunks.
    pub fn finish(self, kernel: Kernel, shape: Shape) -> Request {
        let across = if self.lanes > 1 { 4 } else { 64 };
        let mut request = self.request(kernel, shape);
        request.grid = grid(channel_blocks(shape), across);
        request
            .constants(&[("ACROSS", across), ("LANES", self.lanes as u32)])
            .turns(self.chunks.div_ceil(self.lanes) + self.lanes.ilog2() as usize)
    }
}

/// A request with an invocation for 8 rows of 4 channels.
pub(super) fn per_row_block(kernel: Kernel, shape: Shape) -> Request {
    let (rows, c4, items) = (shape.rows(), channel_blocks(shape), row_blocks(shape));
    Request::new(kernel, grid(items, 64)).params(&[("rows", rows), ("c4", c4), ("items", items)]).turns(8)
}

/// Bytes of two values per channel.
pub(super) fn two_vectors(shape: Shape) -> u64 {
    2 * 16 * channel_blocks(shape) as u64
}
