//! A linear head on standardised features, and its conversion to a network's last layer.

use frostline_loader::HostTensor;

use crate::error::Result;
use crate::features::Features;
use crate::learner::Learner;

/// The standardisation of features: (x − mean) / deviation.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardization {
    /// Of each feature.
    pub mean: Vec<f32>,
    /// The divisor of each feature.
    pub deviation: Vec<f32>,
}

impl Standardization {
    /// The mean and √(variance + ε) of every feature. Features of one stage can differ in size a
    /// thousandfold; from raw features, a head that is trained by steps learns only the large ones.
    pub fn of(features: &Features, eps: f32) -> Self {
        let (mean, variance) = moments(features);
        let deviation = variance.into_iter().map(|v| (v + f64::from(eps)).sqrt() as f32).collect();
        Self { mean, deviation }
    }

    /// The mean of every feature and one deviation for all, the root of their mean variance. A feature that
    /// hardly varies over the training images stays small. Scaling it up to the others costs accuracy if
    /// there are few images: `docs/accuracy.md` has the figures.
    pub fn overall(features: &Features) -> Self {
        let (mean, variance) = moments(features);
        let overall = (variance.iter().sum::<f64>() / variance.len().max(1) as f64).sqrt() as f32;
        // The deviation is 0 if all features are constant.
        let overall = if overall > 0.0 { overall } else { 1.0 };
        Self { deviation: vec![overall; mean.len()], mean }
    }

    /// (features − mean) / deviation.
    pub fn apply(&self, features: &Features) -> Features {
        let scale = self.mean.iter().zip(&self.deviation).cycle();
        let values = features.values.iter().zip(scale);
        let values = values.map(|(value, (mean, deviation))| (value - mean) / deviation).collect();
        Features { values, ..features.clone() }
    }
}

/// Mean and variance of every feature.
fn moments(features: &Features) -> (Vec<f32>, Vec<f64>) {
    let count = features.labels.len().max(1) as f64;
    let mut mean = vec![0f64; features.width];
    let mut variance = vec![0f64; features.width];
    for row in features.values.chunks_exact(features.width) {
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += f64::from(*value) / count;
        }
    }
    for row in features.values.chunks_exact(features.width) {
        for ((variance, mean), value) in variance.iter_mut().zip(&mean).zip(row) {
            *variance += (f64::from(*value) - mean).powi(2) / count;
        }
    }
    (mean.into_iter().map(|mean| mean as f32).collect(), variance)
}

/// A linear head on standardised features.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The standardisation of the features.
    pub standardization: Standardization,
    /// On standardised features: (classes, width).
    pub weight: HostTensor,
    /// On standardised features: (classes).
    pub bias: HostTensor,
}

impl Head {
    /// The same head for raw features, which a model's last layer gets: w / deviation and b − Σ w·mean /
    /// deviation.
    pub fn raw(&self) -> (Vec<f32>, Vec<f32>) {
        let Standardization { mean, deviation } = &self.standardization;
        let rows = || self.weight.data.chunks_exact(mean.len());
        let divided = |row: &[f32]| -> Vec<f32> { row.iter().zip(deviation).map(|(w, d)| w / d).collect() };
        let weight: Vec<f32> = rows().flat_map(divided).collect();
        let shift =
            |row: &[f32]| -> f64 { row.iter().zip(mean).map(|(w, m)| f64::from(*w) * f64::from(*m)).sum() };
        let shifts = weight.chunks_exact(mean.len()).map(shift);
        let bias = self.bias.data.iter().zip(shifts).map(|(b, s)| (f64::from(*b) - s) as f32);
        (weight.clone(), bias.collect())
    }
}

impl Learner {
    /// Puts `head`, trained on [`Learner::features`] at the stage before the last layer, in that layer's
    /// place. Training a head first and fine-tuning afterwards keeps the first, random gradients of a new
    /// head out of the body (Kumar et al. 2022, "LP-FT").
    ///
    /// # Errors
    /// [`Error::NoClasses`](crate::Error::NoClasses) without a last layer;
    /// [`Error::Engine`](crate::Error::Engine) if it has another shape.
    pub fn set_head(&mut self, head: &Head) -> Result<()> {
        let layer = self.head_layer()?;
        let (weight, bias) = head.raw();
        self.params.set(&format!("{layer}.weight"), &weight)?;
        self.params.set(&format!("{layer}.bias"), &bias)?;
        Ok(())
    }

    /// Name of the last layer.
    pub(crate) fn head_layer(&self) -> Result<String> {
        Ok(self.model.members("fc").map_err(|_| self.no_classes())?.remove(0))
    }
}
