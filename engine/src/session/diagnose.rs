//! Diagnosis: guards, timestamps, values that are not finite.

use super::Session;
use super::bind::Place;
use crate::blocking::block_on;
use crate::dispatch::{Binding, Dispatch, Phase};
use crate::error::Result;
use crate::guard;
use crate::kernel::Access;
use crate::optimizer::Optimizer;
use crate::params::Params;
use frostline_shaders::Format;
use half::f16;

/// A NaN as f32, whose two halves are NaN as f16.
const NAN: f32 = f32::from_bits(0x7fff_7fff);

impl Session {
    /// If there is a guard, fills the tails of all buffers, and gives kernels a copy, with a tail, of each part
    /// of a flat buffer.
    pub(super) fn guard_buffers(&mut self, params: &Params, optimizer: Option<&Optimizer>) -> Result<()> {
        let Some(mut guard) = self.guard.take() else { return Ok(()) };
        for (id, store, bytes) in self.stores() {
            guard::fill(&self.gpu, id, store, bytes);
        }
        for id in self.plan.dispatches.iter().flat_map(Dispatch::used) {
            if guard.part(id).is_some() || self.stored(id).is_some() {
                continue;
            }
            if let Place::Buffer(flat, offset, bytes) = self.resolve(id, Access::Write, params, optimizer)? {
                let label = &self.plan.buffers[id.index()].label;
                guard.copy(&self.gpu, id, label, flat, offset, bytes)?;
            }
        }
        self.guard = Some(guard);
        Ok(())
    }

    /// Fails if a kernel has written past the end of a buffer, or taken more loop turns than declared.
    pub(super) fn check_guard(&self) -> Result<()> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let stores: Vec<_> = self.stores().chain(guard.parts()).collect();
        guard::check_tails(&self.gpu, &self.plan, &stores)?;
        guard.check_turns(&self.gpu, &self.plan)
    }

    /// The maximum number of loop turns of an invocation of each dispatch in the runs so far, in the plan's
    /// order; waits for them. `None` unless [`GpuOptions::checked`](crate::GpuOptions::checked) is on.
    pub fn counted_turns(&self) -> Result<Option<Vec<u64>>> {
        self.guard.as_ref().map_or(Ok(None), |guard| guard.counted(&self.gpu, self.steps.len()))
    }

    /// Runs the step once (twice if the prologue is due) and returns every dispatch's kernel, layer and
    /// milliseconds; `None` if the adapter has no timestamps, or with a guard.
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

    /// Fills the whole pool with NaN: a kernel that reads memory that was not written then gives NaN.
    pub fn poison(&self) {
        for (store, (bytes, _)) in self.slots.iter().zip(&self.plan.pool.slots) {
            store.write(&self.gpu, bytemuck::cast_slice(&vec![NAN; (*bytes / 4) as usize]));
        }
    }

    /// The name of the first layer, in forward order, whose output is not finite, found by running forward
    /// again on the present batch and checking the output of every dispatch.
    pub fn first_not_finite(&mut self) -> Result<Option<String>> {
        for at in 0..self.steps.len() {
            if self.steps[at].phase > Phase::Forward {
                break;
            }
            self.run_step(at);
            let dispatch = &self.plan.dispatches[at];
            for &Binding { name, buffer, written } in &dispatch.bindings {
                let float = !matches!(name, "bits" | "argmax_out" | "history");
                let Some(id) = buffer.filter(|_| float && written) else { continue };
                let buffer = &self.plan.buffers[id.index()];
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
}
