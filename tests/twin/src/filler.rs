//! The filler: numbers that PyTorch and frostline both compute from a tensor's name.
//!
//! The goldens of `tests/golden` contain only results. Weights and inputs are computed on both sides by this
//! rule, whose Python version is `tests/golden/filler.py`; `tests/golden/README.md` describes it. Every step
//! is exact or a single IEEE rounding, so the two sides agree to the last bit.

/// 2^64 / phi, the increment of splitmix64.
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

/// FNV-1a, 64 bits, of the name's UTF-8 bytes.
pub fn name_hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// `count` values, uniform over `[low, high)`, in row-major PyTorch order.
///
/// Element i is the i-th output of splitmix64 (Steele, Lea and Flood, 2014) seeded with the name's
/// hash; its top 24 bits become an exact f32 fraction.
pub fn fill(name: &str, count: usize, low: f32, high: f32) -> Vec<f32> {
    let seed = name_hash(name);
    let span = high - low;
    (1..=count as u64)
        .map(|step| {
            let bits = finalise(seed.wrapping_add(step.wrapping_mul(GOLDEN_RATIO)));
            let fraction = (bits >> 40) as f32 / (1u32 << 24) as f32;
            // Two roundings on purpose: numpy has no fused multiply-add.
            low + fraction * span
        })
        .collect()
}

/// The mixing step of splitmix64.
fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Labels for a batch: (7 i + 3) mod `classes`; all alike if 7 divides `classes`.
pub fn labels(count: usize, classes: usize) -> Vec<u32> {
    (0..count).map(|i| ((7 * i + 3) % classes) as u32).collect()
}

/// The block of a ResNet, which decides the batch norm that ends a residual branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions (ResNet-10, 18 and 34): the branch ends in `bn2`.
    Basic,
    /// 1x1, 3x3, 1x1 (ResNet-50 and deeper): the branch ends in `bn3`.
    Bottleneck,
}

/// `(low, high)` of one ResNet parameter or running statistic, by its torchvision name and its
/// PyTorch shape.
///
/// The last batch norm of a residual branch has a small scale, which keeps the activations of a
/// 50-layer random net near one.
///
/// # Panics
/// If a ResNet has no tensor of this name.
pub fn parameter_range(name: &str, shape: &[usize], block: Block) -> (f32, f32) {
    let (module, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    let last_bn = match block {
        Block::Basic => ".bn2",
        Block::Bottleneck => ".bn3",
    };
    // Bounds are computed in f64 and rounded once, as in Python.
    let symmetric = |bound: f64| (-(bound as f32), bound as f32);
    match (name, leaf) {
        ("fc.weight", _) => symmetric(1.0 / (shape[1] as f64).sqrt()),
        ("fc.bias", _) => symmetric(0.1),
        _ if shape.len() == 4 => {
            let fan_in: usize = shape[1..].iter().product();
            symmetric((6.0 / fan_in as f64).sqrt())
        }
        (_, "weight") if module.ends_with(last_bn) => (0.1, 0.4),
        (_, "weight" | "running_var") => (0.5, 1.5),
        (_, "bias" | "running_mean") => symmetric(0.2),
        _ => panic!("{name}: no filler range for a tensor of this name, shape {shape:?}"),
    }
}

/// One ResNet parameter or running statistic, ready for a state dict.
///
/// # Panics
/// If a ResNet has no tensor of this name.
pub fn parameter(name: &str, shape: &[usize], block: Block) -> Vec<f32> {
    let (low, high) = parameter_range(name, shape, block);
    fill(name, shape.iter().product(), low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    fn parameter_bits(name: &str, shape: &[usize], block: Block) -> Vec<u32> {
        bits(&parameter(name, shape, block))
    }

    // The bit patterns below were printed by tests/golden/filler.py.

    #[test]
    fn hash_agrees_with_python() {
        assert_eq!(name_hash(""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(name_hash("conv1.weight"), 0x69A2_9A2C_EE47_D254);
    }

    #[test]
    fn values_agree_with_python_to_the_last_bit() {
        let input = fill("input", 4, -2.0, 2.0);
        assert_eq!(bits(&input[1..]), [0x3F1C_045C, 0xBF97_BE90, 0xBF66_F7FC]);
        let unicode = fill("\u{e9}t\u{e9}", 5, -1.0, 1.0);
        assert_eq!(bits(&unicode[2..]), [0x3F2E_3320, 0x3E54_7A78, 0x3F19_8638]);
    }

    #[test]
    fn parameters_agree_with_python_to_the_last_bit() {
        let conv = parameter_bits("layer4.1.conv1.weight", &[2, 512, 3, 3], Block::Basic);
        assert_eq!(conv[9213..], [0xBC92_C39E, 0xBCE3_3326, 0x3C57_C064]);
        let linear = parameter_bits("fc.weight", &[3, 512], Block::Basic);
        assert_eq!(linear[1533..], [0xBBC3_ACA0, 0x3D06_3B5F, 0x3BDE_2168]);
        let last = parameter_bits("layer1.0.bn2.weight", &[5], Block::Basic);
        assert_eq!(last[2..], [0x3DD9_AEEF, 0x3E9B_72E7, 0x3EC9_3470]);
        let inner = parameter_bits("layer1.0.bn2.weight", &[5], Block::Bottleneck);
        assert_eq!(inner[2..], [0x3F05_5E39, 0x3F96_DFC0, 0x3FBD_0108]);
    }
}
