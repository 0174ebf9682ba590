//! The table that selects kernel shapes for an adapter.

pub(crate) mod adapter;
mod candidates;
mod cards;
mod file;
mod measured;
mod tiled;

pub(crate) use cards::Card;
pub use cards::Maker;
pub use file::Machine;
pub use measured::Measured;
pub(crate) use tiled::LEAST_SLICES;
pub use tiled::{Fragments, Tiles};

use crate::storage::Storage;
use frostline_shaders::Share;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tiled::Product;

/// The maximum number of terms that a kernel of a convolution sums in one register: the depth of the 3×3
/// windows of 512 channels at the end of ResNets. Deeper products are a chain of dispatches.
pub(crate) const LONGEST_RUN: usize = 4_608;

/// The class of adapters for which kernels are shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A processor with subgroups (llvmpipe, SwiftShader): lanes exchange weights.
    Subgroup {
        /// Lanes of a subgroup.
        size: u32,
    },
    /// A GPU: threads share operands through workgroup memory.
    Gpu,
    /// Anything else: every lane loads its own operands; runs on every adapter.
    Portable,
}

/// The tile of a convolution kernel (see the constants of `conv2d.wgsl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tile {
    /// Number of channels that a lane computes.
    pub tm: u32,
    /// Number of pixels of a row that a lane computes.
    pub pw: u32,
    /// Number of pixels that a lane of `backward_weight` reads at a time.
    pub u: u32,
}

impl Tile {
    /// How many of the `kw` taps of a row `forward` and `backward_input` compute together. A window under all
    /// of them is loaded once, but code that does not fit into the instruction cache is slower than loading
    /// again: on a software adapter, 1,600 multiply-adds are 35 KiB of code.
    pub fn taps(&self, kw: usize) -> usize {
        if self.tm as usize * 4 * self.pw as usize * kw <= 1600 { kw } else { 1 }
    }
}

/// Which gradient, or the value itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// y.
    Forward,
    /// dx.
    BackwardInput,
    /// dw.
    BackwardWeight,
}

/// A convolution as a key of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv {
    /// What is computed.
    pub pass: Pass,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Step between windows.
    pub stride: usize,
    /// Channels of x.
    pub c_in: usize,
    /// Channels of y.
    pub c_out: usize,
    /// Pixels of a row of the result (`BackwardInput`: of one phase of the stride); 1×1 convolutions treat
    /// the whole batch as one row.
    pub width: usize,
    /// Rows of y in the whole batch.
    pub rows: usize,
}

/// Winograd's F(m×m, 3×3) (see the constants of `winograd.wgsl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Filtering {
    /// Number of outputs of a tile in one direction: 2 or 4.
    pub m: u32,
    /// Number of output channels that a lane computes.
    pub tm: u32,
    /// Number of tiles that a lane computes: a block is this many times the workgroup size.
    pub p: u32,
    /// Number of blocks of 4 input channels that a lane of `backward_weight` computes.
    pub q: u32,
}

/// How a convolution is computed. `Display` gives a short form for tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// `conv2d.wgsl`.
    Direct(Tile),
    /// `conv2d_tiled.wgsl`.
    Tiled(Tiles),
    /// `winograd.wgsl`: 3×3 with a stride of 1 only.
    Winograd(Filtering),
}

/// Kernel shapes for one class of adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// The class they are for.
    pub class: Class,
    /// Activations are stored in textures of at most this many rows, for software drivers that read textures
    /// faster than storage buffers. `None`: they are in storage buffers.
    pub texture_rows: Option<u32>,
    /// These textures are the same memory as buffers, which kernels write. Only for the adapter of a
    /// [`crate::Gpu`] whose tuning has it; [`crate::Session`] refuses it elsewhere.
    pub aliased: bool,
    /// Number of workgroups that fill the machine; it determines how far `backward_weight` splits its pixels.
    pub fill: usize,
    /// Time limit of one submission, so that none reaches the driver's time-out: longer steps are cut by
    /// measured time. `None`: a step is one submission. Results have the same bits.
    pub submit_time: Option<Duration>,
    /// How activations are stored; f32 unless the user requests f16.
    pub storage: Storage,
    /// The maker whose table of tiles the kernels of GPUs use.
    pub maker: Maker,
    /// Bytes of workgroup memory; larger tiles are skipped.
    pub workgroup_bytes: u32,
    /// The matrices that subgroups multiply, if they do.
    pub fragments: Option<Fragments>,
    /// Measured choices, which have precedence over the table's.
    pub measured: Option<Arc<Measured>>,
}

impl Tuning {
    /// Kernels without subgroups.
    pub fn portable() -> Self {
        Self {
            class: Class::Portable,
            texture_rows: None,
            aliased: false,
            fill: 16,
            submit_time: None,
            storage: Storage::F32,
            maker: Maker::default(),
            workgroup_bytes: 32_768,
            fragments: None,
            measured: None,
        }
    }

    /// Kernels for subgroups of `size` lanes, with textures as high as every adapter allows.
    pub fn subgroup(size: u32) -> Self {
        Self { class: Class::Subgroup { size }, texture_rows: Some(8192), ..Self::portable() }
    }

    /// Kernels for GPUs: for a large NVIDIA GPU. A [`crate::Gpu`] has those of its adapter.
    pub fn gpu() -> Self {
        Self { class: Class::Gpu, fill: 256, ..Self::portable() }
    }

    /// The same kernels with activations stored as `storage`.
    pub fn with_storage(&self, storage: Storage) -> Self {
        Self { storage, ..self.clone() }
    }

    /// The snippet that shares the weights.
    pub fn share(&self) -> Share {
        match self.class {
            Class::Subgroup { .. } => Share::Subgroup,
            Class::Gpu | Class::Portable => Share::Portable,
        }
    }

    /// (lanes that share weights, workgroup size) of the convolution kernels.
    pub fn lanes(&self) -> (u32, u32) {
        match self.class {
            Class::Subgroup { size } => (size, size),
            Class::Gpu | Class::Portable => (1, 64),
        }
    }

    /// The algorithm for `conv`: the measured choice if there is one, else that of the table.
    pub fn conv(&self, conv: &Conv) -> Algorithm {
        let measured = self.measured.as_ref().filter(|_| self.storage == Storage::F32);
        measured.and_then(|measured| measured.choice(conv)).unwrap_or_else(|| self.table(conv))
    }

    /// The committed table's choice for `conv`.
    pub fn table(&self, conv: &Conv) -> Algorithm {
        if self.class == Class::Gpu {
            return Algorithm::Tiled(match self.fragments.filter(|fragments| fragments.hold(self.storage)) {
                Some(fragments) => {
                    Tiles::pick_for_fragments(self.product(conv), self.fill).in_fragments(fragments)
                }
                None => self.tiled(conv),
            });
        }
        if let Some(filtering) = self.winograd(conv) {
            return Algorithm::Winograd(filtering);
        }
        Algorithm::Direct(self.direct(conv))
    }

    fn direct(&self, conv: &Conv) -> Tile {
        match conv.pass {
            Pass::Forward => self.direct_strip(conv.width, conv.c_out),
            Pass::BackwardInput => self.direct_strip(conv.width, conv.c_in),
            Pass::BackwardWeight => self.direct_weight(conv.kw, conv.stride, conv.c_out),
        }
    }

    fn tiled(&self, conv: &Conv) -> Tiles {
        let fits = |tiles: &Tiles| tiles.workgroup_bytes() <= self.workgroup_bytes;
        Tiles::pick(self.maker.table(conv), self.product(conv), self.fill, fits)
    }

    /// The matrix that `conv` is.
    fn product(&self, conv: &Conv) -> Product {
        let (pixels, taps) = (conv.rows * conv.width, conv.kh * conv.kw);
        match conv.pass {
            Pass::Forward => Product { m: pixels, n: conv.c_out, parts: 1, depth: taps * conv.c_in },
            // The pixels of y are about those of one phase of dx. A phase that no tap reaches needs no work.
            Pass::BackwardInput => {
                let depth = conv.kh.div_ceil(conv.stride) * conv.kw.div_ceil(conv.stride) * conv.c_out;
                Product { m: pixels, n: conv.c_in, parts: (conv.stride * conv.stride).min(taps), depth }
            }
            // Its depth is split until the machine is full.
            Pass::BackwardWeight => {
                Product { m: taps * conv.c_in, n: conv.c_out, parts: self.fill, depth: 0 }
            }
        }
    }

    /// Winograd's algorithm, if its transforms cost less than they save, and sums (over channels, or over
    /// pixels) are long enough that its rounding is negligible.
    fn winograd(&self, conv: &Conv) -> Option<Filtering> {
        let fits = conv.kh == 3 && conv.kw == 3 && conv.stride == 1;
        if !fits || conv.c_in < 32 || conv.c_out < 32 || conv.rows * conv.width < 128 {
            return None;
        }
        let (n, depth) = match conv.pass {
            Pass::Forward => (conv.c_out, conv.c_in),
            Pass::BackwardInput => (conv.c_in, conv.c_out),
            Pass::BackwardWeight => (conv.c_out, 0),
        };
        if depth > LONGEST_RUN {
            return None;
        }
        let tiles = (conv.rows * conv.width).div_ceil(16);
        let (tm, p, q) = match self.class {
            Class::Subgroup { size } => {
                // Both gradients have the same blocks, so that dy is transformed once for them.
                let p = if conv.pass == Pass::Forward {
                    strip(tiles.div_ceil(size as usize), &[7, 4])
                } else {
                    4
                };
                (if n % 32 == 0 { 32 } else { 16 }, p, if conv.c_in > 32 { 2 } else { 1 })
            }
            Class::Gpu | Class::Portable => (8, 1, 1),
        };
        Some(Filtering { m: 4, tm, p, q })
    }

    fn direct_strip(&self, width: usize, channels: usize) -> Tile {
        let tm = match (self.class, channels.next_multiple_of(4)) {
            (Class::Gpu | Class::Portable, c) => c.min(8),
            (Class::Subgroup { .. }, c) if c % 32 == 0 || c > 64 => 32,
            (Class::Subgroup { .. }, c) => c.min(16),
        };
        let widths: &[usize] = match self.class {
            Class::Gpu | Class::Portable => &[4, 1],
            Class::Subgroup { .. } => &[8, 7, 4, 1],
        };
        Tile { tm: tm as u32, pw: strip(width, widths), u: 1 }
    }

    fn direct_weight(&self, kw: usize, stride: usize, channels: usize) -> Tile {
        let widest = match (self.class, kw) {
            (Class::Gpu | Class::Portable, 0..=3) => 8,
            (Class::Gpu | Class::Portable, _) => 4,
            (_, 1) => 32,
            (_, 2..=3) => 32,
            _ => 16,
        };
        let tm = channels.next_multiple_of(4).min(widest);
        Tile { tm: tm as u32, pw: 1, u: if kw > stride && tm <= 16 { 2 } else { 1 } }
    }
}

/// The strip width with the lowest cost for a row of `width` pixels. The cost of a strip is its pixels plus
/// about two for the weights that it loads, at any width. Fewer widths need fewer compiled kernels.
fn strip(width: usize, widths: &[usize]) -> u32 {
    let cost = |pw: usize| width.div_ceil(pw) * (pw + 2);
    widths.iter().copied().min_by_key(|&pw| cost(pw)).unwrap_or(1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_shrink_with_the_matrix() {
        let pick = |pass, kernel, stride, c_in, c_out, side| {
            let conv =
                Conv { pass, kh: kernel, kw: kernel, stride, c_in, c_out, width: side, rows: 8 * side };
            let tiles = Tuning::gpu().tiled(&conv);
            (tiles.bm, tiles.bn)
        };
        assert_eq!(pick(Pass::Forward, 3, 1, 64, 64, 112), (128, 64));
        assert_eq!(pick(Pass::Forward, 1, 1, 64, 256, 112), (128, 128));
        assert_eq!(pick(Pass::Forward, 3, 1, 64, 64, 56), (64, 64), "196 workgroups of 128 rows are too few");
        assert_eq!(pick(Pass::Forward, 3, 1, 512, 512, 7), (128, 64), "its depth is split");
        assert_eq!(pick(Pass::Forward, 1, 1, 128, 256, 7), (32, 32), "too shallow to be split");
        assert_eq!(pick(Pass::Forward, 3, 1, 64, 12, 56).1, 16);
        assert_eq!(
            pick(Pass::BackwardInput, 3, 2, 64, 128, 14),
            (64, 64),
            "four phases are four times as many"
        );
        assert_eq!(pick(Pass::BackwardInput, 1, 2, 64, 128, 14), (32, 32), "three of four phases are empty");
        let low = Conv {
            pass: Pass::BackwardWeight,
            kh: 1,
            kw: 1,
            stride: 1,
            c_in: 16,
            c_out: 64,
            width: 56,
            rows: 448,
        };
        assert_eq!(Tuning::gpu().tiled(&low).bm, 32, "64 rows would be mostly empty");
    }

    /// Every table has a tile for adapters with WebGPU's guaranteed limits.
    #[test]
    fn a_workgroup_of_16_kib_has_room() {
        for maker in [Maker::Nvidia, Maker::Amd, Maker::Intel, Maker::Apple, Maker::Other] {
            let tuning = Tuning { maker, workgroup_bytes: 16_384, ..Tuning::gpu() };
            for pass in [Pass::Forward, Pass::BackwardInput, Pass::BackwardWeight] {
                for (c, side) in [(4, 224), (16, 32), (64, 56), (128, 28), (512, 7), (1024, 14)] {
                    let conv = Conv {
                        pass,
                        kh: 3,
                        kw: 3,
                        stride: 1,
                        c_in: c,
                        c_out: c,
                        width: side,
                        rows: 64 * side,
                    };
                    assert!(tuning.tiled(&conv).workgroup_bytes() <= 16_384, "{maker:?} {conv:?}");
                }
            }
        }
    }

    #[test]
    fn strips_fit_the_widths_of_resnets() {
        for (width, expected) in [
            (112, 8),
            (56, 8),
            (32, 8),
            (28, 7),
            (14, 7),
            (7, 7),
            (48, 8),
            (24, 8),
            (6, 7),
            (4, 4),
            (2, 4),
            (1, 1),
        ] {
            assert_eq!(strip(width, &[8, 7, 4, 1]), expected, "rows of {width}");
        }
    }
}
