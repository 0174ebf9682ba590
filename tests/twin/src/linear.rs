//! linear: y = x·wᵀ + b. backward: dx = dy·w, dw = dyᵀ·x, db = Σ_rows dy.

use crate::{Array, Tracked, Value, exact};

/// `linear.forward`: x (N, in), w (out, in), bias (out) -> (N, out).
pub fn forward(x: &Array, w: &Array, bias: Option<&Array>) -> Value {
    let [rows, c_in] = x.dims();
    let [c_out, _] = w.dims();
    w.expect_shape("weight", &[c_out, c_in]);
    if let Some(bias) = bias {
        bias.expect_shape("bias", &[c_out]);
    }
    let mut y = Value::zeros(&[rows, c_out]);
    for n in 0..rows {
        for o in 0..c_out {
            let start = bias.map_or(Tracked::ZERO, |bias| exact(bias[[o]]));
            let products = (0..c_in).map(|i| exact(x[[n, i]]) * exact(w[[o, i]]));
            y.set([n, o], start + products.sum());
        }
    }
    y
}

/// `linear.backward_input`: dy (N, out), w (out, in) -> dx (N, in).
pub fn backward_input(dy: &Array, w: &Array) -> Value {
    let [rows, c_out] = dy.dims();
    let [_, c_in] = w.dims();
    w.expect_shape("weight", &[c_out, c_in]);
    let mut dx = Value::zeros(&[rows, c_in]);
    for n in 0..rows {
        for i in 0..c_in {
            let products = (0..c_out).map(|o| exact(dy[[n, o]]) * exact(w[[o, i]]));
            dx.set([n, i], products.sum());
        }
    }
    dx
}

/// `linear.backward_weight`: x (N, in), dy (N, out) -> dw (out, in).
pub fn backward_weight(x: &Array, dy: &Array) -> Value {
    let [rows, c_in] = x.dims();
    let [_, c_out] = dy.dims();
    dy.expect_shape("grad_output", &[rows, c_out]);
    let mut dw = Value::zeros(&[c_out, c_in]);
    for o in 0..c_out {
        for i in 0..c_in {
            let products = (0..rows).map(|n| exact(dy[[n, o]]) * exact(x[[n, i]]));
            dw.set([o, i], products.sum());
        }
    }
    dw
}

/// `linear.backward_bias`: dy (N, out) -> db (out).
pub fn backward_bias(dy: &Array) -> Value {
    let [rows, c_out] = dy.dims();
    Value::build(&[c_out], |o| (0..rows).map(|n| exact(dy[[n, o]])).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    /// No kinks, linear in each input: any eps is exact, here 0.5.
    #[test]
    fn gradients() {
        let mut rng = cases::rng(11);
        for [rows, c_in, c_out] in [[1, 1, 1], [3, 7, 5], [1, 13, 2], [4, 2, 11]] {
            let x = cases::uniform(&mut rng, &[rows, c_in], -1.0..1.0);
            let w = cases::uniform(&mut rng, &[c_out, c_in], -1.0..1.0);
            let b = cases::uniform(&mut rng, &[c_out], -1.0..1.0);
            let dy = gradcheck::grad_output(&[rows, c_out]);
            let grads = [backward_input(&dy, &w), backward_weight(&x, &dy), backward_bias(&dy)];
            let f = |v: &[Array]| forward(&v[0], &v[1], Some(&v[2]));
            let name = format!("{rows}x{c_in} -> {c_out}");
            gradcheck::check(&name, f, &[x, w, b], &grads, 0.5, 1e-11);
        }
    }

    #[test]
    fn without_a_bias() {
        let x = Array::new(&[1, 2], vec![2.0, 3.0]);
        let w = Array::new(&[1, 2], vec![-1.0, 1.0]);
        let y = forward(&x, &w, None);
        assert_eq!((y.value.data[0], y.terms.data[0]), (1.0, 5.0));
    }
}
