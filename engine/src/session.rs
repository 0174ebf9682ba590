//! A session: a plan on a device. Buffers, bind groups and uniforms are made here, once.

use crate::blocking::block_on;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::guard::{self, Guard, TAIL};
use crate::in_flight::Submission;
use crate::kernel::{Access, Scalar, reflect};
use crate::ledger::Cost;
use crate::loss_scale::{self, LossScale};
use crate::ops::augment::{self, Transform};
use crate::ops::cross_entropy::{HISTORY, IGNORED, MEAN};
use crate::ops::mixup::{self, Mix};
use crate::optim::{ADAMW, SGD};
use crate::optimizer::Optimizer;
use crate::pace::{self, Backlog, Pace};
use crate::params::{Params, Version};
use crate::plan::Plan;
use crate::record::{BufferId, Dispatch, Home, NOTHING, Phase};
use crate::shape::Shape;
use crate::store::{Memory, Store};
use frostline_shaders::Format;
use half::f16;
use std::sync::Arc;
use web_time::Instant;

/// Uniforms, and other parts of a buffer, start at multiples of this on every adapter.
const UNIFORM: u64 = 256;

/// A NaN as f32, whose two halves are NaN as f16.
const NAN: f32 = f32::from_bits(0x7fff_7fff);

/// Loss and hits of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Mean loss of the labelled rows.
    pub loss: f32,
    /// Labelled rows whose largest logit was at the label; of mixed rows, the share of that label.
    pub correct: f32,
    /// Labelled rows.
    pub rows: f32,
}

/// What unused bindings are bound to. WebGPU refuses a buffer that one dispatch binds for reading and
/// for writing, or twice for writing with ranges that overlap.
struct Unused {
    read: Store,
    texture: Store,
    written: wgpu::Buffer,
}

impl Unused {
    fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        let mut bindings = 0;
        for dispatch in &plan.dispatches {
            let reflection = reflect(dispatch.variant.kernel)?;
            bindings = reflection.bindings.values().map(|(binding, _)| binding + 1).fold(bindings, u32::max);
        }
        Ok(Self {
            read: Store::new(gpu, "unused bindings", UNIFORM, Memory::Buffer)?,
            texture: Store::new(gpu, "unused bindings", UNIFORM, Memory::Texture)?,
            written: gpu.storage("unused bindings", UNIFORM * u64::from(bindings))?,
        })
    }

    fn place(&self, binding: u32, access: Access, format: Format) -> Place<'_> {
        match (access, format) {
            (Access::Read, Format::Texture | Format::Aliased) => whole(&self.texture, 0, access),
            (Access::Write, _) => Place::Buffer(&self.written, UNIFORM * u64::from(binding), 0),
            _ => whole(&self.read, 0, access),
        }
    }
}

/// Whether WebGPU forbids these parts of buffers in one dispatch, the last field of which is true if they are
/// writable: see [`Unused`]. Native drivers do not check this.
fn is_aliased(bound: &[(&wgpu::Buffer, std::ops::Range<u64>, bool)]) -> bool {
    bound.iter().enumerate().any(|(i, (buffer, range, written))| {
        bound[..i].iter().filter(|(other, _, _)| other == buffer).any(|(_, other, other_written)| {
            let apart = range.end <= other.start || other.end <= range.start;
            written != other_written || (*written && !apart)
        })
    })
}

/// What a binding is bound to: the last number is the size in bytes.
enum Place<'a> {
    Buffer(&'a wgpu::Buffer, u64, u64),
    Texture(&'a wgpu::TextureView, u64),
}

fn whole(store: &Store, bytes: u64, access: Access) -> Place<'_> {
    match store {
        Store::Buffer(buffer) => Place::Buffer(buffer, 0, bytes),
        Store::Aliased { buffer, .. } if access == Access::Write => Place::Buffer(buffer, 0, bytes),
        Store::Texture { view, .. } | Store::Aliased { view, .. } => Place::Texture(view, bytes),
    }
}

struct Step {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: [u32; 3],
    phase: Phase,
    cost: Cost,
    label: String,
}

/// Byte offsets, in the uniforms, of what changes from step to step.
struct Changing {
    /// Group of each update, and its fields in the order of [`crate::Optim::step_fields`].
    updates: Vec<(Option<usize>, Vec<u64>)>,
    /// Where the row of the history that the loss writes is stored.
    slot: Option<u64>,
    /// Where the loss scale's kernel finds the number of the step.
    step: Option<u64>,
}

impl Changing {
    fn of(plan: &Plan) -> Result<Self> {
        let offset = |at: usize, name: &str| {
            let reflection = reflect(plan.dispatches[at].variant.kernel)?;
            let field =
                reflection.fields.get(name).map(|&(offset, _)| at as u64 * UNIFORM + u64::from(offset));
            field.ok_or_else(|| Error::Graph(format!("the kernel of dispatch {at} has no field `{name}`")))
        };
        let positions = |wanted: &dyn Fn(&Dispatch) -> bool| -> Vec<usize> {
            plan.dispatches
                .iter()
                .enumerate()
                .filter(|(_, dispatch)| wanted(dispatch))
                .map(|(at, _)| at)
                .collect()
        };
        let mut updates = vec![];
        if let Some(optim) = &plan.optim {
            let steps = positions(&|dispatch| [SGD, ADAMW].contains(&dispatch.variant.kernel));
            for (at, &group) in steps.into_iter().zip(&plan.update_groups) {
                let fields = optim.step_fields(group, optim.lr, 1);
                updates
                    .push((group, fields.iter().map(|(name, _)| offset(at, name)).collect::<Result<_>>()?));
            }
        }
        let means = positions(&|dispatch| dispatch.variant.kernel == MEAN);
        let slot = means.first().map(|&at| offset(at, "slot")).transpose()?;
        let counters = positions(&|dispatch| dispatch.variant.kernel == loss_scale::UPDATE);
        let step = counters.first().map(|&at| offset(at, "step")).transpose()?;
        Ok(Self { updates, slot, step })
    }
}

#[cfg(target_family = "wasm")]
impl Drop for Session {
    fn drop(&mut self) {
        self.slots.iter().chain(self.owned.iter().flatten()).for_each(Store::destroy);
        self.gradients.iter().chain([&self.uniforms]).for_each(wgpu::Buffer::destroy);
    }
}

/// A plan with everything it needs on the device to run.
pub struct Session {
    gpu: Arc<Gpu>,
    plan: Plan,
    steps: Vec<Step>,
    slots: Vec<Store>,
    owned: Vec<Option<Store>>,
    gradients: Option<wgpu::Buffer>,
    /// How gradients are scaled, and where the state of that is.
    loss_scaler: Option<(LossScale, wgpu::Buffer)>,
    uniforms: wgpu::Buffer,
    changing: Changing,
    executed: Cost,
    /// Of the parameters and statistics that this session was given.
    version: Version,
    /// The version that the prologue's results hold for, and how often they were computed.
    prologue_of: Option<u64>,
    prologues: u64,
    /// See [`Plan::moves`].
    moves: (bool, bool),
    guard: Option<Guard>,
    pace: Pace,
    backlog: Backlog<Submission>,
}

impl Session {
    /// [`Session::new`] for callers that must not block: kernels are compiled first, one after another, and
    /// [`Gpu::on_compile`] is called after each.
    ///
    /// # Errors
    /// The errors of [`Session::new`].
    pub async fn open(
        gpu: &Arc<Gpu>,
        plan: Plan,
        params: &Params,
        optimizer: Option<&Optimizer>,
    ) -> Result<Self> {
        gpu.compile(&plan).await?;
        Self::new(gpu, plan, params, optimizer)
    }

    /// Puts `plan` on the device of `gpu`, over `params` and, if it trains, the optimiser's state.
    pub fn new(
        gpu: &Arc<Gpu>,
        mut plan: Plan,
        params: &Params,
        optimizer: Option<&Optimizer>,
    ) -> Result<Self> {
        if !gpu.has_f16() && plan.buffers.iter().any(|buffer| buffer.format == Format::Half) {
            return Err(Error::NoHalf { adapter: gpu.describe() });
        }
        if !gpu.tuning().aliased && plan.buffers.iter().any(|buffer| buffer.format == Format::Aliased) {
            return Err(Error::Refused {
                what: "a plan with memory that is a texture and a buffer".to_owned(),
                reason: "this adapter does not order writes to the one before reads of the other".to_owned(),
            });
        }
        let limit = gpu.largest_binding();
        if let Some(buffer) = plan.buffers.iter().find(|buffer| buffer.bytes > limit) {
            return Err(Error::TooLarge {
                tensor: buffer.label.clone(),
                bytes: buffer.bytes,
                limited: "this adapter binds",
                limit,
            });
        }
        if let Some(dispatch) = plan
            .dispatches
            .iter()
            .find(|dispatch| dispatch.grid.iter().any(|groups| *groups > gpu.largest_grid()))
        {
            let (kernel, layer, limit) =
                (dispatch.variant.kernel.name(), &dispatch.layer, gpu.largest_grid());
            let reason = format!(
                "{kernel} of {layer} needs {:?} workgroups, this adapter runs {limit} at most",
                dispatch.grid
            );
            return Err(Error::Graph(format!("{reason}: use a smaller batch or image")));
        }
        let guard = if gpu.is_guarded() { Some(Guard::new(gpu, plan.dispatches.len())?) } else { None };
        if guard.is_some() {
            plan.pool = plan.pool.unshared(&plan.buffers);
        }
        let tail = if guard.is_some() { TAIL } else { 0 };
        let store = |label: &str, bytes: u64, memory: Memory| Store::new(gpu, label, bytes + tail, memory);
        let slots = plan.pool.slots.iter().map(|&(bytes, memory)| store("activations", bytes, memory));
        let slots = slots.collect::<Result<Vec<_>>>()?;
        let mut owned = vec![];
        for buffer in &plan.buffers {
            owned.push(if buffer.home == Home::Plan {
                Some(store(&buffer.label, buffer.bytes, buffer.memory())?)
            } else {
                None
            });
        }
        let gradients = if plan.trainable.is_empty() {
            None
        } else {
            Some(gpu.storage("gradients", plan.trainable.bytes())?)
        };
        let loss_scaler = match plan.loss_scale {
            None => None,
            Some((id, scale)) => match &owned[id.0 as usize] {
                Some(store) => Some((scale, store.buffer()?.clone())),
                None => optimizer.and_then(|optimizer| optimizer.loss_scaler.clone()),
            },
        };
        let uniform_bytes = UNIFORM * plan.dispatches.len() as u64;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniforms = gpu.buffer("uniforms", uniform_bytes, usage)?;
        let unused = Unused::new(gpu, &plan)?;
        let changing = Changing::of(&plan)?;

        let mut session = Self {
            gpu: gpu.clone(),
            steps: vec![],
            slots,
            owned,
            gradients,
            loss_scaler,
            uniforms,
            changing,
            executed: Cost::default(),
            version: params.version.clone(),
            prologue_of: None,
            prologues: 0,
            moves: plan.moves(),
            guard,
            pace: Pace::new(plan.submit_time),
            backlog: Backlog::new(),
            plan,
        };
        session.guard_buffers(params, optimizer)?;
        block_on(gpu.compile(&session.plan))?;
        let mut steps = vec![];
        for (at, dispatch) in session.plan.dispatches.iter().enumerate() {
            steps.push(session.prepare(at, dispatch, params, optimizer, &unused)?);
        }
        for (buffer, values) in &session.plan.constants {
            session.store(*buffer)?.write(gpu, values);
        }
        session.steps = steps;
        gpu.check()?;
        Ok(session)
    }

    fn prepare(
        &self,
        at: usize,
        dispatch: &Dispatch,
        params: &Params,
        optimizer: Option<&Optimizer>,
        unused: &Unused,
    ) -> Result<Step> {
        let gpu = &self.gpu;
        let kernel = dispatch.variant.kernel;
        let reflection = reflect(kernel)?;
        let uncompiled = || Error::Shader { kernel: kernel.name(), reason: "it was not compiled".to_owned() };
        let pipeline = gpu.pipelines.get(&dispatch.variant).ok_or_else(uncompiled)?;
        let mut uniform = vec![0u8; reflection.params_bytes as usize];
        for &(name, value) in &dispatch.params {
            if let Some(&(offset, _)) = reflection.fields.get(name) {
                uniform[offset as usize..][..4].copy_from_slice(&value.to_le_bytes());
            }
        }
        uniform.resize(uniform.len().next_multiple_of(4), 0);
        gpu.write_bytes(&self.uniforms, at as u64 * UNIFORM, &uniform);

        let mut entries = vec![];
        let mut bound = vec![];
        let mut cost = Cost { dispatches: 1, macs: dispatch.macs, ..Cost::default() };
        for (name, &(binding, access)) in &reflection.bindings {
            let mut guarded = None;
            let place = match access {
                Access::Params => Place::Buffer(&self.uniforms, at as u64 * UNIFORM, UNIFORM),
                Access::Read | Access::Write => {
                    let id = dispatch
                        .bindings
                        .iter()
                        .find(|(bound, _)| bound == name)
                        .map_or(NOTHING, |(_, id)| *id);
                    guarded = self.guard.as_ref().filter(|_| id != NOTHING).map(|guard| guard.part(id));
                    let place = self.resolve(id, access, params, optimizer)?;
                    place.unwrap_or_else(|| unused.place(binding, access, dispatch.variant.format(name)))
                }
            };
            let (resource, size) = match place {
                Place::Texture(view, bytes) => (wgpu::BindingResource::TextureView(view), bytes),
                Place::Buffer(buffer, offset, bytes) => {
                    // With a guard, the tail is a part of what the kernel gets.
                    let (buffer, offset, size) = match guarded {
                        // What is unused holds no bytes, but a kernel may declare a structure there.
                        None => (buffer, offset, if bytes == 0 { UNIFORM } else { bytes }),
                        Some(Some(Store::Buffer(copy))) => (copy, 0, bytes + TAIL),
                        Some(_) => (buffer, offset, bytes + TAIL),
                    };
                    bound.push((buffer, offset..offset + size, access == Access::Write));
                    let size = std::num::NonZeroU64::new(size);
                    (wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size }), bytes)
                }
            };
            match access {
                Access::Params => {}
                _ if reflection.written.contains(name) => cost.bytes_written += size,
                Access::Read | Access::Write => cost.bytes_read += size,
            }
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let label = format!("{} of {}", kernel.name(), dispatch.layer);
        debug_assert!(!is_aliased(&bound), "{label}: a browser would refuse these bindings: {bound:?}");
        let descriptor = wgpu::BindGroupDescriptor {
            label: Some(&label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        };
        let bind_group = gpu.scoped(&label, || gpu.device.create_bind_group(&descriptor))?;
        Ok(Step { bind_group, pipeline, grid: dispatch.grid, phase: dispatch.phase, cost, label })
    }

    /// Where a virtual buffer is for a kernel that reads or writes it.
    fn resolve<'a>(
        &'a self,
        id: BufferId,
        access: Access,
        params: &'a Params,
        optimizer: Option<&'a Optimizer>,
    ) -> Result<Option<Place<'a>>> {
        if id == NOTHING {
            return Ok(None);
        }
        let buffer = &self.plan.buffers[id.0 as usize];
        let missing =
            || Error::Graph(format!("`{}` is not among the parameters this session was given", buffer.label));
        let within = |layout: &crate::layout::Layout, name: &str| {
            let slice = layout.get(name).filter(|slice| slice.shape.bytes() == buffer.bytes);
            slice.map(|slice| slice.offset).ok_or_else(missing)
        };
        let run = |layout: &crate::layout::Layout, first: &str, last: &str| {
            layout.run(first, last).ok_or_else(missing)
        };
        let (values, statistics) = (&params.parameters, &params.statistics);
        let bytes = buffer.bytes;
        let place = match &buffer.home {
            Home::Pool => {
                whole(&self.slots[self.plan.pool.slot_of[id.0 as usize].ok_or_else(missing)?], bytes, access)
            }
            Home::Plan => whole(self.store(id)?, bytes, access),
            Home::Parameter(name) => Place::Buffer(&values.1, within(&values.0, name)?, bytes),
            Home::Statistic(name) => Place::Buffer(&statistics.1, within(&statistics.0, name)?, bytes),
            Home::Gradient(name) => Place::Buffer(
                self.gradients.as_ref().ok_or_else(missing)?,
                within(&self.plan.trainable, name)?,
                bytes,
            ),
            Home::ParameterRun(first, last) => {
                let (offset, bytes) = run(&values.0, first, last)?;
                Place::Buffer(&values.1, offset, bytes)
            }
            Home::GradientRun(first, last) => {
                let (offset, bytes) = run(&self.plan.trainable, first, last)?;
                Place::Buffer(self.gradients.as_ref().ok_or_else(missing)?, offset, bytes)
            }
            Home::MomentRun(slot, first, last) => {
                let optimizer = optimizer.ok_or_else(missing)?;
                let (offset, bytes) = run(&optimizer.layout, first, last)?;
                Place::Buffer(&optimizer.moments[*slot], offset, bytes)
            }
            Home::LossScaler => {
                let (_, scaler) = self.loss_scaler.as_ref().ok_or_else(missing)?;
                Place::Buffer(scaler, 0, bytes)
            }
        };
        Ok(Some(place))
    }

    /// If there is a guard, fills the tails of all buffers, and gives kernels a copy, with a tail, of each part
    /// of a flat buffer.
    fn guard_buffers(&mut self, params: &Params, optimizer: Option<&Optimizer>) -> Result<()> {
        let Some(mut guard) = self.guard.take() else { return Ok(()) };
        for (id, store, bytes) in self.stores() {
            guard::fill(&self.gpu, id, store, bytes);
        }
        for &(_, id) in self.plan.dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
            if id == NOTHING || guard.part(id).is_some() || self.stored(id).is_some() {
                continue;
            }
            if let Some(Place::Buffer(flat, offset, bytes)) =
                self.resolve(id, Access::Write, params, optimizer)?
            {
                let label = &self.plan.buffers[id.0 as usize].label;
                guard.copy(&self.gpu, id, label, flat, offset, bytes)?;
            }
        }
        self.guard = Some(guard);
        Ok(())
    }

    /// The plan that runs here.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Gives the batch of a [`crate::Graph::input`]: floats in NHWC order without padding.
    ///
    /// # Errors
    /// [`Error::Data`] for another number of values, or a graph whose input are bytes.
    pub fn write_input(&self, values: &[f32]) -> Result<()> {
        let (buffer, shape) = self.input()?;
        if matches!(shape, Shape::Pixels { .. }) {
            return Err(Error::data(
                "input",
                &shape,
                "floats where the graph has bytes: use `write_pixels`".to_owned(),
            ));
        }
        if values.len() != shape.count() {
            return Err(Error::data("input", &shape, format!("{} values", values.len())));
        }
        self.store(buffer)?.write(&self.gpu, &shape.pack_nhwc(values));
        Ok(())
    }

    /// Gives the batch of a [`crate::Graph::pixels`]: images of bytes in NHWC order, as decoders and data
    /// sets give them.
    ///
    /// # Errors
    /// [`Error::Data`] for another number of bytes, or a graph whose input are floats.
    pub fn write_pixels(&self, bytes: &[u8]) -> Result<()> {
        let (buffer, shape) = self.input()?;
        if !matches!(shape, Shape::Pixels { .. }) {
            return Err(Error::data(
                "input",
                &shape,
                "bytes where the graph has floats: use `write_input`".to_owned(),
            ));
        }
        if bytes.len() != shape.count() {
            return Err(Error::data("input", &shape, format!("{} bytes", bytes.len())));
        }
        let buffer = self.store(buffer)?.buffer()?;
        // Copies are of whole words.
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        self.gpu.write_bytes(buffer, 0, words);
        if !rest.is_empty() {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            self.gpu.write_bytes(buffer, words.len() as u64, &last);
        }
        Ok(())
    }

    fn input(&self) -> Result<(BufferId, Shape)> {
        self.plan.inputs.first().copied().ok_or_else(|| Error::Graph("this graph has no input".to_owned()))
    }

    /// Says what [`crate::ops::Augment`] does to each image of the batch.
    ///
    /// # Errors
    /// [`Error::Graph`] for a graph that augments nothing, [`Error::Data`] unless there is one for each
    /// image that can be done to it.
    pub fn write_transforms(&self, transforms: &[Transform]) -> Result<()> {
        let nothing = || Error::Graph("this graph does not augment its images".to_owned());
        let (buffer, images) = self.plan.transforms.ok_or_else(nothing)?;
        self.store(buffer)?.write(&self.gpu, &augment::pack(transforms, images)?);
        Ok(())
    }

    /// Says what [`crate::ops::Mixup`] and [`crate::ops::CrossEntropy`] mix each image of the batch, and
    /// its label, with.
    ///
    /// # Errors
    /// [`Error::Graph`] for a graph that mixes nothing, [`Error::Data`] unless there is one for each image,
    /// with a partner in the batch and a share of 0 to 1.
    pub fn write_mixes(&self, mixes: &[Mix]) -> Result<()> {
        let nothing = || Error::Graph("this graph does not mix its images".to_owned());
        let (buffer, n) = self.plan.mixes.ok_or_else(nothing)?;
        self.store(buffer)?.write(&self.gpu, &mixup::pack(mixes, n)?);
        Ok(())
    }

    /// Gives the batch's labels; [`crate::ops::cross_entropy::IGNORED`] leaves a row out.
    pub fn write_labels(&self, labels: &[u32]) -> Result<()> {
        let (buffer, n, classes) =
            self.plan.labels.ok_or_else(|| Error::Graph("this graph has no labels".to_owned()))?;
        if labels.len() != n {
            return Err(Error::Data {
                tensor: "labels".to_owned(),
                expected: format!("{n} labels"),
                got: labels.len().to_string(),
            });
        }
        if let Some((row, label)) =
            labels.iter().enumerate().find(|(_, label)| **label != IGNORED && **label as usize >= classes)
        {
            let got = format!("{label} for image {row} of the batch");
            return Err(Error::Data {
                tensor: "labels".to_owned(),
                expected: format!("classes 0 to {}", classes - 1),
                got,
            });
        }
        self.gpu.write_bytes(self.store(buffer)?.buffer()?, 0, bytemuck::cast_slice(labels));
        Ok(())
    }

    /// Gives the gradient of the output of a [`Plan::gradient`] or [`Plan::input_gradient`], in PyTorch's
    /// order.
    pub fn write_grad_output(&self, values: &[f32]) -> Result<()> {
        let missing = || Error::Graph("this plan takes no gradient from outside".to_owned());
        let (_, shape) = self.plan.grad_output.ok_or_else(missing)?;
        if values.len() != shape.count() {
            return Err(Error::data("the output's gradient", &shape, format!("{} values", values.len())));
        }
        self.write_packed_grad_output(&shape.pack(values))
    }

    /// Like [`Session::write_grad_output`], with values in the order that kernels read: NHWC, channels
    /// padded to a multiple of 4. For benchmarks, whose values are arbitrary.
    #[doc(hidden)]
    pub fn write_packed_grad_output(&self, packed: &[f32]) -> Result<()> {
        let missing = || Error::Graph("this plan takes no gradient from outside".to_owned());
        let (buffer, shape) = self.plan.grad_output.ok_or_else(missing)?;
        if packed.len() != shape.padded_count() {
            return Err(Error::data(
                "the output's gradient",
                &shape,
                format!("{} packed values", packed.len()),
            ));
        }
        let store = self.store(buffer)?;
        match &self.loss_scaler {
            None => store.write(&self.gpu, packed),
            Some((scale, scaler)) => {
                let largest = packed.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
                let state = scale.for_gradient(largest);
                self.gpu.write_bytes(scaler, 0, bytemuck::cast_slice(&state.to_words()));
                let scaled: Vec<f32> = packed.iter().map(|value| value * state.scale as f32).collect();
                store.write(&self.gpu, &scaled);
            }
        }
        Ok(())
    }

    /// Sets the learning rate of the next step and counts it.
    pub fn begin_step(&mut self, optimizer: &mut Optimizer, lr: f32) -> Result<()> {
        let step = optimizer.begin_step();
        let Some(optim) = &self.plan.optim else { return Ok(()) };
        let write =
            |offset: u64, value: Scalar| self.gpu.write_bytes(&self.uniforms, offset, &value.to_le_bytes());
        for (group, offsets) in &self.changing.updates {
            for (&offset, (_, value)) in offsets.iter().zip(optim.step_fields(*group, lr, step)) {
                write(offset, Scalar::F32(value));
            }
        }
        if let Some(offset) = self.changing.slot {
            write(offset, Scalar::U32(((step - 1) % HISTORY as u64) as u32));
        }
        if let Some(offset) = self.changing.step {
            write(offset, Scalar::U32(u32::try_from(step).unwrap_or(u32::MAX)));
        }
        Ok(())
    }

    /// Runs the step: one encoder, one pass, one submit; several of each where the step is longer
    /// than [`crate::Tuning::submit_time`]. The prologue goes along the first time, and after parameters or
    /// statistics were set, or moved by another session.
    ///
    /// Returns before the device is done, unless it is several steps behind: then it waits for the oldest.
    pub fn run(&mut self) -> Result<()> {
        block_on(self.run_async())
    }

    /// [`Session::run`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`Session::run`].
    pub async fn run_async(&mut self) -> Result<()> {
        if self.guard.is_some() { self.run_guarded() } else { self.run_steps(None).await }
    }

    /// [`Session::run`] with a guard: every dispatch is a submission, and waited for in checked mode, so
    /// that an error names it.
    fn run_guarded(&mut self) -> Result<()> {
        self.gpu.check()?;
        let version = self.version.get();
        let fresh = self.prologue_of == Some(version);
        let due = |step: &Step| step.phase != Phase::Prologue || !fresh;
        for at in (0..self.steps.len()).filter(|at| due(&self.steps[*at])).collect::<Vec<_>>() {
            self.run_step(at);
            if self.steps[at].phase != Phase::Prologue {
                self.executed += self.steps[at].cost;
            }
            if self.gpu.is_checked() {
                self.gpu.wait()?;
            }
        }
        self.count_run(version, fresh);
        self.check_guard()
    }

    /// Errors if a kernel has written past the end of a buffer, or taken more loop turns than declared.
    fn check_guard(&self) -> Result<()> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let stores: Vec<_> = self.stores().chain(guard.parts()).collect();
        guard::check_tails(&self.gpu, &self.plan, &stores)?;
        guard.check_turns(&self.gpu, &self.plan)
    }

    /// Loop turns that one invocation of each dispatch took at most in the runs so far, in the plan's order;
    /// waits for them. None unless [`GpuOptions::checked`](crate::GpuOptions::checked) is on.
    pub fn counted_turns(&self) -> Result<Option<Vec<u64>>> {
        self.guard.as_ref().map_or(Ok(None), |guard| guard.counted(&self.gpu, self.steps.len()))
    }

    /// Submits one step alone.
    fn run_step(&self, at: usize) {
        let (step, dispatch) = (&self.steps[at], &self.plan.dispatches[at]);
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        if let Some(guard) = &self.guard {
            guard.before(dispatch, &mut encoder);
        }
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&step.pipeline);
            pass.set_bind_group(0, &step.bind_group, &[]);
            if let Some(guard) = &self.guard {
                guard.count(at, &mut pass);
            }
            pass.dispatch_workgroups(step.grid[0], step.grid[1], step.grid[2]);
        }
        if let Some(guard) = &self.guard {
            guard.after(dispatch, &mut encoder);
        }
        self.gpu.submit(encoder, &step.label);
    }

    async fn run_steps(&mut self, timestamps: Option<&wgpu::QuerySet>) -> Result<()> {
        self.gpu.check()?;
        let version = self.version.get();
        let fresh = self.prologue_of == Some(version);
        let steps: Vec<&Step> =
            self.steps.iter().filter(|step| step.phase != Phase::Prologue || !fresh).collect();
        let work: Vec<u64> = steps.iter().map(|step| pace::work(&step.cost)).collect();
        let started = if self.pace.begin() {
            self.gpu.wait_async().await?;
            Some(Instant::now())
        } else {
            None
        };
        let (mut timed, mut last) = (0, None);
        for run in pace::cut(&work, self.pace.budget()) {
            let (first, end) = (&steps[run.start].label, &steps[run.end - 1].label);
            let what = format!("{} dispatches, {first} to {end}", run.len());
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                if let (Some(queries), 0) = (timestamps, timed) {
                    pass.write_timestamp(queries, 0);
                    timed = 1;
                }
                for step in &steps[run] {
                    pass.set_pipeline(&step.pipeline);
                    pass.set_bind_group(0, &step.bind_group, &[]);
                    pass.dispatch_workgroups(step.grid[0], step.grid[1], step.grid[2]);
                    if step.phase != Phase::Prologue {
                        self.executed += step.cost;
                        if let Some(queries) = timestamps {
                            pass.write_timestamp(queries, timed);
                            timed += 1;
                        }
                    }
                }
            }
            last = Some(self.gpu.submit(encoder, what));
        }
        if let Some(started) = started {
            self.gpu.wait_async().await?;
            self.pace.measured(work.iter().fold(0, |sum, more| sum.saturating_add(*more)), started.elapsed());
        }
        if let Some(behind) = last.and_then(|last| self.backlog.push(last)) {
            self.gpu.wait_until(&behind).await?;
        }
        self.count_run(version, fresh);
        self.gpu.check()
    }

    /// Notes a run that began at `version` of the parameters, without the prologue if it was `fresh`.
    fn count_run(&mut self, version: u64, fresh: bool) {
        self.prologue_of = Some(version);
        self.prologues += u64::from(!fresh);
        let (moves, moves_prologue) = self.moves;
        if moves && self.version.advance() == version && !moves_prologue {
            self.prologue_of = Some(version + 1);
        }
    }

    /// How many of the runs so far had the prologue go along.
    pub fn prologues(&self) -> u64 {
        self.prologues
    }

    /// What was dispatched so far, prologue aside, counted as it was put into the encoder.
    pub fn executed(&self) -> Cost {
        self.executed
    }

    /// Runs the step once (twice if the prologue is due) and gives every dispatch's kernel, layer and
    /// milliseconds; nothing where the adapter has no timestamps, or with a guard.
    pub fn profile(&mut self) -> Result<Vec<(String, f64)>> {
        let timed: Vec<String> =
            self.steps.iter().filter(|s| s.phase != Phase::Prologue).map(|s| s.label.clone()).collect();
        let count = timed.len() as u32 + 1;
        if !self.gpu.has_timestamps() || self.guard.is_some() || count > wgpu::QUERY_SET_MAX_QUERIES {
            return Ok(vec![]);
        }
        if self.prologue_of != Some(self.version.get()) {
            self.run()?; // the prologue is not timed, but would count as part of the first dispatch
        }
        let device = &self.gpu.device;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.gpu.buffer("timestamps", 8 * u64::from(count), usage)?;
        block_on(self.run_steps(Some(&queries)))?;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        self.gpu.submit(encoder, "reading timestamps");
        let bytes = self.gpu.read_bytes(&resolved, 0, 8 * u64::from(count))?;
        let ticks: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")))
            .collect();
        let unit = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-6;
        Ok(timed
            .into_iter()
            .zip(ticks.windows(2))
            .map(|(label, pair)| (label, pair[1].wrapping_sub(pair[0]) as f64 * unit))
            .collect())
    }

    /// The output's values in PyTorch's order; waits for the run.
    pub fn read_output(&self) -> Result<Vec<f32>> {
        block_on(self.read_output_async())
    }

    /// [`Session::read_output`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`Gpu::wait`].
    pub async fn read_output_async(&self) -> Result<Vec<f32>> {
        let (buffer, shape) = self.plan.output;
        Ok(shape.unpack(&self.store(buffer)?.read_async(&self.gpu, shape.padded_count()).await?))
    }

    /// Loss and hits of the last run; waits for it.
    pub fn read_summary(&self) -> Result<Summary> {
        let values = self.store(self.plan.output.0)?.read(&self.gpu, 4)?;
        Ok(Summary { loss: values[0], correct: values[1], rows: values[2] })
    }

    /// The summaries of the `count` steps up to number `last` (counted from 1), oldest first, in
    /// one transfer. At most [`HISTORY`] are remembered.
    pub fn read_history(&self, last: u64, count: usize) -> Result<Vec<Summary>> {
        block_on(self.read_history_async(last, count))
    }

    /// [`Session::read_history`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`Gpu::wait`]; [`Error::Graph`] for a plan without a loss.
    pub async fn read_history_async(&self, last: u64, count: usize) -> Result<Vec<Summary>> {
        let buffer = self.plan.history.ok_or_else(|| Error::Graph("this plan has no loss".to_owned()))?;
        let values = self.store(buffer)?.read_async(&self.gpu, 4 * HISTORY).await?;
        let count = (count as u64).min(last).min(HISTORY as u64);
        let summary = |step: u64| {
            let at = 4 * ((step % HISTORY as u64) as usize);
            Summary { loss: values[at], correct: values[at + 1], rows: values[at + 2] }
        };
        Ok((last - count..last).map(summary).collect())
    }

    /// The gradient of a parameter after a step, in PyTorch's order.
    pub fn read_gradient(&self, name: &str) -> Result<Vec<f32>> {
        block_on(self.read_gradient_async(name))
    }

    /// [`Session::read_gradient`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`Gpu::wait`]; [`Error::Unknown`] for a parameter that has no gradient.
    pub async fn read_gradient_async(&self, name: &str) -> Result<Vec<f32>> {
        let unknown = || Error::Unknown {
            what: "gradient",
            name: name.to_owned(),
            known: self.plan.trainable_names().collect::<Vec<_>>().join(", "),
        };
        let slice = self.plan.trainable.get(name).ok_or_else(unknown)?;
        let buffer = self.gradients.as_ref().ok_or_else(unknown)?;
        let values = self.gpu.read_async(buffer, slice.offset, slice.shape.padded_count()).await?;
        let mut gradient = slice.shape.unpack(&values);
        self.unscale(&mut gradient).await?;
        Ok(gradient)
    }

    /// The gradient of the images after a run of a [`Plan::input_gradient`], in the order of
    /// [`Session::write_input`]: NHWC without padding. Waits for the run.
    pub fn read_input_gradient(&self) -> Result<Vec<f32>> {
        block_on(self.read_input_gradient_async())
    }

    /// [`Session::read_input_gradient`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`Gpu::wait`]; [`Error::Graph`] for a plan that computes no such gradient.
    pub async fn read_input_gradient_async(&self) -> Result<Vec<f32>> {
        let (buffer, shape) = self
            .plan
            .grad_input
            .ok_or_else(|| Error::Graph("this plan computes no gradient of images".to_owned()))?;
        let values = self.store(buffer)?.read_async(&self.gpu, shape.padded_count()).await?;
        let mut gradient = shape.unpack_nhwc(&values);
        self.unscale(&mut gradient).await?;
        Ok(gradient)
    }

    /// Takes the loss scale of the last run out of its gradients.
    async fn unscale(&self, gradient: &mut [f32]) -> Result<()> {
        let Some((_, scaler)) = &self.loss_scaler else { return Ok(()) };
        let unscale = self.gpu.read_async(scaler, loss_scale::UNSCALE, 1).await?[0];
        gradient.iter_mut().for_each(|value| *value *= unscale);
        Ok(())
    }

    /// Fills the whole pool with NaN: a kernel that reads memory that was not written then gives NaN.
    pub fn poison(&self) {
        for (store, (bytes, _)) in self.slots.iter().zip(&self.plan.pool.slots) {
            store.write(&self.gpu, &vec![NAN; (*bytes / 4) as usize]);
        }
    }

    /// The name of the first layer, in forward order, whose output is not finite, found by running
    /// forward again on the present batch with every dispatch followed by a look at what it wrote.
    pub fn first_not_finite(&mut self) -> Result<Option<String>> {
        for at in 0..self.steps.len() {
            if self.steps[at].phase > Phase::Forward {
                break;
            }
            self.run_step(at);
            let dispatch = &self.plan.dispatches[at];
            for &(name, id) in &dispatch.bindings {
                let float = !matches!(name, "bits" | "argmax_out" | "history");
                if id == NOTHING || !float || !crate::memory::writes(dispatch, name) {
                    continue;
                }
                let buffer = &self.plan.buffers[id.0 as usize];
                let Some(store) = self.stored(id) else { continue };
                let values = store.read(&self.gpu, (buffer.bytes / 4) as usize)?;
                let finite = match buffer.format {
                    Format::Half => {
                        bytemuck::cast_slice::<f32, f16>(&values).iter().all(|value| value.is_finite())
                    }
                    _ => values.iter().all(|value| value.is_finite()),
                };
                if !finite {
                    return Ok(Some(dispatch.layer.clone()));
                }
            }
        }
        Ok(None)
    }

    /// Where a buffer of the pool or of the plan is; none for a part of a flat buffer.
    fn stored(&self, id: BufferId) -> Option<&Store> {
        let slot = self.plan.pool.slot_of[id.0 as usize].map(|slot| &self.slots[slot]);
        slot.or(self.owned[id.0 as usize].as_ref())
    }

    /// All of those, with the size in use.
    fn stores(&self) -> impl Iterator<Item = (BufferId, &Store, u64)> {
        let all = self.plan.buffers.iter().enumerate();
        all.filter_map(|(id, buffer)| {
            Some((BufferId(id as u32), self.stored(BufferId(id as u32))?, buffer.bytes))
        })
    }

    fn store(&self, id: BufferId) -> Result<&Store> {
        let missing = || Error::Graph("the plan does not hold this tensor".to_owned());
        self.owned.get(id.0 as usize).and_then(Option::as_ref).ok_or_else(missing)
    }
}
