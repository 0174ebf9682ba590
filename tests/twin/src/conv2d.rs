//! conv2d: y[n, o, p] = Σ_{c, t} x[n, c, p·stride + t − padding] · w[o, c, t], p a pixel, t a tap.
//!
//! Every product of a convolution belongs to one triple of elements (x, w, y). Forward sums x·w
//! into y; the gradients sum over the same triples: dx gathers dy·w, and dw gathers dy·x.

use crate::epilogue::Epilogue;
use crate::window::{Padding, input_pixel, output_size};
use crate::{Array, Value, exact};

type Index = [usize; 4];

/// Visits the indices (x, w, y) of every product, with x NCHW and w OIHW.
fn for_each_product(
    x_shape: Index,
    w_shape: Index,
    stride: usize,
    padding: Padding,
    mut visit: impl FnMut(Index, Index, Index),
) {
    let [n, c_in, h, w] = x_shape;
    let [c_out, _, kernel_h, kernel_w] = w_shape;
    let [h_out, w_out] = output_size([h, w], [kernel_h, kernel_w], stride, padding);
    for n in 0..n {
        for oh in 0..h_out {
            for ow in 0..w_out {
                for kh in 0..kernel_h {
                    for kw in 0..kernel_w {
                        let pixel = input_pixel([oh, ow], [kh, kw], stride, padding, [h, w]);
                        let Some([ih, iw]) = pixel else { continue };
                        for o in 0..c_out {
                            for c in 0..c_in {
                                visit([n, c, ih, iw], [o, c, kh, kw], [n, o, oh, ow]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The output's shape (N, O, H', W').
///
/// # Panics
/// If the weight is for another number of input channels, or the kernel does not fit.
pub fn output_shape(x: Index, w: Index, stride: usize, padding: Padding) -> Index {
    assert_eq!(x[1], w[1], "weight {w:?} expects {} input channels, the input is {x:?}", w[1]);
    let [h, w_out] = output_size([x[2], x[3]], [w[2], w[3]], stride, padding);
    [x[0], w[0], h, w_out]
}

/// `conv2d.forward`: x (N, C, H, W), w (O, C, kh, kw) -> (N, O, H', W').
pub fn forward(x: &Array, w: &Array, stride: usize, padding: Padding) -> Value {
    let mut y = Value::zeros(&output_shape(x.dims(), w.dims(), stride, padding));
    for_each_product(x.dims(), w.dims(), stride, padding, |xi, wi, yi| {
        y.add(yi, exact(x[xi]) * exact(w[wi]));
    });
    y
}

/// `conv2d.forward` with a fused end, as inference and frozen prefixes run it.
pub fn forward_fused(
    x: &Array,
    w: &Array,
    stride: usize,
    padding: Padding,
    epilogue: &Epilogue<'_>,
) -> Value {
    epilogue.apply(&forward(x, w, stride, padding))
}

/// `conv2d.backward_input`: dy (N, O, H', W'), w -> dx of shape `x_shape`, (N, C, H, W).
///
/// The shape has to be given: with a stride above 1 several input sizes lead to one output size.
pub fn backward_input(dy: &Array, w: &Array, x_shape: Index, stride: usize, padding: Padding) -> Value {
    dy.expect_shape("grad_output", &output_shape(x_shape, w.dims(), stride, padding));
    let mut dx = Value::zeros(&x_shape);
    for_each_product(x_shape, w.dims(), stride, padding, |xi, wi, yi| {
        dx.add(xi, exact(dy[yi]) * exact(w[wi]));
    });
    dx
}

/// `conv2d.backward_weight`: x, dy (N, O, H', W') -> dw of shape `w_shape`, (O, C, kh, kw).
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
    use crate::cases::{self, ConvCase};
    use crate::gradcheck;

    #[test]
    fn a_convolution_done_by_hand() {
        // Rows 1 2 3 / 4 5 6, one pixel of padding above and to the left, stride 2.
        let x = Array::new(&[1, 1, 2, 3], vec![1., 2., 3., 4., 5., 6.]);
        let w = Array::new(&[1, 1, 2, 2], vec![1., 10., 100., -1000.]);
        let y = forward(&x, &w, 2, [1, 1, 0, 0]);
        assert_eq!(y.value.shape, [1, 1, 1, 2]);
        assert_eq!(y.value.data, [-1000., 200. - 3000.]);
        assert_eq!(y.terms.data, [1000., 3200.]);
    }

    /// No kinks. Linear in each input, so central differences are exact for any eps but for
    /// rounding: eps is 0.5, and the tolerance that of f64 sums.
    #[test]
    fn gradients() {
        let case = |n, c_in, c_out, size, kernel, stride, padding| ConvCase {
            n,
            c_in,
            c_out,
            size,
            kernel,
            stride,
            padding,
        };
        let chosen = [
            case(1, 1, 1, [1, 1], [1, 1], 1, [0; 4]),
            case(1, 3, 2, [1, 1], [3, 3], 2, [1; 4]),
            case(2, 3, 5, [5, 4], [3, 3], 1, [1; 4]),
            case(2, 2, 3, [7, 5], [3, 3], 2, [0, 0, 1, 1]),
            case(1, 5, 2, [6, 6], [1, 1], 2, [0; 4]),
            case(1, 3, 2, [9, 8], [7, 7], 2, [3; 4]),
            case(1, 2, 2, [4, 7], [1, 5], 3, [0, 4, 0, 1]),
        ];
        let mut rng = cases::rng(3);
        for case in chosen {
            let (stride, padding) = (case.stride, case.padding);
            let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
            let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
            let dy = gradcheck::grad_output(&case.y_shape());
            let dx = backward_input(&dy, &w, x.dims(), stride, padding);
            let dw = backward_weight(&x, &dy, w.dims(), stride, padding);
            let f = |v: &[Array]| forward(&v[0], &v[1], stride, padding);
            gradcheck::check(&format!("{case:?}"), f, &[x, w], &[dx, dw], 0.5, 1e-11);
        }
    }

    #[test]
    #[should_panic(expected = "weight [2, 3, 1, 1] expects 3 input channels")]
    fn other_channels_are_refused() {
        output_shape([1, 4, 5, 5], [2, 3, 1, 1], 1, [0; 4]);
    }
}
