//! depthwise_conv2d: a convolution that does not mix channels,
//! y[n, c, p] = Σ_t x[n, c, p·stride + t − padding] · w[c, 0, t].
//!
//! As in [`crate::conv2d`], forward and both gradients sum over the same triples (x, w, y).

use crate::epilogue::Epilogue;
use crate::window::{Padding, input_pixel, output_size};
use crate::{Array, Value, exact};

type Index = [usize; 4];

/// Visits the indices (x, w, y) of every product, with x NCHW and w (C, 1, kh, kw).
fn for_each_product(
    x_shape: Index,
    w_shape: Index,
    stride: usize,
    padding: Padding,
    mut visit: impl FnMut(Index, Index, Index),
) {
    let [n, c, h, w] = x_shape;
    let [_, _, kernel_h, kernel_w] = w_shape;
    let [h_out, w_out] = output_size([h, w], [kernel_h, kernel_w], stride, padding);
    for n in 0..n {
        for oh in 0..h_out {
            for ow in 0..w_out {
                for kh in 0..kernel_h {
                    for kw in 0..kernel_w {
                        let pixel = input_pixel([oh, ow], [kh, kw], stride, padding, [h, w]);
                        let Some([ih, iw]) = pixel else { continue };
                        for c in 0..c {
                            visit([n, c, ih, iw], [c, 0, kh, kw], [n, c, oh, ow]);
                        }
                    }
                }
            }
        }
    }
}

/// The output's shape (N, C, H', W').
///
/// # Panics
/// If the weight is not (C, 1, kh, kw) with the input's C, or the kernel does not fit.
pub fn output_shape(x: Index, w: Index, stride: usize, padding: Padding) -> Index {
    assert!(
        x[1] == w[0] && w[1] == 1,
        "depthwise weight {w:?} does not fit the input {x:?}: expected ({}, 1, kh, kw)",
        x[1]
    );
    let [h, w_out] = output_size([x[2], x[3]], [w[2], w[3]], stride, padding);
    [x[0], x[1], h, w_out]
}

/// `depthwise_conv2d.forward`: x (N, C, H, W), w (C, 1, kh, kw) -> (N, C, H', W').
pub fn forward(x: &Array, w: &Array, stride: usize, padding: Padding) -> Value {
    let mut y = Value::zeros(&output_shape(x.dims(), w.dims(), stride, padding));
    for_each_product(x.dims(), w.dims(), stride, padding, |xi, wi, yi| {
        y.add(yi, exact(x[xi]) * exact(w[wi]));
    });
    y
}

/// `depthwise_conv2d.forward` with a fused end.
pub fn forward_fused(
    x: &Array,
    w: &Array,
    stride: usize,
    padding: Padding,
    epilogue: &Epilogue<'_>,
) -> Value {
    epilogue.apply(&forward(x, w, stride, padding))
}

/// `depthwise_conv2d.backward_input`: dy (N, C, H', W'), w -> dx of shape `x_shape`, (N, C, H, W).
pub fn backward_input(dy: &Array, w: &Array, x_shape: Index, stride: usize, padding: Padding) -> Value {
    dy.expect_shape("grad_output", &output_shape(x_shape, w.dims(), stride, padding));
    let mut dx = Value::zeros(&x_shape);
    for_each_product(x_shape, w.dims(), stride, padding, |xi, wi, yi| {
        dx.add(xi, exact(dy[yi]) * exact(w[wi]));
    });
    dx
}

/// `depthwise_conv2d.backward_weight`: x, dy -> dw of shape `w_shape`, (C, 1, kh, kw).
pub fn backward_weight(x: &Array, dy: &Array, w_shape: Index, stride: usize, padding: Padding) -> Value {
    dy.expect_shape("grad_output", &output_shape(x.dims(), w_shape, stride, padding));
    let mut dw = Value::zeros(&w_shape);
    for_each_product(x.dims(), w_shape, stride, padding, |xi, wi, yi| {
        dw.add(wi, exact(dy[yi]) * exact(x[xi]));
    });
    dw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, conv2d, gradcheck};

    /// A depthwise convolution is a full one whose weight is zero between different channels.
    #[test]
    fn equals_a_full_convolution_with_a_diagonal_weight() {
        let mut rng = cases::rng(4);
        for case in cases::window_cases(4, 20) {
            let (stride, padding) = (case.stride, case.padding);
            let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
            let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
            let [c, _, kh, kw] = w.dims();
            let mut full = Array::zeros(&[c, c, kh, kw]);
            for c in 0..c {
                for kh in 0..kh {
                    for kw in 0..kw {
                        full[[c, c, kh, kw]] = w[[c, 0, kh, kw]];
                    }
                }
            }
            assert_eq!(
                forward(&x, &w, stride, padding),
                conv2d::forward(&x, &full, stride, padding),
                "{case:?}"
            );
        }
    }

    /// No kinks, linear in each input: any eps is exact, here 0.5.
    #[test]
    fn gradients() {
        let chosen = [
            (vec![1, 1, 1, 1], vec![1, 1, 1, 1], 1, [0; 4]),
            (vec![1, 3, 1, 1], vec![3, 1, 5, 5], 2, [2; 4]),
            (vec![2, 5, 6, 5], vec![5, 1, 3, 3], 1, [1; 4]),
            (vec![1, 3, 8, 7], vec![3, 1, 5, 5], 2, [1, 1, 2, 2]),
            (vec![2, 2, 4, 9], vec![2, 1, 1, 3], 3, [0, 2, 0, 0]),
        ];
        let mut rng = cases::rng(5);
        for (x_shape, w_shape, stride, padding) in chosen {
            let x = cases::uniform(&mut rng, &x_shape, -1.0..1.0);
            let w = cases::uniform(&mut rng, &w_shape, -1.0..1.0);
            let dy = gradcheck::grad_output(&output_shape(x.dims(), w.dims(), stride, padding));
            let dx = backward_input(&dy, &w, x.dims(), stride, padding);
            let dw = backward_weight(&x, &dy, w.dims(), stride, padding);
            let name = format!("{x_shape:?} {w_shape:?} stride {stride} padding {padding:?}");
            let f = |v: &[Array]| forward(&v[0], &v[1], stride, padding);
            gradcheck::check(&name, f, &[x, w], &[dx, dw], 0.5, 1e-11);
        }
    }
}
