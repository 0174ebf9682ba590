//! Activations stored as 16-bit floats: every op, forward and backward, against its twin.
//!
//! Storing rounds a value by at most 2⁻¹¹ of itself, which is 4096 times the 2⁻²³ unit of the twins. Inputs
//! and gradients given here are f16 values, so a result has one such rounding error for every time that it,
//! or an operand, is stored: c·2⁻¹¹·Σ|terms|. Gradients of parameters stay f32; if they are computed only
//! from f16 values, they are as exact as with f32.

mod common;

use common::norm::{EPS, Norm};
use common::{Bench, GPU, Ran, depthwise, filter, matrix, padding, tunings, vector};
use frostline_engine::ops::{
    Activation, Add, BatchNorm, Conv2d, CrossEntropy, DepthwiseConv2d, GlobalAvgPool, Linear, MaxPool2d, Relu,
};
use frostline_engine::{BatchNormMode, Freeze, LossScale, Storage, TensorId, Tuning};
use frostline_twin::cases::{ConvCase, WindowCase};
use frostline_twin::{
    Array, Value, activation, batch_norm, cases, compare, conv2d, depthwise_conv2d, global_avg_pool, linear,
    max_pool2d,
};
use half::f16;
use rand_chacha::ChaCha8Rng;

/// Random values that f16 represents exactly.
fn halves(rng: &mut ChaCha8Rng, shape: &[usize]) -> Array {
    let mut array = cases::uniform(rng, shape, -1.0..1.0);
    array.data.iter_mut().for_each(|value| *value = f16::from_f64(*value).to_f64());
    array
}

/// The tunings with 16-bit floats; none, with a message, if the adapter has no such floats.
fn half_tunings() -> Vec<Tuning> {
    if !GPU.has_f16() {
        eprintln!("skipped: {} has no 16-bit floats", GPU.describe());
        return vec![];
    }
    tunings().iter().map(|tuning| tuning.with_storage(Storage::f16())).collect()
}

/// The factor on gradients up to 1 while they are stored as f16; it changes no digit.
const LOSS_SCALE: f32 = 1024.0;

/// Checks values that were rounded to f16 `roundings` times during their computation.
fn check(what: &str, gpu: &[f32], expected: &Value, roundings: u32) {
    compare::assert_close_by(what, gpu, expected, compare::FACTOR + 4096.0 * f64::from(roundings));
}

/// Checks that f16 represents `values` exactly; otherwise they were not stored as f16.
fn check_stored(what: &str, values: impl IntoIterator<Item = f32>) {
    let rounded = values.into_iter().find(|value| f16::from_f32(*value).to_f32() != *value);
    assert_eq!(rounded, None, "{what}: this value would have been rounded");
}

/// The output and the gradient of an image, both stored as f16.
fn check_image(what: &str, ran: &Ran, y: &Value, name: &str, dx: &Value, roundings: u32) {
    let (output, gradient) = (&ran.output, &ran.gradients[name]);
    check(&format!("{what}: output"), output, y, roundings);
    check_stored(&format!("{what}: output"), output.iter().copied());
    check(&format!("{what}: gradient of {name}"), gradient, dx, roundings);
    check_stored(&format!("{what}: gradient of {name}"), gradient.iter().map(|value| value * LOSS_SCALE));
}

/// A weight is any f32: its copy is rounded, and so is the result. Its gradient does not depend on it.
#[test]
fn convolutions() {
    let case = |n, c: [usize; 2], size, k: usize, stride, padding| ConvCase {
        n,
        c_in: c[0],
        c_out: c[1],
        size,
        kernel: [k, k],
        stride,
        padding,
    };
    for (seed, case) in [
        case(2, [8, 12], [7, 9], 3, 1, [1; 4]),
        case(2, [5, 6], [8, 7], 3, 2, [0, 0, 1, 1]),
        case(3, [6, 5], [5, 4], 1, 1, [0; 4]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut rng = cases::rng(seed as u64);
        let (x, dy) = (halves(&mut rng, &case.x_shape()), halves(&mut rng, &case.y_shape()));
        let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
        let op = Conv2d { stride: case.stride, padding: padding(case.padding), ..Default::default() };
        let y = bench.graph.record(op, "conv", &inputs).unwrap();
        for tuning in &half_tunings() {
            let ran = bench.run(y, &dy, &Freeze::none(), tuning);
            let what = format!("{case:?} {:?}", tuning.class);
            let forward = conv2d::forward(&x, &w, case.stride, case.padding);
            let dx = conv2d::backward_input(&dy, &w, x.dims(), case.stride, case.padding);
            check_image(&what, &ran, &forward, "x", &dx, 2);
            let dw = conv2d::backward_weight(&x, &dy, w.dims(), case.stride, case.padding);
            check(&format!("{what}: gradient of w"), &ran.gradients["w"], &dw, 0);
        }
    }
}

#[test]
fn depthwise_convolution() {
    let case = WindowCase { n: 2, c: 6, size: [8, 7], kernel: [3, 3], stride: 2, padding: [0, 0, 1, 1] };
    let mut rng = cases::rng(10);
    let (x, dy) = (halves(&mut rng, &case.x_shape()), halves(&mut rng, &case.y_shape()));
    let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
    let mut bench = Bench::default();
    let inputs = [bench.image("x", &x), bench.parameter("w", depthwise(&w), &w)];
    let op = DepthwiseConv2d { stride: case.stride, padding: padding(case.padding) };
    let y = bench.graph.record(op, "conv", &inputs).unwrap();
    for tuning in &half_tunings() {
        let ran = bench.run(y, &dy, &Freeze::none(), tuning);
        let dx = depthwise_conv2d::backward_input(&dy, &w, x.dims(), case.stride, case.padding);
        check_image(
            "depthwise",
            &ran,
            &depthwise_conv2d::forward(&x, &w, case.stride, case.padding),
            "x",
            &dx,
            2,
        );
        let dw = depthwise_conv2d::backward_weight(&x, &dy, w.dims(), case.stride, case.padding);
        check("depthwise: gradient of w", &ran.gradients["w"], &dw, 0);
    }
}

#[test]
fn linear_layer() {
    let mut rng = cases::rng(11);
    let (x, dy) = (halves(&mut rng, &[5, 9]), halves(&mut rng, &[5, 7]));
    let (w, b) = (cases::uniform(&mut rng, &[7, 9], -1.0..1.0), cases::uniform(&mut rng, &[7], -1.0..1.0));
    let mut bench = Bench::default();
    let inputs =
        [bench.image("x", &x), bench.parameter("w", matrix(&w), &w), bench.parameter("b", vector(&b), &b)];
    let y = bench.graph.record(Linear, "fc", &inputs).unwrap();
    for tuning in &half_tunings() {
        let ran = bench.run(y, &dy, &Freeze::none(), tuning);
        check_image(
            "linear",
            &ran,
            &linear::forward(&x, &w, Some(&b)),
            "x",
            &linear::backward_input(&dy, &w),
            2,
        );
        check("linear: gradient of w", &ran.gradients["w"], &linear::backward_weight(&x, &dy), 0);
        check("linear: gradient of b", &ran.gradients["b"], &linear::backward_bias(&dy), 0);
    }
}

/// γ, β and all statistics stay f32, so only output and dx are rounded, once each.
#[test]
fn batch_norms() {
    for mode in [BatchNormMode::Batch, BatchNormMode::Running] {
        let mut rng = cases::rng(12);
        let x = halves(&mut rng, &[3, 6, 11, 5]);
        let (dy, norm) = (halves(&mut rng, &x.shape), Norm::random(&mut rng, 6));
        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let [weight, bias, mean, var] = norm.record(&mut bench, "bn");
        let op = BatchNorm { eps: EPS, ..Default::default() };
        let y = bench.graph.record(op, "bn", &[input, weight, bias, mean, var]).unwrap();
        let y = bench.graph.relu(y, "relu").unwrap();
        let mut freeze = Freeze::none();
        freeze.batch_norm = mode;
        for tuning in &half_tunings() {
            let what = format!("batch_norm {mode:?} {:?}", tuning.class);
            let ran = bench.run(y, &dy, &freeze, tuning);
            let twin = activation::Activation::Relu;
            let statistics =
                if mode == BatchNormMode::Batch { batch_norm::statistics(&x) } else { norm.running() };
            let forward = batch_norm::forward(&x, &norm.parameters(), &statistics, None, twin);
            let dz = twin.backward(&dy, &ran.output_array(&x.shape)).value;
            let gradients = match mode {
                BatchNormMode::Batch => batch_norm::backward_batch(&x, &norm.parameters(), &dz),
                _ => batch_norm::backward_running(&x, &norm.parameters(), &statistics, &dz),
            };
            check_image(&what, &ran, &forward, "x", &gradients.dx, 1);
            check(&format!("{what}: dγ"), &ran.gradients["bn.weight"], &gradients.dgamma, 0);
            check(&format!("{what}: dβ"), &ran.gradients["bn.bias"], &gradients.dbeta, 0);
        }
    }
}

/// A maximum is selected and an average is computed; a sum gives both branches their gradient, and a tensor
/// that is read twice sums two gradients.
#[test]
fn pools_and_branches() {
    let mut rng = cases::rng(13);
    let x = halves(&mut rng, &[2, 5, 7, 9]);
    for tuning in &half_tunings() {
        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let y = bench.graph.record(MaxPool2d { kernel: 3, stride: 2, padding: 1 }, "pool", &[input]).unwrap();
        let expected = max_pool2d::forward(&x, [3; 2], 2, [1; 4]);
        let dy = halves(&mut rng, &expected.y.value.shape);
        let ran = bench.run(y, &dy, &Freeze::none(), tuning);
        assert_eq!(ran.output, expected.y.value.to_f32(), "f16 values were selected from f16 values");
        let dx = max_pool2d::backward(&dy, &expected.pixel, x.dims());
        check("max pool: gradient", &ran.gradients["x"], &dx, 1);

        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let y = bench.graph.record(GlobalAvgPool, "pool", &[input]).unwrap();
        let dy = halves(&mut rng, &[2, 5]);
        let ran = bench.run(y, &dy, &Freeze::none(), tuning);
        check_image(
            "average",
            &ran,
            &global_avg_pool::forward(&x),
            "x",
            &global_avg_pool::backward(&dy, x.dims()),
            1,
        );

        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let open = bench.graph.record(Relu { activation: Activation::Relu6 }, "relu6", &[input]).unwrap();
        let y = bench.graph.record(Add, "add", &[input, open]).unwrap();
        let dy = halves(&mut rng, &x.shape);
        let ran = bench.run(y, &dy, &Freeze::none(), tuning);
        let twin = activation::Activation::Relu6;
        let sum = |a: &Array, b: &Array| frostline_twin::add::forward(a, b, activation::Activation::None);
        let forward = sum(&x, &twin.forward(&x).value);
        check_image("shortcut", &ran, &forward, "x", &sum(&dy, &twin.backward(&dy, &x).value), 1);
    }
}

fn loss(bench: &mut Bench, logits: TensorId, labels: &[u32]) -> TensorId {
    let labels = bench.labels(labels);
    bench
        .graph
        .record(CrossEntropy { label_smoothing: 0.1, ..Default::default() }, "loss", &[logits, labels])
        .unwrap()
}

/// The loss scale is applied and removed without any change, and logits and their gradient are not rounded.
#[test]
fn logits_and_loss_keep_every_bit() {
    let logits = cases::uniform(&mut cases::rng(14), &[6, 11], -8.0..8.0);
    let mut bench = Bench::default();
    let input = bench.image("logits", &logits);
    let output = loss(&mut bench, input, &[3, 0, 10, 7, 7, 1]);
    let run = |tuning: &Tuning| bench.run(output, &Array::zeros(&[4]), &Freeze::none(), tuning);
    let single = run(GPU.tuning());
    for half in half_tunings().iter().filter(|tuning| tuning.class == GPU.tuning().class).map(run) {
        assert_eq!((&single.output, &single.gradients), (&half.output, &half.gradients));
    }
    assert!(
        single.gradients["logits"].iter().any(|value| f16::from_f32(*value).to_f32() != *value),
        "f16 would show"
    );
}

/// A gradient of 10⁻⁸ is below f16's range: it becomes zero without a loss scale and is right with one.
#[test]
fn a_loss_scale_saves_small_gradients() {
    let mut rng = cases::rng(15);
    let x = halves(&mut rng, &[1, 4, 3, 3]);
    let mut dy = Array::zeros(&x.shape);
    dy.data.iter_mut().for_each(|value| *value = 1e-8);
    let mut bench = Bench::default();
    let input = bench.image("x", &x);
    let y = bench.graph.record(Relu { activation: Activation::Relu }, "relu", &[input]).unwrap();
    let expected = activation::Activation::Relu.backward(&dy, &x);
    for tuning in half_tunings() {
        let gradient = |loss_scale| {
            let tuning = tuning.with_storage(Storage::F16 { loss_scale });
            bench.run(y, &dy, &Freeze::none(), &tuning).gradients["x"].clone()
        };
        assert!(gradient(LossScale::fixed(1)).iter().all(|value| *value == 0.0));
        for scale in [LossScale::fixed(1 << 24), LossScale::dynamic()] {
            compare::assert_close_by("relu", &gradient(scale), &expected, 4096.0 + compare::FACTOR);
        }
    }
}
