//! The twins against PyTorch: every op of `tests/golden/ops.safetensors`, forward and gradients.
//!
//! PyTorch computed in f64 and stored f32, so the twins have to agree to half a unit in the last
//! place of an f32: about a hundred times closer than a kernel has to be.

use frostline_twin::activation::Activation;
use frostline_twin::adamw::AdamW;
use frostline_twin::batch_norm::{self, Parameters, Statistics};
use frostline_twin::sgd::Sgd;
use frostline_twin::softmax_cross_entropy::{self, IGNORED, Settings};
use frostline_twin::{Array, Value, add, conv2d, depthwise_conv2d, exact, filler};
use frostline_twin::{global_avg_pool, linear, max_pool2d, mixup, multi_margin};
use safetensors::SafeTensors;
use serde_json::Value as Json;

/// The file, and how many of its tensors have been compared.
struct Goldens {
    bytes: Vec<u8>,
    compared: usize,
}

impl Goldens {
    fn open() -> Goldens {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/ops.safetensors");
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Goldens { bytes, compared: 0 }
    }

    /// A JSON document of the file's metadata.
    fn metadata(&self, key: &str) -> Json {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        serde_json::from_str(&metadata[key]).unwrap()
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    /// Compares a twin's result with a stored tensor, of the same number of elements.
    fn check(&mut self, name: &str, twin: &Array) {
        let tensors = self.tensors();
        let stored = tensors.tensor(name).unwrap();
        let stored = stored.data().chunks_exact(4);
        let stored: Vec<f32> = stored.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(stored.len(), twin.data.len(), "{name}");
        for (i, (&torch, &twin)) in stored.iter().zip(&twin.data).enumerate() {
            // Half a unit in the last place, and what two orders of f64 sums may differ by.
            let bound = 2f64.powi(-24) * twin.abs() * (1.0 + 1e-6) + 1e-13;
            let error = (f64::from(torch) - twin).abs();
            assert!(error <= bound, "{name}, element {i}: PyTorch {torch:e}, twin {twin:e}");
        }
        self.compared += 1;
    }
}

/// One case of the table in the metadata.
struct Case<'a>(&'a Json);

impl Case<'_> {
    fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    /// An input as the filler makes it.
    fn input(&self, key: &str) -> Array {
        let input = &self.0["inputs"][key];
        let shape: Vec<usize> = serde_json::from_value(input["shape"].clone()).unwrap();
        let range = |i: usize| input["range"][i].as_f64().unwrap() as f32;
        fill(&format!("{}.{key}", self.name()), &shape, range(0), range(1))
    }

    fn grad_output(&self) -> Array {
        let shape: Vec<usize> = serde_json::from_value(self.0["outputs"]["y"].clone()).unwrap();
        fill(&format!("{}.grad_output", self.name()), &shape, -1.0, 1.0)
    }

    fn number(&self, attribute: &str) -> f64 {
        self.0["attributes"][attribute].as_f64().unwrap()
    }

    fn padding(&self) -> [usize; 4] {
        serde_json::from_value(self.0["attributes"]["padding"].clone()).unwrap()
    }
}

fn fill(name: &str, shape: &[usize], low: f32, high: f32) -> Array {
    let count = shape.iter().product();
    Array::from_f32(shape, &filler::fill(name, count, low, high))
}

#[test]
fn operations() {
    let mut goldens = Goldens::open();
    let cases = goldens.metadata("cases");
    let mut tensors = 0;
    for json in cases.as_array().unwrap() {
        let case = Case(json);
        tensors += json["outputs"].as_object().unwrap().len();
        for (output, value) in run(&case) {
            goldens.check(&format!("{}.{output}", case.name()), &value);
        }
    }
    assert_eq!(goldens.compared, tensors, "a stored tensor was left out");
}

/// The twin's results under the names of the golden file.
fn run(case: &Case<'_>) -> Vec<(&'static str, Array)> {
    let dy = case.grad_output();
    let values = match case.0["op"].as_str().unwrap() {
        "conv2d" => {
            let (x, w) = (case.input("x"), case.input("w"));
            let (stride, padding) = (case.number("stride") as usize, case.padding());
            vec![
                ("y", conv2d::forward(&x, &w, stride, padding)),
                ("dx", conv2d::backward_input(&dy, &w, x.dims(), stride, padding)),
                ("dw", conv2d::backward_weight(&x, &dy, w.dims(), stride, padding)),
            ]
        }
        "depthwise_conv2d" => {
            use depthwise_conv2d::{backward_input, backward_weight, forward};
            let (x, w) = (case.input("x"), case.input("w"));
            let (stride, padding) = (case.number("stride") as usize, case.padding());
            vec![
                ("y", forward(&x, &w, stride, padding)),
                ("dx", backward_input(&dy, &w, x.dims(), stride, padding)),
                ("dw", backward_weight(&x, &dy, w.dims(), stride, padding)),
            ]
        }
        "batch_norm" => run_batch_norm(case, &dy),
        "relu" => run_activation(Activation::Relu, &case.input("x"), &dy),
        "relu6" => run_activation(Activation::Relu6, &case.input("x"), &dy),
        "silu" => run_activation(Activation::Silu, &case.input("x"), &dy),
        "add" => {
            let y = add::forward(&case.input("a"), &case.input("b"), Activation::None);
            let d = add::backward(&dy, &y.value, Activation::None);
            vec![("y", y), ("da", d.clone()), ("db", d)]
        }
        "max_pool2d" => {
            let [kernel, stride, padding] =
                ["kernel", "stride", "padding"].map(|key| case.number(key) as usize);
            let x = case.input("x");
            let pooled = max_pool2d::forward(&x, [kernel; 2], stride, [padding; 4]);
            let dx = max_pool2d::backward(&dy, &pooled.pixel, x.dims());
            vec![("y", pooled.y), ("dx", dx)]
        }
        "global_avg_pool" => {
            let x = case.input("x");
            let dx = global_avg_pool::backward(&dy, x.dims());
            vec![("y", global_avg_pool::forward(&x)), ("dx", dx)]
        }
        "linear" => {
            let [x, w, b] = ["x", "w", "b"].map(|key| case.input(key));
            vec![
                ("y", linear::forward(&x, &w, Some(&b))),
                ("dx", linear::backward_input(&dy, &w)),
                ("dw", linear::backward_weight(&x, &dy)),
                ("db", linear::backward_bias(&dy)),
            ]
        }
        "cross_entropy" => run_cross_entropy(case, &dy),
        "mixup" => vec![("y", mixup::forward(&case.input("x"), &mixes(case)))],
        "multi_margin" => run_multi_margin(case, &dy),
        other => panic!("no twin is called for op {other}"),
    };
    let only_values = values.into_iter().map(|(name, v)| (name, v.value));
    only_values.collect()
}

fn run_activation(activation: Activation, x: &Array, dy: &Array) -> Vec<(&'static str, Value)> {
    vec![("y", activation.forward(x)), ("dx", activation.backward(dy, x))]
}

fn run_batch_norm(case: &Case<'_>, dy: &Array) -> Vec<(&'static str, Value)> {
    let [x, gamma, beta, mean, var] =
        ["x", "gamma", "beta", "running_mean", "running_var"].map(|key| case.input(key));
    let parameters = Parameters { gamma: &gamma, beta: &beta, eps: case.number("eps") };
    let running = Statistics::given(&mean, &var);
    let training = case.0["attributes"]["training"].as_bool().unwrap();
    let (used, gradients, after) = if training {
        let batch = batch_norm::statistics(&x);
        let m = x.data.len() / gamma.data.len();
        let after = batch_norm::update_running(&running, &batch, m, case.number("momentum"));
        let gradients = batch_norm::backward_batch(&x, &parameters, dy);
        (batch, gradients, after)
    } else {
        let gradients = batch_norm::backward_running(&x, &parameters, &running, dy);
        (running.clone(), gradients, running)
    };
    vec![
        ("y", batch_norm::forward(&x, &parameters, &used, None, Activation::None)),
        ("dx", gradients.dx),
        ("dgamma", gradients.dgamma),
        ("dbeta", gradients.dbeta),
        ("running_mean_after", after.mean),
        ("running_var_after", after.var),
    ]
}

/// The labels of a loss. PyTorch marks ignored rows with a negative one.
fn labels(case: &Case<'_>) -> Vec<u32> {
    let label = |json: &Json| json.as_u64().map_or(IGNORED, |label| label as u32);
    case.0["attributes"]["labels"].as_array().unwrap().iter().map(label).collect()
}

/// Partner and share of every row, of a case that mixes them.
fn mixes(case: &Case<'_>) -> Vec<(usize, f64)> {
    let partners: Vec<usize> =
        serde_json::from_value(case.0["attributes"]["partners"].clone()).unwrap_or_default();
    partners.into_iter().map(|partner| (partner, case.number("share"))).collect()
}

fn run_cross_entropy(case: &Case<'_>, dy: &Array) -> Vec<(&'static str, Value)> {
    let (x, labels, mixes) = (case.input("x"), labels(case), mixes(case));
    let weights: Vec<f64> =
        serde_json::from_value(case.0["attributes"]["weights"].clone()).unwrap_or_default();
    let settings = Settings { smoothing: case.number("label_smoothing"), weights: &weights, mixes: &mixes };
    let dx = softmax_cross_entropy::backward_with(&x, &labels, &settings);
    let scaled = Value::build(&x.shape, |i| exact(dy.data[0]) * dx.at([i]));
    let y = softmax_cross_entropy::forward_with(&x, &labels, &settings);
    vec![("y", y), ("dx", scaled)]
}

fn run_multi_margin(case: &Case<'_>, dy: &Array) -> Vec<(&'static str, Value)> {
    let (x, labels, margin) = (case.input("x"), labels(case), case.number("margin"));
    let dx = multi_margin::backward(&x, &labels, margin);
    let scaled = Value::build(&x.shape, |i| exact(dy.data[0]) * dx.at([i]));
    vec![("y", multi_margin::forward(&x, &labels, margin)), ("dx", scaled)]
}

const STEPS: u32 = 3;

#[test]
fn optimisers() {
    let mut goldens = Goldens::open();
    let settings = goldens.metadata("optimisers");
    for (name, settings) in settings.as_object().unwrap() {
        let number = |key: &str| settings[key].as_f64().unwrap_or(0.0);
        let mut weight = fill(&format!("{name}.param"), &[37], -1.0, 1.0);
        let grads = (0..STEPS).map(|k| fill(&format!("{name}.grad.{k}"), &[37], -1.0, 1.0));
        let mut state = [Array::zeros(&[37]), Array::zeros(&[37])];
        for (k, grad) in grads.enumerate() {
            if name == "adamw" {
                let adamw = AdamW {
                    learning_rate: number("lr"),
                    beta1: settings["betas"][0].as_f64().unwrap(),
                    beta2: settings["betas"][1].as_f64().unwrap(),
                    eps: number("eps"),
                    weight_decay: number("weight_decay"),
                };
                let step = adamw.step(k as u32 + 1, &weight, &grad, &state[0], &state[1]);
                weight = step.weight.value;
                state = [step.mean.value, step.mean_square.value];
            } else {
                let sgd = Sgd {
                    learning_rate: number("lr"),
                    momentum: number("momentum"),
                    weight_decay: number("weight_decay"),
                    nesterov: settings["nesterov"].as_bool().unwrap_or(false),
                };
                let step = sgd.step(&weight, &grad, &state[0]);
                weight = step.weight.value;
                state[0] = step.velocity.value;
            }
            goldens.check(&format!("{name}.param.{k}"), &weight);
        }
        if name == "adamw" {
            goldens.check("adamw.exp_avg", &state[0]);
            goldens.check("adamw.exp_avg_sq", &state[1]);
        } else if number("momentum") > 0.0 {
            goldens.check(&format!("{name}.momentum_buffer"), &state[0]);
        }
    }
    let tensors = goldens.tensors();
    let stored = tensors.names().into_iter().filter(|name| {
        let case = name.split('.').next().unwrap();
        settings.get(case).is_some()
    });
    assert_eq!(goldens.compared, stored.count(), "a stored tensor was left out");
}
