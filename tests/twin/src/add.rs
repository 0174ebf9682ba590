//! add: y = a + b. add_relu: y = max(a + b, 0).
//! backward: da = db = dy, for add_relu only where y > 0.
//!
//! The backward of add copies, and that of add_relu is [`Activation::backward`] on the output.

use crate::activation::Activation;
use crate::{Array, Value, exact};

/// `add.forward`, `add_relu.forward`: the sum of two arrays of one shape, then an activation.
pub fn forward(a: &Array, b: &Array, activation: Activation) -> Value {
    b.expect_shape("second summand", &a.shape);
    Value::build(&a.shape, |i| activation.apply(exact(a.data[i]) + exact(b.data[i])))
}

/// `add.backward`, `add_relu.backward`: the gradient of both summands, from the output y.
pub fn backward(dy: &Array, y: &Array, activation: Activation) -> Value {
    activation.backward(dy, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    /// Kink of the relu at a + b = 0: a keeps 0.01 away from −b, eps is 1e-4.
    #[test]
    fn gradients() {
        let mut rng = cases::rng(2);
        for activation in [Activation::None, Activation::Relu] {
            for shape in [vec![1, 1, 1, 1], vec![2, 5, 3, 3]] {
                let b = cases::uniform(&mut rng, &shape, -1.0..1.0);
                let mut sum = cases::uniform(&mut rng, &shape, -2.0..2.0);
                cases::keep_away(&mut sum, 0.0, 0.01);
                let a = Value::build(&shape, |i| exact(sum.data[i]) - exact(b.data[i])).value;
                let y = forward(&a, &b, activation).value;
                let d = backward(&gradcheck::grad_output(&shape), &y, activation);
                let name = format!("add {activation:?} {shape:?}");
                let f = |v: &[Array]| forward(&v[0], &v[1], activation);
                gradcheck::check(&name, f, &[a, b], &[d.clone(), d], 1e-4, 1e-9);
            }
        }
    }
}
