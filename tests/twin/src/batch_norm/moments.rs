//! Mean and variance per channel, of one batch and running over many.

use crate::{Array, Tracked, Value, exact};

/// Mean and variance per channel, of a batch or running.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// μ, (C).
    pub mean: Value,
    /// σ², (C). A batch's is biased, divided by m; the running one averages unbiased ones.
    pub var: Value,
}

impl Statistics {
    /// Statistics that are inputs: running ones, or those a kernel stored in its forward pass.
    pub fn given(mean: &Array, var: &Array) -> Statistics {
        var.expect_shape("variance", &mean.shape);
        Statistics { mean: Value::exact(mean), var: Value::exact(var) }
    }

    /// 1/√(σ² + eps), (C).
    pub fn rstd(&self, eps: f64) -> Value {
        Value::build(&self.var.value.shape, |c| exact(1.0) / (self.var.at([c]) + exact(eps)).sqrt())
    }
}

/// Sums `term(row-major index)` over N, H and W of each channel.
pub(super) fn sum_per_channel(shape: [usize; 4], term: impl Fn(usize) -> Tracked) -> Value {
    let [n, c, h, w] = shape;
    Value::build(&[c], |channel| {
        let images = (0..n).map(|n| (n * c + channel) * h * w);
        images.flat_map(|start| start..start + h * w).map(&term).sum()
    })
}

/// The channel of a row-major index.
pub(super) fn channel([_, c, h, w]: [usize; 4], i: usize) -> usize {
    i / (h * w) % c
}

/// `batch_norm.statistics`: mean and biased variance of x (N, C, H, W).
pub fn statistics(x: &Array) -> Statistics {
    let shape @ [n, c, h, w] = x.dims();
    let m = exact((n * h * w) as f64);
    let sum = sum_per_channel(shape, |i| exact(x.data[i]));
    let mean = Value::build(&[c], |c| sum.at([c]) / m);
    let squares = sum_per_channel(shape, |i| {
        let deviation = exact(x.data[i]) - mean.at([channel(shape, i)]);
        deviation * deviation
    });
    let var = Value::build(&[c], |c| squares.at([c]) / m);
    Statistics { mean, var }
}

/// The running statistics after a batch: (1 − momentum)·running + momentum·batch, where the
/// variance is unbiased, σ²·m/(m − 1), as in PyTorch. `m` is N·H·W, `momentum` usually 0.1.
///
/// # Panics
/// If m is 1: one value has no unbiased variance, and PyTorch refuses to train on it as well.
pub fn update_running(running: &Statistics, batch: &Statistics, m: usize, momentum: f64) -> Statistics {
    assert!(m > 1, "batch norm needs more than one value per channel");
    let unbiased = exact(m as f64) / exact((m - 1) as f64);
    let blend = |old: &Value, new: &Value, factor: Tracked| {
        Value::build(&old.value.shape, |c| {
            exact(1.0 - momentum) * old.at([c]) + exact(momentum) * new.at([c]) * factor
        })
    };
    Statistics {
        mean: blend(&running.mean, &batch.mean, exact(1.0)),
        var: blend(&running.var, &batch.var, unbiased),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_and_running_update_by_hand() {
        let x = Array::new(&[2, 1, 1, 2], vec![1.0, 2.0, 3.0, 6.0]);
        let batch = statistics(&x);
        assert_eq!(batch.mean.value.data, [3.0]);
        assert_eq!(batch.var.value.data, [(4.0 + 1.0 + 0.0 + 9.0) / 4.0]);
        let running = Statistics::given(&Array::new(&[1], vec![10.0]), &Array::new(&[1], vec![1.0]));
        let updated = update_running(&running, &batch, 4, 0.1);
        assert!((updated.mean.value.data[0] - 9.3).abs() < 1e-15);
        assert!((updated.var.value.data[0] - (0.9 + 0.1 * 14.0 / 3.0)).abs() < 1e-15);
    }
}
