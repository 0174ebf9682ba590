//! A session: a plan on a device. Buffers, bind groups and uniforms are made here, once.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernel::{Access, Scalar, reflect};
use crate::ledger::Cost;
use crate::ops::augment::{self, Transform};
use crate::ops::cross_entropy::{HISTORY, IGNORED, MEAN};
use crate::ops::mixup::{self, Mix};
use crate::optimizer::Optimizer;
use crate::pace::{self, InFlight, Pace};
use crate::params::Params;
use crate::plan::Plan;
use crate::record::{BufferId, Dispatch, Home, NOTHING, Phase};
use crate::shape::Shape;
use crate::store::Store;
use frostline_shaders::Format;
use half::f16;
use std::sync::Arc;
use web_time::Instant;

/// Uniforms start at multiples of this on every adapter.
const UNIFORM: u64 = 256;

/// Not a number, and two 16-bit floats that are none either.
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

/// What a binding is bound to: the last number is the size in bytes.
enum Place<'a> {
    Buffer(&'a wgpu::Buffer, u64, u64),
    Texture(&'a wgpu::TextureView, u64),
}

fn whole(store: &Store, bytes: u64) -> Place<'_> {
    match store {
        Store::Buffer(buffer) => Place::Buffer(buffer, 0, bytes),
        Store::Texture { view, .. } => Place::Texture(view, bytes),
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
    /// Where the loss says which row of the history to write.
    slot: Option<u64>,
}

impl Changing {
    fn of(plan: &Plan) -> Result<Self> {
        let offset = |at: usize, name: &str| {
            let reflection = reflect(plan.dispatches[at].variant.kernel)?;
            let field = reflection.fields.get(name).map(|&(offset, _)| at as u64 * UNIFORM + u64::from(offset));
            field.ok_or_else(|| Error::Graph(format!("the kernel of dispatch {at} has no field `{name}`")))
        };
        let positions = |wanted: &dyn Fn(&Dispatch) -> bool| -> Vec<usize> {
            plan.dispatches.iter().enumerate().filter(|(_, dispatch)| wanted(dispatch)).map(|(at, _)| at).collect()
        };
        let mut updates = vec![];
        if let Some(optim) = &plan.optim {
            for (at, &group) in positions(&|dispatch| dispatch.phase == Phase::Update).into_iter().zip(&plan.update_groups) {
                let fields = optim.step_fields(group, optim.lr, 1);
                updates.push((group, fields.iter().map(|(name, _)| offset(at, name)).collect::<Result<_>>()?));
            }
        }
        let means = positions(&|dispatch| dispatch.variant.kernel == MEAN);
        let slot = means.first().map(|&at| offset(at, "slot")).transpose()?;
        Ok(Self { updates, slot })
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
    uniforms: wgpu::Buffer,
    changing: Changing,
    executed: Cost,
    fresh: bool,
    pace: Pace,
    in_flight: InFlight<wgpu::SubmissionIndex>,
}

impl Session {
    /// Puts `plan` on the device of `gpu`, over `params` and, if it trains, the optimiser's state.
    pub fn new(gpu: &Arc<Gpu>, plan: Plan, params: &Params, optimizer: Option<&Optimizer>) -> Result<Self> {
        if !gpu.has_f16() && plan.buffers.iter().any(|buffer| buffer.format == Format::Half) {
            return Err(Error::NoHalf { adapter: gpu.describe() });
        }
        let limit = gpu.largest_binding();
        if let Some(buffer) = plan.buffers.iter().find(|buffer| buffer.bytes > limit) {
            return Err(Error::TooLarge { tensor: buffer.label.clone(), bytes: buffer.bytes, limited: "this adapter binds", limit });
        }
        if let Some(dispatch) = plan.dispatches.iter().find(|dispatch| dispatch.grid.iter().any(|groups| *groups > gpu.largest_grid())) {
            let (kernel, layer, limit) = (dispatch.variant.kernel.name(), &dispatch.layer, gpu.largest_grid());
            let reason = format!("{kernel} of {layer} needs {:?} workgroups, this adapter runs {limit} at most", dispatch.grid);
            return Err(Error::Graph(format!("{reason}: use a smaller batch or image")));
        }
        let slots =
            plan.pool.slots.iter().map(|&(bytes, texture)| Store::new(gpu, "activations", bytes, texture)).collect::<Result<Vec<_>>>()?;
        let mut owned = vec![];
        for buffer in &plan.buffers {
            owned.push(if buffer.home == Home::Plan {
                Some(Store::new(gpu, &buffer.label, buffer.bytes, buffer.is_texture())?)
            } else {
                None
            });
        }
        let gradients = if plan.trainable.is_empty() { None } else { Some(gpu.storage("gradients", plan.trainable.bytes())?) };
        let uniform_bytes = UNIFORM * plan.dispatches.len() as u64;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniforms = gpu.buffer("uniforms", uniform_bytes, usage)?;
        let nothing = [Store::new(gpu, "nothing", UNIFORM, false)?, Store::new(gpu, "nothing", UNIFORM, true)?];
        let changing = Changing::of(&plan)?;

        let (steps, executed) = (vec![], Cost::default());
        let (pace, in_flight) = (Pace::new(plan.submit_time), InFlight::new());
        let session =
            Self { gpu: gpu.clone(), plan, steps, slots, owned, gradients, uniforms, changing, executed, fresh: false, pace, in_flight };
        let variants = session.plan.dispatches.iter().map(|dispatch| &dispatch.variant);
        gpu.pipelines.compile(&gpu.device, variants).map_err(|error| gpu.explain(error))?;
        let mut steps = vec![];
        for (at, dispatch) in session.plan.dispatches.iter().enumerate() {
            steps.push(session.prepare(at, dispatch, params, optimizer, &nothing)?);
        }
        for (buffer, values) in &session.plan.constants {
            session.store(*buffer)?.write(gpu, values);
        }
        gpu.check()?;
        Ok(Self { steps, ..session })
    }

    fn prepare(
        &self,
        at: usize,
        dispatch: &Dispatch,
        params: &Params,
        optimizer: Option<&Optimizer>,
        nothing: &[Store; 2],
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
        let mut cost = Cost { dispatches: 1, macs: dispatch.macs, ..Cost::default() };
        for (name, &(binding, access)) in &reflection.bindings {
            let place = match access {
                Access::Params => Place::Buffer(&self.uniforms, at as u64 * UNIFORM, UNIFORM),
                Access::Read | Access::Write => {
                    let id = dispatch.bindings.iter().find(|(bound, _)| bound == name).map_or(NOTHING, |(_, id)| *id);
                    let texture = dispatch.variant.format(name) == Format::Texture;
                    self.resolve(id, params, optimizer)?.unwrap_or(whole(&nothing[texture as usize], 0))
                }
            };
            let (resource, size) = match place {
                Place::Texture(view, bytes) => (wgpu::BindingResource::TextureView(view), bytes),
                Place::Buffer(buffer, offset, bytes) => {
                    let size = std::num::NonZeroU64::new(bytes.max(16));
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
        let label = format!("{} {}", kernel.name(), dispatch.layer);
        let descriptor = wgpu::BindGroupDescriptor { label: Some(&label), layout: &pipeline.get_bind_group_layout(0), entries: &entries };
        let bind_group = gpu.device.create_bind_group(&descriptor);
        Ok(Step { bind_group, pipeline, grid: dispatch.grid, phase: dispatch.phase, cost, label })
    }

    /// Device buffer, offset and size of a virtual buffer.
    fn resolve<'a>(&'a self, id: BufferId, params: &'a Params, optimizer: Option<&'a Optimizer>) -> Result<Option<Place<'a>>> {
        if id == NOTHING {
            return Ok(None);
        }
        let buffer = &self.plan.buffers[id.0 as usize];
        let missing = || Error::Graph(format!("`{}` is not among the parameters this session was given", buffer.label));
        let within = |layout: &crate::layout::Layout, name: &str| {
            let slice = layout.get(name).filter(|slice| slice.shape.bytes() == buffer.bytes);
            slice.map(|slice| slice.offset).ok_or_else(missing)
        };
        let run = |layout: &crate::layout::Layout, first: &str, last: &str| layout.run(first, last).ok_or_else(missing);
        let (values, statistics) = (&params.parameters, &params.statistics);
        let bytes = buffer.bytes;
        let place = match &buffer.home {
            Home::Pool => whole(&self.slots[self.plan.pool.slot_of[id.0 as usize].ok_or_else(missing)?], bytes),
            Home::Plan => whole(self.store(id)?, bytes),
            Home::Parameter(name) => Place::Buffer(&values.1, within(&values.0, name)?, bytes),
            Home::Statistic(name) => Place::Buffer(&statistics.1, within(&statistics.0, name)?, bytes),
            Home::Gradient(name) => Place::Buffer(self.gradients.as_ref().ok_or_else(missing)?, within(&self.plan.trainable, name)?, bytes),
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
        };
        Ok(Some(place))
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
            return Err(Error::data("input", &shape, "floats where the graph has bytes: use `write_pixels`".to_owned()));
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
            return Err(Error::data("input", &shape, "bytes where the graph has floats: use `write_input`".to_owned()));
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
        let (buffer, n, classes) = self.plan.labels.ok_or_else(|| Error::Graph("this graph has no labels".to_owned()))?;
        if labels.len() != n {
            return Err(Error::Data { tensor: "labels".to_owned(), expected: format!("{n} labels"), got: labels.len().to_string() });
        }
        if let Some((row, label)) = labels.iter().enumerate().find(|(_, label)| **label != IGNORED && **label as usize >= classes) {
            let got = format!("{label} for image {row} of the batch");
            return Err(Error::Data { tensor: "labels".to_owned(), expected: format!("classes 0 to {}", classes - 1), got });
        }
        self.gpu.write_bytes(self.store(buffer)?.buffer()?, 0, bytemuck::cast_slice(labels));
        Ok(())
    }

    /// Gives the gradient of the output of a [`Plan::gradient`] or [`Plan::input_gradient`], in PyTorch's
    /// order.
    pub fn write_grad_output(&self, values: &[f32]) -> Result<()> {
        let (buffer, shape) = self.plan.grad_output.ok_or_else(|| Error::Graph("this plan takes no gradient from outside".to_owned()))?;
        if values.len() != shape.count() {
            return Err(Error::data("the output's gradient", &shape, format!("{} values", values.len())));
        }
        let scaled: Vec<f32> = values.iter().map(|value| value * self.plan.loss_scale).collect();
        self.store(buffer)?.write(&self.gpu, &shape.pack(&scaled));
        Ok(())
    }

    /// Says that parameters or statistics changed, so that what was computed from them once is
    /// computed again at the next run.
    pub fn refresh(&mut self) {
        self.fresh = false;
    }

    /// Sets the learning rate of the next step and counts it.
    pub fn begin_step(&mut self, optimizer: &mut Optimizer, lr: f32) -> Result<()> {
        optimizer.steps += 1;
        let Some(optim) = &self.plan.optim else { return Ok(()) };
        let write = |offset: u64, value: Scalar| self.gpu.write_bytes(&self.uniforms, offset, &value.to_le_bytes());
        for (group, offsets) in &self.changing.updates {
            for (&offset, (_, value)) in offsets.iter().zip(optim.step_fields(*group, lr, optimizer.steps)) {
                write(offset, Scalar::F32(value));
            }
        }
        if let Some(offset) = self.changing.slot {
            write(offset, Scalar::U32(((optimizer.steps - 1) % HISTORY as u64) as u32));
        }
        Ok(())
    }

    /// Runs the step: one encoder, one pass, one submit; several of each where the step is longer
    /// than [`crate::Tuning::submit_time`]. The prologue goes along the first time.
    ///
    /// Returns before the device is done, unless it is several steps behind: then it waits for the oldest.
    pub fn run(&mut self) -> Result<()> {
        self.run_steps(None)
    }

    fn run_steps(&mut self, timestamps: Option<&wgpu::QuerySet>) -> Result<()> {
        self.gpu.check()?;
        let steps: Vec<&Step> = self.steps.iter().filter(|step| step.phase != Phase::Prologue || !self.fresh).collect();
        let work: Vec<u64> = steps.iter().map(|step| pace::work(&step.cost)).collect();
        let started = if self.pace.begin() {
            self.gpu.wait()?;
            Some(Instant::now())
        } else {
            None
        };
        let (mut timed, mut last) = (0, None);
        for run in pace::cut(&work, self.pace.budget()) {
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
            last = Some(self.gpu.submit(encoder));
        }
        if let Some(started) = started {
            self.gpu.wait()?;
            self.pace.measured(work.iter().fold(0, |sum, more| sum.saturating_add(*more)), started.elapsed());
        }
        if let Some(behind) = last.and_then(|last| self.in_flight.push(last)) {
            self.gpu.wait_for(Some(behind))?;
        }
        self.fresh = true;
        self.gpu.check()
    }

    /// What was dispatched so far, prologue aside, counted as it was put into the encoder.
    pub fn executed(&self) -> Cost {
        self.executed
    }

    /// Runs the step once (twice if the prologue is due) and gives every dispatch's kernel, layer and
    /// milliseconds; nothing where the adapter has no timestamps.
    pub fn profile(&mut self) -> Result<Vec<(String, f64)>> {
        let timed: Vec<String> = self.steps.iter().filter(|s| s.phase != Phase::Prologue).map(|s| s.label.clone()).collect();
        let count = timed.len() as u32 + 1;
        if !self.gpu.has_timestamps() || count > wgpu::QUERY_SET_MAX_QUERIES {
            return Ok(vec![]);
        }
        if !self.fresh {
            self.run()?; // the prologue is not timed, but would count as part of the first dispatch
        }
        let device = &self.gpu.device;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("profile"), ty: wgpu::QueryType::Timestamp, count });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.gpu.buffer("timestamps", 8 * u64::from(count), usage)?;
        self.run_steps(Some(&queries))?;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        self.gpu.submit(encoder);
        let bytes = self.gpu.read_bytes(&resolved, 0, 8 * u64::from(count))?;
        let ticks: Vec<u64> = bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes"))).collect();
        let unit = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-6;
        Ok(timed.into_iter().zip(ticks.windows(2)).map(|(label, pair)| (label, pair[1].wrapping_sub(pair[0]) as f64 * unit)).collect())
    }

    /// The output's values in PyTorch's order; waits for the run.
    pub fn read_output(&self) -> Result<Vec<f32>> {
        let (buffer, shape) = self.plan.output;
        Ok(shape.unpack(&self.store(buffer)?.read(&self.gpu, shape.padded_count())?))
    }

    /// Loss and hits of the last run; waits for it.
    pub fn read_summary(&self) -> Result<Summary> {
        let values = self.store(self.plan.output.0)?.read(&self.gpu, 4)?;
        Ok(Summary { loss: values[0], correct: values[1], rows: values[2] })
    }

    /// The summaries of the `count` steps up to number `last` (counted from 1), oldest first, in
    /// one transfer. At most [`HISTORY`] are remembered.
    pub fn read_history(&self, last: u64, count: usize) -> Result<Vec<Summary>> {
        let buffer = self.plan.history.ok_or_else(|| Error::Graph("this plan has no loss".to_owned()))?;
        let values = self.store(buffer)?.read(&self.gpu, 4 * HISTORY)?;
        let count = (count as u64).min(last).min(HISTORY as u64);
        let summary = |step: u64| {
            let at = 4 * ((step % HISTORY as u64) as usize);
            Summary { loss: values[at], correct: values[at + 1], rows: values[at + 2] }
        };
        Ok((last - count..last).map(summary).collect())
    }

    /// The gradient of a parameter after a step, in PyTorch's order.
    pub fn read_gradient(&self, name: &str) -> Result<Vec<f32>> {
        let unknown = || Error::Unknown {
            what: "gradient",
            name: name.to_owned(),
            known: self.plan.trainable_names().collect::<Vec<_>>().join(", "),
        };
        let slice = self.plan.trainable.get(name).ok_or_else(unknown)?;
        let buffer = self.gradients.as_ref().ok_or_else(unknown)?;
        let mut gradient = slice.shape.unpack(&self.gpu.read(buffer, slice.offset, slice.shape.padded_count())?);
        gradient.iter_mut().for_each(|value| *value /= self.plan.loss_scale);
        Ok(gradient)
    }

    /// The gradient of the images after a run of a [`Plan::input_gradient`], in the order of
    /// [`Session::write_input`]: NHWC without padding. Waits for the run.
    pub fn read_input_gradient(&self) -> Result<Vec<f32>> {
        let (buffer, shape) = self.plan.grad_input.ok_or_else(|| Error::Graph("this plan computes no gradient of images".to_owned()))?;
        let mut gradient = shape.unpack_nhwc(&self.store(buffer)?.read(&self.gpu, shape.padded_count())?);
        gradient.iter_mut().for_each(|value| *value /= self.plan.loss_scale);
        Ok(gradient)
    }

    /// Fills the whole pool with NaN: a kernel that reads what nobody wrote shows at once.
    pub fn poison(&self) {
        for (store, (bytes, _)) in self.slots.iter().zip(&self.plan.pool.slots) {
            store.write(&self.gpu, &vec![NAN; (*bytes / 4) as usize]);
        }
    }

    /// The name of the first layer, in forward order, whose output is not finite, found by running
    /// forward again on the present batch with every dispatch followed by a look at what it wrote.
    pub fn first_not_finite(&mut self) -> Result<Option<String>> {
        for at in 0..self.steps.len() {
            let step = &self.steps[at];
            if step.phase > Phase::Forward {
                break;
            }
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&step.pipeline);
                pass.set_bind_group(0, &step.bind_group, &[]);
                pass.dispatch_workgroups(step.grid[0], step.grid[1], step.grid[2]);
            }
            self.gpu.submit(encoder);
            let dispatch = &self.plan.dispatches[at];
            for &(name, id) in &dispatch.bindings {
                let float = !matches!(name, "bits" | "argmax_out" | "history");
                if id == NOTHING || !float || !crate::memory::writes(dispatch, name) {
                    continue;
                }
                let buffer = &self.plan.buffers[id.0 as usize];
                let store = match self.plan.pool.slot_of[id.0 as usize] {
                    Some(slot) => &self.slots[slot],
                    None => match &self.owned[id.0 as usize] {
                        Some(store) => store,
                        None => continue,
                    },
                };
                let values = store.read(&self.gpu, (buffer.bytes / 4) as usize)?;
                let finite = match buffer.format {
                    Format::Half => bytemuck::cast_slice::<f32, f16>(&values).iter().all(|value| value.is_finite()),
                    _ => values.iter().all(|value| value.is_finite()),
                };
                if !finite {
                    return Ok(Some(dispatch.layer.clone()));
                }
            }
        }
        Ok(None)
    }

    fn store(&self, id: BufferId) -> Result<&Store> {
        let missing = || Error::Graph("the plan does not hold this tensor".to_owned());
        self.owned.get(id.0 as usize).and_then(Option::as_ref).ok_or_else(missing)
    }
}
