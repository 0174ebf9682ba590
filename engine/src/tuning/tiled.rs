//! The tiles of `conv2d_tiled.wgsl`, and the table that picks them for GPUs.

use crate::storage::Storage;
use serde::{Deserialize, Serialize};

/// The constants of `conv2d_tiled.wgsl`: a product of matrices C[m, n] = Σ_k A[m, k]·B[k, n].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tiles {
    /// Number of rows of C that a workgroup computes.
    pub bm: u32,
    /// Number of columns of C that a workgroup computes.
    pub bn: u32,
    /// Depth of a slice in workgroup memory.
    pub bk: u32,
    /// Rows of C that a worker computes: a thread, or a subgroup that multiplies fragments.
    pub rm: u32,
    /// Columns of C that a worker computes.
    pub rn: u32,
    /// Number of slices in workgroup memory: one, or two that alternate.
    pub buffers: u32,
    /// Size of the matrices that are multiplied at a time, or 1 for single values.
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
    /// Whether their operands represent all digits of values stored as `storage`.
    pub(super) fn hold(&self, storage: Storage) -> bool {
        self.size == 8 || storage != Storage::F32
    }
}

/// Maximum number of splits of a depth that `conv2d_tiled.finish` sums.
const MOST_SPLITS: usize = 8;
/// Minimum number of slices in a split: fewer do not justify a partial sum.
pub(crate) const LEAST_SLICES: usize = 8;

/// A table: for up to this many columns of C, the tiles to choose from, of which the first that fits is used.
/// Each has the percentage of a full machine that its workgroups must make.
pub(super) type Rows = &'static [(u32, &'static [(Tiles, u32)])];

/// The tiles that are multiplied in fragments.
const IN_FRAGMENTS: Rows = &[
    (16, &[(tiles(128, 16, 8, 4), 100), (tiles(64, 16, 4, 4), 0)]),
    (32, &[(tiles(128, 32, 8, 4), 100), (tiles(64, 32, 8, 4), 100), (tiles(32, 32, 4, 4), 0)]),
    (u32::MAX, &[(tiles(128, 64, 8, 8), 100), (tiles(64, 64, 8, 4), 100), (tiles(32, 32, 4, 4), 0)]),
];

/// A tile of BM × BN, of which a thread computes RM × RN, with slices of 16.
pub(super) const fn tiles(bm: u32, bn: u32, rm: u32, rn: u32) -> Tiles {
    Tiles { bm, bn, bk: 16, rm, rn, buffers: 1, fragment: 1, lanes: 1 }
}

/// The result that tiles are chosen for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Number of parallel computations of C: phases of a stride, or splits of the depth.
    pub parts: usize,
    /// Terms of each sum, where the depth may be split.
    pub depth: usize,
}

impl Tiles {
    /// The same tile with slices of another depth.
    pub(super) const fn deep(self, bk: u32) -> Self {
        Self { bk, ..self }
    }

    /// The first tile of `table` that fits into a workgroup, is not much higher than the matrix, and gives
    /// the share of `fill` workgroups that the table requires; the last tile if there is none.
    pub(super) fn pick(table: Rows, product: Product, fill: usize, fits: impl Fn(&Tiles) -> bool) -> Self {
        let Product { m, n, parts, depth } = product;
        let (_, rows) =
            table.iter().find(|(columns, _)| n <= *columns as usize).unwrap_or(&table[table.len() - 1]);
        let suits = |(tiles, percent): &&(Tiles, u32)| {
            let low = tiles.bm as usize <= m.next_power_of_two();
            // The smallest tile is for depths that are too small to be split.
            let splits = if *percent < 100 { tiles.splits(m, n, parts, depth, fill) } else { 1 };
            fits(tiles) && low && 100 * tiles.count(m, n) * parts * splits >= *percent as usize * fill
        };
        rows.iter().find(suits).unwrap_or(&rows[rows.len() - 1]).0
    }

    /// The tile for a product in fragments.
    pub(super) fn pick_for_fragments(product: Product, fill: usize) -> Self {
        Self::pick(IN_FRAGMENTS, product, fill, |_| true)
    }

    /// The same part of C for every workgroup, computed by four subgroups in fragments.
    pub fn in_fragments(self, fragments: Fragments) -> Self {
        let rn = if self.bn < 64 { 16 } else { 32 };
        let rm = self.bm * self.bn / (4 * rn);
        Self { rm, rn, fragment: fragments.size, lanes: fragments.lanes, ..self }
    }

    /// Every tile of the tables, of all makers.
    pub fn all() -> impl Iterator<Item = Tiles> {
        super::cards::Maker::all().into_iter()
    }

    /// Every tile of the table for fragments; see [`Tiles::in_fragments`].
    pub fn all_for_fragments() -> impl Iterator<Item = Tiles> {
        IN_FRAGMENTS.iter().flat_map(|(_, rows)| rows.iter().map(|(tiles, _)| *tiles))
    }

    /// Every tile that `make tune` measures: those of the table, and others.
    pub fn measured() -> impl Iterator<Item = Tiles> {
        let others = [
            tiles(128, 128, 8, 8),
            tiles(64, 128, 8, 8),
            tiles(256, 64, 8, 8),
            tiles(256, 32, 8, 4),
            tiles(128, 64, 8, 4),
            tiles(64, 64, 8, 8),
            tiles(64, 64, 4, 4),
            tiles(32, 64, 4, 4),
            tiles(64, 32, 4, 4),
            tiles(32, 128, 4, 8),
            tiles(16, 64, 4, 4),
        ];
        let mut all: Vec<Tiles> = Tiles::all().collect();
        all.extend(others.into_iter().filter(|tiles| !Tiles::all().any(|known| known == *tiles)));
        all.into_iter()
    }

    /// The constants of `conv2d_tiled.wgsl` and their values.
    pub fn constants(&self) -> [(&'static str, u32); 8] {
        let &Self { bm, bn, bk, rm, rn, buffers, fragment, lanes } = self;
        [
            ("BM", bm),
            ("BN", bn),
            ("BK", bk),
            ("RM", rm),
            ("RN", rn),
            ("BUFFERS", buffers),
            ("FRAGMENT", fragment),
            ("S", lanes),
        ]
    }

    /// The number of parallel splits of a depth of `k` of an m × n matrix that is computed in `parts`: enough
    /// to fill the machine, if the matrix alone fills at most half of it.
    pub fn splits(&self, m: usize, n: usize, parts: usize, k: usize, fill: usize) -> usize {
        let worth = k / (LEAST_SLICES * self.bk as usize);
        (fill / (self.count(m, n) * parts).max(1)).min(worth).clamp(1, MOST_SPLITS)
    }

    /// The number of workgroups of an m × n matrix.
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
        Tiles::all_for_fragments()
            .flat_map(move |tiles| fragments.map(|fragments| tiles.in_fragments(fragments)))
    }

    #[test]
    fn every_tile_is_even_and_fits_into_32_kib() {
        for tiles in Tiles::all().chain(Tiles::measured()).chain(with_fragments()) {
            assert!((64..=256).contains(&tiles.threads()), "{tiles:?}: {} threads", tiles.threads());
            assert!(tiles.workgroup_bytes() <= 32_768, "{tiles:?}: {} bytes", tiles.workgroup_bytes());
            for size in [tiles.rm, tiles.rn, tiles.bk] {
                assert_eq!((size % 4, size % tiles.fragment), (0, 0), "{tiles:?}: {size} leaves a remainder");
            }
            assert_eq!(
                (tiles.bm % tiles.rm, tiles.bn % tiles.rn),
                (0, 0),
                "{tiles:?}: workers leave a \
                                                                            remainder"
            );
        }
    }

    #[test]
    fn four_subgroups_share_the_fragments_of_a_tile() {
        for tiles in with_fragments() {
            assert_eq!(tiles.workers(), 4, "{tiles:?}");
            assert_eq!(
                tiles.fragment * tiles.rn / 4 % tiles.lanes,
                0,
                "{tiles:?}: lanes store unequal parts of a strip"
            );
        }
    }
}
