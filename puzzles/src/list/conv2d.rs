//! conv2d in its three passes.

use super::{IMAGE, images_of};
use crate::case::{Case, permuted, stored, stored_value};
use frostline_twin::{Array, Value, cases, conv2d as twin};
use rand::Rng;

/// x (N, C, H, W), w (O, C, K, K), dy, stride, padding.
struct Convolution {
    x: Array,
    w: Array,
    dy: Array,
    stride: usize,
    padding: usize,
}

/// Tap row, tap column, input channel, output channel: how weights are stored.
const WEIGHT: [usize; 4] = [2, 3, 1, 0];

fn all(seed: u64, case: impl Fn(&Convolution, String) -> Case) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 13);
    let mut shapes = vec![
        // images, height, width, input channels, output channels, kernel, stride, padding
        [1, 6, 6, 2, 3, 3, 1, 1],
        [2, 5, 7, 3, 5, 3, 1, 1],
        [1, 7, 6, 4, 2, 3, 2, 1],
        [3, 1, 1, 3, 4, 3, 1, 1],
        [1, 9, 4, 2, 2, 1, 2, 0],
        [1, 8, 9, 1, 6, 5, 3, 2],
        [2, 4, 5, 3, 2, 2, 1, 0],
    ];
    shapes.push([
        rng.random_range(1..4),
        rng.random_range(3..9),
        rng.random_range(3..9),
        rng.random_range(1..6),
        rng.random_range(1..6),
        3,
        rng.random_range(1..3),
        rng.random_range(0..2),
    ]);
    let draw = |[n, h, w, c_in, c_out, kernel, stride, padding]: [usize; 8]| {
        let x = cases::uniform(&mut rng, &[n, c_in, h, w], -1.0..1.0);
        let weight = cases::uniform(&mut rng, &[c_out, c_in, kernel, kernel], -1.0..1.0);
        let shape = twin::output_shape(x.dims(), weight.dims(), stride, [padding; 4]);
        let dy = cases::uniform(&mut rng, &shape, -1.0..1.0);
        let what = format!(
            "{}, {c_in} to {c_out} channels, kernel {kernel}×{kernel}, stride {stride}, padding {padding}",
            images_of(n, h, w)
        );
        case(&Convolution { x, w: weight, dy, stride, padding }, what)
            .sizes(&[("images", n), ("h_in", h), ("w_in", w), ("c_in", c_in)])
            .sizes(&[("h_out", shape[2]), ("w_out", shape[3]), ("c_out", c_out)])
            .sizes(&[("kernel", kernel), ("stride", stride), ("padding", padding)])
            .count("images", n)
            .count("input channels", c_in)
    };
    shapes.into_iter().map(draw).collect()
}

pub(super) fn forward(seed: u64) -> Vec<Case> {
    all(seed, |Convolution { x, w, stride, padding, .. }, what| {
        let y = twin::forward(x, w, *stride, [*padding; 4]);
        Case::new(what, "y", &IMAGE, stored_value(&y)).input("x", &stored(x)).input("w", &permuted(w, WEIGHT))
    })
}

pub(super) fn backward_input(seed: u64) -> Vec<Case> {
    all(seed, |Convolution { x, w, dy, stride, padding }, what| {
        let dx = twin::backward_input(dy, w, x.dims(), *stride, [*padding; 4]);
        Case::new(what, "dx", &IMAGE, stored_value(&dx))
            .input("dy", &stored(dy))
            .input("w", &permuted(w, WEIGHT))
    })
}

pub(super) fn backward_weight(seed: u64) -> Vec<Case> {
    all(seed, |Convolution { x, w, dy, stride, padding }, what| {
        let dw = twin::backward_weight(x, dy, w.dims(), *stride, [*padding; 4]);
        let value = Value { value: permuted(&dw.value, WEIGHT), terms: permuted(&dw.terms, WEIGHT) };
        let axes = ["tap row", "tap column", "input channel", "output channel"];
        Case::new(what, "dw", &axes, value).input("x", &stored(x)).input("dy", &stored(dy))
    })
}
