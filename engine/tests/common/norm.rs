//! A batch norm with its four tensors, and its running form applied to any tracked values.

use super::{Bench, vector};
use frostline_engine::TensorId;
use frostline_twin::batch_norm::{Parameters, Statistics};
use frostline_twin::{Array, Value, cases, exact};
use rand_chacha::ChaCha8Rng;

/// ε of every batch norm here.
pub const EPS: f32 = 1e-3;

/// γ, β and the running statistics of one batch norm, each (C).
#[derive(Clone, Debug)]
pub struct Norm {
    pub gamma: Array,
    pub beta: Array,
    pub mean: Array,
    pub var: Array,
}

impl Norm {
    /// Random values, γ of both signs.
    pub fn random(rng: &mut ChaCha8Rng, c: usize) -> Self {
        Self {
            gamma: cases::uniform(rng, &[c], -1.5..1.5),
            beta: cases::uniform(rng, &[c], -0.5..0.5),
            mean: cases::uniform(rng, &[c], -0.5..0.5),
            var: cases::uniform(rng, &[c], 0.5..1.5),
        }
    }

    /// Records `layer.weight`, `.bias`, `.running_mean` and `.running_var`.
    pub fn record(&self, bench: &mut Bench, layer: &str) -> [TensorId; 4] {
        [
            bench.parameter(&format!("{layer}.weight"), vector(&self.gamma), &self.gamma),
            bench.parameter(&format!("{layer}.bias"), vector(&self.beta), &self.beta),
            bench.statistic(&format!("{layer}.running_mean"), &self.mean),
            bench.statistic(&format!("{layer}.running_var"), &self.var),
        ]
    }

    /// The twin's view of γ, β and ε.
    pub fn parameters(&self) -> Parameters<'_> {
        Parameters { gamma: &self.gamma, beta: &self.beta, eps: f64::from(EPS) }
    }

    /// The twin's view of the running statistics.
    pub fn running(&self) -> Statistics {
        Statistics::given(&self.mean, &self.var)
    }

    /// The running form on computed values (N, C, H, W), which keep their terms: the twin's own
    /// takes exact inputs only.
    pub fn apply_running(&self, x: &Value) -> Value {
        let [_, c, h, w] = x.value.dims();
        let rstd = self.running().rstd(f64::from(EPS));
        Value::build(&x.value.shape, |i| {
            let c = i / (h * w) % c;
            exact(self.gamma.data[c]) * ((x.at([i]) - exact(self.mean.data[c])) * rstd.at([c]))
                + exact(self.beta.data[c])
        })
    }

    /// dz·γ·rstd, the gradient before the running form.
    pub fn gradient_running(&self, dz: &Array) -> Value {
        let [_, c, h, w] = dz.dims();
        let rstd = self.running().rstd(f64::from(EPS));
        Value::build(&dz.shape, |i| {
            let c = i / (h * w) % c;
            exact(dz.data[i]) * (exact(self.gamma.data[c]) * rstd.at([c]))
        })
    }
}
