//! One op on the device: all its inputs are parameters, so that each gets a gradient.

use frostline_engine::ops::MaxPool2d;
use frostline_engine::tensor::Init;
use frostline_engine::{Freeze, Gpu, Graph, Params, Plan, Result, Session, Shape, TensorId, Tuning};
use frostline_twin::Array;
use std::collections::BTreeMap;
use std::sync::Arc;

/// y = x, by an op that nothing is folded into. Images pass through it into an op and out of it, so that the
/// op reads activations of the pool, as in a network, and not the host's buffers.
const IDENTITY: MaxPool2d = MaxPool2d { kernel: 1, stride: 1, padding: 0 };

/// A graph under construction, with the values of its parameters and statistics.
pub struct Bench {
    gpu: Arc<Gpu>,
    /// Where ops are recorded.
    pub graph: Graph,
    values: Vec<(String, Vec<f32>)>,
    labels: Vec<u32>,
}

/// The results of a run.
pub struct Ran {
    /// The output, in PyTorch's order.
    pub output: Vec<f32>,
    /// Gradients by parameter.
    pub gradients: BTreeMap<String, Vec<f32>>,
    /// Parameters and running statistics by name, after the run.
    pub state: BTreeMap<String, Vec<f32>>,
    /// Kernels in the order they were dispatched.
    pub kernels: Vec<String>,
}

impl Ran {
    /// The output as an array, to find where an activation's slope is one.
    pub fn output_array(&self, shape: &[usize]) -> Array {
        Array::from_f32(shape, &self.output)
    }

    /// The gradient of a parameter; empty if it has none, which no check passes.
    pub fn gradient(&self, name: &str) -> &[f32] {
        self.gradients.get(name).map_or(&[], Vec::as_slice)
    }
}

impl Bench {
    /// Empty.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: gpu.clone(), graph: Graph::new(), values: vec![], labels: vec![] }
    }

    /// A parameter of this shape and these values.
    pub fn parameter(&mut self, name: &str, shape: Shape, values: &Array) -> Result<TensorId> {
        self.values.push((name.to_owned(), values.to_f32()));
        self.graph.parameter(name, shape, Init::Constant(f32::NAN))
    }

    /// An image (N, C, H, W), or features (N, C), whose gradient is read by `name`.
    pub fn image(&mut self, name: &str, values: &Array) -> Result<TensorId> {
        let image = self.parameter(name, image(values), values)?;
        self.graph.record(IDENTITY, &format!("{name} into the pool"), &[image])
    }

    /// A running statistic (C) of these values.
    pub fn statistic(&mut self, name: &str, values: &Array) -> Result<TensorId> {
        self.values.push((name.to_owned(), values.to_f32()));
        self.graph.statistic(name, vector(values), f32::NAN)
    }

    /// The labels of a loss.
    pub fn labels(&mut self, labels: &[u32]) -> TensorId {
        self.labels = labels.to_vec();
        self.graph.labels(labels.len())
    }

    /// Runs forward to `output` and backward from the gradient `dy` of it.
    pub async fn run(&self, output: TensorId, dy: &Array, freeze: &Freeze, tuning: &Tuning) -> Result<Ran> {
        let mut graph = self.graph.clone();
        let output = match graph.shape(output) {
            Shape::Image { .. } => graph.record(IDENTITY, "out of the pool", &[output])?,
            _ => output,
        };
        let plan = Plan::gradient(&graph, output, freeze, tuning)?;
        let kernels = kernels(&plan);
        let trainable: Vec<String> = plan.trainable_names().map(str::to_owned).collect();
        let params = Params::new(&self.gpu, &graph, 0)?;
        for (name, values) in &self.values {
            params.set(name, values)?;
        }
        let mut session = Session::open(&self.gpu, plan, &params, None).await?;
        if !self.labels.is_empty() {
            session.write_labels(&self.labels)?;
        }
        session.write_grad_output(&dy.to_f32())?;
        session.poison();
        session.run_async().await?;
        let mut gradients = BTreeMap::new();
        for name in trainable {
            let gradient = session.read_gradient_async(&name).await?;
            gradients.insert(name, gradient);
        }
        let state = params.to_host_async().await?;
        Ok(Ran {
            output: session.read_output_async().await?,
            gradients,
            state: state.into_iter().map(|(name, _, values)| (name, values)).collect(),
            kernels,
        })
    }
}

/// The kernels of a plan by name.
pub fn kernels(plan: &Plan) -> Vec<String> {
    plan.dispatches().iter().map(|dispatch| dispatch.variant.kernel.name()).collect()
}

/// An image's shape from an array (N, C, H, W), or features' from (N, C).
fn image(array: &Array) -> Shape {
    match *array.shape {
        [n, c, h, w] => Shape::Image { n, h, w, c },
        [n, c] => Shape::Image { n, h: 1, w: 1, c },
        _ => Shape::Image { n: 1, h: 1, w: 1, c: array.data.len() },
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
