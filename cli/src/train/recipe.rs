//! The requested settings: the flags that `train` and `find-lr` share. They are stored in the run's folder.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use frostline_engine::BatchNormMode;
use frostline_trainer::{Augment, RateSlice, Schedule};
use serde::{Deserialize, Serialize};

/// How to train. Settings that are left out are chosen from the data, and printed with the reason.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Recipe {
    /// The photos.
    #[arg(skip)]
    #[serde(with = "crate::path_json")]
    pub dir: PathBuf,
    /// Network, such as efficientnet_lite0, resnet18 or resnet50; by default that of the weights
    #[arg(long, help_heading = "Model")]
    pub model: Option<String>,
    /// Weights to start from: a safetensors file, hf:owner/name, `embedded` (EfficientNet-Lite0, ImageNet),
    /// `embedded-resnet10` (a ResNet-10 for photos of 96 pixels), or `none`
    #[arg(long, value_name = "WEIGHTS", help_heading = "Model")]
    pub weights: Option<String>,
    /// Side of the square images in pixels; by default that of the weights' training
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(8..=4096), help_heading = "Model")]
    pub size: Option<u32>,
    /// Freeze all stages before this one; `fc` trains only the head, `stem` everything
    #[arg(long, value_name = "STAGE", help_heading = "Freezing")]
    pub freeze_below: Option<String>,
    /// Unfreeze one more stage at a time, from the head down, in equal parts of the epochs
    #[arg(long, help_heading = "Freezing")]
    pub gradual: bool,
    /// Statistics of batch norms that train: running statistics, or those of the batch
    #[arg(long, value_enum, value_name = "STATISTICS", help_heading = "Freezing")]
    pub bn: Option<Bn>,
    /// Begin with a random head instead of a linear probe (without it: LP-FT, Kumar et al. 2022)
    #[arg(long, help_heading = "Freezing")]
    pub no_probe: bool,
    /// Highest learning rate; found by a range test by default
    #[arg(long, value_parser = rate, help_heading = "Rates")]
    pub lr: Option<f32>,
    /// Rates from the first stage to the head, such as 1e-5..1e-3; a single number is the head's rate, and
    /// all other stages get a tenth of it
    #[arg(long, value_name = "LO..HI", conflicts_with_all = ["lr", "layer_decay"], help_heading = "Rates")]
    pub slice: Option<Rates>,
    /// Each stage's rate as a fraction of the rate of the stage above it, such as 0.7
    #[arg(long, value_name = "FACTOR", value_parser = positive, help_heading = "Rates")]
    pub layer_decay: Option<f32>,
    /// How the rate changes over the run; by default `one-cycle`
    #[arg(long, value_enum, value_name = "CURVE", help_heading = "Rates")]
    pub schedule: Option<Curve>,
    /// Steps of linear warm-up before the schedule
    #[arg(long, value_name = "STEPS", default_value_t = 0, help_heading = "Rates")]
    pub warm_up: u64,
    /// Passes over all images; by default 3 to 30, for about 200 steps
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000), help_heading = "Training")]
    pub epochs: Option<u64>,
    /// Images in a step; by default 16 or 32, fewer where memory is short
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Training")]
    pub batch: Option<u32>,
    /// Random changes of the training images; light by default, none where the processor is the adapter
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Training")]
    pub augment: Option<Augmentation>,
    /// Label smoothing: share of every target that is spread over all classes, 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Training")]
    pub label_smoothing: f32,
    /// Mix training images and their labels in pairs (mixup, Zhang et al. 2018): shares from Beta(ALPHA, ALPHA), such as 0.2
    #[arg(long, value_name = "ALPHA", value_parser = positive, help_heading = "Training")]
    pub mixup: Option<f32>,
    /// Weight classes in the loss, so that classes with few photos count as much as the others
    #[arg(long, help_heading = "Training")]
    pub class_weights: bool,
    /// Early stopping: end after this many epochs without a new best, 0 for never; by default 8, or 0 with
    /// --epochs
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    pub early_stop: Option<u64>,
    /// Number format of activations in memory: f16 takes half the memory, on adapters that support it
    #[arg(long, value_enum, default_value_t = Storage::F32, help_heading = "Training")]
    pub storage: Storage,
    /// Share of every class that is kept for validation, if there is no folder `val`
    #[arg(long, value_name = "PART", default_value_t = 0.2, value_parser = part, help_heading = "Data")]
    pub val_fraction: f64,
    /// Seed of the split, the head and the order of the images
    #[arg(long, default_value_t = 0, help_heading = "Data")]
    pub seed: u64,
}

/// Statistics of batch norms that train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bn {
    /// The running statistics that came with the weights; independent of the batch size.
    Running,
    /// Those of the batch, except where weights and biases are frozen.
    Batch,
}

impl From<Bn> for BatchNormMode {
    fn from(bn: Bn) -> Self {
        match bn {
            Bn::Running => Self::Running,
            Bn::Batch => Self::FollowFreeze,
        }
    }
}

/// How the rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    /// Up for 30% of the steps, then down.
    #[default]
    OneCycle,
    /// Half a cosine, down to 0.
    Cosine,
    /// The same rate at every step.
    Constant,
}

impl From<Curve> for Schedule {
    fn from(curve: Curve) -> Self {
        match curve {
            Curve::OneCycle => Self::one_cycle(),
            Curve::Cosine => Self::cosine(),
            Curve::Constant => Self::constant(),
        }
    }
}

/// Random changes of the training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augmentation {
    /// None: frozen stages then run once per image.
    None,
    /// Crops of 70% of the area or more, mirrored at random, colours changed by up to a tenth.
    Light,
    /// Crops of 25% of the area or more, rotated by up to 15 degrees, colours changed by up to three tenths.
    Strong,
}

impl Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Light => "light",
            Self::Strong => "strong",
        })
    }
}

impl Augmentation {
    /// The changes. Grey images change only in brightness and contrast.
    pub fn of(self, channels: usize) -> Option<Augment> {
        let colours = |augment: Augment, by: f64| {
            augment.color_jitter(by, by, if channels == 3 { by } else { 0.0 }, 0.0)
        };
        let mirrored = Augment::none().horizontal_flip(0.5).bilinear();
        match self {
            Self::None => None,
            Self::Light => Some(colours(mirrored.resized_crop([0.7, 1.0]), 0.1)),
            Self::Strong => Some(colours(mirrored.resized_crop([0.25, 1.0]).rotation(15.0), 0.3)),
        }
    }
}

/// Number of bytes per activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
}

impl From<Storage> for frostline_engine::Storage {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::F32 => Self::F32,
            Storage::F16 => Self::f16(),
        }
    }
}

/// Discriminative rates: `1e-5..1e-3`, or only the head's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    lo: Option<f32>,
    hi: f32,
}

impl FromStr for Rates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("..") {
            Some((lo, hi)) => {
                let (lo, hi) = (rate(lo)?, rate(hi)?);
                if lo > hi {
                    return Err(format!(
                        "the first rate is that of the first stage and the second that of the head, so the first must not be larger: {hi:e}..{lo:e}"
                    ));
                }
                Ok(Self { lo: Some(lo), hi })
            }
            None => Ok(Self { lo: None, hi: rate(text)? }),
        }
    }
}

impl From<Rates> for RateSlice {
    fn from(rates: Rates) -> Self {
        rates.lo.map_or(Self::Head(rates.hi), |lo| Self::Geometric(lo, rates.hi))
    }
}

/// A learning rate. No network learns at a higher rate than this: its weights overflow at once or, if only a
/// small part trains, end up no better than random.
const HIGHEST_RATE: f32 = 1000.0;

fn rate(text: &str) -> Result<f32, String> {
    let rate = positive(text)?;
    if rate > HIGHEST_RATE {
        return Err(format!("a rate above {HIGHEST_RATE} trains nothing; 0.0001 to 0.1 is usual"));
    }
    Ok(rate)
}

/// A share below 1.
fn share(text: &str) -> Result<f32, String> {
    let share = text.trim().parse::<f32>().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is not a number from 0 to below 1"))
}

/// A fraction between 0 and 1, both excluded.
fn part(text: &str) -> Result<f64, String> {
    let part = text.trim().parse::<f64>().ok().filter(|part| *part > 0.0 && *part < 1.0);
    part.ok_or_else(|| format!("{text:?} is not a number between 0 and 1"))
}

fn positive(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err(format!("{text:?} is not a number above 0, such as 0.003 or 3e-3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_range_or_the_heads() {
        assert_eq!(RateSlice::from("1e-5..1e-3".parse::<Rates>().unwrap()), RateSlice::Geometric(1e-5, 1e-3));
        assert_eq!(RateSlice::from("0.01".parse::<Rates>().unwrap()), RateSlice::Head(0.01));
        for wrong in ["", "..", "1e-3..", "0..1", "-1", "nan", "1e99", "1e30", "1e-3..1e-5"] {
            assert!(wrong.parse::<Rates>().is_err(), "{wrong:?}");
        }
    }
}
