//! The contexts: what an op can use while it records its `forward` and its `backward`.

use crate::dispatch::{BufferId, Home, Phase};
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::recorder::Recorder;
use crate::request::Request;
use crate::shape::Shape;
use crate::tensor::TensorId;
use crate::tuning::Tuning;

/// The part of the plan that an op can use while it records its forward pass.
pub type Forward<'r, 'g> = Context<'r, 'g, ForwardPass>;

/// The part of the plan that an op can use while it records its backward pass.
pub type Backward<'r, 'g> = Context<'r, 'g, BackwardPass>;

/// What both passes of an op can use: its inputs and output, buffers, dispatches.
pub struct Context<'r, 'g, Pass> {
    pub(crate) recorder: &'r mut Recorder<'g>,
    /// The op's inputs, parameters included.
    pub(crate) inputs: &'g [TensorId],
    pub(crate) fused: &'g Fused,
    pub(crate) output: TensorId,
    pub(crate) layer: &'g str,
    pub(crate) pass: Pass,
}

/// The forward pass.
pub struct ForwardPass;

/// The backward pass.
pub struct BackwardPass {
    /// The gradient of the output; a loss has none.
    pub(crate) grad_output: Option<BufferId>,
}

impl<'g, Pass> Context<'_, 'g, Pass> {
    /// The layer that recorded the op.
    pub fn layer(&self) -> &'g str {
        self.layer
    }

    /// Shape of input `i`.
    pub fn shape(&self, i: usize) -> Shape {
        self.recorder.tensor(self.inputs[i]).shape
    }

    /// How many inputs there are.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Shape of the output.
    pub fn output_shape(&self) -> Shape {
        self.recorder.tensor(self.output).shape
    }

    /// The parts that were folded into the op's end.
    pub fn fused(&self) -> &'g Fused {
        self.fused
    }

    /// Buffer of any tensor of the graph, such as one of the fused parts.
    pub fn value(&mut self, id: TensorId) -> BufferId {
        self.recorder.value(id)
    }

    /// Buffer of the residual, if one is fused.
    pub fn residual(&mut self) -> Option<BufferId> {
        self.fused.residual.map(|id| self.value(id))
    }

    /// Buffer of input `i`.
    pub fn input(&mut self, i: usize) -> BufferId {
        self.recorder.value(self.inputs[i])
    }

    /// Buffer of input `i`, a weight that the kernel reads often.
    pub fn weight(&mut self, i: usize) -> Result<BufferId> {
        self.recorder.weight(self.inputs[i])
    }

    /// The output of `compute` for input `i`, a weight: computed once if it is frozen, else in every
    /// step.
    pub fn from_weight(
        &mut self,
        i: usize,
        what: &str,
        bytes: u64,
        compute: impl FnOnce(BufferId, BufferId) -> Request,
    ) -> Result<BufferId> {
        let weight = self.weight(i)?;
        let (phase, home) =
            if self.wants(i) { (self.recorder.phase, Home::Pool) } else { (Phase::Prologue, Home::Plan) };
        let made = self.recorder.buffer(format!("{}.{what}", self.layer), bytes, home);
        self.recorder.dispatch(self.layer, phase, compute(weight, made))?;
        Ok(made)
    }

    /// Buffer of the output.
    pub fn output(&mut self) -> BufferId {
        self.recorder.value(self.output)
    }

    /// Whether input `i` needs a gradient.
    pub fn wants(&self, i: usize) -> bool {
        self.recorder.used(self.inputs[i]).wanted
    }

    /// Whether the residual needs a gradient.
    pub fn wants_residual(&self) -> bool {
        self.fused.residual.is_some_and(|id| self.recorder.used(id).wanted)
    }

    /// Whether the output's value is kept for a backward pass.
    pub fn keeps_output(&self) -> bool {
        self.recorder.used(self.output).kept
    }

    /// The kernel shapes of this adapter.
    pub fn tuning(&self) -> &'g Tuning {
        self.recorder.tuning
    }

    /// A buffer for use within this op.
    pub fn scratch(&mut self, what: &str, bytes: u64) -> BufferId {
        self.recorder.buffer(format!("{}.{what}", self.layer), bytes, Home::Pool)
    }

    /// The buffers that `links` dispatches write one after the other, each from the one before:
    /// `last` of `bytes`, and before it scratch buffers of that size.
    pub(crate) fn chain(&mut self, last: BufferId, bytes: u64, links: usize) -> Vec<BufferId> {
        let mut buffers: Vec<_> = (1..links).map(|_| self.scratch("partial sums", bytes)).collect();
        buffers.push(last);
        buffers
    }

    /// A buffer for use within this op that holds an activation, or a gradient of one.
    pub fn scratch_activation(&mut self, what: &str, shape: Shape) -> BufferId {
        self.recorder.activation(format!("{}.{what}", self.layer), shape.bytes(), Home::Pool)
    }

    /// Records a dispatch.
    ///
    /// # Errors
    /// [`Error::Shader`] unless bindings and fields of `Params` match those that the kernel declares;
    /// [`Error::Graph`] for a batch, or an image, that is too large for the kernel.
    pub fn dispatch(&mut self, request: Request) -> Result<()> {
        self.recorder.dispatch(self.layer, self.recorder.phase, request)
    }
}

impl Forward<'_, '_> {
    /// Whether the output needs a gradient, so that there will be a backward pass here.
    pub fn has_backward(&self) -> bool {
        self.recorder.used(self.output).wanted
    }

    /// A buffer that forward writes and backward gets by `saved(name)`.
    pub fn save(&mut self, name: &'static str, bytes: u64) -> BufferId {
        let buffer = self.scratch(name, bytes);
        self.recorder.saved.insert((self.output, name), buffer);
        buffer
    }

    /// A buffer that `compute` fills once, before the first step, from frozen parameters alone.
    pub fn constant(
        &mut self,
        name: &'static str,
        bytes: u64,
        compute: impl FnOnce(&mut Self, BufferId) -> Request,
    ) -> Result<BufferId> {
        let buffer = self.plan_buffer(name, bytes);
        let request = compute(self, buffer);
        self.recorder.dispatch(self.layer, Phase::Prologue, request)?;
        Ok(buffer)
    }

    /// A buffer with `values`, which the host writes once and backward gets by `saved(name)`.
    pub fn values(&mut self, name: &'static str, values: &[f32]) -> BufferId {
        let packed = Shape::Vector { c: values.len() }.pack(values);
        let buffer = self.plan_buffer(name, 4 * packed.len() as u64);
        self.recorder.constants.push((buffer, packed));
        buffer
    }

    /// A scratch buffer of the prologue that exists as long as the plan.
    pub fn plan_buffer(&mut self, name: &'static str, bytes: u64) -> BufferId {
        let buffer = self.recorder.buffer(format!("{}.{name}", self.layer), bytes, Home::Plan);
        self.recorder.saved.insert((self.output, name), buffer);
        buffer
    }
}

impl Backward<'_, '_> {
    /// The gradient of the output.
    ///
    /// # Errors
    /// [`Error::Graph`] if a plan trains on an output that is not a loss.
    pub fn grad_output(&self) -> Result<BufferId> {
        let name = &self.recorder.tensor(self.output).name;
        let reason = || Error::Graph(format!("`{name}` is trained on, and it is not a loss"));
        self.pass.grad_output.ok_or_else(reason)
    }

    /// The buffer of the loss scale, if gradients have one; for the ops that start a backward pass
    /// ([`Request::scaled`]).
    pub fn loss_scaler(&self) -> Option<BufferId> {
        self.recorder.loss_scaler
    }

    /// The buffer that forward saved under `name`, if it did.
    pub fn saved(&self, name: &'static str) -> Option<BufferId> {
        self.recorder.saved.get(&(self.output, name)).copied()
    }
}
