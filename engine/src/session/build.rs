//! Puts a plan on a device: buffers, pipelines, bind groups and uniforms.

use super::bind::{Place, Unused, is_aliased};
use super::changing::Changing;
use super::{Session, Step, UNIFORM};
use crate::blocking::block_on;
use crate::dispatch::{Dispatch, Home, Memory};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::guard::{Guard, TAIL};
use crate::kernel::{Access, reflect};
use crate::ledger::Cost;
use crate::optimizer::Optimizer;
use crate::pace::{Backlog, Pace};
use crate::params::Params;
use crate::plan::Plan;
use crate::store::Store;
use frostline_shaders::Format;
use std::sync::Arc;

impl Session {
    /// [`Session::new`] for callers that must not block: kernels are compiled first, one after another, and the
    /// observer of [`Gpu::on_compile`] is called after each.
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
                reason: "this adapter does not order writes to the buffer before reads of the \
                         texture"
                    .to_owned(),
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
                "{kernel} of {layer} needs {:?} workgroups, this adapter runs at most {limit}",
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
            Some((id, scale)) => match &owned[id.index()] {
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
            session.store(*buffer)?.write(gpu, bytemuck::cast_slice(values));
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
                    let bound = dispatch.bindings.iter().find(|bound| bound.name == name);
                    match bound.and_then(|bound| bound.buffer) {
                        None => unused.place(binding, access, dispatch.variant.format(name)),
                        Some(id) => {
                            guarded = self.guard.as_ref().map(|guard| guard.part(id));
                            self.resolve(id, access, params, optimizer)?
                        }
                    }
                }
            };
            let (resource, size) = match place {
                Place::Texture(view, bytes) => (wgpu::BindingResource::TextureView(view), bytes),
                Place::Buffer(buffer, offset, bytes) => {
                    // With a guard, the tail is a part of the binding.
                    let (buffer, offset, size) = match guarded {
                        // An unused binding has no bytes, but a kernel may declare a structure there.
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
        let label = dispatch.label();
        debug_assert!(!is_aliased(&bound), "{label}: a browser would refuse these bindings: {bound:?}");
        let descriptor = wgpu::BindGroupDescriptor {
            label: Some(&label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        };
        let bind_group = gpu.scoped(&label, || gpu.device.create_bind_group(&descriptor))?;
        Ok(Step { bind_group, pipeline, grid: dispatch.grid, phase: dispatch.phase, cost, label })
    }
}
