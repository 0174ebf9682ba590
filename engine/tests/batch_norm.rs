//! batch_norm against its twin: both kinds of statistics, every gradient, and the parts that are not
//! computed.

mod common;

use common::norm::{EPS, Norm};
use common::{Bench, GPU, tunings};
use frostline_engine::ops::{Activation, BatchNorm, Relu, Stats};
use frostline_engine::{BatchNormMode, Freeze, Plan, TensorId, Tuning};
use frostline_twin::activation::Activation as Twin;
use frostline_twin::batch_norm::{backward_batch, backward_running, forward, statistics, update_running};
use frostline_twin::{Array, cases, compare};

/// One pixel short of and beyond a mask word of eight rows, and of a chunk of 32; many chunks.
const SHAPES: [[usize; 4]; 5] = [[2, 1, 1, 1], [2, 5, 3, 3], [1, 8, 7, 1], [3, 3, 11, 1], [3, 6, 19, 23]];

/// The momentum of the running statistics, PyTorch's 0.1 in f32.
const MOMENTUM: f32 = 0.1;

struct Layer {
    x: Array,
    dy: Array,
    norm: Norm,
    bench: Bench,
    y: TensorId,
}

impl Layer {
    fn new(x: Array, activation: Activation, seed: u64) -> Self {
        let mut rng = cases::rng(seed);
        let dy = cases::uniform(&mut rng, &x.shape, -1.0..1.0);
        let norm = Norm::random(&mut rng, x.shape[1]);
        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let [weight, bias, mean, var] = norm.record(&mut bench, "bn");
        let op = BatchNorm { eps: EPS, momentum: MOMENTUM, ..Default::default() };
        let y = bench.graph.record(op, "bn", &[input, weight, bias, mean, var]).unwrap();
        let y = bench.graph.record(Relu { activation }, "act", &[y]).unwrap();
        Self { x, dy, norm, bench, y }
    }

    /// Which statistics are used is the planner's choice, from the mode.
    fn check(&self, stats: Stats, twin: Twin, tuning: &Tuning) {
        let (x, parameters) = (&self.x, self.norm.parameters());
        let what = format!("batch_norm {:?} {stats:?} {twin:?} {tuning:?}", x.shape);
        let ran = self.bench.run(self.y, &self.dy, &mode(stats), tuning);
        let (used, after) = match stats {
            Stats::Batch => {
                let (batch, [n, _, h, w]) = (statistics(x), x.dims());
                let after = update_running(&self.norm.running(), &batch, n * h * w, f64::from(MOMENTUM));
                (batch, after)
            }
            Stats::Running => (self.norm.running(), self.norm.running()),
        };
        ran.check_output(&what, &forward(x, &parameters, &used, None, twin));
        compare::assert_close(&format!("{what}: running mean"), &ran.state["bn.running_mean"], &after.mean);
        compare::assert_close(&format!("{what}: running variance"), &ran.state["bn.running_var"], &after.var);
        // The output shows where the activation's slope is one, including the effect of rounding.
        let dz = twin.backward(&self.dy, &ran.output_array(&x.shape)).value;
        let gradients = match stats {
            Stats::Batch => backward_batch(x, &parameters, &dz),
            Stats::Running => backward_running(x, &parameters, &used, &dz),
        };
        ran.check_gradient(&what, "x", &gradients.dx);
        ran.check_gradient(&what, "bn.weight", &gradients.dgamma);
        ran.check_gradient(&what, "bn.bias", &gradients.dbeta);
    }
}

fn mode(stats: Stats) -> Freeze {
    let mut freeze = Freeze::none();
    freeze.batch_norm = if stats == Stats::Batch { BatchNormMode::Batch } else { BatchNormMode::Running };
    freeze
}

fn check_all(stats: Stats, shapes: &[[usize; 4]], activations: &[(Activation, Twin)]) {
    for (seed, shape) in shapes.iter().enumerate() {
        let x = cases::uniform(&mut cases::rng(80 + seed as u64), shape, -2.0..3.0);
        for &(activation, twin) in activations {
            let layer = Layer::new(x.clone(), activation, seed as u64);
            for tuning in &tunings() {
                layer.check(stats, twin, tuning);
            }
        }
    }
}

#[test]
fn statistics_of_the_batch() {
    check_all(Stats::Batch, &SHAPES, &[(Activation::None, Twin::None)]);
}

#[test]
fn running_statistics() {
    check_all(Stats::Running, &SHAPES, &[(Activation::None, Twin::None)]);
    check_all(Stats::Running, &[[1, 3, 1, 1]], &[(Activation::None, Twin::None)]);
}

#[test]
fn with_an_activation() {
    let activations = [(Activation::Relu, Twin::Relu), (Activation::Relu6, Twin::Relu6)];
    check_all(Stats::Batch, &SHAPES[1..3], &activations);
    check_all(Stats::Running, &SHAPES[1..3], &activations);
}

/// Channels hundreds of deviations away from zero: a variance computed as E[x²] − μ² would be noise.
#[test]
fn far_from_zero() {
    let mut x = cases::uniform(&mut cases::rng(85), &[2, 5, 9, 7], -1.0..1.0);
    x.data.iter_mut().for_each(|value| *value = f64::from((*value + 300.0) as f32));
    let layer = Layer::new(x, Activation::None, 85);
    layer.check(Stats::Batch, Twin::None, GPU.tuning());
}

/// The batch's mean and unbiased variance, which the running statistics become with a momentum of 1.
fn batch_statistics(x: &Array, tuning: &Tuning) -> [Vec<f32>; 2] {
    let mut bench = Bench::default();
    let input = bench.image("x", x);
    let zeros = Array::zeros(&x.shape[1..2]);
    let norm = Norm { mean: zeros.clone(), var: zeros, ..Norm::random(&mut cases::rng(1), x.shape[1]) };
    let [weight, bias, mean, var] = norm.record(&mut bench, "bn");
    let op = BatchNorm { eps: EPS, momentum: 1.0, ..Default::default() };
    let y = bench.graph.record(op, "bn", &[input, weight, bias, mean, var]).unwrap();
    let ran = bench.run(y, &Array::zeros(&x.shape), &mode(Stats::Batch), tuning);
    ["bn.running_mean", "bn.running_var"].map(|name| ran.state[name].clone())
}

/// Channels up to a million deviations away from zero, in many chunks. The twin's bound grows with the
/// offset, since it allows for a rounded mean; here the variance itself is allowed only a few roundings.
#[test]
fn a_small_variance_around_a_large_mean() {
    for (seed, deviation) in [0.01, 0.1, 1.0].into_iter().enumerate() {
        let mut x = cases::uniform(&mut cases::rng(90 + seed as u64), &[3, 5, 61, 67], -1.7..1.7);
        x.data.iter_mut().for_each(|value| *value = f64::from((1e4 + deviation * *value) as f32));
        // The first row of channel 0, about which all means are taken, is far from the others.
        x.data[0] = 0.0;
        let expected = update_running(&statistics(&x), &statistics(&x), 3 * 61 * 67, 1.0);
        for tuning in &tunings() {
            let [mean, var] = batch_statistics(&x, tuning);
            for c in 0..5 {
                let allowed = if c == 0 { 2e-5 } else { 2e-6 };
                let off = (f64::from(var[c]) / expected.var.value.data[c] - 1.0).abs();
                assert!(
                    off < allowed,
                    "deviation {deviation}, channel {c}: variance off by {off:e}, {tuning:?}"
                );
                let off = (f64::from(mean[c]) / expected.mean.value.data[c] - 1.0).abs();
                assert!(
                    off < 0.1 * allowed,
                    "deviation {deviation}, channel {c}: mean off by {off:e}, {tuning:?}"
                );
            }
        }
    }
}

/// The sum of squares leaves f32 from 1e17 on, the variance only from 1.8e19 on.
#[test]
fn huge_values() {
    for scale in [1e17, 1e18, 1e19] {
        let mut x = cases::uniform(&mut cases::rng(93), &[2, 5, 30, 31], -1.0..1.0);
        x.data.iter_mut().for_each(|value| *value = f64::from((*value * scale) as f32));
        let layer = Layer::new(x, Activation::None, 93);
        for tuning in &tunings() {
            layer.check(Stats::Batch, Twin::None, tuning);
        }
    }
    // A variance beyond f32 is not a number, and neither are values that depend on it.
    let mut x = cases::uniform(&mut cases::rng(94), &[2, 4, 9, 7], -1.0..1.0);
    x.data.iter_mut().for_each(|value| *value = f64::from((*value * 1e20) as f32));
    let layer = Layer::new(x, Activation::None, 94);
    for tuning in &tunings() {
        let ran = layer.bench.run(layer.y, &layer.dy, &mode(Stats::Batch), tuning);
        assert!(ran.output.iter().all(|y| y.is_nan()), "{tuning:?}");
        assert_eq!(ran.state["bn.running_mean"], layer.norm.mean.to_f32(), "running statistics stay");
        assert_eq!(ran.state["bn.running_var"], layer.norm.var.to_f32(), "running statistics stay");
    }
}

/// As many rows as two photos of 224 × 224 have; values and gradients of one sign, as after a relu,
/// and of both.
#[test]
fn many_rows() {
    let shape = [2, 5, 224, 224];
    for (seed, (x, dy)) in [((0.0..2.0), (0.5..1.0)), ((-1.0..1.0), (-1.0..1.0))].into_iter().enumerate() {
        let mut rng = cases::rng(95 + seed as u64);
        let x = cases::uniform(&mut rng, &shape, x);
        let mut layer = Layer::new(x, Activation::None, 95);
        layer.dy = cases::uniform(&mut rng, &shape, dy);
        for tuning in &tunings() {
            layer.check(Stats::Batch, Twin::None, tuning);
        }
    }
}

/// A single value per channel has no variance: the output would always be the bias.
#[test]
fn one_value_a_channel_is_refused() {
    let x = cases::uniform(&mut cases::rng(86), &[1, 5, 1, 1], -1.0..1.0);
    let layer = Layer::new(x, Activation::None, 86);
    let plan = |freeze: &Freeze| Plan::gradient(&layer.bench.graph, layer.y, freeze, GPU.tuning());
    let text = plan(&mode(Stats::Batch)).unwrap_err().to_string();
    for part in ["batch_norm bn", "(1, 5, 1, 1)", "one value per channel", "larger batch"] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    // With running statistics one is enough.
    plan(&mode(Stats::Running)).unwrap();
    plan(&Freeze::names(["bn.weight", "bn.bias"])).unwrap();
    Plan::inference(&layer.bench.graph, layer.y, GPU.tuning()).unwrap();
}

#[test]
fn a_frozen_input_dispatches_nothing_and_changes_nothing() {
    for activation in [Activation::None, Activation::Relu] {
        let x = cases::uniform(&mut cases::rng(87), &[2, 5, 3, 3], -2.0..3.0);
        let layer = Layer::new(x, activation, 87);
        let check = |stats, dx: &[&str]| {
            let inputs: [(&str, &[&str]); 3] = [("x", dx), ("bn.weight", &[]), ("bn.bias", &[])];
            layer.bench.check_subsets(layer.y, &layer.dy, &mode(stats), GPU.tuning(), &inputs);
        };
        check(Stats::Batch, &["batch_norm.backward_input"]);
        check(Stats::Running, &["batch_norm.backward_input_running"]);
    }
}

/// Running statistics make the gradient of x a factor: no sums over the batch.
#[test]
fn a_frozen_layer_reduces_nothing() {
    let x = cases::uniform(&mut cases::rng(88), &[2, 5, 3, 3], -2.0..3.0);
    let layer = Layer::new(x, Activation::None, 88);
    // By default a layer whose weight and bias are both frozen uses its running statistics.
    let ran = layer.bench.run(layer.y, &layer.dy, &Freeze::names(["bn.weight", "bn.bias"]), GPU.tuning());
    for absent in [
        "batch_norm.statistics",
        "batch_norm.finish",
        "batch_norm.backward_reduce",
        "batch_norm.backward_finish",
    ] {
        assert_eq!(ran.count(absent), 0, "{absent}");
    }
    let gradients = backward_running(&layer.x, &layer.norm.parameters(), &layer.norm.running(), &layer.dy);
    ran.check_gradient("frozen batch norm", "x", &gradients.dx);
    assert_eq!(ran.state["bn.running_mean"], layer.norm.mean.to_f32(), "frozen statistics stay");
    // If one of the two trains, it uses the batch's statistics.
    let ran = layer.bench.run(layer.y, &layer.dy, &Freeze::names(["bn.weight"]), GPU.tuning());
    assert_eq!(ran.count("batch_norm.statistics"), 1);
    let gradients = backward_batch(&layer.x, &layer.norm.parameters(), &layer.dy);
    ran.check_gradient("batch norm that trains its bias", "bn.bias", &gradients.dbeta);
    ran.check_gradient("batch norm that trains its bias", "x", &gradients.dx);
}

/// Only the bias trains, with running statistics: its sum reads dy and the mask, never the input.
#[test]
fn only_the_bias_trains() {
    let x = cases::uniform(&mut cases::rng(89), &[2, 5, 3, 3], -2.0..3.0);
    let layer = Layer::new(x, Activation::Relu, 89);
    let mut freeze = Freeze::names(["x", "bn.weight"]);
    freeze.batch_norm = BatchNormMode::Running;
    let ran = layer.bench.run(layer.y, &layer.dy, &freeze, GPU.tuning());
    let dz = Twin::Relu.backward(&layer.dy, &ran.output_array(&layer.x.shape)).value;
    let gradients = backward_running(&layer.x, &layer.norm.parameters(), &layer.norm.running(), &dz);
    ran.check_gradient("bias alone", "bn.bias", &gradients.dbeta);
    assert_eq!(ran.gradients.len(), 1);
}
