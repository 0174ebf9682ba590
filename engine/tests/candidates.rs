//! Choices for a convolution that can result from measuring have the error bounds of the table's choices.
//!
//! Candidates differ in constants of kernels that other tests use in the table's form. Compiling one takes a
//! software driver a second, so only a few of each class of kernels are tested here; `make tune` compares
//! every candidate with the table's choice before it times it.

mod common;

use common::{Bench, filter, padding, tunings};
use frostline_engine::ops::Conv2d;
use frostline_engine::tuning::{Algorithm, Measured, Pass};
use frostline_engine::{Freeze, Shape, Tuning};
use frostline_twin::cases::{self, ConvCase};
use frostline_twin::conv2d;
use std::sync::Arc;

const PASSES: [Pass; 3] = [Pass::Forward, Pass::BackwardInput, Pass::BackwardWeight];
/// Candidates of each convolution and class of kernels.
const SHOWN: usize = 2;

/// `SHOWN` of the candidates for the whole class, including the last and most unusual one.
fn some(tuning: &Tuning, op: &Conv2d, [x, w]: [Shape; 2], pass: Pass) -> Vec<Algorithm> {
    let conv = op.conv(pass, x, w).unwrap();
    let fit: Vec<Algorithm> = tuning
        .candidates(&conv)
        .into_iter()
        .filter(|algorithm| tuning.suits_class(&conv, *algorithm))
        .collect();
    (1..=SHOWN).map(|part| fit[(fit.len() - 1) * part / SHOWN]).collect()
}

fn check(case: ConvCase) {
    let mut rng = cases::rng(1);
    let [x, w, dy] = [case.x_shape(), case.w_shape(), case.y_shape()]
        .map(|shape| cases::uniform(&mut rng, &shape, -1.0..1.0));
    let mut bench = Bench::default();
    let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
    let op = Conv2d { stride: case.stride, padding: padding(case.padding), ..Default::default() };
    let shapes = inputs.map(|input| bench.graph.shape(input));
    let y = bench.graph.record(op.clone(), "conv", &inputs).unwrap();
    for tuning in tunings() {
        let chosen = PASSES.map(|pass| some(&tuning, &op, shapes, pass));
        for turn in 0..SHOWN {
            let mut measured = Measured::default();
            for (pass, chosen) in PASSES.iter().zip(&chosen) {
                measured.insert(&op.conv(*pass, shapes[0], shapes[1]).unwrap(), chosen[turn]);
            }
            let what = format!("{case:?} {measured:?}");
            let ran = bench.run(
                y,
                &dy,
                &Freeze::none(),
                &Tuning { measured: Some(Arc::new(measured)), ..tuning.clone() },
            );
            ran.check_output(&what, &conv2d::forward(&x, &w, case.stride, case.padding).by_tile(4));
            ran.check_gradient(
                &what,
                "x",
                &conv2d::backward_input(&dy, &w, x.dims(), case.stride, case.padding).by_tile(4),
            );
            ran.check_gradient(
                &what,
                "w",
                &conv2d::backward_weight(&x, &dy, w.dims(), case.stride, case.padding).by_tile(3),
            );
        }
    }
}

#[test]
fn of_a_3x3_convolution_winograds_among_them() {
    check(ConvCase { n: 3, c_in: 33, c_out: 36, size: [9, 7], kernel: [3, 3], stride: 1, padding: [1; 4] });
}

#[test]
fn of_strides() {
    check(ConvCase { n: 2, c_in: 8, c_out: 20, size: [9, 8], kernel: [3, 3], stride: 2, padding: [1; 4] });
}
