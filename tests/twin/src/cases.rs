//! Random cases for kernel tests: deliberately odd shapes, and arrays for them.
//!
//! Everything follows from a seed, and a case can be printed: with it in the test's message, a failure can be
//! repeated alone.

use crate::window::{Padding, output_size};
use crate::{Array, softmax_cross_entropy};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// The generator of a seed: the same numbers on every machine.
pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A convolution to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvCase {
    /// Images, 1 to 3.
    pub n: usize,
    /// Input channels, 1 to 19.
    pub c_in: usize,
    /// Output channels, 1 to 19.
    pub c_out: usize,
    /// Height and width, 1 to 13.
    pub size: [usize; 2],
    /// Kernel height and width, each of 1, 3, 5, 7.
    pub kernel: [usize; 2],
    /// 1 to 3.
    pub stride: usize,
    /// Each side separately, below the kernel size, so that every window touches the image.
    pub padding: Padding,
}

impl ConvCase {
    /// (N, C, H, W)
    pub fn x_shape(&self) -> [usize; 4] {
        [self.n, self.c_in, self.size[0], self.size[1]]
    }

    /// (O, C, kh, kw)
    pub fn w_shape(&self) -> [usize; 4] {
        [self.c_out, self.c_in, self.kernel[0], self.kernel[1]]
    }

    /// (N, O, H', W')
    pub fn y_shape(&self) -> [usize; 4] {
        let [h, w] = output_size(self.size, self.kernel, self.stride, self.padding);
        [self.n, self.c_out, h, w]
    }
}

/// A depthwise convolution or a pooling to try: as a [`ConvCase`], with one count of channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowCase {
    /// Images, 1 to 3.
    pub n: usize,
    /// Channels, 1 to 19.
    pub c: usize,
    /// Height and width, 1 to 13.
    pub size: [usize; 2],
    /// Kernel height and width, each of 1, 3, 5, 7.
    pub kernel: [usize; 2],
    /// 1 to 3.
    pub stride: usize,
    /// Each side separately, below the kernel size.
    pub padding: Padding,
}

impl WindowCase {
    /// (N, C, H, W)
    pub fn x_shape(&self) -> [usize; 4] {
        [self.n, self.c, self.size[0], self.size[1]]
    }

    /// The depthwise weight, (C, 1, kh, kw)
    pub fn w_shape(&self) -> [usize; 4] {
        [self.c, 1, self.kernel[0], self.kernel[1]]
    }

    /// (N, C, H', W')
    pub fn y_shape(&self) -> [usize; 4] {
        let [h, w] = output_size(self.size, self.kernel, self.stride, self.padding);
        [self.n, self.c, h, w]
    }
}

/// The requested number of random cases, all valid.
pub fn window_cases(seed: u64, count: usize) -> Vec<WindowCase> {
    let mut rng = rng(seed);
    std::iter::repeat_with(|| any_window(&mut rng))
        .filter(|case| {
            let [top, left, bottom, right] = case.padding;
            case.kernel[0] <= case.size[0] + top + bottom && case.kernel[1] <= case.size[1] + left + right
        })
        .take(count)
        .collect()
}

/// The requested number of random cases, all valid.
pub fn conv_cases(seed: u64, count: usize) -> Vec<ConvCase> {
    let mut rng = rng(seed ^ 0xC0_47);
    let windows = window_cases(seed, count).into_iter();
    let with_outputs = windows.map(|window| ConvCase {
        n: window.n,
        c_in: window.c,
        c_out: rng.random_range(1..=19),
        size: window.size,
        kernel: window.kernel,
        stride: window.stride,
        padding: window.padding,
    });
    with_outputs.collect()
}

/// A case whose kernel may not fit its image.
fn any_window(rng: &mut ChaCha8Rng) -> WindowCase {
    let kernel_h = 1 + 2 * rng.random_range(0..4);
    let square = rng.random_bool(0.7);
    let kernel_w = if square { kernel_h } else { 1 + 2 * rng.random_range(0..4) };
    // Padding as in networks, by half the kernel on all sides; random padding; or none.
    let padding = match rng.random_range(0..5) {
        0 | 1 => [kernel_h / 2, kernel_w / 2, kernel_h / 2, kernel_w / 2],
        2 | 3 => [kernel_h, kernel_w, kernel_h, kernel_w].map(|k| rng.random_range(0..k)),
        _ => [0; 4],
    };
    // Borders overlap at size 1, so its probability is more than one in thirteen.
    let mut side = || {
        if rng.random_bool(0.15) { 1 } else { rng.random_range(1..=13) }
    };
    WindowCase {
        size: [side(), side()],
        n: rng.random_range(1..=3),
        c: rng.random_range(1..=19),
        kernel: [kernel_h, kernel_w],
        stride: rng.random_range(1..=3),
        padding,
    }
}

/// Uniform f32 values in the range, widened: what is uploaded is what the twin computes with.
pub fn uniform(rng: &mut ChaCha8Rng, shape: &[usize], range: Range<f32>) -> Array {
    let len: usize = shape.iter().product();
    let values: Vec<f32> = (0..len).map(|_| rng.random_range(range.clone())).collect();
    Array::from_f32(shape, &values)
}

/// Moves elements nearer than `distance` to a kink out to that distance, each on its own side.
pub fn keep_away(array: &mut Array, kink: f64, distance: f64) {
    for x in &mut array.data {
        if (*x - kink).abs() < distance {
            *x = kink + distance.copysign(*x - kink);
        }
    }
}

/// Shuffled multiples of `spacing` around 0, no two alike: for ops with kinks at ties.
pub fn distinct(rng: &mut ChaCha8Rng, shape: &[usize], spacing: f32) -> Array {
    let len: usize = shape.iter().product();
    let mut values: Vec<f32> = (0..len).map(|i| (i as f32 - len as f32 / 2.0) * spacing).collect();
    values.shuffle(rng);
    Array::from_f32(shape, &values)
}

/// One label per row, each a class.
pub fn labels(rng: &mut ChaCha8Rng, rows: usize, classes: usize) -> Vec<u32> {
    let classes = classes as u32;
    (0..rows).map(|_| rng.random_range(0..classes)).collect()
}

/// As [`labels`], but about every fourth row is [`softmax_cross_entropy::IGNORED`].
pub fn labels_with_ignored(rng: &mut ChaCha8Rng, rows: usize, classes: usize) -> Vec<u32> {
    let mut labels = labels(rng, rows, classes);
    for label in &mut labels {
        if rng.random_bool(0.25) {
            *label = softmax_cross_entropy::IGNORED;
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_cases_contain_what_kernels_get_wrong() {
        let cases = conv_cases(1, 200);
        assert_eq!(cases.len(), 200);
        let some = |what: &str, test: &dyn Fn(&ConvCase) -> bool| {
            assert!(cases.iter().any(test), "no case with {what}");
        };
        some("a 1x1 image", &|c| c.size == [1, 1]);
        some("a kernel larger than the image", &|c| c.kernel[0] > c.size[0]);
        some("a rectangular kernel", &|c| c.kernel[0] != c.kernel[1]);
        some("asymmetric padding", &|c| c.padding[0] != c.padding[2]);
        some("no padding", &|c| c.padding == [0; 4] && c.kernel != [1, 1]);
        some("stride 3", &|c| c.stride == 3);
        some("rows that no window reaches", &|c| c.kernel == [1, 1] && c.stride == 3 && c.size[0] % 3 != 1);
        some("three input channels", &|c| c.c_in == 3);
        some("whole vectors of channels", &|c| c.c_in % 4 == 0 && c.c_out % 4 == 0);
        some("a rest of channels", &|c| c.c_in % 4 != 0 && c.c_out % 4 != 0);
        some("the largest batch", &|c| c.n == 3);
        for c in &cases {
            let y = c.y_shape();
            assert!(y[2] > 0 && y[3] > 0, "{c:?}");
        }
    }

    #[test]
    fn a_seed_is_a_case() {
        assert_eq!(conv_cases(5, 10), conv_cases(5, 10));
        assert_ne!(conv_cases(5, 10), conv_cases(6, 10));
        let draw = |seed| uniform(&mut rng(seed), &[2, 3], -1.0..1.0);
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }

    #[test]
    fn distinct_values_are_distinct_and_shuffled() {
        let array = distinct(&mut rng(3), &[3, 7], 0.5);
        let mut sorted = array.data.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] == 0.5));
        assert_ne!(sorted, array.data);
    }

    #[test]
    fn kept_away_on_the_same_side() {
        let mut a = Array::new(&[4], vec![-0.001, 0.0, 0.002, 0.5]);
        keep_away(&mut a, 0.0, 0.01);
        assert_eq!(a.data, [-0.01, 0.01, 0.01, 0.5]);
    }
}
