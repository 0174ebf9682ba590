//! Long sums in parts: they bound the rounding error of a sum, and the loop turns of an invocation.
//!
//! A running sum of n terms has the error of up to n roundings of the size of the sum. So every kernel bounds
//! the number of terms that it adds in one register. Longer sums are split, and the partial sums are added as
//! a tree whose nodes have at most [`FAN_IN`] branches, always in the same order.

use super::channel_blocks;
use crate::context::Backward;
use crate::dispatch::{BufferId, grid};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::request::Request;

static SUM: Kernel = Kernel { file: "partials", entry: "sum" };
static ROWS: Kernel = Kernel { file: "partials", entry: "rows" };

/// The most partial sums that one invocation adds up.
const FAN_IN: usize = 64;

/// Records `total`, of `bytes`, as the sum of `splits` partial sums. `compute` gets the buffer to
/// write them to, one after the other; that is `total` itself if there is only one split.
pub(crate) fn in_splits(
    b: &mut Backward<'_, '_>,
    total: BufferId,
    splits: usize,
    bytes: u64,
    compute: impl FnOnce(&mut Backward<'_, '_>, BufferId) -> Result<Request>,
) -> Result<()> {
    let mut partial = buffer(b, total, splits, bytes);
    let request = compute(b, partial)?;
    b.dispatch(request)?;
    let (mut splits, size4) = (splits, (bytes / 16) as usize);
    while splits > 1 {
        let per_part = branches(splits);
        let parts = splits.div_ceil(per_part);
        let sums = buffer(b, total, parts, bytes);
        let request = Request::new(SUM, grid(parts * size4, 64))
            .bind(&[("x", partial), ("y", sums)])
            .params(&[("splits", splits), ("splits_per_part", per_part)])
            .params(&[("size4", size4), ("items", parts * size4)])
            .turns(per_part);
        b.dispatch(request)?;
        (partial, splits) = (sums, parts);
    }
    Ok(())
}

fn buffer(b: &mut Backward<'_, '_>, total: BufferId, splits: usize, bytes: u64) -> BufferId {
    if splits == 1 { total } else { b.scratch("partial sums", bytes * splits as u64) }
}

/// Number of `splits` to add at a time, so that there are as few levels as possible, of about equal size.
fn branches(splits: usize) -> usize {
    let levels = (1u32..).find(|&levels| FAN_IN.saturating_pow(levels) >= splits).unwrap_or(1);
    (1..=FAN_IN).find(|branches| branches.saturating_pow(levels) >= splits).unwrap_or(FAN_IN)
}

/// Records the gradient of a bias: the sum of `dy` over its rows.
pub(crate) fn backward_bias(b: &mut Backward<'_, '_>, dy: BufferId, db: BufferId) -> Result<()> {
    let shape = b.output_shape();
    let (rows, c4) = (shape.rows(), channel_blocks(shape));
    let (per_chunk, chunks) = super::chunks(rows);
    in_splits(b, db, chunks, 16 * c4 as u64, |_, y| {
        let request = Request::new(ROWS, grid(chunks * c4, 64))
            .bind(&[("x", dy), ("y", y)])
            .params(&[("rows", rows), ("rows_per_chunk", per_chunk), ("c4", c4), ("items", chunks * c4)])
            .turns(per_chunk);
        Ok(request)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_few_levels_of_at_most_64_branches() {
        for (splits, levels) in
            [(1, 0), (2, 1), (64, 1), (65, 2), (1_568, 2), (4_096, 2), (4_097, 3), (100_003, 3)]
        {
            let mut left = splits;
            let mut taken = 0;
            while left > 1 {
                assert!((2..=FAN_IN).contains(&branches(left)), "{left}: {}", branches(left));
                left = left.div_ceil(branches(left));
                taken += 1;
            }
            assert_eq!(taken, levels, "{splits} splits");
        }
    }
}
