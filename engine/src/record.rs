//! Recording dispatches: the contexts that an op gets in its `forward` and `backward`.
//!
//! Every virtual buffer is written by exactly one dispatch. So two branches can safely share a gradient, and
//! the memory plan follows from first and last use. A gradient with several contributions is a chain of sums,
//! each in its own buffer.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Role, TensorId};
use crate::kernel::{Kernel, Scalar, Variant, reflect};
use crate::loss_scale;
use crate::shape::Shape;
use crate::storage::Storage;
use crate::store::Memory;
use crate::tuning::Tuning;
use frostline_shaders::Format;
use std::collections::HashMap;

/// A virtual buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub(crate) u32);

/// For a binding that the kernel declares but, with these constants, does not use.
pub const NOTHING: BufferId = BufferId(u32::MAX);

static COPY: Kernel = Kernel { file: "copy", entry: "forward" };

/// Where a virtual buffer is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the pool, between its first and last use.
    Pool,
    /// A parameter, by name.
    Parameter(String),
    /// A running statistic, by name.
    Statistic(String),
    /// The gradient of a parameter, by name.
    Gradient(String),
    /// The whole flat buffer of parameters, from the first to the last of a run of names.
    ParameterRun(String, String),
    /// The same run in the flat buffer of gradients.
    GradientRun(String, String),
    /// The same run in one of the optimiser's flat buffers.
    MomentRun(usize, String, String),
    /// The optimiser's loss scale, if gradients are stored as f16.
    LossScaler,
    /// Owned by the plan for the plan's lifetime: inputs, the loss, what the prologue computes.
    Plan,
}

/// A virtual buffer.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// What it holds, for people.
    pub label: String,
    /// Its size.
    pub bytes: u64,
    /// Where it is stored.
    pub home: Home,
    /// How it is kept.
    pub format: Format,
}

impl Buffer {
    /// The kind of memory that it needs.
    pub(crate) fn memory(&self) -> Memory {
        match self.format {
            Format::Single | Format::Half => Memory::Buffer,
            Format::Texture => Memory::Texture,
            Format::Aliased => Memory::Aliased,
        }
    }
}

/// When a dispatch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Once, and again when parameters changed: what depends on frozen parameters only.
    Prologue,
    /// Every step.
    Forward,
    /// Every training step.
    Backward,
    /// Every training step: the optimiser.
    Update,
}

/// One dispatch of a plan.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel and its constants.
    pub variant: Variant,
    /// The layer it belongs to.
    pub layer: String,
    /// When it runs.
    pub phase: Phase,
    /// Binding name and buffer.
    pub bindings: Vec<(&'static str, BufferId)>,
    /// Fields of `Params`.
    pub params: Vec<(&'static str, Scalar)>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Turns of loops that one invocation takes at most; never above [`MOST_TURNS`].
    pub turns: u64,
    /// Bytes of the buffers it reads.
    pub bytes_read: u64,
    /// Bytes of the buffers it writes.
    pub bytes_written: u64,
}

impl Dispatch {
    /// The buffers it writes.
    pub fn written(&self) -> impl Iterator<Item = BufferId> {
        let written =
            self.bindings.iter().filter(|(name, id)| *id != NOTHING && crate::memory::writes(self, name));
        written.map(|(_, id)| *id)
    }
}

/// The most loop turns that an invocation may take, all its loops together. Mesa's llvmpipe leaves
/// every loop of an invocation after 65,535 turns and reports nothing (its
/// `LP_MAX_TGSI_LOOP_ITERATIONS`), so that a longer sum would be a wrong sum.
pub const MOST_TURNS: u64 = 65_000;

/// How many workgroups of `workgroup` cover `items`, folded into two dimensions, because one dimension of a
/// dispatch is limited to 65,535 workgroups.
pub fn grid(items: usize, workgroup: u32) -> [u32; 3] {
    let groups = items.div_ceil(workgroup as usize).max(1);
    let y = groups.div_ceil(32_768);
    [groups.div_ceil(y) as u32, y as u32, 1]
}

/// A dispatch as an op requests it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which kernel.
    pub kernel: Kernel,
    /// Constants that differ from the file's.
    pub constants: Vec<(&'static str, u32)>,
    /// Every binding that the entry point uses.
    pub bindings: Vec<(&'static str, BufferId)>,
    /// Every field of `Params` that it uses.
    pub params: Vec<(&'static str, Scalar)>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Turns of loops that one invocation takes at most.
    pub turns: u64,
    /// A field of `Params` whose value has more than 32 bits: the plan is refused.
    too_large: Option<(&'static str, usize)>,
}

impl Request {
    /// A request for `kernel` over `grid`; the rest is added by the methods.
    pub fn new(kernel: Kernel, grid: [u32; 3]) -> Self {
        Self {
            kernel,
            constants: vec![],
            bindings: vec![],
            params: vec![],
            grid,
            macs: 0,
            turns: 0,
            too_large: None,
        }
    }

    /// Sets constants.
    pub fn constants(mut self, constants: &[(&'static str, u32)]) -> Self {
        self.constants.extend_from_slice(constants);
        self
    }

    /// Binds buffers by name.
    pub fn bind(mut self, bindings: &[(&'static str, BufferId)]) -> Self {
        self.bindings.extend_from_slice(bindings);
        self
    }

    /// Sets integer fields of `Params`. A negative number, as `usize::wrapping_sub` gives it, becomes an
    /// `i32`. A plan with a value of more than 32 bits is refused.
    pub fn params(mut self, params: &[(&'static str, usize)]) -> Self {
        for &(name, value) in params {
            if u32::try_from(value).is_err() && i32::try_from(value as isize).is_err() {
                self.too_large.get_or_insert((name, value));
            }
            self.params.push((name, Scalar::U32(value as u32)));
        }
        self
    }

    /// Sets a float field of `Params`.
    pub fn float(mut self, name: &'static str, value: f32) -> Self {
        self.params.push((name, Scalar::F32(value)));
        self
    }

    /// Binds the loss scale, or [`NOTHING`] where gradients carry none.
    pub fn scaled(self, scaler: BufferId) -> Self {
        self.constants(&[("SCALED", (scaler != NOTHING).into())]).bind(&[("scaler", scaler)])
    }

    /// Sets the number of loop turns that one invocation takes at most: the turns of all its loops that
    /// the driver does not unroll, nested ones counted every time. A plan with a kernel above
    /// [`MOST_TURNS`] is refused.
    pub fn turns(mut self, turns: usize) -> Self {
        self.turns = turns as u64;
        self
    }

    /// Sets the number of multiply-accumulates.
    pub fn macs(mut self, macs: usize) -> Self {
        self.macs = macs as u64;
        self
    }
}

/// A copy of `bytes` from one buffer to another.
fn copy(from: BufferId, to: BufferId, bytes: u64) -> Request {
    let size4 = (bytes / 16) as usize;
    Request::new(COPY, grid(size4, 64)).bind(&[("x", from), ("y", to)]).params(&[("size4", size4)])
}

/// Records the dispatches of a plan, node by node.
pub(crate) struct Recorder<'g> {
    pub graph: &'g Graph,
    pub output: TensorId,
    pub tuning: &'g Tuning,
    /// Per tensor: does a gradient of it lead to a trainable parameter?
    pub wanted: Vec<bool>,
    /// Per tensor: does some backward read its value?
    pub kept: Vec<bool>,
    pub buffers: Vec<Buffer>,
    pub dispatches: Vec<Dispatch>,
    /// What the host writes once, before the first step.
    pub constants: Vec<(BufferId, Vec<f32>)>,
    values: HashMap<TensorId, BufferId>,
    gradients: HashMap<TensorId, BufferId>,
    /// What the op at work contributes to the gradients of parameters, in the order it does.
    contributions: Vec<(TensorId, BufferId)>,
    loss_scaler: Option<BufferId>,
    saved: HashMap<(usize, &'static str), BufferId>,
    published: HashMap<TensorId, BufferId>,
    phase: Phase,
    error: Option<Error>,
}

impl<'g> Recorder<'g> {
    pub fn new(
        graph: &'g Graph,
        output: TensorId,
        tuning: &'g Tuning,
        wanted: Vec<bool>,
        kept: Vec<bool>,
    ) -> Self {
        Self {
            graph,
            output,
            tuning,
            wanted,
            kept,
            buffers: vec![],
            dispatches: vec![],
            constants: vec![],
            values: HashMap::new(),
            gradients: HashMap::new(),
            contributions: vec![],
            loss_scaler: None,
            saved: HashMap::new(),
            published: HashMap::new(),
            phase: Phase::Forward,
            error: None,
        }
    }

    pub fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// The first error of an op, if there was one.
    pub fn finish(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    pub fn buffer(&mut self, label: impl Into<String>, bytes: u64, home: Home) -> BufferId {
        self.buffers.push(Buffer { label: label.into(), bytes, home, format: Format::Single });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// A buffer of what the plan's storage may round: an activation, the gradient of one, a copy of a
    /// weight.
    fn activation(&mut self, label: impl Into<String>, bytes: u64, home: Home) -> BufferId {
        let buffer = self.buffer(label, bytes, home);
        self.buffers[buffer.0 as usize].format = self.tuning.storage.format();
        buffer
    }

    /// A buffer for the value or for the gradient of `id`.
    fn tensor_buffer(&mut self, label: impl Into<String>, id: TensorId, home: Home) -> BufferId {
        let tensor = self.graph.tensor(id);
        let in_full = |node: &Node| {
            node.inputs.iter().enumerate().any(|(i, &input)| input == id && node.op.reads_f32(i))
        };
        if home == Home::Pool && tensor.role == Role::Activation && !self.graph.nodes.iter().any(in_full) {
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
        let tensor = self.graph.tensor(id).clone();
        let home = match tensor.role {
            Role::Input => Home::Plan,
            Role::Parameter(_) => Home::Parameter(tensor.name.clone()),
            Role::Statistic(_) => Home::Statistic(tensor.name.clone()),
            Role::Activation if id == self.output => Home::Plan,
            Role::Activation => Home::Pool,
        };
        let buffer = self.tensor_buffer(tensor.name, id, home);
        self.values.insert(id, buffer);
        buffer
    }

    /// Sets that gradients are computed, and whether an optimiser uses them: with f16 storage they carry a
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

    /// Where the loss scale is; [`NOTHING`] if gradients carry none.
    pub fn loss_scaler(&self) -> BufferId {
        self.loss_scaler.unwrap_or(NOTHING)
    }

    /// How often the ops read `id`.
    fn readers(&self, id: TensorId) -> usize {
        self.graph.nodes.iter().flat_map(|node| &node.inputs).filter(|&&input| input == id).count()
    }

    /// Adds what an op of `layer` contributed to the gradients of parameters to what other ops, and the
    /// same op through another input, contributed before. Called once the op has recorded its backward:
    /// a kernel may write several contributions.
    pub fn add_contributions(&mut self, layer: &str) {
        for (id, part) in std::mem::take(&mut self.contributions) {
            let Some(&earlier) = self.gradients.get(&id) else {
                self.gradients.insert(id, part);
                continue;
            };
            let (name, shape) = (self.graph.tensor(id).name.as_str(), self.graph.shape(id));
            let sum = self.buffer(format!("grad {name}"), shape.bytes(), Home::Pool);
            let none = crate::ops::Activation::None;
            self.dispatch(layer, Phase::Backward, crate::ops::add::sum(shape, earlier, part, sum, none));
            self.gradients.insert(id, sum);
        }
    }

    /// Copies the gradients of parameters that ended up elsewhere into the flat buffer, and those of
    /// images to where the host can read them. The gradient of a weight with one reader is written
    /// there at once; other gradients may be another op's buffer, passed on, or a sum.
    pub fn bring_gradients_home(&mut self) {
        for index in 0..self.graph.tensors.len() {
            let tensor = &self.graph.tensors[index];
            let Some(&gradient) = self.gradients.get(&TensorId(index as u32)) else { continue };
            let home = match tensor.role {
                Role::Parameter(_) => Home::Gradient(tensor.name.clone()),
                Role::Input => Home::Plan,
                _ => continue,
            };
            if self.buffers[gradient.0 as usize].home != home {
                let bytes = tensor.shape.bytes();
                let flat = self.buffer(format!("grad {}", tensor.name), bytes, home);
                self.dispatch(&tensor.name, Phase::Backward, copy(gradient, flat, bytes));
                self.gradients.insert(TensorId(index as u32), flat);
            }
        }
    }

    /// The buffer of a weight for kernels that read it much: where activations are textures or f16,
    /// a copy that is too, made once if the weight is frozen and in every step if it trains.
    pub fn weight(&mut self, id: TensorId) -> BufferId {
        let value = self.value(id);
        if self.tuning.texture_rows.is_none() && self.tuning.storage == Storage::F32 {
            return value;
        }
        if let Some(&copy) = self.published.get(&id) {
            return copy;
        }
        let tensor = self.graph.tensor(id);
        let (layer, bytes) =
            (tensor.name.rsplit_once('.').map_or("", |(layer, _)| layer).to_owned(), tensor.shape.bytes());
        let (phase, home) = if self.wanted[id.index()] {
            (Phase::Forward, Home::Pool)
        } else {
            (Phase::Prologue, Home::Plan)
        };
        let copy = self.activation(format!("copy of {}", tensor.name), bytes, home);
        self.published.insert(id, copy);
        self.dispatch(&layer, phase, self::copy(value, copy, bytes));
        copy
    }

    /// Is this a copy of a weight, made for reading?
    pub fn is_weight_copy(&self, id: usize) -> bool {
        self.published.values().any(|copy| copy.0 as usize == id)
    }

    /// Makes the next use of `id`'s value a new buffer: it is about to be computed again.
    fn forget_value(&mut self, id: TensorId) {
        self.values.remove(&id);
    }

    pub fn dispatch(&mut self, layer: &str, phase: Phase, request: Request) {
        if let Err(error) = self.try_dispatch(layer, phase, request) {
            self.error.get_or_insert(error);
        }
    }

    fn try_dispatch(&mut self, layer: &str, phase: Phase, request: Request) -> Result<()> {
        let reflection = reflect(request.kernel)?;
        let wrong = |reason: String| Error::Shader { kernel: request.kernel.name(), reason };
        for name in reflection.bindings.keys().filter(|name| *name != "p") {
            if !request.bindings.iter().any(|(bound, _)| bound == name) {
                return Err(wrong(format!("binding `{name}` was not given")));
            }
        }
        if let Some((name, _)) =
            request.bindings.iter().find(|(name, _)| !reflection.bindings.contains_key(*name))
        {
            return Err(wrong(format!("there is no binding `{name}`")));
        }
        if let Some((name, _)) =
            request.params.iter().find(|(name, _)| !reflection.fields.contains_key(*name))
        {
            return Err(wrong(format!("Params has no field `{name}`")));
        }
        if let Some((name, value)) = request.too_large {
            let reason =
                format!("{layer}: {} counts in 32 bits, and {name} would be {value}", request.kernel.name());
            return Err(Error::Graph(format!("{reason}: use a smaller batch or image")));
        }
        if request.turns > MOST_TURNS {
            let (kernel, turns) = (request.kernel.name(), request.turns);
            let reason = format!(
                "{layer}: {kernel} would take {turns} loop turns in one invocation, {MOST_TURNS} at most are right"
            );
            return Err(Error::Graph(format!("{reason}: use a smaller batch or image")));
        }
        self.dispatches.push(Dispatch {
            variant: Variant {
                kernel: request.kernel,
                constants: request.constants,
                share: self.tuning.share(),
                formats: vec![],
            },
            layer: layer.to_owned(),
            phase,
            bindings: request.bindings,
            params: request.params,
            grid: request.grid,
            macs: request.macs,
            turns: request.turns,
            bytes_read: 0,
            bytes_written: 0,
        });
        Ok(())
    }
}

/// The part of the plan that an op can use while it records its forward pass.
pub struct Forward<'r, 'g> {
    pub(crate) recorder: &'r mut Recorder<'g>,
    pub(crate) node: usize,
}

/// The part of the plan that an op can use while it records its backward pass.
pub struct Backward<'r, 'g> {
    pub(crate) recorder: &'r mut Recorder<'g>,
    pub(crate) node: usize,
    pub(crate) grad_output: BufferId,
}

macro_rules! common {
    ($context:ident) => {
        impl<'g> $context<'_, 'g> {
            fn node(&self) -> &'g Node {
                &self.recorder.graph.nodes[self.node]
            }

            /// Shape of input `i`.
            pub fn shape(&self, i: usize) -> Shape {
                self.recorder.graph.shape(self.node().inputs[i])
            }

            /// How many inputs there are.
            pub fn inputs(&self) -> usize {
                self.node().inputs.len()
            }

            /// Shape of the output.
            pub fn output_shape(&self) -> Shape {
                self.recorder.graph.shape(self.node().output)
            }

            /// Buffer of input `i`.
            pub fn input(&mut self, i: usize) -> BufferId {
                let id = self.node().inputs[i];
                self.recorder.value(id)
            }

            /// Buffer of input `i`, a weight that the kernel reads much.
            pub fn weight(&mut self, i: usize) -> BufferId {
                let id = self.node().inputs[i];
                self.recorder.weight(id)
            }

            /// The output of `compute` for input `i`, a weight: computed once if it is frozen, else in every
            /// step.
            pub fn from_weight(
                &mut self,
                i: usize,
                what: &str,
                bytes: u64,
                compute: impl FnOnce(BufferId, BufferId) -> Request,
            ) -> BufferId {
                let weight = self.weight(i);
                let trains = self.wants(i);
                let (phase, home) =
                    if trains { (self.recorder.phase, Home::Pool) } else { (Phase::Prologue, Home::Plan) };
                let layer = &self.node().layer;
                let made = self.recorder.buffer(format!("{layer}.{what}"), bytes, home);
                self.recorder.dispatch(layer, phase, compute(weight, made));
                made
            }

            /// Buffer of the output.
            pub fn output(&mut self) -> BufferId {
                let id = self.node().output;
                self.recorder.value(id)
            }

            /// Does input `i` need a gradient?
            pub fn wants(&self, i: usize) -> bool {
                self.recorder.wanted[self.node().inputs[i].index()]
            }

            /// Is the output's value kept for some backward pass?
            pub fn keeps_output(&self) -> bool {
                self.recorder.kept[self.node().output.index()]
            }

            /// The kernel shapes of this adapter.
            pub fn tuning(&self) -> &'g Tuning {
                self.recorder.tuning
            }

            /// A buffer for use within this op.
            pub fn scratch(&mut self, what: &str, bytes: u64) -> BufferId {
                let label = format!("{}.{what}", self.node().layer);
                self.recorder.buffer(label, bytes, Home::Pool)
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
                let label = format!("{}.{what}", self.node().layer);
                self.recorder.activation(label, shape.bytes(), Home::Pool)
            }

            /// Records a dispatch.
            pub fn dispatch(&mut self, request: Request) {
                let phase = self.recorder.phase;
                self.recorder.dispatch(&self.node().layer, phase, request);
            }
        }
    };
}
common!(Forward);
common!(Backward);

impl Forward<'_, '_> {
    /// Refuses the plan: what was recorded cannot run in this way.
    pub fn refuse(&mut self, error: Error) {
        self.recorder.error.get_or_insert(error);
    }

    /// The layer that recorded the op.
    pub fn layer(&self) -> &str {
        &self.node().layer
    }

    /// Does the output need a gradient, so that there will be a backward pass here?
    pub fn has_backward(&self) -> bool {
        self.recorder.wanted[self.node().output.index()]
    }

    /// A buffer that forward writes and backward gets by `saved(name)`.
    pub fn save(&mut self, name: &'static str, bytes: u64) -> BufferId {
        let buffer = self.scratch(name, bytes);
        self.recorder.saved.insert((self.node, name), buffer);
        buffer
    }

    /// A buffer that `compute` fills once, before the first step, from frozen parameters alone.
    pub fn constant(
        &mut self,
        name: &'static str,
        bytes: u64,
        compute: impl FnOnce(&mut Self, BufferId) -> Request,
    ) -> BufferId {
        let label = format!("{}.{name}", self.node().layer);
        let buffer = self.recorder.buffer(label, bytes, Home::Plan);
        let request = compute(self, buffer);
        self.recorder.dispatch(&self.node().layer, Phase::Prologue, request);
        self.recorder.saved.insert((self.node, name), buffer);
        buffer
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
        let label = format!("{}.{name}", self.node().layer);
        let buffer = self.recorder.buffer(label, bytes, Home::Plan);
        self.recorder.saved.insert((self.node, name), buffer);
        buffer
    }
}

impl Backward<'_, '_> {
    /// The gradient of the output.
    pub fn grad_output(&self) -> BufferId {
        self.grad_output
    }

    /// Where the loss scale is, for the ops that start a backward pass ([`Request::scaled`]).
    pub fn loss_scaler(&self) -> BufferId {
        self.recorder.loss_scaler()
    }

    /// What forward saved under `name`, if it did.
    pub fn saved(&self, name: &'static str) -> Option<BufferId> {
        self.recorder.saved.get(&(self.node, name)).copied()
    }

    /// The value of input `i` for use in backward: what was kept, or computed again by its op.
    pub fn kept_input(&mut self, i: usize) -> BufferId {
        let id = self.node().inputs[i];
        if self.recorder.kept[id.index()] || !matches!(self.recorder.graph.tensor(id).role, Role::Activation)
        {
            return self.recorder.value(id);
        }
        let producer = self.recorder.graph.nodes.iter().position(|node| node.output == id);
        if let Some(node) = producer {
            self.recorder.forget_value(id);
            let graph = self.recorder.graph;
            let op = graph.nodes[node].op.clone();
            op.recompute(&mut Backward { recorder: self.recorder, node, grad_output: NOTHING });
            // From here on it is an ordinary value for all other readers too.
            self.recorder.kept[id.index()] = true;
        }
        self.recorder.value(id)
    }

    /// Records how the gradient of input `i` is computed, unless that input needs none. This is how freezing
    /// works. `compute` gets the buffer to write and, if another op has already contributed to this gradient,
    /// the buffer to add to what it writes.
    ///
    /// For a parameter there is never anything to add: `compute` writes this op's contribution, now or
    /// by a dispatch recorded later in the same backward, and `Recorder::add_contributions` adds up.
    pub fn grad(&mut self, i: usize, compute: impl FnOnce(&mut Self, BufferId, Option<BufferId>)) {
        if !self.wants(i) {
            return;
        }
        let id = self.node().inputs[i];
        let tensor = self.recorder.graph.tensor(id);
        let home = match tensor.role {
            Role::Parameter(_) if self.recorder.readers(id) == 1 => Home::Gradient(tensor.name.clone()),
            Role::Input => Home::Plan,
            _ => Home::Pool,
        };
        let gradient = self.recorder.tensor_buffer(format!("grad {}", tensor.name), id, home);
        if matches!(tensor.role, Role::Parameter(_)) {
            compute(self, gradient, None);
            self.recorder.contributions.push((id, gradient));
        } else {
            let earlier = self.recorder.gradients.get(&id).copied();
            compute(self, gradient, earlier);
            self.recorder.gradients.insert(id, gradient);
        }
    }

    /// The gradient of input `i` is `gradient` itself. Buffers are written once, so that sharing
    /// one between branches is safe; a second contribution is added into a new buffer.
    pub fn pass(&mut self, i: usize, gradient: BufferId) {
        let id = self.node().inputs[i];
        if !self.wants(i) {
            return;
        }
        if matches!(self.recorder.graph.tensor(id).role, Role::Parameter(_)) {
            self.recorder.contributions.push((id, gradient));
            return;
        }
        match self.recorder.gradients.get(&id).copied() {
            None => {
                self.recorder.gradients.insert(id, gradient);
            }
            Some(earlier) => {
                let shape = self.shape(i);
                self.grad(i, |b, sum, _| {
                    b.dispatch(crate::ops::add::sum(
                        shape,
                        earlier,
                        gradient,
                        sum,
                        crate::ops::Activation::None,
                    ))
                });
            }
        }
    }

    /// [`Backward::grad`] for a kernel that cannot add an earlier contribution itself: `compute`
    /// gets the buffer to write, and the sum is recorded here.
    pub fn accumulate(&mut self, i: usize, compute: impl FnOnce(&mut Self, BufferId)) {
        let shape = self.shape(i);
        self.grad(i, |b, gradient, earlier| match earlier {
            None => compute(b, gradient),
            Some(earlier) => {
                let part = b.scratch_activation("gradient contribution", shape);
                compute(b, part);
                b.dispatch(crate::ops::add::sum(
                    shape,
                    earlier,
                    part,
                    gradient,
                    crate::ops::Activation::None,
                ));
            }
        });
    }
}

/// The gradient recorded so far for `id`.
pub(crate) fn gradient_of(recorder: &Recorder<'_>, id: TensorId) -> Option<BufferId> {
    recorder.gradients.get(&id).copied()
}

/// What forward saved under `name` for the node that computes `id`.
pub(crate) fn saved_by(recorder: &Recorder<'_>, id: TensorId, name: &'static str) -> Option<BufferId> {
    let node = recorder.graph.nodes.iter().position(|node| node.output == id)?;
    recorder.saved.get(&(node, name)).copied()
}
