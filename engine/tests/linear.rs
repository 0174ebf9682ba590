//! linear against its twin: forward and all three backward passes, for both tunings.

mod common;

use common::{Bench, GPU, matrix, tunings, vector};
use frostline_engine::ops::Linear;
use frostline_engine::{Freeze, TensorId};
use frostline_twin::{Array, cases, linear};

fn bench(x: &Array, w: &Array, b: &Array) -> (Bench, TensorId) {
    let mut bench = Bench::default();
    let inputs =
        [bench.image("x", x), bench.parameter("w", matrix(w), w), bench.parameter("b", vector(b), b)];
    let y = bench.graph.record(Linear, "fc", &inputs).unwrap();
    (bench, y)
}

/// One row, one feature, one class; a prime number of rows, which cannot be divided evenly; more rows than
/// one chunk of the bias gradient; more classes than one tile.
#[test]
fn shapes() {
    let mut rng = cases::rng(40);
    for (rows, c_in, c_out) in [(1, 1, 1), (1, 13, 7), (3, 5, 10), (67, 6, 3), (128, 9, 5), (2, 33, 70)] {
        let x = cases::uniform(&mut rng, &[rows, c_in], -1.0..1.0);
        let w = cases::uniform(&mut rng, &[c_out, c_in], -1.0..1.0);
        let b = cases::uniform(&mut rng, &[c_out], -1.0..1.0);
        let dy = cases::uniform(&mut rng, &[rows, c_out], -1.0..1.0);
        let (bench, y) = bench(&x, &w, &b);
        for tuning in &tunings() {
            let ran = bench.run(y, &dy, &Freeze::none(), tuning);
            let what = format!("linear {rows}x{c_in} -> {c_out} {:?}", tuning.class);
            ran.check_output(&what, &linear::forward(&x, &w, Some(&b)));
            ran.check_gradient(&what, "x", &linear::backward_input(&dy, &w));
            ran.check_gradient(&what, "w", &linear::backward_weight(&x, &dy));
            ran.check_gradient(&what, "b", &linear::backward_bias(&dy));
        }
    }
}

#[test]
fn a_frozen_input_dispatches_nothing_and_changes_nothing() {
    let mut rng = cases::rng(41);
    let [x, w, b, dy] =
        [&[3, 5][..], &[10, 5], &[10], &[3, 10]].map(|shape| cases::uniform(&mut rng, shape, -1.0..1.0));
    let (bench, y) = bench(&x, &w, &b);
    let kernels: [(&str, &[&str]); 3] =
        [("x", &["conv2d.backward_input"]), ("w", &["conv2d.backward_weight"]), ("b", &["partials.rows"])];
    bench.check_subsets(y, &dy, &Freeze::none(), GPU.tuning(), &kernels);
}
