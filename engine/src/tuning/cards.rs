//! GPUs by maker and size: their best tiles, and the number of workgroups that fill them.
//!
//! NVIDIA's tables were measured on an H100 by `make tune` (ResNet-50, batches of 4, 8, 32 and 64). The
//! tables for other makers follow those of other engines, and have not been measured.

use super::tiled::{Rows, Tiles, tiles};
use super::{Conv, Pass, Tuning};
use serde::{Deserialize, Serialize};

/// The maker of a GPU, as far as tables of tiles differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// Measured on an H100.
    #[default]
    Nvidia,
    /// RDNA and CDNA. Not measured.
    Amd,
    /// Arc and Xe. Not measured.
    Intel,
    /// Apple's GPUs. Not measured.
    Apple,
    /// Other GPUs, and those that a browser does not name. Not measured.
    Other,
}

/// A GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub maker: Maker,
    /// Multiprocessors, compute units or cores: each runs one or a few workgroups at a time.
    pub cores: u32,
}

/// Cores by a part of the adapter's name, the longer names first. wgpu does not report them.
const CORES: [(&str, u32); 53] = [
    ("H100 PCIe", 114),
    ("H100", 132),
    ("H200", 132),
    ("B200", 148),
    ("A100", 108),
    ("V100", 80),
    ("L40", 142),
    ("L4", 58),
    ("A10", 72),
    ("T4", 40),
    ("RTX 5090", 170),
    ("RTX 5080", 84),
    ("RTX 5070 Ti", 70),
    ("RTX 5070", 48),
    ("RTX 5060", 30),
    ("RTX 4090", 128),
    ("RTX 4080", 76),
    ("RTX 4070", 46),
    ("RTX 4060", 24),
    ("RTX 3090", 82),
    ("RTX 3080", 68),
    ("RTX 3070", 46),
    ("RTX 3060", 28),
    ("RTX 3050", 20),
    ("RTX 2080", 46),
    ("RTX 2070", 36),
    ("GTX 1080", 20),
    ("7900 XTX", 96),
    ("7900 XT", 84),
    ("9070 XT", 64),
    ("6900 XT", 80),
    ("780M", 12),
    ("890M", 16),
    ("Arc(TM) B580", 20),
    ("Arc(TM) B570", 18),
    ("Arc(TM) A770", 32),
    ("Arc(TM) A750", 28),
    ("Arc(TM) A580", 24),
    ("Arc(TM) A380", 8),
    ("Apple M1 Ultra", 64),
    ("Apple M1 Max", 32),
    ("Apple M1 Pro", 16),
    ("Apple M1", 8),
    ("Apple M2 Ultra", 76),
    ("Apple M2 Max", 38),
    ("Apple M2 Pro", 19),
    ("Apple M2", 10),
    ("Apple M3 Max", 40),
    ("Apple M3 Pro", 18),
    ("Apple M3", 10),
    ("Apple M4 Max", 40),
    ("Apple M4 Pro", 20),
    ("Apple M4", 10),
];

impl Card {
    /// The card that `info` describes; for an unknown one, a common size of its kind.
    pub fn new(info: &wgpu::AdapterInfo) -> Self {
        Self::named(&info.name, info.vendor, info.device_type)
    }

    fn named(name: &str, vendor: u32, kind: wgpu::DeviceType) -> Self {
        let maker = match vendor {
            0x10de => Maker::Nvidia,
            0x1002 => Maker::Amd,
            0x8086 => Maker::Intel,
            0x106b => Maker::Apple,
            _ if name.starts_with("Apple") => Maker::Apple,
            _ => Maker::Other,
        };
        let known = CORES.iter().find(|(part, _)| name.contains(part)).map(|(_, cores)| *cores);
        let usual = match (maker, kind) {
            (Maker::Nvidia | Maker::Amd, wgpu::DeviceType::DiscreteGpu) => 64,
            (Maker::Amd, _) => 12,
            _ => 32,
        };
        Self { maker, cores: known.unwrap_or(usual) }
    }

    /// Workgroups that fill it: two for each core, so that one computes while the other loads.
    pub fn fill(&self) -> usize {
        2 * self.cores as usize
    }

    /// `tuning` for it.
    pub fn fitted(&self, tuning: Tuning) -> Tuning {
        Tuning { maker: self.maker, fill: self.fill(), ..tuning }
    }
}

impl Maker {
    /// The table for the products of `conv`.
    pub(super) fn table(self, conv: &Conv) -> Rows {
        match (self, conv.pass) {
            (Maker::Nvidia, Pass::Forward) => NVIDIA_FORWARD,
            (Maker::Nvidia, Pass::BackwardInput) => NVIDIA_BACKWARD_INPUT,
            (Maker::Nvidia, Pass::BackwardWeight) => NVIDIA_BACKWARD_WEIGHT,
            (Maker::Amd, _) => AMD,
            (Maker::Intel | Maker::Apple, _) => SHALLOW,
            (Maker::Other, _) => SMALL,
        }
    }

    /// Every tile of every table, once.
    pub(super) fn all() -> Vec<Tiles> {
        let tables = [NVIDIA_FORWARD, NVIDIA_BACKWARD_INPUT, NVIDIA_BACKWARD_WEIGHT, AMD, SHALLOW, SMALL];
        let mut all: Vec<Tiles> = vec![];
        for (_, rows) in tables.iter().flat_map(|table| table.iter()) {
            for (tiles, _) in *rows {
                if !all.contains(tiles) {
                    all.push(*tiles);
                }
            }
        }
        all
    }
}

// Rows are (tile, percentage of a full machine that its workgroups must make; below 100 with the depth in
// splits). A large tile reads the least from memory; a small one gives work to every core if C is small; a
// deep slice hides memory latency if there are few workgroups.
const NVIDIA_FORWARD: Rows = &[
    (16, &[(tiles(128, 16, 8, 4), 100), (tiles(64, 16, 4, 4), 0)]),
    (32, &[(tiles(128, 32, 8, 4), 100), (tiles(64, 32, 8, 4), 100), (tiles(32, 32, 4, 4).deep(32), 0)]),
    (64, NVIDIA_WIDE),
    (
        u32::MAX,
        &[
            (tiles(128, 128, 8, 8), 200),
            (tiles(128, 64, 8, 4), 250),
            (tiles(128, 64, 8, 8), 100),
            (tiles(64, 64, 8, 4), 100),
            (tiles(128, 64, 8, 4), 90),
            (tiles(64, 64, 4, 4).deep(32), 33),
            (tiles(64, 64, 4, 4), 33),
            (tiles(32, 32, 4, 4).deep(32), 0),
        ],
    ),
];

const NVIDIA_BACKWARD_INPUT: Rows = &[
    (16, &[(tiles(128, 16, 8, 4), 100), (tiles(64, 16, 4, 4), 0)]),
    (32, &[(tiles(128, 32, 8, 4), 100), (tiles(64, 32, 8, 4), 100), (tiles(32, 32, 4, 4).deep(32), 0)]),
    (u32::MAX, NVIDIA_WIDE),
];

const NVIDIA_WIDE: &[(Tiles, u32)] = &[
    (tiles(128, 64, 8, 4), 250),
    (tiles(128, 64, 8, 8), 100),
    (tiles(64, 64, 8, 4), 100),
    (tiles(128, 64, 8, 4), 90),
    (tiles(64, 64, 4, 4).deep(32), 33),
    (tiles(64, 64, 4, 4), 33),
    (tiles(32, 32, 4, 4).deep(32), 0),
];

const NVIDIA_BACKWARD_WEIGHT: Rows = &[
    (16, &[(tiles(128, 16, 8, 4), 100), (tiles(64, 16, 4, 4), 0)]),
    (32, &[(tiles(128, 32, 8, 4), 100), (tiles(64, 32, 8, 4), 100), (tiles(32, 32, 4, 4), 0)]),
    // Its depth is always split: the large tile is for large weights, of 18 such tiles or more.
    (u32::MAX, &[(tiles(128, 64, 8, 4), 1800), (tiles(64, 64, 8, 4), 0), (tiles(32, 32, 4, 4), 0)]),
];

const AMD: Rows = &[
    (16, &[(tiles(128, 16, 8, 4), 100), (tiles(64, 16, 4, 4), 0)]),
    (32, &[(tiles(128, 32, 8, 4), 100), (tiles(64, 32, 8, 4), 100), (tiles(32, 32, 4, 4), 0)]),
    (u32::MAX, &[(tiles(128, 64, 8, 4), 100), (tiles(64, 64, 8, 4), 100), (tiles(32, 32, 4, 4), 0)]),
];

const SHALLOW: Rows = &[
    (16, &[(tiles(64, 16, 4, 4).deep(8), 0)]),
    (32, &[(tiles(64, 32, 8, 4).deep(8), 100), (tiles(32, 32, 4, 4).deep(8), 0)]),
    (
        u32::MAX,
        &[
            (tiles(64, 64, 8, 4).deep(8), 100),
            (tiles(32, 64, 4, 4).deep(8), 100),
            (tiles(32, 32, 4, 4).deep(8), 0),
        ],
    ),
];

const SMALL: Rows =
    &[(16, &[(tiles(64, 16, 4, 4).deep(8), 0)]), (u32::MAX, &[(tiles(32, 32, 4, 4).deep(8), 0)])];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roofline::PublishedCard;
    use wgpu::DeviceType::{DiscreteGpu, IntegratedGpu};

    #[test]
    fn cards_are_known_by_name_and_the_rest_by_maker() {
        let card = |name, vendor, kind| Card::named(name, vendor, kind);
        assert_eq!(
            card("NVIDIA H100 80GB HBM3", 0x10de, DiscreteGpu),
            Card { maker: Maker::Nvidia, cores: 132 }
        );
        assert_eq!(card("NVIDIA GeForce RTX 5070 Ti", 0x10de, DiscreteGpu).cores, 70);
        assert_eq!(card("NVIDIA GeForce RTX 5070", 0x10de, DiscreteGpu).cores, 48);
        assert_eq!(
            card("AMD Radeon RX 7900 XTX (RADV NAVI31)", 0x1002, DiscreteGpu),
            Card { maker: Maker::Amd, cores: 96 }
        );
        assert_eq!(
            card("Intel(R) Iris(R) Xe Graphics", 0x8086, IntegratedGpu),
            Card { maker: Maker::Intel, cores: 32 }
        );
        assert_eq!(card("Apple M3", 0, IntegratedGpu), Card { maker: Maker::Apple, cores: 10 });
        assert_eq!(card("Apple M3 Max", 0, IntegratedGpu).cores, 40);
        assert_eq!(card("Intel(R) Arc(TM) A770 Graphics", 0x8086, DiscreteGpu).cores, 32);
        assert_eq!(card("a card of 2031", 0x10de, DiscreteGpu).fill(), 128);
        for published in PublishedCard::ALL {
            let known = CORES.iter().find(|(part, _)| part.replace("(TM)", "").ends_with(published.name));
            assert_eq!(known.unwrap().1, published.cores, "{}", published.name);
        }
    }
}
