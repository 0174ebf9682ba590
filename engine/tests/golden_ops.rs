//! The ops on the GPU against PyTorch: every operation of `tests/golden/ops.safetensors`.
//!
//! The values are PyTorch's; how far a kernel may be from them is the twin's sum of terms. The
//! file's optimiser steps start from gradients that no loss has, so those are checked through the
//! twins, which PyTorch checked (`tests/twin/tests/golden.rs`), in `optim.rs`.

mod common;

use common::{Bench, Ran, depthwise, filter, matrix, padding, tunings, vector};
use frostline_engine::ops::{
    self, Add, BatchNorm, Conv2d, CrossEntropy, DepthwiseConv2d, GlobalAvgPool, Linear, MaxPool2d,
    MultiMargin, Relu,
};
use frostline_engine::{BatchNormMode, Freeze, Shape, TensorId, Tuning};
use frostline_loader::safetensors::{self, SafeFile};
use frostline_twin::activation::Activation;
use frostline_twin::batch_norm::{self, Parameters, Statistics};
use frostline_twin::softmax_cross_entropy::{self as cross_entropy, IGNORED, Settings};
use frostline_twin::{Array, Value, add, compare, conv2d, depthwise_conv2d, exact, filler};
use frostline_twin::{global_avg_pool, linear, max_pool2d, mixup, multi_margin};
use serde_json::Value as Json;

/// One case of the table in the file's metadata.
struct Case<'a> {
    json: &'a Json,
    bench: Bench,
}

fn fill(name: &str, shape: &Json, range: [f64; 2]) -> Array {
    let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
    let [low, high] = range.map(|bound| bound as f32);
    Array::from_f32(&shape, &filler::fill(name, shape.iter().product(), low, high))
}

impl Case<'_> {
    fn name(&self) -> &str {
        self.json["name"].as_str().unwrap()
    }

    fn input(&self, key: &str) -> Array {
        let input = &self.json["inputs"][key];
        fill(
            &format!("{}.{key}", self.name()),
            &input["shape"],
            [0, 1].map(|i| input["range"][i].as_f64().unwrap()),
        )
    }

    fn image(&mut self, key: &str) -> TensorId {
        let values = self.input(key);
        self.bench.image(key, &values)
    }

    fn parameter(&mut self, key: &str, shape: impl Fn(&Array) -> Shape) -> TensorId {
        let values = self.input(key);
        self.bench.parameter(key, shape(&values), &values)
    }

    fn grad_output(&self) -> Array {
        fill(&format!("{}.grad_output", self.name()), &self.json["outputs"]["y"], [-1.0, 1.0])
    }

    fn number(&self, attribute: &str) -> f64 {
        self.json["attributes"][attribute].as_f64().unwrap()
    }

    fn window(&self) -> (usize, [usize; 4]) {
        (
            self.number("stride") as usize,
            serde_json::from_value(self.json["attributes"]["padding"].clone()).unwrap(),
        )
    }

    /// Partner and share of every row, of a case that mixes them.
    fn mixes(&self) -> Vec<(usize, f64)> {
        let partners: Vec<usize> =
            serde_json::from_value(self.json["attributes"]["partners"].clone()).unwrap_or_default();
        partners.into_iter().map(|partner| (partner, self.number("share"))).collect()
    }

    fn record(&mut self, op: impl ops::Op, inputs: &[TensorId]) -> TensorId {
        self.bench.graph.record(op, "op", inputs).unwrap()
    }
}

/// Every output of a case under its name in the file: the GPU's result, and the twin's value.
type Outputs = Vec<(&'static str, Vec<f32>, Value)>;

#[test]
fn every_operation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/ops.safetensors");
    let file: SafeFile = safetensors::read(path).unwrap();
    let cases: Json = serde_json::from_str(&file.metadata["cases"]).unwrap();
    for json in cases.as_array().unwrap() {
        for tuning in &tunings() {
            let outputs = run(Case { json, bench: Bench::default() }, tuning);
            let name = json["name"].as_str().unwrap();
            assert_eq!(
                outputs.len(),
                json["outputs"].as_object().unwrap().len(),
                "{name}: a stored tensor was left out"
            );
            for (output, gpu, twin) in outputs {
                let torch = &file.tensors[&format!("{name}.{output}")];
                let value = Array::from_f32(&twin.value.shape, &torch.data);
                compare::assert_close(&format!("{name}.{output} {tuning:?}"), &gpu, &Value { value, ..twin });
            }
        }
    }
}

fn run(mut case: Case<'_>, tuning: &Tuning) -> Outputs {
    let relu = |activation| Relu { activation };
    match case.json["op"].as_str().unwrap() {
        "conv2d" | "depthwise_conv2d" => convolution(&mut case, tuning),
        "batch_norm" => batch_norm(&mut case, tuning),
        "relu" => activation(&mut case, relu(ops::Activation::Relu), Activation::Relu, tuning),
        "relu6" => activation(&mut case, relu(ops::Activation::Relu6), Activation::Relu6, tuning),
        "silu" => activation(&mut case, ops::Silu, Activation::Silu, tuning),
        "add" => {
            let inputs = [case.image("a"), case.image("b")];
            let y = case.record(Add, &inputs);
            let (dy, twin) =
                (case.grad_output(), add::forward(&case.input("a"), &case.input("b"), Activation::None));
            let ran = case.bench.run(y, &dy, &Freeze::none(), tuning);
            let dy = Value::exact(&dy);
            outputs(&ran, twin, [("da", "a", dy.clone()), ("db", "b", dy)])
        }
        "max_pool2d" => {
            let x = case.image("x");
            let [kernel, stride, padding] =
                ["kernel", "stride", "padding"].map(|name| case.number(name) as usize);
            let y = case.record(MaxPool2d { kernel, stride, padding }, &[x]);
            let (x, dy) = (case.input("x"), case.grad_output());
            let twin = max_pool2d::forward(&x, [kernel; 2], stride, [padding; 4]);
            let dx = max_pool2d::backward(&dy, &twin.pixel, x.dims());
            outputs(&case.bench.run(y, &dy, &Freeze::none(), tuning), twin.y, [("dx", "x", dx)])
        }
        "global_avg_pool" => {
            let x = case.image("x");
            let y = case.record(GlobalAvgPool, &[x]);
            let (x, dy) = (case.input("x"), case.grad_output());
            let dx = global_avg_pool::backward(&dy, x.dims());
            outputs(
                &case.bench.run(y, &dy, &Freeze::none(), tuning),
                global_avg_pool::forward(&x),
                [("dx", "x", dx)],
            )
        }
        "linear" => {
            let inputs = [case.image("x"), case.parameter("w", matrix), case.parameter("b", vector)];
            let y = case.record(Linear, &inputs);
            let ([x, w, b], dy) = (["x", "w", "b"].map(|key| case.input(key)), case.grad_output());
            let dw = linear::backward_weight(&x, &dy);
            let gradients = [
                ("dx", "x", linear::backward_input(&dy, &w)),
                ("dw", "w", dw),
                ("db", "b", linear::backward_bias(&dy)),
            ];
            outputs(
                &case.bench.run(y, &dy, &Freeze::none(), tuning),
                linear::forward(&x, &w, Some(&b)),
                gradients,
            )
        }
        "cross_entropy" => {
            let smoothing = case.number("label_smoothing");
            let weights: Vec<f64> =
                serde_json::from_value(case.json["attributes"]["weights"].clone()).unwrap_or_default();
            let class_weights = weights.iter().map(|&weight| weight as f32).collect();
            let op = CrossEntropy { label_smoothing: smoothing as f32, class_weights };
            let mixes = case.mixes();
            let settings = Settings { smoothing, weights: &weights, mixes: &mixes };
            loss(&mut case, op, tuning, |x, labels| {
                (
                    cross_entropy::forward_with(x, labels, &settings),
                    cross_entropy::backward_with(x, labels, &settings),
                )
            })
        }
        "mixup" => mixup(&case, tuning),
        "multi_margin" => {
            let margin = case.number("margin");
            let op = MultiMargin { margin: margin as f32 };
            loss(&mut case, op, tuning, |x, labels| {
                (multi_margin::forward(x, labels, margin), multi_margin::backward(x, labels, margin))
            })
        }
        other => panic!("{other}: the file has an op that this test does not know"),
    }
}

/// y, and the gradients under the file's and the parameter's name.
fn outputs<const N: usize>(ran: &Ran, y: Value, gradients: [(&'static str, &str, Value); N]) -> Outputs {
    let gradients =
        gradients.map(|(output, parameter, twin)| (output, ran.gradients[parameter].clone(), twin));
    std::iter::once(("y", ran.output.clone(), y)).chain(gradients).collect()
}

fn convolution(case: &mut Case<'_>, tuning: &Tuning) -> Outputs {
    let (stride, pad) = case.window();
    let (x, w, dy) = (case.input("x"), case.input("w"), case.grad_output());
    if case.json["op"] == "conv2d" {
        let inputs = [case.image("x"), case.parameter("w", filter)];
        let y = case.record(Conv2d { stride, padding: padding(pad), ..Default::default() }, &inputs);
        let dx = conv2d::backward_input(&dy, &w, x.dims(), stride, pad);
        let dw = conv2d::backward_weight(&x, &dy, w.dims(), stride, pad);
        let ran = case.bench.run(y, &dy, &Freeze::none(), tuning);
        outputs(&ran, conv2d::forward(&x, &w, stride, pad), [("dx", "x", dx), ("dw", "w", dw)])
    } else {
        let inputs = [case.image("x"), case.parameter("w", depthwise)];
        let y = case.record(DepthwiseConv2d { stride, padding: padding(pad) }, &inputs);
        let dx = depthwise_conv2d::backward_input(&dy, &w, x.dims(), stride, pad);
        let dw = depthwise_conv2d::backward_weight(&x, &dy, w.dims(), stride, pad);
        let ran = case.bench.run(y, &dy, &Freeze::none(), tuning);
        outputs(&ran, depthwise_conv2d::forward(&x, &w, stride, pad), [("dx", "x", dx), ("dw", "w", dw)])
    }
}

fn batch_norm(case: &mut Case<'_>, tuning: &Tuning) -> Outputs {
    let training = case.json["attributes"]["training"].as_bool().unwrap();
    let [eps, momentum] = ["eps", "momentum"].map(|name| case.number(name) as f32);
    let [x, gamma, beta, mean, var] =
        ["x", "gamma", "beta", "running_mean", "running_var"].map(|key| case.input(key));
    let dy = case.grad_output();
    let inputs = [
        case.image("x"),
        case.parameter("gamma", vector),
        case.parameter("beta", vector),
        case.bench.statistic("running_mean", &mean),
        case.bench.statistic("running_var", &var),
    ];
    let y = case.record(BatchNorm { eps, momentum, ..Default::default() }, &inputs);
    let mut freeze = Freeze::none();
    freeze.batch_norm = if training { BatchNormMode::Batch } else { BatchNormMode::Running };
    let ran = case.bench.run(y, &dy, &freeze, tuning);

    let parameters = Parameters { gamma: &gamma, beta: &beta, eps: f64::from(eps) };
    let running = Statistics::given(&mean, &var);
    let ([n, _, h, w], batch) = (x.dims(), batch_norm::statistics(&x));
    let (used, after, gradients) = if training {
        let after = batch_norm::update_running(&running, &batch, n * h * w, f64::from(momentum));
        (batch, after, batch_norm::backward_batch(&x, &parameters, &dy))
    } else {
        (running.clone(), running.clone(), batch_norm::backward_running(&x, &parameters, &running, &dy))
    };
    let twin = batch_norm::forward(&x, &parameters, &used, None, Activation::None);
    let mut outputs = outputs(
        &ran,
        twin,
        [
            ("dx", "x", gradients.dx),
            ("dgamma", "gamma", gradients.dgamma),
            ("dbeta", "beta", gradients.dbeta),
        ],
    );
    outputs.push(("running_mean_after", ran.state["running_mean"].clone(), after.mean));
    outputs.push(("running_var_after", ran.state["running_var"].clone(), after.var));
    outputs
}

fn activation(case: &mut Case<'_>, op: impl ops::Op, twin: Activation, tuning: &Tuning) -> Outputs {
    let input = case.image("x");
    let y = case.record(op, &[input]);
    let (x, dy) = (case.input("x"), case.grad_output());
    let ran = case.bench.run(y, &dy, &Freeze::none(), tuning);
    outputs(&ran, twin.forward(&x), [("dx", "x", twin.backward(&dy, &x))])
}

/// It has no gradient, so there is a plan of inference to run.
fn mixup(case: &Case<'_>, tuning: &Tuning) -> Outputs {
    let (x, mixes) = (case.input("x"), case.mixes());
    vec![("y", common::mixed(&x, &mixes, tuning), mixup::forward(&x, &mixes))]
}

fn loss(
    case: &mut Case<'_>,
    op: impl ops::Op,
    tuning: &Tuning,
    twin: impl Fn(&Array, &[u32]) -> (Value, Value),
) -> Outputs {
    let labels = case.json["attributes"]["labels"].as_array().unwrap().iter();
    // −100 is PyTorch's label of an ignored row.
    let labels: Vec<u32> =
        labels.map(|label| u32::try_from(label.as_i64().unwrap()).unwrap_or(IGNORED)).collect();
    let mixes = case.mixes();
    let mut inputs = vec![case.image("x"), case.bench.labels(&labels)];
    if !mixes.is_empty() {
        inputs.push(case.bench.mixes(&mixes));
    }
    let loss = case.record(op, &inputs);
    let ran = case.bench.run(loss, &Array::zeros(&[4]), &Freeze::none(), tuning);
    let x = case.input("x");
    let (y, dx) = twin(&x, &labels);
    // The file's gradients carry a factor; a loss of the engine starts backward at 1.
    let factor = case.grad_output().data[0];
    let scaled = ran.gradients["x"].iter().map(|value| value * factor as f32).collect();
    let dx = Value::build(&x.shape, |i| dx.at([i]) * exact(factor));
    vec![("y", ran.output[..1].to_vec(), y), ("dx", scaled, dx)]
}
