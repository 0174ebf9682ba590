//! The tiles of `conv2d_tiled.wgsl`, and the table that picks them for GPUs.

use serde::{Deserialize, Serialize};

/// The constants of `conv2d_tiled.wgsl`: a product of matrices C[m, n] = Σ_k A[m, k]·B[k, n].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tiles {
    /// Rows of C that a workgroup computes.
    pub bm: u32,
    /// Columns of C that a workgroup computes.
    pub bn: u32,
    /// Depth of a slice in workgroup memory.
    pub bk: u32,
    /// Rows of C that a thread computes.
    pub rm: u32,
    /// Columns of C that a thread computes.
    pub rn: u32,
    /// Slices in workgroup memory: one, or two that take turns.
    pub buffers: u32,
}

/// Every tile of the table, by columns of C, the largest first. A large tile reads the least from
/// memory; a small one leaves work for every part of the machine where C is small.
const TABLE: [(u32, &[Tiles]); 3] = [
    (16, &[tiles(128, 16, 8, 4), tiles(64, 16, 4, 4)]),
    (32, &[tiles(128, 32, 8, 4), tiles(64, 32, 8, 4), tiles(32, 32, 4, 4)]),
    (u32::MAX, &[tiles(128, 64, 8, 8), tiles(64, 64, 8, 4), tiles(32, 32, 4, 4)]),
];

const fn tiles(bm: u32, bn: u32, rm: u32, rn: u32) -> Tiles {
    Tiles { bm, bn, bk: 16, rm, rn, buffers: 1 }
}

impl Tiles {
    /// The largest tile of the table that is not much higher than an m × n matrix, and with which
    /// that matrix, computed in `parts`, still is `fill` workgroups; the smallest if there is none.
    pub(super) fn pick(m: usize, n: usize, parts: usize, fill: usize) -> Self {
        let (_, column) = TABLE.iter().find(|(columns, _)| n <= *columns as usize).unwrap_or(&TABLE[TABLE.len() - 1]);
        let fits = |tiles: &&Tiles| tiles.bm as usize <= m.next_power_of_two() && tiles.count(m, n) * parts >= fill;
        *column.iter().find(fits).unwrap_or(&column[column.len() - 1])
    }

    /// Every tile of the table.
    pub fn all() -> impl Iterator<Item = Tiles> {
        TABLE.iter().flat_map(|(_, column)| column.iter().copied())
    }

    /// How many workgroups an m × n matrix is.
    pub fn count(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.bm as usize) * n.div_ceil(self.bn as usize)
    }

    /// Threads of a workgroup.
    pub fn threads(&self) -> u32 {
        (self.bm / self.rm) * (self.bn / self.rn)
    }

    /// Workgroup memory: the slices of A and B, a vec4 more to the row than they are wide.
    pub fn workgroup_bytes(&self) -> u32 {
        self.buffers * self.bk * 16 * (self.bm / 4 + 1 + self.bn / 4 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_fits_what_webgpu_guarantees() {
        for tiles in Tiles::all() {
            assert!((64..=256).contains(&tiles.threads()), "{tiles:?}: {} threads", tiles.threads());
            assert!(tiles.workgroup_bytes() <= 16_384, "{tiles:?}: {} bytes", tiles.workgroup_bytes());
            for size in [tiles.rm, tiles.rn, tiles.bk] {
                assert_eq!(size % 4, 0, "{tiles:?}: vec4s do not fit {size}");
            }
            assert_eq!((tiles.bm % tiles.rm, tiles.bn % tiles.rn), (0, 0), "{tiles:?}: threads leave a rest");
        }
    }

    #[test]
    fn tiles_shrink_with_the_matrix() {
        let pick = |m, n, parts| Tiles::pick(m, n, parts, 256);
        assert_eq!((pick(8 * 56 * 56, 64, 1).bm, pick(8 * 56 * 56, 64, 1).bn), (64, 64), "196 workgroups of 128 rows are too few");
        assert_eq!(pick(64 * 56 * 56, 64, 1).bm, 128);
        assert_eq!(pick(8 * 7 * 7, 512, 1).bm, 32);
        assert_eq!(pick(8 * 56 * 56, 12, 1).bn, 16);
        assert_eq!(pick(8 * 28 * 28, 64, 1).bm, 32);
        assert_eq!(pick(3 * 3 * 4, 64, 256).bm, 64, "128 rows would be mostly empty");
        assert_eq!(pick(8 * 28 * 28, 64, 4).bm, 64, "four phases are four times as many");
    }
}
