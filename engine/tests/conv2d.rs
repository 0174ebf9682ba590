//! conv2d against its twin: forward and all three backward passes, for both tunings.

mod common;

use common::{Bench, GPU, filter, padding, tunings, vector};
use frostline_engine::ops::Conv2d;
use frostline_engine::{Freeze, TensorId, Tuning};
use frostline_twin::cases::{self, ConvCase};
use frostline_twin::{Array, conv2d, linear};

/// A case's arrays, and the graph that convolves them.
struct Conv {
    case: ConvCase,
    x: Array,
    w: Array,
    dy: Array,
    bench: Bench,
    y: TensorId,
}

impl Conv {
    fn new(case: ConvCase, seed: u64) -> Self {
        let mut rng = cases::rng(seed);
        let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
        let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
        let dy = cases::uniform(&mut rng, &case.y_shape(), -1.0..1.0);
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
        let op = Conv2d { stride: case.stride, padding: padding(case.padding), ..Default::default() };
        let y = bench.graph.record(op, "conv", &inputs).unwrap();
        Self { case, x, w, dy, bench, y }
    }

    fn check(&self, tuning: &Tuning) {
        let (case, x, w, dy) = (self.case, &self.x, &self.w, &self.dy);
        let ran = self.bench.run(self.y, dy, &Freeze::none(), tuning);
        let what = format!("{case:?} {:?}", tuning.class);
        ran.check_output(&what, &conv2d::forward(x, w, case.stride, case.padding));
        ran.check_gradient(&what, "x", &conv2d::backward_input(dy, w, x.dims(), case.stride, case.padding));
        ran.check_gradient(&what, "w", &conv2d::backward_weight(x, dy, w.dims(), case.stride, case.padding));
    }
}

fn check_all(cases: impl IntoIterator<Item = ConvCase>) {
    for (seed, case) in cases.into_iter().enumerate() {
        let conv = Conv::new(case, seed as u64);
        for tuning in &tunings() {
            conv.check(tuning);
        }
    }
}

fn case(
    n: usize,
    [c_in, c_out]: [usize; 2],
    size: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 4],
) -> ConvCase {
    ConvCase { n, c_in, c_out, size, kernel, stride, padding }
}

#[test]
fn random_shapes() {
    check_all(cases::conv_cases(20, 12));
}

/// The forms in ResNets and EfficientNets; the last has TensorFlow's "SAME" padding.
#[test]
fn layers_of_real_networks() {
    check_all([
        case(2, [3, 8], [13, 11], [7, 7], 2, [3; 4]),
        case(2, [8, 12], [7, 7], [3, 3], 1, [1; 4]),
        case(2, [8, 12], [7, 9], [3, 3], 2, [1; 4]),
        case(1, [12, 20], [6, 5], [1, 1], 2, [0; 4]),
        case(3, [6, 5], [5, 4], [1, 1], 1, [0; 4]),
        case(1, [3, 8], [8, 8], [3, 3], 2, [0, 0, 1, 1]),
    ]);
}

/// Where borders meet: one pixel, one image, one channel; a window larger than the image; padding
/// on one side only; remaining rows after the last stride; taps that a stride skips.
#[test]
fn borders_and_left_overs() {
    check_all([
        case(1, [1, 1], [1, 1], [1, 1], 1, [0; 4]),
        case(1, [2, 3], [1, 1], [3, 3], 1, [1; 4]),
        case(1, [5, 3], [2, 3], [3, 3], 1, [2, 0, 0, 1]),
        case(2, [3, 5], [8, 9], [3, 3], 3, [0, 1, 2, 0]),
        case(1, [3, 4], [9, 8], [1, 1], 3, [0; 4]),
    ]);
}

/// A batch that leaves one row of output pixels, through windows that are higher than that.
#[test]
fn a_single_row_of_output() {
    check_all([
        case(1, [4, 4], [3, 7], [3, 3], 1, [0; 4]),
        case(1, [4, 4], [2, 9], [1, 1], 2, [0; 4]),
        case(1, [3, 4], [1, 5], [1, 1], 1, [0, 1, 0, 0]),
    ]);
}

/// More channels than one tile has, more strips than one workgroup, more rows than one split.
#[test]
fn more_than_one_tile() {
    check_all([
        case(1, [4, 36], [3, 4], [3, 3], 1, [1; 4]),
        case(1, [72, 68], [2, 3], [1, 1], 1, [0; 4]),
        case(2, [4, 4], [21, 30], [3, 3], 1, [1; 4]),
        case(3, [5, 6], [17, 19], [1, 1], 1, [0; 4]),
    ]);
}

#[test]
fn bias() {
    let mut rng = cases::rng(3);
    let conv = Conv::new(case(2, [5, 6], [4, 7], [3, 3], 2, [1; 4]), 3);
    let b = cases::uniform(&mut rng, &[6], -1.0..1.0);
    let (mut bench, padding) = (Bench::default(), padding(conv.case.padding));
    let inputs = [
        bench.image("x", &conv.x),
        bench.parameter("w", filter(&conv.w), &conv.w),
        bench.parameter("b", vector(&b), &b),
    ];
    let y = bench.graph.record(Conv2d { stride: 2, padding, bias: true }, "conv", &inputs).unwrap();
    let epilogue = frostline_twin::epilogue::Epilogue { shift: Some(&b), ..Default::default() };
    let expected = conv2d::forward_fused(&conv.x, &conv.w, 2, conv.case.padding, &epilogue);
    for tuning in &tunings() {
        let ran = bench.run(y, &conv.dy, &Freeze::none(), tuning);
        ran.check_output("conv with bias", &expected);
        ran.check_gradient("conv with bias", "b", &bias_gradient(&conv.dy));
        ran.check_gradient(
            "conv with bias",
            "w",
            &conv2d::backward_weight(&conv.x, &conv.dy, conv.w.dims(), 2, conv.case.padding),
        );
    }
    let kernels: [(&str, &[&str]); 3] =
        [("x", &["conv2d.backward_input"]), ("w", &["conv2d.backward_weight"]), ("b", &["partials.rows"])];
    bench.check_subsets(y, &conv.dy, &Freeze::none(), GPU.tuning(), &kernels);
}

/// The twin's bias gradient sums rows of (rows, C).
fn bias_gradient(dy: &Array) -> frostline_twin::Value {
    let [n, c, h, w] = dy.dims();
    let mut rows = Array::zeros(&[n * h * w, c]);
    for (i, &value) in dy.data.iter().enumerate() {
        let (pixel, channel, image) = (i % (h * w), i / (h * w) % c, i / (h * w * c));
        rows[[image * h * w + pixel, channel]] = value;
    }
    linear::backward_bias(&rows)
}

#[test]
fn a_frozen_input_dispatches_nothing_and_changes_nothing() {
    let conv = Conv::new(case(2, [5, 6], [5, 4], [3, 3], 1, [1; 4]), 4);
    let kernels: [(&str, &[&str]); 2] =
        [("x", &["conv2d.backward_input"]), ("w", &["conv2d.backward_weight"])];
    for tuning in &tunings() {
        conv.bench.check_subsets(conv.y, &conv.dy, &Freeze::none(), tuning, &kernels);
    }
}
