//! Gradients of a tensor that several ops read: their contributions are added up, each once. The
//! tensor may be an activation, an image, or a parameter that layers share (tied weights).

mod common;

use common::norm::{EPS, Norm};
use common::{Bench, GPU, filter, image, matrix, tunings, vector};
use frostline_engine::dispatch::Home;
use frostline_engine::ops::{
    Activation, Add, BatchNorm, Conv2d, DepthwiseConv2d, GlobalAvgPool, Linear, MaxPool2d, Padding, Relu,
};
use frostline_engine::{
    BatchNormMode, Freeze, Graph, Optim, Optimizer, Params, Plan, Session, Shape, Storage,
};
use frostline_engine::{TensorId, Tuning};
use frostline_twin::{Array, Value, cases, conv2d, depthwise_conv2d, filler, global_avg_pool, max_pool2d};
use std::collections::{BTreeMap, BTreeSet};

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
        Self {
            x: cases::distinct(&mut rng, &SHAPE, 0.05),
            w,
            dy: cases::uniform(&mut rng, &SHAPE, -1.0..1.0),
        }
    }

    fn conv(bench: &mut Bench, layer: &str, x: TensorId, w: &Array) -> TensorId {
        let w = bench.parameter(&format!("{layer}.w"), filter(w), w);
        bench
            .graph
            .record(Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() }, layer, &[x, w])
            .unwrap()
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
            let scaled = |of: &Array| {
                Value::build(&SHAPE, |i| (0..times).map(|_| frostline_twin::exact(of.data[i])).sum())
            };
            ran.check_output("x + x", &scaled(&fork.x));
            ran.check_gradient("x + x", "x", &scaled(&fork.dy));
        }
    }
}

/// The second contribution is a convolution's, which adds the first in its epilogue; or the first is, and an
/// addition passes its gradient on.
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
            ran.check_gradient(
                "two convolutions",
                name,
                &conv2d::backward_weight(&fork.x, &fork.dy, w.dims(), 1, [1; 4]),
            );
        }
        bench.check_subsets(
            y,
            &fork.dy,
            &Freeze::none(),
            tuning,
            &[("x", &["conv2d.backward_input"]), ("a.w", &[]), ("b.w", &[])],
        );
    }
}

/// Ops whose kernels cannot add an earlier contribution: it is added by a separate dispatch.
#[test]
fn a_shortcut_around_every_other_op() {
    let fork = Fork::new(104);
    let w = cases::uniform(&mut cases::rng(105), &[5, 1, 3, 3], -1.0..1.0);
    let pooled = max_pool2d::forward(&fork.x, [3; 2], 1, [1; 4]);
    let pool = |bench: &mut Bench, x| {
        bench.graph.record(MaxPool2d { kernel: 3, stride: 1, padding: 1 }, "pool", &[x]).unwrap()
    };
    let depthwise = |bench: &mut Bench, x| {
        let w = bench.parameter("w", common::depthwise(&w), &w);
        bench.graph.record(DepthwiseConv2d { stride: 1, padding: Padding::all(1) }, "conv", &[x, w]).unwrap()
    };
    let relu = |bench: &mut Bench, x| {
        bench.graph.record(Relu { activation: Activation::Relu }, "relu", &[x]).unwrap()
    };
    let rectified = frostline_twin::activation::Activation::Relu.backward(&fork.dy, &fork.x);
    let check =
        |what: &str, branch: &dyn Fn(&mut Bench, TensorId) -> TensorId, through: &Value, tuning: &Tuning| {
            for shortcut_first in [false, true] {
                let mut bench = Bench::default();
                let x = bench.image("x", &fork.x);
                let branch = branch(&mut bench, x);
                let inputs = if shortcut_first { [x, branch] } else { [branch, x] };
                let y = bench.graph.record(Add, "add", &inputs).unwrap();
                let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
                ran.check_gradient(what, "x", &sum(through, &Value::exact(&fork.dy)));
            }
        };
    for tuning in &tunings() {
        check("max_pool2d", &pool, &max_pool2d::backward(&fork.dy, &pooled.pixel, SHAPE), tuning);
        check(
            "depthwise_conv2d",
            &depthwise,
            &depthwise_conv2d::backward_input(&fork.dy, &w, SHAPE, 1, [1; 4]),
            tuning,
        );
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
/// passed on: it still ends in the buffer that `read_gradient` reads.
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

/// A branch that needs no gradient contributes none, not even zeros.
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

/// Layers in a row that read parameters of one name each, or one set of parameters together.
struct Tied<'a> {
    bench: Bench,
    tie: bool,
    ids: BTreeMap<String, TensorId>,
    values: &'a BTreeMap<&'static str, (Shape, Array)>,
}

impl Tied<'_> {
    /// The parameter `what` of layer `layer`.
    fn parameter(&mut self, layer: usize, what: &str) -> TensorId {
        let (shape, values) = &self.values[what];
        let name = if self.tie { what.to_owned() } else { format!("{what}.{layer}") };
        *self.ids.entry(name.clone()).or_insert_with(|| self.bench.parameter(&name, *shape, values))
    }
}

/// Records `layers` layers one after another, tied and untied. The gradient of a tied parameter must be
/// the sum of those of the untied ones, the last layer's first, to the bit: the kernels are the same.
fn check_tied(
    what: &str,
    values: &[(&'static str, Shape, Array)],
    (x, dy): (&Array, &Array),
    layers: usize,
    mode: BatchNormMode,
    layer: impl Fn(&mut Tied<'_>, usize, TensorId) -> TensorId,
) {
    let values: BTreeMap<&'static str, (Shape, Array)> =
        values.iter().map(|(name, shape, values)| (*name, (*shape, values.clone()))).collect();
    let f16 = GPU.has_f16().then(|| GPU.tuning().with_storage(Storage::f16()));
    for tuning in tunings().iter().chain(&f16) {
        let run = |tie: bool, frozen: &[&str]| {
            let mut tied = Tied { bench: Bench::default(), tie, ids: BTreeMap::new(), values: &values };
            let mut y = tied.bench.image("x", x);
            for at in 0..layers {
                y = layer(&mut tied, at, y);
            }
            let mut freeze = Freeze::names(frozen.iter().copied());
            freeze.batch_norm = mode;
            tied.bench.run(y, dy, &freeze, tuning)
        };
        let (tied, untied) = (run(true, &[]), run(false, &[]));
        let what = format!("{what}, {:?}, {:?}", tuning.class, tuning.storage);
        assert_eq!(tied.output, untied.output, "{what}: output");
        assert_eq!(tied.gradients["x"], untied.gradients["x"], "{what}: gradient of x");
        for name in values.keys() {
            let parts: Vec<&Vec<f32>> =
                (0..layers).rev().filter_map(|at| untied.gradients.get(&format!("{name}.{at}"))).collect();
            assert!(parts.len() > 1, "{what}: {name} is read once");
            let last = parts[0].clone();
            let sum =
                parts[1..].iter().fold(last, |sum, part| sum.iter().zip(*part).map(|(a, b)| a + b).collect());
            assert_eq!(tied.gradients[*name], sum, "{what}: gradient of {name}");
            assert!(
                parts.iter().all(|part| **part != sum),
                "{what}: {name} has one contribution that matters"
            );

            let frozen = run(true, &[name]);
            assert!(!frozen.gradients.contains_key(*name), "{what}: {name} is frozen");
            for (other, gradient) in &frozen.gradients {
                assert_eq!(gradient, &tied.gradients[other], "{what}: {name} frozen, gradient of {other}");
            }
        }
    }
}

#[test]
fn tied_convolutions() {
    // Direct or tiled, pointwise, and wide enough for Winograd's algorithm.
    for (seed, (c, k)) in [(5, 3), (6, 1), (32, 3)].into_iter().enumerate() {
        let mut rng = cases::rng(120 + seed as u64);
        let [x, dy] = [(); 2].map(|()| cases::uniform(&mut rng, &[2, c, 9, 8], -1.0..1.0));
        let w = cases::uniform(&mut rng, &[c, c, k, k], -0.3..0.3);
        let op = Conv2d { stride: 1, padding: Padding::all(k / 2), ..Default::default() };
        check_tied("conv2d", &[("w", filter(&w), w)], (&x, &dy), 3, BatchNormMode::Batch, |tied, at, x| {
            let w = tied.parameter(at, "w");
            tied.bench.graph.record(op.clone(), &format!("conv{at}"), &[x, w]).unwrap()
        });
    }
}

#[test]
fn tied_convolutions_with_a_bias() {
    let mut rng = cases::rng(125);
    let [x, dy] = [(); 2].map(|()| cases::uniform(&mut rng, &[2, 6, 5, 7], -1.0..1.0));
    let (w, b) =
        (cases::uniform(&mut rng, &[6, 6, 3, 3], -0.3..0.3), cases::uniform(&mut rng, &[6], -1.0..1.0));
    let values = [("w", filter(&w), w), ("b", vector(&b), b)];
    check_tied("conv2d with bias", &values, (&x, &dy), 2, BatchNormMode::Batch, |tied, at, x| {
        let inputs = [x, tied.parameter(at, "w"), tied.parameter(at, "b")];
        let op = Conv2d { stride: 1, padding: Padding::all(1), bias: true };
        tied.bench.graph.record(op, &format!("conv{at}"), &inputs).unwrap()
    });
}

#[test]
fn tied_linear_layers() {
    let mut rng = cases::rng(130);
    let [x, dy] = [(); 2].map(|()| cases::uniform(&mut rng, &[5, 9], -1.0..1.0));
    let (w, b) = (cases::uniform(&mut rng, &[9, 9], -0.5..0.5), cases::uniform(&mut rng, &[9], -1.0..1.0));
    let values = [("w", matrix(&w), w), ("b", vector(&b), b)];
    check_tied("linear", &values, (&x, &dy), 3, BatchNormMode::Batch, |tied, at, x| {
        let inputs = [x, tied.parameter(at, "w"), tied.parameter(at, "b")];
        tied.bench.graph.record(Linear, &format!("fc{at}"), &inputs).unwrap()
    });
}

#[test]
fn tied_depthwise_convolutions() {
    let mut rng = cases::rng(131);
    let [x, dy] = [(); 2].map(|()| cases::uniform(&mut rng, &[2, 6, 9, 7], -1.0..1.0));
    let w = cases::uniform(&mut rng, &[6, 1, 3, 3], -0.5..0.5);
    let op = DepthwiseConv2d { stride: 1, padding: Padding::all(1) };
    check_tied(
        "depthwise",
        &[("w", common::depthwise(&w), w)],
        (&x, &dy),
        2,
        BatchNormMode::Batch,
        |tied, at, x| {
            let w = tied.parameter(at, "w");
            tied.bench.graph.record(op.clone(), &format!("conv{at}"), &[x, w]).unwrap()
        },
    );
}

#[test]
fn tied_batch_norms() {
    let mut rng = cases::rng(132);
    let [x, dy] = [(); 2].map(|()| cases::uniform(&mut rng, &[3, 6, 5, 7], -1.0..1.0));
    let norm = Norm::random(&mut rng, 6);
    let values = [
        ("weight", vector(&norm.gamma), norm.gamma.clone()),
        ("bias", vector(&norm.beta), norm.beta.clone()),
    ];
    for mode in [BatchNormMode::Batch, BatchNormMode::Running] {
        check_tied(&format!("batch_norm {mode:?}"), &values, (&x, &dy), 2, mode, |tied, at, x| {
            let (mean, var) = (format!("{at}.running_mean"), format!("{at}.running_var"));
            let statistics = [tied.bench.statistic(&mean, &norm.mean), tied.bench.statistic(&var, &norm.var)];
            let inputs =
                [x, tied.parameter(at, "weight"), tied.parameter(at, "bias"), statistics[0], statistics[1]];
            let op = BatchNorm { eps: EPS, ..Default::default() };
            let y = tied.bench.graph.record(op, &format!("bn{at}"), &inputs).unwrap();
            tied.bench.graph.relu(y, &format!("relu{at}")).unwrap()
        });
    }
}

/// One vector is the bias of a linear layer and both weight and bias of a batch norm: one kernel writes
/// two of its three contributions.
#[test]
fn a_vector_that_different_ops_read() {
    let mut rng = cases::rng(133);
    let [x, dy] = [(); 2].map(|()| cases::uniform(&mut rng, &[7, 6], -1.0..1.0));
    let w = cases::uniform(&mut rng, &[6, 6], -1.0..1.0);
    let norm = Norm::random(&mut rng, 6);
    for tuning in &tunings() {
        let run = |names: [&str; 3]| {
            let mut bench = Bench::default();
            let mut ids = BTreeMap::new();
            let x = bench.image("x", &x);
            let w = bench.parameter("w", matrix(&w), &w);
            let [bias, gamma, beta] = names.map(|name| {
                *ids.entry(name).or_insert_with(|| bench.parameter(name, vector(&norm.beta), &norm.beta))
            });
            let statistics = [bench.statistic("mean", &norm.mean), bench.statistic("var", &norm.var)];
            let y = bench.graph.record(Linear, "fc", &[x, w, bias]).unwrap();
            let op = BatchNorm { eps: EPS, ..Default::default() };
            let inputs = [y, gamma, beta, statistics[0], statistics[1]];
            let y = bench.graph.record(op, "bn", &inputs).unwrap();
            let mut freeze = Freeze::none();
            freeze.batch_norm = BatchNormMode::Running;
            bench.run(y, &dy, &freeze, tuning)
        };
        let (tied, untied) = (run(["v"; 3]), run(["bias", "gamma", "beta"]));
        let [bias, gamma, beta] = ["bias", "gamma", "beta"].map(|name| &untied.gradients[name]);
        let sum: Vec<f32> = (0..6).map(|c| gamma[c] + beta[c] + bias[c]).collect();
        assert_eq!(tied.gradients["v"], sum, "{:?}", tuning.class);
        assert_eq!(tied.gradients["w"], untied.gradients["w"]);
    }
}

/// Against f64: two convolutions of different images with one filter, dw = dw(x₁) + dw(x₂).
#[test]
fn a_filter_of_two_branches() {
    let (fork, other) = (Fork::new(134), Fork::new(135));
    for tuning in &tunings() {
        let mut bench = Bench::default();
        let images = [bench.image("x", &fork.x), bench.image("z", &other.x)];
        let w = bench.parameter("w", filter(&fork.w), &fork.w);
        let op = Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() };
        let [a, b] = images.map(|image| bench.graph.record(op.clone(), "conv", &[image, w]).unwrap());
        let y = bench.graph.add(a, b, "add").unwrap();
        let ran = bench.run(y, &fork.dy, &Freeze::none(), tuning);
        let part = |x: &Array| conv2d::backward_weight(x, &fork.dy, fork.w.dims(), 1, [1; 4]);
        ran.check_gradient("two branches", "w", &sum(&part(&fork.x), &part(&other.x)));
    }
}

/// features (4, 6) → fc → fc → loss, both layers with the same weight and bias.
fn tied_classifier() -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let (x, labels) = (graph.input(4, 1, 1, 6), graph.labels(4));
    let init = frostline_engine::tensor::Init::Uniform { fan_in: 6 };
    let weight = graph.parameter("fc.weight", Shape::Matrix { c_in: 6, c_out: 6 }, init).unwrap();
    let bias = graph.parameter("fc.bias", Shape::Vector { c: 6 }, init).unwrap();
    let hidden = graph.record(Linear, "fc1", &[x, weight, bias]).unwrap();
    let logits = graph.record(Linear, "fc2", &[hidden, weight, bias]).unwrap();
    let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
    (graph, loss)
}

/// A tied parameter takes one step, by the sum of its gradients, and has one momentum.
#[test]
fn a_tied_parameter_is_updated_once() {
    let (graph, loss) = tied_classifier();
    for tuning in &tunings() {
        let optim = Optim::sgd(0.5).momentum(0.9);
        let plan = Plan::training(&graph, loss, &Freeze::none(), &optim, tuning).unwrap();
        let updates =
            plan.dispatches().iter().filter(|dispatch| dispatch.variant.kernel.file == "sgd").count();
        assert_eq!(updates, 1, "neighbours are updated together");
        let params = Params::new(&GPU, &graph, 1).unwrap();
        let mut optimizer = Optimizer::new(&GPU, &plan).unwrap();
        let mut session = Session::new(&GPU, plan, &params, Some(&optimizer)).unwrap();
        session.write_input(&filler::fill("input", 24, -1.0, 1.0)).unwrap();
        session.write_labels(&filler::labels(4, 6)).unwrap();
        let before: Vec<Vec<f32>> = ["fc.weight", "fc.bias"].map(|name| params.get(name).unwrap()).into();
        session.begin_step(&mut optimizer, 0.5).unwrap();
        session.poison();
        session.run().unwrap();
        let moments = optimizer.to_host().unwrap();
        assert_eq!(moments.len(), 2);
        for (name, before) in ["fc.weight", "fc.bias"].into_iter().zip(before) {
            let gradient = session.read_gradient(name).unwrap();
            let (_, _, _, momentum) = moments.iter().find(|(_, of, ..)| of == name).unwrap();
            assert_eq!(momentum, &gradient, "the first momentum is the gradient");
            for ((after, before), gradient) in params.get(name).unwrap().into_iter().zip(before).zip(gradient)
            {
                assert!(
                    (after - (before - 0.5 * gradient)).abs() <= 1e-6,
                    "{name}: {before} {gradient} {after}"
                );
            }
        }
    }
}

/// Every buffer has one writer, also where contributions are added up. (The optimiser and batch norms
/// update parameters, moments and statistics in place.)
#[test]
fn every_buffer_has_one_writer() {
    let (graph, loss) = tied_classifier();
    for tuning in [Tuning::portable(), Tuning::subgroup(8), Tuning::gpu()] {
        for freeze in [Freeze::none(), Freeze::names(["fc.weight"]), Freeze::names(["fc.bias"])] {
            let plan = Plan::training(&graph, loss, &freeze, &Optim::sgd(0.1), &tuning).unwrap();
            let mut written = BTreeSet::new();
            for dispatch in plan.dispatches() {
                for id in dispatch.written() {
                    let home = &plan.buffer(id).unwrap().home;
                    assert!(
                        !matches!(home, Home::Parameter(_)),
                        "{} writes {home:?}",
                        dispatch.variant.kernel.name()
                    );
                    assert!(written.insert(id), "{} writes {home:?} again", dispatch.variant.kernel.name());
                }
            }
            let gradients = plan.dispatches().iter().flat_map(|dispatch| dispatch.written());
            let gradients =
                gradients.filter(|id| matches!(plan.buffer(*id).unwrap().home, Home::Gradient(_)));
            assert_eq!(gradients.count(), plan.trainable_names().count(), "{freeze:?}");
        }
    }
}
