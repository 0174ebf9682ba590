//! A finished run, as it is stored.

use crate::answers::Answers;
use crate::setting::Setting;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maximum number of losses that are stored of a run: each is the mean of a group of steps.
pub const BUNCHES: usize = 60;
/// Minimum number of passes over its images for a run from which conclusions are drawn.
pub const LEAST_EPOCHS: f64 = 5.0;
/// A run has converged if over its last third the loss falls by at most this share of its whole fall …
pub const SHARE_LEFT: f64 = 0.1;
/// … or by at most this much, in nats.
pub const NATS_LEFT: f64 = 0.05;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What decided it.
    pub setting: Setting,
    /// Its answers, by name of the test: `test`, `validation`, `moved by 6 pixels`.
    pub answers: BTreeMap<String, Answers>,
    /// Other measurements of the trained network, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
    /// Training loss in nats: means of up to [`BUNCHES`] groups of steps, in order. An infinite loss is
    /// stored as the largest finite number. Empty if nothing was trained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<f64>,
    /// Whether the loss overflowed; the answers are those of the last weights before that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub diverged: bool,
    /// The cost of a training step.
    #[serde(default, skip_serializing_if = "Cost::is_zero")]
    pub cost: Cost,
    /// Seconds of training, evaluation left out.
    pub seconds: f64,
    /// The adapter it ran on.
    pub adapter: String,
}

/// The cost of one training step, according to the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Kernels dispatched.
    pub dispatches: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of activations that are kept for the backward pass.
    pub kept_bytes: u64,
}

impl Cost {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Run {
    /// Passes over the training images.
    pub fn epochs(&self) -> f64 {
        self.setting.epochs()
    }

    /// Whether the run was long enough for conclusions: at least [`LEAST_EPOCHS`] passes, and a loss that
    /// over the last third no longer falls by more than [`SHARE_LEFT`] of its whole fall or [`NATS_LEFT`].
    /// A run that was not trained, or diverged, also counts: more steps would not change it.
    pub fn converged(&self) -> bool {
        self.losses.is_empty() || self.diverged || (self.epochs() >= LEAST_EPOCHS && is_flat(&self.losses))
    }

    /// Share recognised in `test`, 0..=1; `None` if the run has no such test.
    pub fn accuracy(&self, test: &str) -> Option<f64> {
        self.answers.get(test).map(Answers::accuracy)
    }
}

/// Means of at most [`BUNCHES`] groups of `losses`, of nearly equal sizes, to five digits.
pub fn bunches(losses: &[f32]) -> Vec<f64> {
    let count = losses.len().min(BUNCHES);
    let bunch = |i: usize| {
        let bunch = &losses[i * losses.len() / count..(i + 1) * losses.len() / count];
        let mean = bunch.iter().map(|&loss| f64::from(loss)).sum::<f64>() / bunch.len() as f64;
        if mean.is_finite() { (mean * 1e5).round() / 1e5 } else { f64::MAX }
    };
    (0..count).map(bunch).collect()
}

fn is_flat(losses: &[f64]) -> bool {
    let n = losses.len();
    if n < 6 {
        return false;
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let sixth = n / 6;
    let left = mean(&losses[n - 2 * sixth..n - sixth]) - mean(&losses[n - sixth..]);
    let whole = mean(&losses[..sixth.min(3)]) - mean(&losses[n - sixth..]);
    left <= NATS_LEFT || left <= SHARE_LEFT * whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::run;

    #[test]
    fn losses_are_bunched_in_order() {
        assert_eq!(bunches(&[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
        let many: Vec<f32> = (0..600).map(|i| i as f32).collect();
        let found = bunches(&many);
        assert_eq!((found.len(), found[0], found[59]), (60, 4.5, 594.5));
        assert_eq!(bunches(&[f32::INFINITY]), [f64::MAX]);
        assert!(bunches(&[]).is_empty());
    }

    /// The loss of `n` bunches that falls from 2 like a cosine, towards `end`.
    fn falling(n: usize, end: f64) -> Vec<f64> {
        let cosine = |i: usize| (std::f64::consts::PI * i as f64 / n as f64).cos();
        (0..n).map(|i| end + (2.0 - end) * 0.5 * (1.0 + cosine(i))).collect()
    }

    #[test]
    fn a_run_converges_when_its_loss_is_flat_and_it_has_seen_its_images_five_times() {
        let flat =
            |n: usize| (0..n).map(|i| 1.5 * (-8.0 * i as f64 / n as f64).exp() + 0.3).collect::<Vec<_>>();
        assert!(run("full", 0, 50).with_losses(flat(60)).converged());
        let mut early = run("full", 0, 50).with_losses(flat(60));
        early.setting.images = 2000; // 150 steps of 32 are 2.4 passes
        assert!(!early.converged());
        // Falling at a steady pace to the end.
        assert!(
            !run("full", 0, 50).with_losses((0..60).map(|i| 2.0 - i as f64 / 40.0).collect()).converged()
        );
        assert!(!run("full", 0, 50).with_losses(falling(60, 0.1)).converged());
        assert!(!run("full", 0, 50).with_losses(vec![2.0, 1.0]).converged());
        assert!(run("full", 0, 50).with_losses(vec![]).converged());
    }
}
