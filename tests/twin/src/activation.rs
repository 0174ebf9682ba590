//! relu: y = max(x, 0). relu6: y = min(max(x, 0), 6).
//! backward: dx = dy where 0 < x (and x < 6), else 0.
//! silu: y = x·σ(x), σ(x) = 1 / (1 + exp(−x)). backward: dx = dy·σ(x)·(1 + x·σ(−x)).

use crate::{Array, Tracked, Value, exact};

/// An element-wise function, alone or at the end of another op.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// y = x
    #[default]
    None,
    /// y = max(x, 0)
    Relu,
    /// y = min(max(x, 0), 6)
    Relu6,
    /// y = x·σ(x)
    Silu,
}

/// σ(x) = 1 / (1 + exp(−x)).
fn sigmoid(x: Tracked) -> Tracked {
    exact(1.0) / (exact(1.0) + (-x).exp())
}

/// The slope of silu at x: σ(x)·(1 + x·σ(−x)).
pub fn silu_slope(x: Tracked) -> Tracked {
    sigmoid(x) * (exact(1.0) + x * sigmoid(-x))
}

impl Activation {
    /// The function itself.
    pub fn apply(self, x: Tracked) -> Tracked {
        match self {
            Activation::None => x,
            Activation::Relu => x.clamp(0.0, f64::INFINITY),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::Silu => x * sigmoid(x),
        }
    }

    /// Whether a gradient passes at this input. Both kinks, 0 and 6, block it, as in PyTorch.
    ///
    /// The output of relu and relu6 may be given instead: it is inside the open interval exactly if the input is.
    pub fn passes(self, x: f64) -> bool {
        match self {
            Activation::None | Activation::Silu => true,
            Activation::Relu => x > 0.0,
            Activation::Relu6 => x > 0.0 && x < 6.0,
        }
    }

    /// `activation.forward`: any shape.
    pub fn forward(self, x: &Array) -> Value {
        Value::build(&x.shape, |i| self.apply(exact(x.data[i])))
    }

    /// `activation.backward`: dx from dy and either x or y (silu: x), all of one shape.
    ///
    /// Except for silu, values are only selected, not computed: a kernel must match exactly where it passes
    /// nothing.
    pub fn backward(self, dy: &Array, x_or_y: &Array) -> Value {
        dy.expect_shape("grad_output", &x_or_y.shape);
        Value::build(&dy.shape, |i| {
            let (dy, at) = (exact(dy.data[i]), x_or_y.data[i]);
            match self {
                Activation::Silu => dy * silu_slope(exact(at)),
                _ if self.passes(at) => dy,
                _ => Tracked::ZERO,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    #[test]
    fn values_at_and_around_the_kinks() {
        let x = Array::new(&[7], vec![-7.0, -0.0, 0.0, 0.5, 5.5, 6.0, 7.0]);
        let dy = Array::new(&[7], vec![1.0; 7]);
        let relu = Activation::Relu;
        assert_eq!(relu.forward(&x).value.data, [0., 0., 0., 0.5, 5.5, 6., 7.]);
        assert_eq!(relu.backward(&dy, &x).value.data, [0., 0., 0., 1., 1., 1., 1.]);
        let relu6 = Activation::Relu6;
        assert_eq!(relu6.forward(&x).value.data, [0., 0., 0., 0.5, 5.5, 6., 6.]);
        assert_eq!(relu6.backward(&dy, &x).value.data, [0., 0., 0., 1., 1., 0., 0.]);
    }

    /// Kinks at 0 and 6: the inputs keep 0.01 away from both, 100 times the eps of 1e-4.
    /// Piecewise linear, so the differences are exact up to rounding.
    #[test]
    fn gradients() {
        let mut rng = cases::rng(1);
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            for shape in [vec![1, 1, 1, 1], vec![2, 5, 3, 7]] {
                let mut x = cases::uniform(&mut rng, &shape, -3.0..9.0);
                cases::keep_away(&mut x, 0.0, 0.01);
                cases::keep_away(&mut x, 6.0, 0.01);
                let dy = gradcheck::grad_output(&shape);
                let from_input = activation.backward(&dy, &x);
                let from_output = activation.backward(&dy, &activation.forward(&x).value);
                assert_eq!(from_input, from_output, "{activation:?}");
                let name = format!("{activation:?} {shape:?}");
                let forward = |v: &[Array]| activation.forward(&v[0]);
                gradcheck::check(&name, forward, &[x], &[from_input], 1e-4, 1e-9);
            }
        }
    }

    /// No kinks. The third derivative is below 1, so the difference is off by about eps² = 1e-8 per term.
    #[test]
    fn gradients_of_silu() {
        let mut rng = cases::rng(2);
        for shape in [vec![1, 1, 1, 1], vec![2, 5, 3, 7]] {
            let x = cases::uniform(&mut rng, &shape, -9.0..9.0);
            let dx = Activation::Silu.backward(&gradcheck::grad_output(&shape), &x);
            let forward = |v: &[Array]| Activation::Silu.forward(&v[0]);
            gradcheck::check(&format!("silu {shape:?}"), forward, &[x], &[dx], 1e-4, 1e-7);
        }
    }

    /// The minimum of silu is at −1.278464542761074, where its slope is 0.
    #[test]
    fn values_of_silu() {
        let x = Array::new(&[4], vec![0.0, 1.0, -1.278464542761074, -700.0]);
        let (y, dx) =
            (Activation::Silu.forward(&x), Activation::Silu.backward(&Array::new(&[4], vec![1.0; 4]), &x));
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} is not {b}");
        for (i, (value, slope)) in
            [(0.0, 0.5), (0.7310585786300049, 0.9276705118714867), (-0.2784645427610738, 0.0), (0.0, 0.0)]
                .into_iter()
                .enumerate()
        {
            near(y.value.data[i], value);
            near(dx.value.data[i], slope);
        }
    }
}
