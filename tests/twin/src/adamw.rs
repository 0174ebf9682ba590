//! adamw: w ← w − lr·λ·w, m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²,
//! w ← w − lr·m̂ / (√v̂ + eps), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
//!
//! I. Loshchilov and F. Hutter, *Decoupled Weight Decay Regularization* (2019), in PyTorch's form:
//! the decay is scaled by the learning rate and eps is added to the corrected root.
//!
//! A kernel that computes 1 − β₂ in f32 from an f32 β₂ of 0.999 has lost four digits of it, and
//! this twin will say so: form 1 − β and the corrections 1 − βᵗ in f64 on the host.

use crate::{Array, Value, exact};

/// The constants of a step.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// lr
    pub learning_rate: f64,
    /// β₁, usually 0.9.
    pub beta1: f64,
    /// β₂, usually 0.999.
    pub beta2: f64,
    /// Usually 1e-8.
    pub eps: f64,
    /// λ, usually 0.01.
    pub weight_decay: f64,
}

/// The result of a step.
#[derive(Clone, Debug)]
pub struct Step {
    /// w after the step.
    pub weight: Value,
    /// m, the running mean of the gradient.
    pub mean: Value,
    /// v, the running mean of its square.
    pub mean_square: Value,
}

impl AdamW {
    /// `adamw.step`: all arrays of one shape, any. `t` counts from 1; both means start as zeros.
    pub fn step(&self, t: u32, weight: &Array, grad: &Array, mean: &Array, mean_square: &Array) -> Step {
        assert!(t > 0, "steps count from 1: the bias correction of 0 is 1/0");
        grad.expect_shape("gradient", &weight.shape);
        mean.expect_shape("mean", &weight.shape);
        mean_square.expect_shape("mean square", &weight.shape);
        let [b1, b2] = [self.beta1, self.beta2];
        let correction1 = exact(1.0 - b1.powf(f64::from(t)));
        let correction2 = exact(1.0 - b2.powf(f64::from(t)));

        let new_mean = Value::build(&weight.shape, |i| {
            exact(b1) * exact(mean.data[i]) + exact(1.0 - b1) * exact(grad.data[i])
        });
        let new_square = Value::build(&weight.shape, |i| {
            let g = exact(grad.data[i]);
            exact(b2) * exact(mean_square.data[i]) + exact(1.0 - b2) * g * g
        });
        let new_weight = Value::build(&weight.shape, |i| {
            let w = exact(weight.data[i]);
            let root = (new_square.at([i]) / correction2).sqrt() + exact(self.eps);
            let decay = exact(self.learning_rate * self.weight_decay) * w;
            let step = exact(self.learning_rate) * (new_mean.at([i]) / correction1) / root;
            w - decay - step
        });
        Step { weight: new_weight, mean: new_mean, mean_square: new_square }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAMW: AdamW =
        AdamW { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };

    /// With both means corrected, the first step is lr·sign(g), however large g is.
    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        let zeros = Array::zeros(&[3]);
        let weight = Array::new(&[3], vec![2.0, 2.0, -1.0]);
        let grad = Array::new(&[3], vec![1e-3, -1e3, 1.0]);
        let step = ADAMW.step(1, &weight, &grad, &zeros, &zeros);
        let expected = [2.0 - 0.002 - 0.01, 2.0 - 0.002 + 0.01, -1.0 + 0.001 - 0.01];
        for (w, e) in step.weight.value.data.iter().zip(expected) {
            // eps 1e-8 shortens the step for a gradient of 1e-3 by a hundred-thousandth.
            assert!((w - e).abs() < 2e-7, "{w} {e}");
        }
    }

    #[test]
    fn without_a_gradient_only_the_decay_moves_the_weight() {
        let zeros = Array::zeros(&[1]);
        let step = ADAMW.step(5, &Array::new(&[1], vec![3.0]), &zeros, &zeros, &zeros);
        assert_eq!(step.weight.value.data, [3.0 - 0.001 * 3.0]);
        assert!(step.weight.terms.data[0].is_finite());
    }
}
