//! The tiles of `conv2d_tiled.wgsl`, and the table that picks them for GPUs.

use crate::storage::Storage;
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
    /// Rows of C that a worker computes: a thread, or a subgroup that multiplies fragments.
    pub rm: u32,
    /// Columns of C that a worker computes.
    pub rn: u32,
    /// Slices in workgroup memory: one, or two that take turns.
    pub buffers: u32,
    /// What is multiplied at a time: matrices of this size, or values if it is 1.
    pub fragment: u32,
    /// Threads of a worker.
    pub lanes: u32,
}

/// Matrices that a subgroup multiplies as one ("cooperative matrices", "tensor cores").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fragments {
    /// Rows and columns: 8, of f32; or 16, of f16 with sums in f32.
    pub size: u32,
    /// Lanes of a subgroup.
    pub lanes: u32,
}

impl Fragments {
    /// Do their operands hold all digits of what is stored as `storage`?
    pub(super) fn hold(&self, storage: Storage) -> bool {
        self.size == 8 || storage != Storage::F32
    }
}

/// Every tile of the table, by columns of C, the largest first. A large tile reads the least from
/// memory; a small one leaves work for every part of the machine where C is small.
const TABLE: [(u32, &[Tiles]); 3] = [
    (16, &[tiles(128, 16, 8, 4), tiles(64, 16, 4, 4)]),
    (32, &[tiles(128, 32, 8, 4), tiles(64, 32, 8, 4), tiles(32, 32, 4, 4)]),
    (u32::MAX, &[tiles(128, 64, 8, 8), tiles(64, 64, 8, 4), tiles(32, 32, 4, 4)]),
];

const fn tiles(bm: u32, bn: u32, rm: u32, rn: u32) -> Tiles {
    Tiles { bm, bn, bk: 16, rm, rn, buffers: 1, fragment: 1, lanes: 1 }
}

impl Tiles {
    /// The largest tile of the table that is not much higher than an m × n matrix, and with which
    /// that matrix, computed in `parts`, still is `fill` workgroups; the smallest if there is none.
    pub(super) fn pick(m: usize, n: usize, parts: usize, fill: usize) -> Self {
        let (_, column) = TABLE.iter().find(|(columns, _)| n <= *columns as usize).unwrap_or(&TABLE[TABLE.len() - 1]);
        let fits = |tiles: &&Tiles| tiles.bm as usize <= m.next_power_of_two() && tiles.count(m, n) * parts >= fill;
        *column.iter().find(fits).unwrap_or(&column[column.len() - 1])
    }

    /// The same part of C for every workgroup, computed by four subgroups in fragments.
    pub fn in_fragments(self, fragments: Fragments) -> Self {
        let rn = if self.bn < 64 { 16 } else { 32 };
        let rm = self.bm * self.bn / (4 * rn);
        Self { rm, rn, fragment: fragments.size, lanes: fragments.lanes, ..self }
    }

    /// Every tile of the table.
    pub fn all() -> impl Iterator<Item = Tiles> {
        TABLE.iter().flat_map(|(_, column)| column.iter().copied())
    }

    /// The constants of `conv2d_tiled.wgsl` and their values.
    pub fn constants(&self) -> [(&'static str, u32); 8] {
        let &Self { bm, bn, bk, rm, rn, buffers, fragment, lanes } = self;
        [("BM", bm), ("BN", bn), ("BK", bk), ("RM", rm), ("RN", rn), ("BUFFERS", buffers), ("FRAGMENT", fragment), ("S", lanes)]
    }

    /// How many workgroups an m × n matrix is.
    pub fn count(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.bm as usize) * n.div_ceil(self.bn as usize)
    }

    /// Threads of a workgroup.
    pub fn threads(&self) -> u32 {
        self.workers() * self.lanes
    }

    fn workers(&self) -> u32 {
        (self.bm / self.rm) * (self.bn / self.rn)
    }

    /// Workgroup memory: the slices of A and B, whose rows are a little longer than they are wide;
    /// and with fragments, a strip of C for each worker.
    pub fn workgroup_bytes(&self) -> u32 {
        let (longer, value, strips) = match self.fragment {
            1 => (4, 4, 0),
            16 => (8, 2, self.workers() * self.fragment * self.rn * 4),
            _ => (8, 4, self.workers() * self.fragment * self.rn * 4),
        };
        self.buffers * self.bk * (self.bm + self.bn + 2 * longer) * value + strips
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_fragments() -> impl Iterator<Item = Tiles> {
        let fragments = [(8, 32), (16, 32), (16, 64)].map(|(size, lanes)| Fragments { size, lanes });
        Tiles::all().flat_map(move |tiles| fragments.map(|fragments| tiles.in_fragments(fragments)))
    }

    /// Into what WebGPU guarantees; with fragments, into what GPUs that multiply them have.
    #[test]
    fn every_tile_fits_into_a_workgroup() {
        for (tiles, bytes) in Tiles::all().map(|tiles| (tiles, 16_384)).chain(with_fragments().map(|tiles| (tiles, 32_768))) {
            assert!((64..=256).contains(&tiles.threads()), "{tiles:?}: {} threads", tiles.threads());
            assert!(tiles.workgroup_bytes() <= bytes, "{tiles:?}: {} bytes", tiles.workgroup_bytes());
            for size in [tiles.rm, tiles.rn, tiles.bk] {
                assert_eq!((size % 4, size % tiles.fragment), (0, 0), "{tiles:?}: {size} leaves a rest");
            }
            assert_eq!((tiles.bm % tiles.rm, tiles.bn % tiles.rn), (0, 0), "{tiles:?}: workers leave a rest");
        }
    }

    #[test]
    fn four_subgroups_share_the_fragments_of_a_tile() {
        for tiles in with_fragments() {
            assert_eq!(tiles.workers(), 4, "{tiles:?}");
            assert_eq!(tiles.fragment * tiles.rn / 4 % tiles.lanes, 0, "{tiles:?}: lanes store unequal parts of a strip");
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
