//! The harness of the op tests: one graph whose inputs are all parameters, run once on the GPU.
//!
//! Recording an op's inputs as parameters makes [`Plan::gradient`] compute the gradient of each of
//! them, images included. The pool is poisoned before every run: a kernel that reads unwritten memory, or
//! adds to memory that it should overwrite, gives NaN and fails.
//!
//! Images go into the op and out of it through a 1×1 max pooling, which changes no bit. So the op itself
//! reads activations of the pool, as in a network, and not the host's buffers: on adapters where activations
//! are textures these are different kernels.

// Every test binary compiles this file and uses the part it needs.
#![allow(dead_code)]

pub mod norm;

use frostline_engine::ops::{MaxPool2d, Mix};
use frostline_engine::tensor::Init;
use frostline_engine::{
    Error, Freeze, Gpu, GpuOptions, Graph, Padding, Params, Plan, Session, Shape, TensorId, Tuning,
};
use frostline_twin::{Array, Value, compare};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// One device for all tests of a binary, which run in parallel on it. A guard after every buffer detects
/// reads and writes past its end.
pub static GPU: LazyLock<Arc<Gpu>> = LazyLock::new(|| {
    let options = GpuOptions::from_env().expect("settings that make sense");
    let gpu = Gpu::with(&GpuOptions { guard: true, ..options });
    Arc::new(
        gpu.unwrap_or_else(|error| panic!("these tests need an adapter, a software one will do: {error}")),
    )
});

/// The tunings that convolutions are tested with: the one for any adapter, and this adapter's.
pub fn tunings() -> Vec<Tuning> {
    let mut tunings = vec![Tuning::portable(), GPU.tuning().clone()];
    tunings.dedup();
    tunings
}

/// An image's shape from an array (N, C, H, W), or features' from (N, C).
pub fn image(array: &Array) -> Shape {
    match *array.shape {
        [n, c, h, w] => Shape::Image { n, h, w, c },
        [n, c] => Shape::Image { n, h: 1, w: 1, c },
        _ => panic!("not an image: {:?}", array.shape),
    }
}

/// A filter's shape from an array (O, C, kh, kw).
pub fn filter(array: &Array) -> Shape {
    let [c_out, c_in, kh, kw] = array.dims();
    Shape::Filter { kh, kw, c_in, c_out }
}

/// A depthwise filter's shape from an array (C, 1, kh, kw).
pub fn depthwise(array: &Array) -> Shape {
    let [c, _, kh, kw] = array.dims();
    Shape::Depthwise { kh, kw, c }
}

/// A linear weight's shape from an array (out, in).
pub fn matrix(array: &Array) -> Shape {
    let [c_out, c_in] = array.dims();
    Shape::Matrix { c_in, c_out }
}

/// A vector's shape from an array (C).
pub fn vector(array: &Array) -> Shape {
    let [c] = array.dims();
    Shape::Vector { c }
}

/// A product-summing twin applied to computed values: to its own terms it adds those of `a`, times the other
/// operand.
pub fn chained(twin: impl Fn(&Array, &Array) -> Value, a: &Value, b: &Array) -> Value {
    let magnitude = Array { data: b.data.iter().map(|value| value.abs()).collect(), ..b.clone() };
    let (product, carried) = (twin(&a.value, b), twin(&a.terms, &magnitude));
    let terms =
        product.terms.data.iter().zip(&carried.value.data).map(|(own, carried)| own + carried).collect();
    Value { terms: Array { data: terms, ..product.terms }, ..product }
}

/// The engine's padding from the twin's `[top, left, bottom, right]`.
pub fn padding([top, left, bottom, right]: [usize; 4]) -> Padding {
    Padding { top, left, bottom, right }
}

/// The output of mixup in PyTorch's order, from x (N, C, H, W). It has no gradient, so the plan is one
/// of inference. The pool was filled with NaN before.
pub fn mixed(x: &Array, mixes: &[(usize, f64)], tuning: &Tuning) -> Vec<f32> {
    let [n, c, h, w] = x.dims();
    let mut bench = Bench::default();
    // Both tensors are in the pool, as after augmentation.
    let (images, mixes) = (bench.image("x", x), bench.mixes(mixes));
    let y = bench.graph.mixup(images, mixes).expect("one mix an image");
    let y = bench.graph.record(IDENTITY, "out of the pool", &[y]).expect("a 1×1 window fits");
    assert_eq!(bench.graph.shape(y), Shape::Image { n, h, w, c });
    let plan = Plan::inference(&bench.graph, y, tuning).expect("a plan");
    let mut session = Session::new(&GPU, plan, &bench.params(), None).expect("a session");
    session.write_mixes(&bench.mixes).expect("a mix an image");
    session.poison();
    run(&mut session);
    session.read_output().expect("an output")
}

/// Runs `session`. In checked mode, every dispatch that declares loop turns must take no more; those that
/// declare too few, and those that declare more than twice of what they take, are printed.
pub fn run(session: &mut Session) {
    let ran = session.run();
    let counted = session.counted_turns().expect("counts").unwrap_or_default();
    for (dispatch, counted) in session.plan().dispatches().iter().zip(counted) {
        let (kernel, declared) = (dispatch.variant.kernel.name(), dispatch.turns);
        let what = format!("{kernel} of {}: {declared} turns declared, {counted} taken", dispatch.layer);
        assert!(counted <= declared || UNDECLARED && declared == 0, "{what}");
        if declared < counted || declared > 2 * counted {
            println!("turns: {what}");
        }
    }
    match ran {
        Err(Error::Turns { declared: 0, .. }) if UNDECLARED => {}
        ran => ran.expect("a run"),
    }
}

/// Whether kernels may declare no turns at all: until all of them do.
const UNDECLARED: bool = false;

/// y = x, by an op that nothing is folded into.
const IDENTITY: MaxPool2d = MaxPool2d { kernel: 1, stride: 1, padding: 0 };

/// A graph under construction, with the values of its parameters and statistics.
#[derive(Clone, Debug, Default)]
pub struct Bench {
    /// Where ops are recorded.
    pub graph: Graph,
    values: Vec<(String, Vec<f32>)>,
    labels: Vec<u32>,
    mixes: Vec<Mix>,
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The output, in PyTorch's order.
    pub output: Vec<f32>,
    /// Gradients by parameter.
    pub gradients: BTreeMap<String, Vec<f32>>,
    /// Parameters and running statistics by name, after the run.
    pub state: BTreeMap<String, Vec<f32>>,
    /// Kernels in the order they were dispatched, such as `conv2d.forward`.
    pub kernels: Vec<String>,
}

impl Bench {
    /// A parameter of this shape and these values.
    pub fn parameter(&mut self, name: &str, shape: Shape, values: &Array) -> TensorId {
        self.values.push((name.to_owned(), values.to_f32()));
        self.graph.parameter(name, shape, Init::Constant(f32::NAN)).expect("names differ")
    }

    /// An image (N, C, H, W), or features (N, C), whose gradient is read by `name`.
    pub fn image(&mut self, name: &str, values: &Array) -> TensorId {
        let image = self.parameter(name, image(values), values);
        self.graph.record(IDENTITY, &format!("{name} into the pool"), &[image]).expect("a 1×1 window fits")
    }

    /// A running statistic of these values.
    pub fn statistic(&mut self, name: &str, values: &Array) -> TensorId {
        self.values.push((name.to_owned(), values.to_f32()));
        self.graph.statistic(name, vector(values), f32::NAN).expect("names differ")
    }

    /// The labels of a loss.
    pub fn labels(&mut self, labels: &[u32]) -> TensorId {
        self.labels = labels.to_vec();
        self.graph.labels(labels.len())
    }

    /// Partner and share of every image, or row of a loss.
    pub fn mixes(&mut self, mixes: &[(usize, f64)]) -> TensorId {
        self.mixes = mixes.iter().map(|&(partner, share)| Mix { partner, share: share as f32 }).collect();
        self.graph.mixes(mixes.len())
    }

    /// Parameters with the values they were given.
    pub fn params(&self) -> Params {
        let params = Params::new(&GPU, &self.graph, 0).expect("parameters fit");
        for (name, values) in &self.values {
            params.set(name, values).expect("value and shape agree");
        }
        params
    }

    /// Runs forward to `output` and backward from the gradient `dy` of it.
    pub fn run(&self, output: TensorId, dy: &Array, freeze: &Freeze, tuning: &Tuning) -> Ran {
        let mut graph = self.graph.clone();
        let output = match graph.shape(output) {
            Shape::Image { .. } => {
                graph.record(IDENTITY, "out of the pool", &[output]).expect("a 1×1 window fits")
            }
            _ => output,
        };
        let plan = Plan::gradient(&graph, output, freeze, tuning).expect("a plan");
        let kernels = plan.dispatches().iter().map(|dispatch| dispatch.variant.kernel.name()).collect();
        let trainable: Vec<String> = plan.trainable_names().map(str::to_owned).collect();
        let params = self.params();
        let mut session = Session::new(&GPU, plan, &params, None).expect("a session");
        if !self.labels.is_empty() {
            session.write_labels(&self.labels).expect("one label a row");
        }
        if !self.mixes.is_empty() {
            session.write_mixes(&self.mixes).expect("a mix a row");
        }
        session.write_grad_output(&dy.to_f32()).expect("the output's shape");
        session.poison();
        run(&mut session);
        let gradient = |name: String| (name.clone(), session.read_gradient(&name).expect("a gradient"));
        Ran {
            output: session.read_output().expect("an output"),
            gradients: trainable.into_iter().map(gradient).collect(),
            state: params
                .to_host()
                .expect("values")
                .into_iter()
                .map(|(name, _, values)| (name, values))
                .collect(),
            kernels,
        }
    }

    /// Runs with every proper subset of `inputs` frozen besides `freeze`. A gradient that is still needed
    /// must keep every bit; one that is not needed must have no kernel. `inputs` contains each parameter with
    /// the backward kernels that only it needs.
    pub fn check_subsets(
        &self,
        output: TensorId,
        dy: &Array,
        freeze: &Freeze,
        tuning: &Tuning,
        inputs: &[(&str, &[&str])],
    ) {
        let full = self.run(output, dy, freeze, tuning);
        assert_eq!(full.gradients.len(), inputs.len(), "every input trains: {:?}", full.gradients.keys());
        for subset in 1..(1 << inputs.len()) - 1 {
            let (frozen, open): (Vec<_>, Vec<_>) =
                inputs.iter().enumerate().partition(|(i, _)| subset >> i & 1 == 1);
            let names = frozen.iter().map(|(_, (name, _))| *name).chain(freeze.frozen_names());
            let mut part = Freeze::names(names);
            part.batch_norm = freeze.batch_norm;
            let ran = self.run(output, dy, &part, tuning);
            assert_eq!(ran.output, full.output, "{part:?} changed the output");
            for (_, (name, kernels)) in &open {
                assert_eq!(
                    ran.gradients[*name], full.gradients[*name],
                    "{part:?} changed the gradient of {name}"
                );
                assert!(
                    kernels.iter().all(|kernel| ran.count(kernel) > 0),
                    "{part:?}: {kernels:?} did not run"
                );
            }
            for (_, (name, kernels)) in &frozen {
                assert!(!ran.gradients.contains_key(*name), "{name} is frozen and has a gradient");
                assert!(
                    kernels.iter().all(|kernel| ran.count(kernel) == 0),
                    "{name} is frozen, yet one of {kernels:?} ran"
                );
            }
        }
    }
}

impl Ran {
    /// Checks the output.
    pub fn check_output(&self, what: &str, expected: &Value) {
        compare::assert_close(&format!("{what}: output"), &self.output, expected);
    }

    /// Checks the gradient of a parameter.
    pub fn check_gradient(&self, what: &str, name: &str, expected: &Value) {
        compare::assert_close(&format!("{what}: gradient of {name}"), &self.gradients[name], expected);
    }

    /// The output as an array, to find where an activation's slope is one.
    pub fn output_array(&self, shape: &[usize]) -> Array {
        Array::from_f32(shape, &self.output)
    }

    /// How often a kernel was dispatched, in any of its forms: `conv2d.forward` is `conv2d_tiled.forward` on
    /// a GPU.
    pub fn count(&self, kernel: &str) -> usize {
        let (file, entry) = kernel.split_once('.').expect("a kernel's name is file.entry");
        let is_form = |form: &str| form.is_empty() || form.starts_with('_');
        let ran = self
            .kernels
            .iter()
            .filter_map(|name| name.strip_suffix(entry)?.strip_suffix('.')?.strip_prefix(file));
        ran.filter(|form| is_form(form)).count()
    }
}
