//! The recipe of the lesson's runs.

use frostline_engine::Optim;
use serde::Serialize;

/// An evaluation during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Steps taken before it.
    pub step: u64,
    /// Seconds of training before it, earlier evaluations left out.
    pub seconds: f64,
    /// Share that was recognised, 0..=1.
    pub accuracy: f64,
    /// Mean loss.
    pub loss: f64,
}

/// SGD as the recipes of this lesson have it: Nesterov's momentum 0.9, weight decay 5e-4.
pub fn sgd(lr: f32) -> Optim {
    Optim::sgd(lr).momentum(0.9).nesterov().weight_decay(5e-4)
}
