//! global_avg_pool: y[n, c] = Σ_{h, w} x[n, c, h, w] / (H·W). backward: dx = dy / (H·W).

use crate::{Array, Value, exact};

/// `global_avg_pool.forward`: x (N, C, H, W) -> (N, C).
pub fn forward(x: &Array) -> Value {
    let [n, c, h, w] = x.dims();
    let pixels = h * w;
    Value::build(&[n, c], |plane| {
        let range = plane * pixels..(plane + 1) * pixels;
        range.map(|i| exact(x.data[i]) / exact(pixels as f64)).sum()
    })
}

/// `global_avg_pool.backward`: dy (N, C) -> dx of `x_shape`, (N, C, H, W).
pub fn backward(dy: &Array, x_shape: [usize; 4]) -> Value {
    let [n, c, h, w] = x_shape;
    dy.expect_shape("grad_output", &[n, c]);
    let pixels = h * w;
    Value::build(&x_shape, |i| exact(dy.data[i / pixels]) / exact(pixels as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    /// No kinks, linear: any eps is exact, here 0.5.
    #[test]
    fn gradients() {
        let mut rng = cases::rng(10);
        for shape in [[1, 1, 1, 1], [2, 5, 3, 7], [3, 2, 1, 4]] {
            let x = cases::uniform(&mut rng, &shape, -1.0..1.0);
            let dx = backward(&gradcheck::grad_output(&shape[..2]), shape);
            let f = |v: &[Array]| forward(&v[0]);
            gradcheck::check(&format!("{shape:?}"), f, &[x], &[dx], 0.5, 1e-11);
        }
    }
}
