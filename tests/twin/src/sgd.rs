//! sgd: g = dw + λ·w, v ← μ·v + g, w ← w − lr·v; with Nesterov's momentum w ← w − lr·(g + μ·v).
//!
//! PyTorch's semantics: the learning rate is not part of the velocity, and the decay is part of
//! the gradient. A velocity of zeros is the same as PyTorch's missing buffer of the first step.

use crate::{Array, Value, exact};

/// The constants of a step.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// lr
    pub learning_rate: f64,
    /// μ; 0 for none.
    pub momentum: f64,
    /// λ; 0 for none.
    pub weight_decay: f64,
    /// Looks ahead by one momentum step.
    pub nesterov: bool,
}

/// The result of a step.
#[derive(Clone, Debug)]
pub struct Step {
    /// w after the step.
    pub weight: Value,
    /// v after the step.
    pub velocity: Value,
}

impl Sgd {
    /// `sgd.step`: weight, grad and velocity of one shape, any.
    ///
    /// The constants should be f32 values: a kernel has no others.
    pub fn step(&self, weight: &Array, grad: &Array, velocity: &Array) -> Step {
        grad.expect_shape("gradient", &weight.shape);
        velocity.expect_shape("velocity", &weight.shape);
        let momentum = exact(self.momentum);
        let decayed = |i: usize| exact(grad.data[i]) + exact(self.weight_decay) * exact(weight.data[i]);
        let new_velocity = Value::build(&weight.shape, |i| momentum * exact(velocity.data[i]) + decayed(i));
        let new_weight = Value::build(&weight.shape, |i| {
            let direction = if self.nesterov {
                decayed(i) + momentum * new_velocity.at([i])
            } else {
                new_velocity.at([i])
            };
            exact(weight.data[i]) - exact(self.learning_rate) * direction
        });
        Step { weight: new_weight, velocity: new_velocity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_by_hand() {
        let one = |v: f64| Array::new(&[1], vec![v]);
        let mut sgd = Sgd { learning_rate: 0.5, momentum: 0.25, weight_decay: 0.125, nesterov: false };
        // g = 3 + 8/8 = 4; v = 4/4 + 4 = 5
        let step = sgd.step(&one(8.0), &one(3.0), &one(4.0));
        assert_eq!(step.velocity.value.data, [5.0]);
        assert_eq!(step.weight.value.data, [8.0 - 2.5]);
        sgd.nesterov = true;
        let step = sgd.step(&one(8.0), &one(3.0), &one(4.0));
        assert_eq!(step.velocity.value.data, [5.0]);
        assert_eq!(step.weight.value.data, [8.0 - 0.5 * (4.0 + 1.25)]);
    }
}
