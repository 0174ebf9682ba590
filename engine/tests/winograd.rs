//! Winograd's algorithm against the twin of conv2d, which does not use it.
//!
//! A tile's outputs are computed from all its inputs, so the error of each output is a share of the tile's
//! largest Σ|terms|. The bound of every other kernel is 4·ε·Σ|terms| of the output. With the tile's largest sum
//! in its place, F(2×2, 3×3) and F(4×4, 3×3) keep this bound from 32 channels and 128 pixels on. With fewer the
//! table does not choose them.

mod common;

use common::{Bench, filter, padding, tunings};
use frostline_engine::ops::Conv2d;
use frostline_engine::tuning::{Algorithm, Class, Conv, Filtering, Measured, Pass};
use frostline_engine::{Freeze, Tuning};
use frostline_twin::cases::{self, ConvCase};
use frostline_twin::conv2d;
use std::sync::Arc;

fn case(n: usize, [c_in, c_out]: [usize; 2], size: [usize; 2], padding: [usize; 4]) -> ConvCase {
    ConvCase { n, c_in, c_out, size, kernel: [3, 3], stride: 1, padding }
}

/// `tuning`, but with all three passes of `case` done by `filtering`.
fn forced(tuning: &Tuning, case: ConvCase, filtering: Filtering) -> Tuning {
    let [h_out, w_out] = [0, 1].map(|i| case.size[i] + case.padding[i] + case.padding[i + 2] - 2);
    let mut measured = Measured::default();
    for (pass, width) in
        [(Pass::Forward, w_out), (Pass::BackwardInput, case.size[1]), (Pass::BackwardWeight, w_out)]
    {
        let conv = Conv {
            pass,
            kh: 3,
            kw: 3,
            stride: 1,
            c_in: case.c_in,
            c_out: case.c_out,
            width,
            rows: case.n * h_out,
        };
        measured.insert(&conv, Algorithm::Winograd(filtering));
    }
    Tuning { measured: Some(Arc::new(measured)), ..tuning.clone() }
}

fn check(case: ConvCase, m: u32) {
    let mut rng = cases::rng(u64::from(m));
    let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
    let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
    let dy = cases::uniform(&mut rng, &case.y_shape(), -1.0..1.0);
    let mut bench = Bench::default();
    let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
    let y = bench
        .graph
        .record(Conv2d { stride: 1, padding: padding(case.padding), ..Default::default() }, "conv", &inputs)
        .unwrap();
    for tuning in tunings() {
        let (tm, p, q) = if matches!(tuning.class, Class::Subgroup { .. }) { (16, 2, 2) } else { (8, 1, 1) };
        let ran = bench.run(y, &dy, &Freeze::none(), &forced(&tuning, case, Filtering { m, tm, p, q }));
        let what = format!("F({m}×{m}, 3×3) {case:?} {:?}", tuning.class);
        for kernel in ["multiply", "multiply_weight"] {
            assert!(ran.count(&format!("winograd.{kernel}")) > 0, "{what}: no {kernel}");
        }
        ran.check_output(&what, &conv2d::forward(&x, &w, 1, case.padding).by_tile(m as usize));
        ran.check_gradient(
            &what,
            "x",
            &conv2d::backward_input(&dy, &w, x.dims(), 1, case.padding).by_tile(m as usize),
        );
        ran.check_gradient(
            &what,
            "w",
            &conv2d::backward_weight(&x, &dy, w.dims(), 1, case.padding).by_tile(3),
        );
    }
}

#[test]
fn four_by_four() {
    check(case(2, [32, 33], [8, 8], [1; 4]), 4);
    check(case(2, [35, 36], [7, 13], [1; 4]), 4);
    check(case(9, [68, 40], [3, 5], [1; 4]), 4);
}

#[test]
fn two_by_two() {
    check(case(2, [32, 33], [8, 8], [1; 4]), 2);
    check(case(4, [36, 34], [5, 3], [1; 4]), 2);
}

/// None, on one side only, and more than the filter reaches over.
#[test]
fn paddings() {
    for padding in [[0; 4], [2, 0, 0, 1], [3, 1, 0, 4]] {
        check(case(8, [32, 32], [6, 5], padding), 4);
    }
}
