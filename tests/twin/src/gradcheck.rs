//! Central differences, (L(x + eps) − L(x − eps)) / 2·eps, compared with the gradient of a backward pass.
//!
//! L = Σ output · fixed weights, so that one number depends on every output, each differently;
//! the weights are the `grad_output` to call the backward with.

use crate::{Array, Value};

/// The fixed weights of the loss: irregular numbers in −1..1, so that no gradient cancels by symmetry.
pub fn grad_output(shape: &[usize]) -> Array {
    let len = shape.iter().product();
    Array::new(shape, (0..len).map(|i| (1.0 + 1.7 * i as f64).sin()).collect())
}

/// Checks the gradients of `f` with respect to every element of every input.
///
/// `grads` holds one gradient for each of `inputs`, for L as above. An element passes if the
/// difference quotient is within `tolerance · max(1, |gradient|)` of it. Returns the largest error
/// in these units, for printing.
///
/// Choose `eps` by the op: linear in each input, anything (0.5); smooth, 1e-4, which leaves an
/// error of eps²·f'''/6 and one of 1e-16/eps from rounding; and keep the inputs further than `eps`
/// from any kink.
///
/// # Panics
/// If a gradient is wrong or not a number, naming input and element; or if the shapes of inputs
/// and gradients differ.
pub fn check(
    name: &str,
    f: impl Fn(&[Array]) -> Value,
    inputs: &[Array],
    grads: &[Value],
    eps: f64,
    tolerance: f64,
) -> f64 {
    assert_eq!(inputs.len(), grads.len(), "{name}: one gradient per input");
    let weights = grad_output(&f(inputs).value.shape);
    let loss = |inputs: &[Array]| -> f64 {
        let output = f(inputs).value;
        output.data.iter().zip(&weights.data).map(|(y, w)| y * w).sum()
    };
    let mut moved = inputs.to_vec();
    let mut worst: f64 = 0.0;
    for (which, grad) in grads.iter().enumerate() {
        grad.value.expect_shape(name, &inputs[which].shape);
        for (i, &claimed) in grad.value.data.iter().enumerate() {
            let x = inputs[which].data[i];
            let mut loss_at = |x| {
                moved[which].data[i] = x;
                loss(&moved)
            };
            let measured = (loss_at(x + eps) - loss_at(x - eps)) / (2.0 * eps);
            moved[which].data[i] = x;
            let error = (measured - claimed).abs() / claimed.abs().max(1.0);
            assert!(
                error <= tolerance,
                "{name}: gradient of input {which}, element {i}: the backward gives \
                 {claimed:e}, central differences (eps {eps:e}) give {measured:e}; error {error:e} > \
                 {tolerance:e}"
            );
            worst = worst.max(error);
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact;
    use std::slice::from_ref;

    fn cube(v: &[Array]) -> Value {
        let x = &v[0];
        Value::build(&x.shape, |i| exact(x.data[i].powi(3)))
    }

    fn gradient_of_cube(x: &Array, factor: f64) -> Value {
        let dy = grad_output(&x.shape);
        Value::build(&x.shape, |i| exact(factor * 3.0 * x.data[i].powi(2) * dy.data[i]))
    }

    #[test]
    fn the_error_of_a_cube_is_eps_squared() {
        let x = Array::new(&[1], vec![0.5]);
        let error = check("cube", cube, from_ref(&x), &[gradient_of_cube(&x, 1.0)], 1e-2, 1e-3);
        assert!((error / (1e-4 * 1f64.sin()) - 1.0).abs() < 1e-6, "{error}");
    }

    #[test]
    #[should_panic(expected = "gradient of input 0, element 0")]
    fn a_gradient_off_by_a_thousandth_is_caught() {
        let x = Array::new(&[2], vec![0.5, 2.0]);
        check("cube", cube, from_ref(&x), &[gradient_of_cube(&x, 1.001)], 1e-4, 1e-6);
    }

    #[test]
    #[should_panic(expected = "the backward gives NaN")]
    fn nan_is_caught() {
        let x = Array::new(&[1], vec![0.5]);
        check("cube", cube, from_ref(&x), &[gradient_of_cube(&x, f64::NAN)], 1e-4, 1e9);
    }
}
