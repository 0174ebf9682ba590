//! The graph that the model's code records. Nothing is computed here, but every shape is checked.

use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::{Init, InputKind, Role, Tensor, TensorId};
use std::sync::Arc;

/// An op with its tensors.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Arc<dyn Op>,
    /// Its inputs, parameters included.
    pub inputs: Vec<TensorId>,
    /// The parts that were folded into its end: none in a recorded graph.
    pub fused: Fused,
    /// Its output.
    pub output: TensorId,
    /// The layer that recorded it, such as `layer2.0.conv1`.
    pub layer: String,
}

impl Node {
    /// The tensors that it reads: its inputs, and those of what is fused.
    pub(crate) fn reads(&self) -> impl Iterator<Item = TensorId> {
        self.inputs.iter().copied().chain(self.fused.tensors())
    }

    /// Which inputs need a gradient, given which tensors do.
    pub(crate) fn wants(&self, wanted: &[bool]) -> Vec<bool> {
        self.inputs.iter().map(|id| wanted[id.index()]).collect()
    }
}

/// Ops in the order they were recorded, which is an order they can run in.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) nodes: Vec<Node>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tensor's name, shape and role.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// A tensor's shape.
    pub fn shape(&self, id: TensorId) -> Shape {
        self.tensor(id).shape
    }

    /// The recorded ops.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Names of all parameters, in model order.
    pub fn parameter_names(&self) -> Vec<&str> {
        let parameters = self.tensors.iter().filter(|tensor| matches!(tensor.role, Role::Parameter(_)));
        parameters.map(|tensor| tensor.name.as_str()).collect()
    }

    /// A batch of images of bytes, `n` × `h` × `w` × `c`, given to [`crate::Session::write_pixels`];
    /// [`Graph::normalize`] makes activations of them.
    pub fn pixels(&mut self, n: usize, h: usize, w: usize, c: usize) -> TensorId {
        self.add_tensor("input", Shape::Pixels { n, h, w, c }, Role::Input(InputKind::Images))
    }

    /// A batch of images of floats, `n` × `h` × `w` × `c`, given to [`crate::Session::write_input`].
    pub fn input(&mut self, n: usize, h: usize, w: usize, c: usize) -> TensorId {
        self.add_tensor("input", Shape::Image { n, h, w, c }, Role::Input(InputKind::Images))
    }

    /// One class index per image, given by the host.
    pub fn labels(&mut self, n: usize) -> TensorId {
        self.add_tensor("labels", Shape::Labels { n }, Role::Input(InputKind::Labels))
    }

    /// A parameter; its name must be new.
    pub fn parameter(&mut self, name: &str, shape: Shape, init: Init) -> Result<TensorId> {
        self.named(name, shape, Role::Parameter(init))
    }

    /// A running statistic that starts at `first`; its name must be new.
    pub fn statistic(&mut self, name: &str, shape: Shape, first: f32) -> Result<TensorId> {
        self.named(name, shape, Role::Statistic(first))
    }

    /// Records `op`; its shape check determines the output's shape.
    pub fn record(&mut self, op: impl Op, layer: &str, inputs: &[TensorId]) -> Result<TensorId> {
        let shapes: Vec<Shape> = inputs.iter().map(|&id| self.shape(id)).collect();
        if let Some(empty) = inputs.iter().find(|&&id| self.shape(id).is_empty()) {
            let Tensor { name, shape, .. } = self.tensor(*empty);
            let reason = format!("`{name}` {shape} is empty; each of its sizes must be 1 or more");
            return Err(Error::shape(op.name(), layer, reason));
        }
        let shape = op.output_shape(layer, &shapes)?;
        let output = self.add_tensor(layer, shape, Role::Activation);
        let (op, inputs, layer) = (Arc::new(op), inputs.to_vec(), layer.to_owned());
        self.nodes.push(Node { op, inputs, fused: Fused::default(), output, layer });
        Ok(output)
    }

    fn named(&mut self, name: &str, shape: Shape, role: Role) -> Result<TensorId> {
        if self.tensors.iter().any(|tensor| {
            tensor.name == name && matches!(tensor.role, Role::Parameter(_) | Role::Statistic(_))
        }) {
            return Err(Error::Graph(format!(
                "two tensors are named `{name}`: declare it once, and give its id to every layer that reads it"
            )));
        }
        Ok(self.add_tensor(name, shape, role))
    }

    pub(crate) fn add_tensor(&mut self, name: &str, shape: Shape, role: Role) -> TensorId {
        self.tensors.push(Tensor { name: name.to_owned(), shape, role });
        TensorId(self.tensors.len() as u32 - 1)
    }
}
