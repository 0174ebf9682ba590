//! The recorder: the buffers and dispatches of a plan, as they are recorded.
//!
//! Every virtual buffer is written by exactly one dispatch. So two branches can safely share a gradient, and
//! the memory plan follows from first and last use.

use crate::dispatch::{Buffer, BufferId, Dispatch, Home, Phase};
use crate::error::Result;
use crate::loss_scale;
use crate::request::{Request, copy};
use crate::storage::Storage;
use crate::tensor::{Role, Tensor, TensorId};
use crate::tuning::Tuning;
use frostline_shaders::Format;
use std::collections::HashMap;

/// How the ops of a graph use a tensor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Use {
    /// A gradient of it leads to a trainable parameter.
    pub wanted: bool,
    /// A backward pass reads its value.
    pub kept: bool,
    /// Number of ops that read it.
    pub readers: usize,
    /// An op must read it as f32.
    pub in_full: bool,
}

/// Records the dispatches of a plan, node by node.
pub(crate) struct Recorder<'g> {
    pub tensors: &'g [Tensor],
    pub output: TensorId,
    pub tuning: &'g Tuning,
    /// Of each tensor.
    pub uses: Vec<Use>,
    pub buffers: Vec<Buffer>,
    pub dispatches: Vec<Dispatch>,
    /// Values that the host writes once, before the first step.
    pub constants: Vec<(BufferId, Vec<f32>)>,
    /// The phase that is being recorded.
    pub phase: Phase,
    /// The buffer of the loss scale, if gradients have one.
    pub loss_scaler: Option<BufferId>,
    /// The gradient recorded so far of each tensor.
    pub gradients: HashMap<TensorId, BufferId>,
    /// The current op's contributions to the gradients of parameters, in order.
    pub contributions: Vec<(TensorId, BufferId)>,
    /// Buffers that the op of a tensor saved for its backward, by name.
    pub saved: HashMap<(TensorId, &'static str), BufferId>,
    values: HashMap<TensorId, BufferId>,
    weight_copies: HashMap<TensorId, BufferId>,
}

impl<'g> Recorder<'g> {
    pub fn new(tensors: &'g [Tensor], output: TensorId, tuning: &'g Tuning, uses: Vec<Use>) -> Self {
        Self {
            tensors,
            output,
            tuning,
            uses,
            buffers: vec![],
            dispatches: vec![],
            constants: vec![],
            phase: Phase::Forward,
            loss_scaler: None,
            gradients: HashMap::new(),
            contributions: vec![],
            saved: HashMap::new(),
            values: HashMap::new(),
            weight_copies: HashMap::new(),
        }
    }

    pub fn tensor(&self, id: TensorId) -> &'g Tensor {
        &self.tensors[id.index()]
    }

    /// How `id` is used.
    pub fn used(&self, id: TensorId) -> Use {
        self.uses[id.index()]
    }

    pub fn buffer(&mut self, label: impl Into<String>, bytes: u64, home: Home) -> BufferId {
        self.buffers.push(Buffer { label: label.into(), bytes, home, format: Format::Single });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// A buffer whose values the plan's storage may round: an activation, the gradient of one, a copy of a
    /// weight.
    pub fn activation(&mut self, label: impl Into<String>, bytes: u64, home: Home) -> BufferId {
        let buffer = self.buffer(label, bytes, home);
        self.buffers[buffer.index()].format = self.tuning.storage.format();
        buffer
    }

    /// A buffer for the value or for the gradient of `id`.
    pub fn tensor_buffer(&mut self, label: impl Into<String>, id: TensorId, home: Home) -> BufferId {
        let tensor = self.tensor(id);
        if home == Home::Pool && tensor.role == Role::Activation && !self.used(id).in_full {
            self.activation(label, tensor.shape.bytes(), home)
        } else {
            self.buffer(label, tensor.shape.bytes(), home)
        }
    }

    /// The buffer of a tensor's value.
    pub fn value(&mut self, id: TensorId) -> BufferId {
        if let Some(&buffer) = self.values.get(&id) {
            return buffer;
        }
        let tensor = self.tensor(id);
        let home = match tensor.role {
            Role::Input(_) => Home::Plan,
            Role::Parameter(_) => Home::Parameter(tensor.name.clone()),
            Role::Statistic(_) => Home::Statistic(tensor.name.clone()),
            Role::Activation if id == self.output => Home::Plan,
            Role::Activation => Home::Pool,
        };
        let buffer = self.tensor_buffer(&tensor.name, id, home);
        self.values.insert(id, buffer);
        buffer
    }

    /// Makes the next use of `id`'s value a new buffer, because it is about to be computed again.
    pub fn forget_value(&mut self, id: TensorId) {
        self.values.remove(&id);
    }

    /// The buffer of a weight for kernels that read it often. If activations are textures or f16, this is a
    /// copy in the same format, made once if the weight is frozen and in every step if it trains.
    pub fn weight(&mut self, id: TensorId) -> Result<BufferId> {
        let value = self.value(id);
        if self.tuning.texture_rows.is_none() && self.tuning.storage == Storage::F32 {
            return Ok(value);
        }
        if let Some(&copy) = self.weight_copies.get(&id) {
            return Ok(copy);
        }
        let tensor = self.tensor(id);
        let layer = tensor.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        let bytes = tensor.shape.bytes();
        let (phase, home) = match self.used(id).wanted {
            true => (Phase::Forward, Home::Pool),
            false => (Phase::Prologue, Home::Plan),
        };
        let copied = self.activation(format!("copy of {}", tensor.name), bytes, home);
        self.weight_copies.insert(id, copied);
        self.dispatch(layer, phase, copy(value, copied, bytes))?;
        Ok(copied)
    }

    /// Whether this is a copy of a weight, made for reading.
    pub fn is_weight_copy(&self, id: usize) -> bool {
        self.weight_copies.values().any(|copy| copy.index() == id)
    }

    /// Sets that gradients are computed, and whether an optimiser uses them: with f16 storage they have a
    /// loss scale, which is the optimiser's or else the plan's.
    pub fn scale_gradients(&mut self, updates: bool) {
        let Some(scale) = self.tuning.storage.loss_scale() else { return };
        let home = if updates { Home::LossScaler } else { Home::Plan };
        let scaler = self.buffer("loss scale", loss_scale::BYTES, home);
        if !updates {
            let words = scale.start().to_words();
            self.constants.push((scaler, words.map(f32::from_bits).to_vec()));
        }
        self.loss_scaler = Some(scaler);
    }

    pub fn dispatch(&mut self, layer: &str, phase: Phase, request: Request) -> Result<()> {
        let dispatch = request.into_dispatch(layer, phase, self.tuning.share())?;
        self.dispatches.push(dispatch);
        Ok(())
    }
}
