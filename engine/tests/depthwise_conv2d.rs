//! depthwise_conv2d against its twin: forward and both backward passes, for both tunings.

mod common;

use common::{Bench, GPU, depthwise, padding, tunings};
use frostline_engine::ops::DepthwiseConv2d;
use frostline_engine::{Freeze, TensorId};
use frostline_twin::cases::{self, WindowCase};
use frostline_twin::{Array, depthwise_conv2d};

/// A case's arrays, and the graph that convolves them.
struct Depthwise {
    case: WindowCase,
    x: Array,
    w: Array,
    dy: Array,
    bench: Bench,
    y: TensorId,
}

impl Depthwise {
    fn new(case: WindowCase, seed: u64) -> Self {
        let mut rng = cases::rng(seed);
        let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
        let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
        let dy = cases::uniform(&mut rng, &case.y_shape(), -1.0..1.0);
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", depthwise(&w), &w)];
        let op = DepthwiseConv2d { stride: case.stride, padding: padding(case.padding) };
        let y = bench.graph.record(op, "conv", &inputs).unwrap();
        Self { case, x, w, dy, bench, y }
    }

    fn check(&self) {
        let (case, x, w, dy) = (self.case, &self.x, &self.w, &self.dy);
        for tuning in &tunings() {
            let ran = self.bench.run(self.y, dy, &Freeze::none(), tuning);
            let what = format!("{case:?} {tuning:?}");
            ran.check_output(&what, &depthwise_conv2d::forward(x, w, case.stride, case.padding));
            ran.check_gradient(
                &what,
                "x",
                &depthwise_conv2d::backward_input(dy, w, x.dims(), case.stride, case.padding),
            );
            ran.check_gradient(
                &what,
                "w",
                &depthwise_conv2d::backward_weight(x, dy, w.dims(), case.stride, case.padding),
            );
        }
    }
}

#[test]
fn random_shapes() {
    for (seed, case) in cases::window_cases(30, 12).into_iter().enumerate() {
        Depthwise::new(case, seed as u64).check();
    }
}

/// EfficientNet's layers: 5×5 windows, "SAME" padding below and to the right; and enough rows that
/// the weight's gradient is split.
#[test]
fn layers_of_real_networks() {
    let case =
        |n, c, size, k: usize, stride, padding| WindowCase { n, c, size, kernel: [k, k], stride, padding };
    for case in [
        case(2, 12, [7, 9], 5, 2, [1, 1, 2, 2]),
        case(1, 6, [8, 8], 3, 2, [0, 0, 1, 1]),
        case(3, 5, [37, 11], 3, 1, [1; 4]),
        case(1, 1, [1, 1], 3, 1, [1; 4]),
    ] {
        Depthwise::new(case, 5).check();
    }
}

#[test]
fn a_frozen_input_dispatches_nothing_and_changes_nothing() {
    let case = WindowCase { n: 2, c: 6, size: [9, 5], kernel: [3, 3], stride: 1, padding: [1; 4] };
    let conv = Depthwise::new(case, 6);
    let kernels: [(&str, &[&str]); 2] =
        [("x", &["depthwise_conv2d.backward_input"]), ("w", &["depthwise_conv2d.backward_weight"])];
    conv.bench.check_subsets(conv.y, &conv.dy, &Freeze::none(), GPU.tuning(), &kernels);
}
