//! Gradients of a tensor that several ops read: their contributions are added up, each once.

mod common;

use common::{Bench, GPU, filter, image, tunings};
use frostline_engine::ops::{Activation, Add, BatchNorm, Conv2d, DepthwiseConv2d, GlobalAvgPool, MaxPool2d, Padding, Relu};
use frostline_engine::{Freeze, TensorId, Tuning};
use frostline_twin::{Array, Value, cases, conv2d, depthwise_conv2d, global_avg_pool, max_pool2d};

const SHAPE: [usize; 4] = [2, 5, 4, 3];

/// The sum of two results, terms and all.
fn sum(a: &Value, b: &Value) -> Value {
    Value::build(&a.value.shape, |i| a.at([i]) + b.at([i]))
}

/// An image to be read twice, as in a residual block: by the shortcut and by `branch`.
struct Fork {
    x: Array,
    w: Array,
    dy: Array,
}

impl Fork {
    fn new(seed: u64) -> Self {
        let mut rng = cases::rng(seed);
        let w = cases::uniform(&mut rng, &[5, 5, 3, 3], -1.0..1.0);
        Self { x: cases::distinct(&mut rng, &SHAPE, 0.05), w, dy: cases::uniform(&mut rng, &SHAPE, -1.0..1.0) }
    }

    fn conv(bench: &mut Bench, layer: &str, x: TensorId, w: &Array) -> TensorId {
        let w = bench.parameter(&format!("{layer}.w"), filter(w), w);
        bench.graph.record(Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() }, layer, &[x, w]).unwrap()
    }

    fn through_conv(&self) -> Value {
        conv2d::backward_input(&self.dy, &self.w, SHAPE, 1, [1; 4])
    }
}

/// x + x, x + x + x: the shortest ways to read a tensor twice and three times.
#[test]
fn a_tensor_added_to_itself() {
    let fork = Fork::new(100);
    for tuning in &tunings() {
        for times in [2, 3] {
            let mut bench = Bench::default();
            let x = bench.image("x", &fork.x);
            let mut y = x;
            for i in 1..times {
                y = bench.graph.add(y, x, &format!("add{i}")).unwrap();
            }
            let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
            let scaled = |of: &Array| Value::build(&SHAPE, |i| (0..times).map(|_| frostline_twin::exact(of.data[i])).sum());
            ran.check_output("x + x", &scaled(&fork.x));
            ran.check_gradient("x + x", "x", &scaled(&fork.dy));
        }
    }
}

/// The second contribution is a convolution's, which adds the first in its own epilogue; or the
/// first is, and an addition passes its gradient on.
#[test]
fn a_shortcut_around_a_convolution() {
    let fork = Fork::new(101);
    for tuning in &tunings() {
        for shortcut_first in [false, true] {
            let mut bench = Bench::default();
            let x = bench.image("x", &fork.x);
            let branch = Fork::conv(&mut bench, "conv", x, &fork.w);
            let (a, b) = if shortcut_first { (x, branch) } else { (branch, x) };
            let y = bench.graph.add(a, b, "add").unwrap();
            let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
            ran.check_gradient("shortcut", "x", &sum(&fork.through_conv(), &Value::exact(&fork.dy)));
            let forward = conv2d::forward(&fork.x, &fork.w, 1, [1; 4]);
            ran.check_output("shortcut", &sum(&forward, &Value::exact(&fork.x)));
        }
    }
}

/// Two convolutions of one input, as where a stage changes width.
#[test]
fn two_convolutions() {
    let (fork, other) = (Fork::new(102), Fork::new(103));
    for tuning in &tunings() {
        let mut bench = Bench::default();
        let x = bench.image("x", &fork.x);
        let (a, b) = (Fork::conv(&mut bench, "a", x, &fork.w), Fork::conv(&mut bench, "b", x, &other.w));
        let y = bench.graph.add(a, b, "add").unwrap();
        let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
        let through_b = conv2d::backward_input(&fork.dy, &other.w, SHAPE, 1, [1; 4]);
        ran.check_gradient("two convolutions", "x", &sum(&fork.through_conv(), &through_b));
        for (name, w) in [("a.w", &fork.w), ("b.w", &other.w)] {
            ran.check_gradient("two convolutions", name, &conv2d::backward_weight(&fork.x, &fork.dy, w.dims(), 1, [1; 4]));
        }
        bench.check_subsets(y, &fork.dy, &Freeze::none(), tuning, &[("x", &["conv2d.backward_input"]), ("a.w", &[]), ("b.w", &[])]);
    }
}

/// Ops whose kernels cannot add an earlier contribution: it is added by a dispatch of its own.
#[test]
fn a_shortcut_around_every_other_op() {
    let fork = Fork::new(104);
    let w = cases::uniform(&mut cases::rng(105), &[5, 1, 3, 3], -1.0..1.0);
    let pooled = max_pool2d::forward(&fork.x, [3; 2], 1, [1; 4]);
    let pool = |bench: &mut Bench, x| bench.graph.record(MaxPool2d { kernel: 3, stride: 1, padding: 1 }, "pool", &[x]).unwrap();
    let depthwise = |bench: &mut Bench, x| {
        let w = bench.parameter("w", common::depthwise(&w), &w);
        bench.graph.record(DepthwiseConv2d { stride: 1, padding: Padding::all(1), ..Default::default() }, "conv", &[x, w]).unwrap()
    };
    let relu = |bench: &mut Bench, x| bench.graph.record(Relu { activation: Activation::Relu }, "relu", &[x]).unwrap();
    let rectified = frostline_twin::activation::Activation::Relu.backward(&fork.dy, &fork.x);
    let check = |what: &str, branch: &dyn Fn(&mut Bench, TensorId) -> TensorId, through: &Value, tuning: &Tuning| {
        for shortcut_first in [false, true] {
            let mut bench = Bench::default();
            let x = bench.image("x", &fork.x);
            let branch = branch(&mut bench, x);
            let inputs = if shortcut_first { [x, branch] } else { [branch, x] };
            let y = bench.graph.record(Add::default(), "add", &inputs).unwrap();
            let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
            ran.check_gradient(what, "x", &sum(through, &Value::exact(&fork.dy)));
        }
    };
    for tuning in &tunings() {
        check("max_pool2d", &pool, &max_pool2d::backward(&fork.dy, &pooled.pixel, SHAPE), tuning);
        check("depthwise_conv2d", &depthwise, &depthwise_conv2d::backward_input(&fork.dy, &w, SHAPE, 1, [1; 4]), tuning);
        check("relu", &relu, &rectified, tuning);
    }
}

/// Batch norm and a shortcut: the layer's gradient of x, and dy once more.
#[test]
fn a_shortcut_around_a_batch_norm() {
    let fork = Fork::new(106);
    let norm = common::norm::Norm::random(&mut cases::rng(107), 5);
    for tuning in &tunings() {
        let mut bench = Bench::default();
        let x = bench.image("x", &fork.x);
        let [weight, bias, mean, var] = norm.record(&mut bench, "bn");
        let op = BatchNorm { eps: common::norm::EPS, ..Default::default() };
        let branch = bench.graph.record(op, "bn", &[x, weight, bias, mean, var]).unwrap();
        let y = bench.graph.add(branch, x, "add").unwrap();
        let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
        let gradients = frostline_twin::batch_norm::backward_batch(&fork.x, &norm.parameters(), &fork.dy);
        ran.check_gradient("batch norm", "x", &sum(&gradients.dx, &Value::exact(&fork.dy)));
        ran.check_gradient("batch norm", "bn.weight", &gradients.dgamma);
    }
}

/// Pooled features that two heads read.
#[test]
fn two_readers_of_pooled_features() {
    let fork = Fork::new(108);
    let dy = cases::uniform(&mut cases::rng(109), &[2, 5], -1.0..1.0);
    let mut bench = Bench::default();
    let x = bench.image("x", &fork.x);
    let [a, b] = ["a", "b"].map(|layer| bench.graph.record(GlobalAvgPool, layer, &[x]).unwrap());
    let y = bench.graph.add(a, b, "add").unwrap();
    let ran = bench.run(y, &dy, &Freeze::none(), GPU.tuning());
    let once = global_avg_pool::backward(&dy, SHAPE);
    ran.check_gradient("two poolings", "x", &sum(&once, &once));
}

/// A parameter that ops read directly, several times, or whose gradient is another op's buffer
/// passed on: it still ends where `read_gradient` looks.
#[test]
fn gradients_of_parameters_come_home() {
    let fork = Fork::new(110);
    for tuning in &tunings() {
        let mut bench = Bench::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| bench.parameter(name, image(&fork.x), &fork.x));
        let twice = bench.graph.add(a, a, "twice").unwrap();
        let conv = Fork::conv(&mut bench, "conv", b, &fork.w);
        let shortcut = bench.graph.add(conv, b, "shortcut").unwrap();
        let both = bench.graph.add(twice, shortcut, "both").unwrap();
        let y = bench.graph.add(both, c, "all").unwrap();
        let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
        let dy = Value::exact(&fork.dy);
        ran.check_gradient("a + a", "a", &sum(&dy, &dy));
        ran.check_gradient("conv(b) + b", "b", &sum(&fork.through_conv(), &dy));
        assert_eq!(ran.gradients["c"], fork.dy.to_f32());
    }
}

/// A branch that wants no gradient contributes none: not zeros, nothing.
#[test]
fn a_frozen_branch_contributes_nothing() {
    let fork = Fork::new(111);
    let mut bench = Bench::default();
    let (x, frozen) = (bench.image("x", &fork.x), bench.image("frozen", &fork.x));
    let branch = Fork::conv(&mut bench, "conv", frozen, &fork.w);
    let y = bench.graph.add(x, branch, "add").unwrap();
    let ran = bench.run(y, &fork.dy, &Freeze::names(["frozen", "conv.w"]), GPU.tuning());
    assert_eq!(ran.gradients["x"], fork.dy.to_f32());
    assert!(!ran.kernels.iter().any(|kernel| kernel.starts_with("conv2d.backward")), "{:?}", ran.kernels);
}
