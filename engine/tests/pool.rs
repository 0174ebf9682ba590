//! max_pool2d and global_avg_pool against their twins.

mod common;

use common::{Bench, GPU, tunings};
use frostline_engine::ops::{GlobalAvgPool, MaxPool2d};
use frostline_engine::{Freeze, Plan, Session};
use frostline_twin::{Array, Value, cases, global_avg_pool, max_pool2d};

fn check_max_pool(x: &Array, kernel: usize, stride: usize, padding: usize) {
    let mut bench = Bench::default();
    let input = bench.image("x", x);
    let y = bench.graph.record(MaxPool2d { kernel, stride, padding }, "pool", &[input]).unwrap();
    let expected = max_pool2d::forward(x, [kernel; 2], stride, [padding; 4]);
    let dy = cases::uniform(&mut cases::rng(1), &expected.y.value.shape, -1.0..1.0);
    let ran = bench.run(y, &dy, &Freeze::none(), GPU.tuning());
    let what = format!("max_pool2d {kernel}x{kernel}/{stride} padding {padding} of {:?}", x.shape);
    assert_eq!(ran.output, expected.y.value.to_f32(), "{what}: nothing is computed, only selected");
    ran.check_gradient(&what, "x", &max_pool2d::backward(&dy, &expected.pixel, x.dims()));
}

#[test]
fn max_pool_of_distinct_values() {
    let mut rng = cases::rng(50);
    for (shape, kernel, stride, padding) in [
        ([2, 5, 7, 9], 3, 2, 1),
        ([1, 4, 8, 6], 2, 2, 0),
        ([3, 1, 5, 5], 3, 1, 1),
        ([1, 6, 11, 4], 3, 3, 0),
        ([1, 3, 1, 1], 2, 1, 1),
        ([1, 2, 16, 15], 15, 2, 7),
        ([1, 7, 1, 1], 1, 1, 0),
        // Squares of 9 pixels, and of one: windows apart, of odd padding, and far larger than their stride.
        ([2, 8, 11, 7], 5, 3, 2),
        ([1, 8, 13, 10], 4, 5, 1),
        ([1, 4, 9, 12], 7, 2, 3),
    ] {
        // Half are negative: the zero of padding must not be the maximum.
        check_max_pool(&cases::distinct(&mut rng, &shape, 0.1), kernel, stride, padding);
    }
}

/// After a relu many windows hold several zeros: the first gets the gradient.
#[test]
fn the_first_of_equal_maxima_wins() {
    let mut x = cases::uniform(&mut cases::rng(51), &[2, 5, 7, 6], -3.0..2.0);
    x.data.iter_mut().for_each(|value| *value = value.max(0.0).round());
    check_max_pool(&x, 3, 2, 1);
}

/// A diverging run must be visible, and not disappear in the pooling.
#[test]
fn a_nan_in_a_window_comes_through() {
    let mut x = Array::zeros(&[1, 4, 2, 2]);
    x[[0, 1, 1, 0]] = f64::NAN;
    let mut bench = Bench::default();
    let input = bench.image("x", &x);
    let y = bench.graph.record(MaxPool2d { kernel: 2, stride: 2, padding: 0 }, "pool", &[input]).unwrap();
    let ran = bench.run(y, &Array::zeros(&[1, 4, 1, 1]), &Freeze::none(), GPU.tuning());
    assert!(ran.output[1].is_nan(), "{:?}", ran.output);
    assert_eq!([ran.output[0], ran.output[2], ran.output[3]], [0.0; 3]);
}

/// Inference keeps no positions of maxima; the values are the same.
#[test]
fn max_pool_without_backward() {
    let x = cases::distinct(&mut cases::rng(52), &[2, 5, 7, 9], 0.1);
    let mut bench = Bench::default();
    let input = bench.image("x", &x);
    let y = bench.graph.record(MaxPool2d { kernel: 3, stride: 2, padding: 1 }, "pool", &[input]).unwrap();
    let plan = Plan::inference(&bench.graph, y, GPU.tuning()).unwrap();
    let mut session = Session::new(&GPU, plan, &bench.params(), None).unwrap();
    session.poison();
    common::run(&mut session);
    assert_eq!(session.read_output().unwrap(), max_pool2d::forward(&x, [3; 2], 2, [1; 4]).y.value.to_f32());
}

/// Values of one sign, as after a relu: a single running sum would lose more than the bound allows. The last
/// have more pixels than llvmpipe's limit of turns in a loop.
#[test]
fn global_average() {
    let mut rng = cases::rng(53);
    let small = [[2, 5, 7, 9], [1, 1, 1, 1], [3, 6, 1, 4], [1, 4, 32, 32], [1, 4, 33, 32], [3, 5, 56, 57]];
    for (shape, range) in small.map(|shape| (shape, -1.0..1.0)).into_iter().chain([
        ([1, 4, 56, 56], 0.9..1.0),
        ([2, 5, 224, 224], 0.9..1.0),
        ([1, 3, 254, 260], 0.0..1.0),
        ([2, 1, 330, 331], -1.0..1.0),
    ]) {
        let x = cases::uniform(&mut rng, &shape, range);
        let dy = cases::uniform(&mut rng, &shape[..2], -1.0..1.0);
        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let y = bench.graph.record(GlobalAvgPool, "pool", &[input]).unwrap();
        let expected: Value = global_avg_pool::forward(&x);
        for tuning in &tunings() {
            let ran = bench.run(y, &dy, &Freeze::none(), tuning);
            let what = format!("global_avg_pool of {shape:?}, {tuning:?}");
            ran.check_output(&what, &expected);
            ran.check_gradient(&what, "x", &global_avg_pool::backward(&dy, shape));
            let dispatches = if shape[2] * shape[3] > 1024 { 2 } else { 1 };
            assert_eq!(ran.count("global_avg_pool.forward"), dispatches, "{what}");
        }
    }
}
