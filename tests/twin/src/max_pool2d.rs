//! max_pool2d: the largest pixel under each window, and where it was.
//! backward: dx sums dy over all windows whose largest pixel this one was.

use crate::window::{Padding, input_pixel, output_size};
use crate::{Array, Value, exact};

/// What pooling computes.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// The maxima, (N, C, H', W').
    pub y: Value,
    /// The position of each maximum in its image plane, `h·W + w`, as PyTorch's `return_indices`; in the
    /// order of `y`.
    pub pixel: Vec<usize>,
    /// The position of each maximum in its window, `kh·KW + kw`, counting padding; in the order of `y`.
    pub tap: Vec<usize>,
}

/// `max_pool2d.forward`: x (N, C, H, W) -> (N, C, H', W').
///
/// Among equal maxima the first in row-major order wins, as in PyTorch. Padding is never the maximum: it
/// counts as −∞, not as 0. Inputs are finite.
///
/// # Panics
/// If a window is completely in the padding, because it has no maximum. Padding smaller than the kernel
/// (PyTorch requires at most half of it) prevents that.
pub fn forward(x: &Array, kernel: [usize; 2], stride: usize, padding: Padding) -> Pooled {
    let [n, c, h, w] = x.dims();
    let [h_out, w_out] = output_size([h, w], kernel, stride, padding);
    let mut pooled = Pooled { y: Value::zeros(&[n, c, h_out, w_out]), pixel: Vec::new(), tap: Vec::new() };
    for n in 0..n {
        for c in 0..c {
            for oh in 0..h_out {
                for ow in 0..w_out {
                    let mut largest = f64::NEG_INFINITY;
                    let mut place = None;
                    for kh in 0..kernel[0] {
                        for kw in 0..kernel[1] {
                            let pixel = input_pixel([oh, ow], [kh, kw], stride, padding, [h, w]);
                            let Some([ih, iw]) = pixel else { continue };
                            if x[[n, c, ih, iw]] > largest {
                                largest = x[[n, c, ih, iw]];
                                place = Some((ih * w + iw, kh * kernel[1] + kw));
                            }
                        }
                    }
                    let (pixel, tap) = place.unwrap_or_else(|| {
                        panic!("window ({oh}, {ow}) of kernel {kernel:?} is all padding {padding:?}")
                    });
                    pooled.y.set([n, c, oh, ow], exact(largest));
                    pooled.pixel.push(pixel);
                    pooled.tap.push(tap);
                }
            }
        }
    }
    pooled
}

/// `max_pool2d.backward`: dy (N, C, H', W') and the pixel of each maximum -> dx of `x_shape`.
///
/// Windows overlap when the stride is smaller than the kernel; a pixel then sums several dy.
pub fn backward(dy: &Array, pixel: &[usize], x_shape: [usize; 4]) -> Value {
    let [n, c, h_out, w_out] = dy.dims();
    assert_eq!(dy.data.len(), pixel.len(), "a maximum for every element of grad_output");
    let mut dx = Value::zeros(&x_shape);
    let [_, _, h, w] = x_shape;
    for plane in 0..n * c {
        for i in 0..h_out * w_out {
            let o = plane * h_out * w_out + i;
            dx.add([plane * h * w + pixel[o]], exact(dy.data[o]));
        }
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    #[test]
    fn the_first_of_equal_maxima_wins_and_padding_never() {
        let x = Array::new(&[1, 1, 2, 3], vec![-1., -1., -2., -5., -1., -2.]);
        let pooled = forward(&x, [3, 3], 2, [1; 4]);
        assert_eq!(pooled.y.value.shape, [1, 1, 1, 2]);
        assert_eq!(pooled.y.value.data, [-1.0, -1.0]);
        // The second window starts at column 1; its first −1 is in row 0. The top row of taps is
        // padding, so row 0 of the image is row 1 of the window.
        assert_eq!(pooled.pixel, [0, 1]);
        assert_eq!(pooled.tap, [4, 3]);
    }

    #[test]
    fn overlapping_windows_add_up() {
        let x = Array::new(&[1, 1, 1, 3], vec![0.0, 5.0, 1.0]);
        let pooled = forward(&x, [1, 2], 1, [0; 4]);
        let dy = Array::new(&[1, 1, 1, 2], vec![10.0, -3.0]);
        let dx = backward(&dy, &pooled.pixel, [1, 1, 1, 3]);
        assert_eq!(dx.value.data, [0.0, 7.0, 0.0]);
        assert_eq!(dx.terms.data, [0.0, 13.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "is all padding")]
    fn a_window_without_a_pixel_is_refused() {
        forward(&Array::zeros(&[1, 1, 2, 2]), [2, 2], 2, [2, 0, 0, 0]);
    }

    /// Kinks at ties: the inputs are distinct multiples of 0.1 and eps is 1e-3, so that no step
    /// changes a winner. Piecewise linear: exact up to rounding.
    #[test]
    fn gradients() {
        let chosen = [
            ([1, 1, 1, 1], [3, 3], 2, [1; 4]),
            ([2, 3, 7, 5], [3, 3], 2, [1; 4]),
            ([1, 5, 6, 4], [2, 2], 2, [0; 4]),
            ([1, 2, 5, 6], [3, 2], 1, [0, 1, 2, 0]),
            ([2, 1, 8, 8], [3, 3], 2, [0, 0, 1, 1]),
        ];
        let mut rng = cases::rng(9);
        for (shape, kernel, stride, padding) in chosen {
            let x = cases::distinct(&mut rng, &shape, 0.1);
            let pooled = forward(&x, kernel, stride, padding);
            let dy = gradcheck::grad_output(&pooled.y.value.shape);
            let dx = backward(&dy, &pooled.pixel, shape);
            let f = |v: &[Array]| forward(&v[0], kernel, stride, padding).y;
            let name = format!("{shape:?} kernel {kernel:?}");
            gradcheck::check(&name, f, &[x], &[dx], 1e-3, 1e-9);
        }
    }
}
