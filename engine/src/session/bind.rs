//! The memory of each binding of a dispatch.

use super::{Session, UNIFORM};
use crate::dispatch::{BufferId, Home, Memory};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernel::{Access, reflect};
use crate::layout::Layout;
use crate::optimizer::Optimizer;
use crate::params::Params;
use crate::plan::Plan;
use crate::store::Store;
use frostline_shaders::Format;

/// The memory of a binding: the last number is the size in bytes.
pub(super) enum Place<'a> {
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

/// The buffers for unused bindings. WebGPU refuses a buffer that one dispatch binds for reading and for
/// writing, or twice for writing with ranges that overlap.
pub(super) struct Unused {
    read: Store,
    texture: Store,
    written: wgpu::Buffer,
}

impl Unused {
    pub fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
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

    pub fn place(&self, binding: u32, access: Access, format: Format) -> Place<'_> {
        match (access, format) {
            (Access::Read, Format::Texture | Format::Aliased) => whole(&self.texture, 0, access),
            (Access::Write, _) => Place::Buffer(&self.written, UNIFORM * u64::from(binding), 0),
            _ => whole(&self.read, 0, access),
        }
    }
}

/// Whether WebGPU forbids these parts of buffers in one dispatch, the last field of which is true if they are
/// writable: see [`Unused`]. Native drivers do not check this.
pub(super) fn is_aliased(bound: &[(&wgpu::Buffer, std::ops::Range<u64>, bool)]) -> bool {
    bound.iter().enumerate().any(|(i, (buffer, range, written))| {
        bound[..i].iter().filter(|(other, _, _)| other == buffer).any(|(_, other, other_written)| {
            let apart = range.end <= other.start || other.end <= range.start;
            written != other_written || (*written && !apart)
        })
    })
}

impl Session {
    /// The memory of a virtual buffer for a kernel that reads or writes it.
    pub(super) fn resolve<'a>(
        &'a self,
        id: BufferId,
        access: Access,
        params: &'a Params,
        optimizer: Option<&'a Optimizer>,
    ) -> Result<Place<'a>> {
        let buffer = &self.plan.buffers[id.index()];
        let missing = || {
            Error::Graph(format!(
                "`{}` is not among the parameters that this session was \
                                     given",
                buffer.label
            ))
        };
        let within = |layout: &Layout, name: &str| {
            let slice = layout.get(name).filter(|slice| slice.shape.bytes() == buffer.bytes);
            slice.map(|slice| slice.offset).ok_or_else(missing)
        };
        let run = |layout: &Layout, first: &str, last: &str| layout.run(first, last).ok_or_else(missing);
        let (values, statistics) = (&params.parameters, &params.statistics);
        let bytes = buffer.bytes;
        Ok(match &buffer.home {
            Home::Pool => {
                whole(&self.slots[self.plan.pool.slot_of[id.index()].ok_or_else(missing)?], bytes, access)
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
        })
    }
}
