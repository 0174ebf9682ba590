//! Folded ops give the results of the single ops, forward and backward.

mod common;

use common::norm::{EPS, Norm};
use common::{Bench, GPU, chained, filter, tunings};
use frostline_engine::context::{Backward, Forward};
use frostline_engine::dispatch::Phase;
use frostline_engine::fused::{Fused, Part};
use frostline_engine::ops::{Activation, BatchNorm, Conv2d, DepthwiseConv2d, Op, Relu};
use frostline_engine::tensor::Init;
use frostline_engine::{
    BatchNormMode, Error, Freeze, Graph, Padding, Plan, Session, Shape, TensorId, Tuning,
};
use frostline_twin::activation::Activation as Twin;
use frostline_twin::batch_norm::{backward_batch, forward, statistics};
use frostline_twin::{Array, Value, cases, compare, conv2d, depthwise_conv2d, exact};

const X: [usize; 4] = [2, 5, 4, 6];
const Y: [usize; 4] = [2, 6, 4, 6];

/// A convolution, a batch norm, and optional further ops: an addition of `r`, an activation.
struct Block {
    x: Array,
    w: Array,
    r: Array,
    dy: Array,
    norm: Norm,
    bench: Bench,
    y: TensorId,
}

impl Block {
    fn new(residual: bool, activation: Activation) -> Self {
        let mut rng = cases::rng(120);
        let [x, w] = [&X[..], &[6, 5, 3, 3]].map(|shape| cases::uniform(&mut rng, shape, -1.0..1.0));
        let [r, dy] = [-1.0..5.0, -1.0..1.0].map(|range| cases::uniform(&mut rng, &Y, range));
        let norm = Norm::random(&mut rng, 6);
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
        let conv = Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() };
        let mut y = bench.graph.record(conv, "conv", &inputs).unwrap();
        let [weight, bias, mean, var] = norm.record(&mut bench, "bn");
        let op = BatchNorm { eps: EPS, ..Default::default() };
        y = bench.graph.record(op, "bn", &[y, weight, bias, mean, var]).unwrap();
        if residual {
            let r = bench.image("r", &r);
            y = bench.graph.add(y, r, "add").unwrap();
        }
        y = match activation {
            Activation::None => y,
            Activation::Silu => bench.graph.silu(y, "act").unwrap(),
            _ => bench.graph.record(Relu { activation }, "act", &[y]).unwrap(),
        };
        Self { x, w, r, dy, norm, bench, y }
    }

    fn expected(&self, residual: bool, twin: Twin) -> Value {
        let normalised = self.norm.apply_running(&conv2d::forward(&self.x, &self.w, 1, [1; 4]));
        Value::build(&Y, |i| {
            let z = normalised.at([i]);
            twin.apply(if residual { z + exact(self.r.data[i]) } else { z })
        })
    }
}

const FORMS: [(bool, Activation, Twin); 6] = [
    (false, Activation::None, Twin::None),
    (false, Activation::Relu, Twin::Relu),
    (false, Activation::Relu6, Twin::Relu6),
    (true, Activation::None, Twin::None),
    (true, Activation::Relu, Twin::Relu),
    (true, Activation::Relu6, Twin::Relu6),
];

/// A frozen batch norm leaves one kernel forward: the convolution.
#[test]
fn a_frozen_batch_norm_goes_into_the_convolution() {
    let frozen = ["bn.weight", "bn.bias"];
    for (residual, activation, twin) in FORMS {
        let block = Block::new(residual, activation);
        for tuning in &tunings() {
            let what = format!("conv + bn, residual {residual}, {activation:?}, {tuning:?}");
            let ran = block.bench.run(block.y, &block.dy, &Freeze::names(frozen), tuning);
            ran.check_output(&what, &block.expected(residual, twin));
            for absent in ["batch_norm.forward", "add.forward", "relu.forward"] {
                assert_eq!(ran.count(absent), 0, "{what}: {absent}");
            }
            let dz = twin.backward(&block.dy, &ran.output_array(&Y)).value;
            let dconv = block.norm.gradient_running(&dz);
            let dx = chained(|dy, w| conv2d::backward_input(dy, w, X, 1, [1; 4]), &dconv, &block.w);
            let dw =
                chained(|dy, x| conv2d::backward_weight(x, dy, block.w.dims(), 1, [1; 4]), &dconv, &block.x);
            ran.check_gradient(&what, "x", &dx);
            ran.check_gradient(&what, "w", &dw);
            if residual {
                assert_eq!(ran.gradients["r"], dz.to_f32(), "{what}");
            }
        }
        let inputs: &[(&str, &[&str])] =
            &[("x", &["conv2d.backward_input"]), ("w", &["conv2d.backward_weight"]), ("r", &[])];
        let inputs = &inputs[..if residual { 3 } else { 2 }];
        block.bench.check_subsets(block.y, &block.dy, &Freeze::names(frozen), GPU.tuning(), inputs);
    }
}

/// Trainable, with running statistics: batch norm keeps its own kernel, which includes the rest.
#[test]
fn a_trainable_batch_norm_takes_in_addition_and_activation() {
    for (residual, activation, twin) in FORMS {
        let block = Block::new(residual, activation);
        let mut freeze = Freeze::none();
        freeze.batch_norm = BatchNormMode::Running;
        let what = format!("bn with running statistics, residual {residual}, {activation:?}");
        let ran = block.bench.run(block.y, &block.dy, &freeze, GPU.tuning());
        ran.check_output(&what, &block.expected(residual, twin));
        assert_eq!(
            (ran.count("batch_norm.forward"), ran.count("add.forward"), ran.count("relu.forward")),
            (1, 0, 0),
            "{what}"
        );
        let dz = twin.backward(&block.dy, &ran.output_array(&Y)).value;
        let dconv = block.norm.gradient_running(&dz);
        let dx = chained(|dy, w| conv2d::backward_input(dy, w, X, 1, [1; 4]), &dconv, &block.w);
        ran.check_gradient(&what, "x", &dx);
        let dbeta = |c: usize| {
            (0..2).flat_map(|n| (0..24).map(move |i| (n * 6 + c) * 24 + i)).map(|i| exact(dz.data[i])).sum()
        };
        ran.check_gradient(&what, "bn.bias", &Value::build(&[6], dbeta));
    }
}

/// Batch statistics, alone so that its input is exact.
#[test]
fn batch_statistics_with_addition_and_activation() {
    for (residual, activation, twin) in FORMS {
        let block = Block::new(residual, activation);
        let mut bench = Bench::default();
        let x = bench.image("z", &block.r);
        let [weight, bias, mean, var] = block.norm.record(&mut bench, "bn");
        let op = BatchNorm { eps: EPS, ..Default::default() };
        let mut y = bench.graph.record(op, "bn", &[x, weight, bias, mean, var]).unwrap();
        let r = cases::uniform(&mut cases::rng(121), &Y, -1.0..5.0);
        if residual {
            let r = bench.image("r", &r);
            y = bench.graph.add(y, r, "add").unwrap();
        }
        if activation != Activation::None {
            y = bench.graph.record(Relu { activation }, "act", &[y]).unwrap();
        }
        let what = format!("bn with batch statistics, residual {residual}, {activation:?}");
        for tuning in &tunings() {
            let ran = bench.run(y, &block.dy, &Freeze::none(), tuning);
            assert_eq!(
                (ran.count("batch_norm.forward"), ran.count("add.forward"), ran.count("relu.forward")),
                (1, 0, 0),
                "{what}"
            );
            let parameters = block.norm.parameters();
            ran.check_output(
                &what,
                &forward(&block.r, &parameters, &statistics(&block.r), residual.then_some(&r), twin),
            );
            let dz = twin.backward(&block.dy, &ran.output_array(&Y)).value;
            let gradients = backward_batch(&block.r, &parameters, &dz);
            ran.check_gradient(&what, "z", &gradients.dx);
            ran.check_gradient(&what, "bn.weight", &gradients.dgamma);
            ran.check_gradient(&what, "bn.bias", &gradients.dbeta);
            if residual {
                assert_eq!(ran.gradients["r"], dz.to_f32(), "{what}");
            }
        }
    }
}

/// EfficientNet's middle layer: depthwise convolution, batch norm, relu6.
#[test]
fn a_frozen_batch_norm_goes_into_a_depthwise_convolution() {
    let mut rng = cases::rng(122);
    let [x, w] = [&X[..], &[5, 1, 3, 3]].map(|shape| cases::uniform(&mut rng, shape, -2.0..4.0));
    let dy = cases::uniform(&mut rng, &X, -1.0..1.0);
    let norm = Norm::random(&mut rng, 5);
    for (activation, twin) in
        [(Activation::None, Twin::None), (Activation::Relu, Twin::Relu), (Activation::Relu6, Twin::Relu6)]
    {
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", common::depthwise(&w), &w)];
        let conv = DepthwiseConv2d { stride: 1, padding: Padding::all(1) };
        let mut y = bench.graph.record(conv, "conv", &inputs).unwrap();
        let [weight, bias, mean, var] = norm.record(&mut bench, "bn");
        y = bench
            .graph
            .record(BatchNorm { eps: EPS, ..Default::default() }, "bn", &[y, weight, bias, mean, var])
            .unwrap();
        if activation != Activation::None {
            y = bench.graph.record(Relu { activation }, "act", &[y]).unwrap();
        }
        let normalised = norm.apply_running(&depthwise_conv2d::forward(&x, &w, 1, [1; 4]));
        for tuning in &tunings() {
            let what = format!("depthwise + bn, {activation:?}, {tuning:?}");
            let ran = bench.run(y, &dy, &Freeze::names(["bn.weight", "bn.bias"]), tuning);
            ran.check_output(&what, &Value::build(&X, |i| twin.apply(normalised.at([i]))));
            assert_eq!((ran.count("batch_norm.forward"), ran.count("relu.forward")), (0, 0), "{what}");
            let dconv = norm.gradient_running(&twin.backward(&dy, &ran.output_array(&X)).value);
            let dx = chained(|dy, w| depthwise_conv2d::backward_input(dy, w, X, 1, [1; 4]), &dconv, &w);
            let dw =
                chained(|dy, x| depthwise_conv2d::backward_weight(x, dy, w.dims(), 1, [1; 4]), &dconv, &x);
            ran.check_gradient(&what, "x", &dx);
            ran.check_gradient(&what, "w", &dw);
        }
    }
}

/// Inference folds trainable batch norms as well: only convolutions are left.
#[test]
fn inference_runs_convolutions_only() {
    let silu = [false, true].map(|residual| (residual, Activation::Silu, Twin::Silu));
    for (residual, activation, twin) in FORMS.into_iter().chain(silu) {
        let block = Block::new(residual, activation);
        for tuning in &tunings() {
            let mut graph = block.bench.graph.clone();
            // The output itself is the host's; a pooling keeps the block inside.
            let y = graph.max_pool2d(block.y, "out", 1, 1, 0).unwrap();
            let plan = Plan::inference(&graph, y, tuning).unwrap();
            let kernels: Vec<String> =
                plan.dispatches().iter().map(|dispatch| dispatch.variant.kernel.name()).collect();
            let normal = |kernel: &&String| {
                ["batch_norm.forward", "add.forward", "relu.forward", "relu.mask_bits", "silu.forward"]
                    .contains(&kernel.as_str())
            };
            assert_eq!(kernels.iter().find(normal), None, "{kernels:?}");
            let mut session = Session::new(&GPU, plan, &block.bench.params(), None).unwrap();
            session.poison();
            common::run(&mut session);
            compare::assert_close(
                "inference",
                &session.read_output().unwrap(),
                &block.expected(residual, twin),
            );
        }
    }
}

/// An output that a later layer's weight gradient reads is not kept but computed again in
/// backward, from the batch norm's kept input.
#[test]
fn batch_norm_and_relu_are_computed_again_in_backward() {
    let mut rng = cases::rng(123);
    let (x, w) =
        (cases::uniform(&mut rng, &X, -2.0..3.0), cases::uniform(&mut rng, &[6, 5, 3, 3], -1.0..1.0));
    let dy = cases::uniform(&mut rng, &Y, -1.0..1.0);
    let norm = Norm::random(&mut rng, 5);
    let mut bench = Bench::default();
    let input = bench.image("x", &x);
    let [weight, bias, mean, var] = norm.record(&mut bench, "bn");
    let op = BatchNorm { eps: EPS, ..Default::default() };
    let normalised = bench.graph.record(op, "bn", &[input, weight, bias, mean, var]).unwrap();
    let rectified = bench.graph.relu(normalised, "relu").unwrap();
    let w_id = bench.parameter("w", filter(&w), &w);
    let conv = Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() };
    let y = bench.graph.record(conv, "conv", &[rectified, w_id]).unwrap();
    let a = forward(&x, &norm.parameters(), &statistics(&x), None, Twin::Relu);
    for tuning in &tunings() {
        let ran = bench.run(y, &dy, &Freeze::none(), tuning);
        assert_eq!(ran.count("batch_norm.forward"), 2, "once forward, once in backward: {:?}", ran.kernels);
        ran.check_output("conv of bn", &chained(|a, w| conv2d::forward(a, w, 1, [1; 4]), &a, &w));
        let dw = chained(|a, dy| conv2d::backward_weight(a, dy, w.dims(), 1, [1; 4]), &a, &dy);
        ran.check_gradient("conv of bn", "w", &dw);
    }
}

/// An op outside the engine, with the kernels of a convolution; it accepts the parts that pass a test.
#[derive(Debug)]
struct Own(Conv2d, fn(Part) -> bool);

impl Op for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape, Error> {
        self.0.output_shape(layer, inputs)
    }

    fn can_take(&self, part: Part, fused: &Fused) -> bool {
        (self.1)(part) && self.0.can_take(part, fused)
    }

    fn keeps(&self, wants: &[bool]) -> Vec<usize> {
        self.0.keeps(wants)
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<(), Error> {
        self.0.forward(f)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<(), Error> {
        self.0.backward(b)
    }
}

/// The planner only uses the op's own answer: parts fold into an op of any name, in their order, up to the
/// first that it refuses.
#[test]
fn any_op_takes_what_it_can() {
    let forward = |takes: fn(Part) -> bool| {
        let mut graph = Graph::new();
        let [x, r] = [(); 2].map(|()| graph.input(1, 4, 4, 8));
        let shape = Shape::Filter { kh: 3, kw: 3, c_in: 8, c_out: 8 };
        let w = graph.parameter("w", shape, Init::KaimingNormal).unwrap();
        let op = Own(Conv2d { stride: 1, padding: Padding::all(1), bias: false }, takes);
        let y = graph.record(op, "own", &[x, w]).unwrap();
        let y = graph.batch_norm(y, "bn", EPS).unwrap();
        let y = graph.add(r, y, "add").unwrap();
        let y = graph.relu(y, "relu").unwrap();
        let plan = Plan::inference(&graph, y, &Tuning::portable()).unwrap();
        let step = plan.dispatches().iter().filter(|dispatch| dispatch.phase == Phase::Forward);
        step.map(|dispatch| dispatch.variant.kernel.name()).collect::<Vec<_>>()
    };
    assert_eq!(forward(|_| true), ["conv2d.forward"]);
    let stops = forward(|part| !matches!(part, Part::Norm(_)));
    assert_eq!(stops, ["conv2d.forward", "batch_norm.running", "batch_norm.forward"]);
    assert_eq!(forward(|part| !matches!(part, Part::Residual(_))), ["conv2d.forward", "add.forward"]);
}
