//! global_avg_pool and max_pool2d.

use super::{IMAGE, images, images_of, words_of};
use crate::case::{Case, stored, stored_value};
use frostline_twin::{Array, cases, global_avg_pool, max_pool2d};
use rand::Rng;

pub(super) fn average(seed: u64) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 2);
    let of = |shape @ [n, c, h, w]: [usize; 4]| {
        let x = cases::uniform(&mut rng, &shape, -1.0..3.0);
        Case::new(words_of(shape), "y", &["image", "channel"], global_avg_pool::forward(&x))
            .sizes(&[("images", n), ("pixels", h * w), ("channels", c)])
            .input("x", &stored(&x))
            .count("pixels", h * w)
            .count("images", n)
    };
    images(seed).into_iter().map(of).collect()
}

pub(super) fn average_backward(seed: u64) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 3);
    let of = |shape @ [n, c, h, w]: [usize; 4]| {
        let dy = cases::uniform(&mut rng, &[n, c], -1.0..1.0);
        let dx = global_avg_pool::backward(&dy, shape);
        Case::new(words_of(shape), "dx", &IMAGE, stored_value(&dx))
            .sizes(&[("images", n), ("pixels", h * w), ("channels", c)])
            .input("dy", &dy)
            .count("pixels", h * w)
    };
    images(seed).into_iter().map(of).collect()
}

/// A pooling: images, kernel, stride, padding.
type Pooling = ([usize; 4], usize, usize, usize);

fn poolings(seed: u64) -> Vec<Pooling> {
    let mut rng = cases::rng(seed ^ 4);
    let mut all = vec![
        ([2, 4, 4, 4], 2, 2, 0),
        ([1, 4, 7, 5], 3, 2, 1),
        ([1, 8, 1, 1], 3, 1, 1),
        ([2, 4, 5, 6], 3, 1, 1),
        ([1, 4, 8, 3], 2, 3, 0),
    ];
    all.extend([(); 2].map(|()| {
        let kernel = rng.random_range(2..5);
        // At most half of the kernel, as PyTorch requires: every window has a pixel.
        let padding = rng.random_range(0..=kernel / 2);
        let mut side = || rng.random_range(kernel..kernel + 7);
        ([2, 4, side(), side()], kernel, 1 + kernel % 3, padding)
    }));
    all
}

/// The case without its output, and its input and the twin's result.
fn pooled(
    (shape @ [n, c, h, w], kernel, stride, padding): Pooling,
    rng: &mut impl Rng,
) -> (String, Array, max_pool2d::Pooled, Vec<(&'static str, usize)>) {
    // Mostly negative, so that a padding of zeros would win; no two alike.
    let mut seeded = cases::rng(rng.random());
    let mut x = cases::distinct(&mut seeded, &shape, 0.125);
    x.data.iter_mut().for_each(|value| *value -= shape.iter().product::<usize>() as f64 / 16.0);
    let result = max_pool2d::forward(&x, [kernel; 2], stride, [padding; 4]);
    let [_, _, h_out, w_out] = result.y.value.dims();
    let what = format!(
        "{}, {c} channels, kernel {kernel}×{kernel}, stride {stride}, padding {padding}",
        images_of(n, h, w)
    );
    let sizes = vec![
        ("images", n),
        ("h_in", h),
        ("w_in", w),
        ("h_out", h_out),
        ("w_out", w_out),
        ("channels", c),
        ("kernel", kernel),
        ("stride", stride),
        ("padding", padding),
    ];
    (what, x, result, sizes)
}

pub(super) fn max(seed: u64) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 5);
    let of = |pooling| {
        let (what, x, result, sizes) = pooled(pooling, &mut rng);
        Case::new(what, "y", &IMAGE, stored_value(&result.y)).sizes(&sizes).input("x", &stored(&x))
    };
    poolings(seed).into_iter().map(of).collect()
}

pub(super) fn max_backward(seed: u64) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 6);
    let of = |pooling: Pooling| {
        let (what, x, result, sizes) = pooled(pooling, &mut rng);
        let shape = &result.y.value.shape;
        let dy = cases::uniform(&mut rng, shape, -1.0..1.0);
        let dx = max_pool2d::backward(&dy, &result.pixel, x.dims());
        let place = Array::new(shape, result.tap.iter().map(|&tap| tap as f64).collect());
        let place = stored(&place).data.into_iter().map(|tap| tap as u32).collect();
        Case::new(what, "dx", &IMAGE, stored_value(&dx))
            .sizes(&sizes)
            .input("dy", &stored(&dy))
            .words("place", place)
    };
    poolings(seed).into_iter().map(of).collect()
}
