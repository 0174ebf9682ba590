//! A session: a plan on a device.

use crate::dispatch::{BufferId, Phase};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::guard::Guard;
use crate::in_flight::Submission;
use crate::ledger::Cost;
use crate::loss_scale::LossScale;
use crate::pace::{Backlog, Pace};
use crate::params::Version;
use crate::plan::Plan;
use crate::store::Store;
use changing::Changing;
use std::sync::Arc;

mod bind;
mod build;
mod changing;
mod diagnose;
mod read;
mod step;
mod write;

/// Uniforms, and other parts of a buffer, start at multiples of this on every adapter.
const UNIFORM: u64 = 256;

/// Loss and hits of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Mean loss of the labelled rows.
    pub loss: f32,
    /// Labelled rows whose largest logit was at the label; for mixed rows, the share of that label.
    pub correct: f32,
    /// Labelled rows.
    pub rows: f32,
}

/// A dispatch, ready to run.
struct Step {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: [u32; 3],
    phase: Phase,
    cost: Cost,
    label: String,
}

/// A plan with everything it needs on the device to run.
pub struct Session {
    gpu: Arc<Gpu>,
    plan: Plan,
    steps: Vec<Step>,
    slots: Vec<Store>,
    owned: Vec<Option<Store>>,
    gradients: Option<wgpu::Buffer>,
    /// How gradients are scaled, and the buffer of the scale's state.
    loss_scaler: Option<(LossScale, wgpu::Buffer)>,
    uniforms: wgpu::Buffer,
    changing: Changing,
    executed: Cost,
    /// Version of the parameters and statistics that this session was given.
    version: Version,
    /// The version for which the prologue's results are valid, and how often they were computed.
    prologue_of: Option<u64>,
    prologues: u64,
    /// See [`Plan::moves`].
    moves: (bool, bool),
    guard: Option<Guard>,
    pace: Pace,
    backlog: Backlog<Submission>,
}

/// Otherwise a browser frees memory late, when its garbage collector runs.
#[cfg(target_family = "wasm")]
impl Drop for Session {
    fn drop(&mut self) {
        self.slots.iter().chain(self.owned.iter().flatten()).for_each(Store::destroy);
        self.gradients.iter().chain([&self.uniforms]).for_each(wgpu::Buffer::destroy);
    }
}

impl Session {
    /// The plan that runs here.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The number of runs so far that included the prologue.
    pub fn prologues(&self) -> u64 {
        self.prologues
    }

    /// The dispatches so far, without the prologue, counted when they were encoded.
    pub fn executed(&self) -> Cost {
        self.executed
    }

    /// The memory of a buffer of the pool or of the plan; `None` for a part of a flat buffer.
    fn stored(&self, id: BufferId) -> Option<&Store> {
        let slot = self.plan.pool.slot_of[id.index()].map(|slot| &self.slots[slot]);
        slot.or(self.owned[id.index()].as_ref())
    }

    /// All of these, with the size in use.
    fn stores(&self) -> impl Iterator<Item = (BufferId, &Store, u64)> {
        let all = self.plan.buffers.iter().enumerate();
        all.filter_map(|(id, buffer)| {
            Some((BufferId(id as u32), self.stored(BufferId(id as u32))?, buffer.bytes))
        })
    }

    fn store(&self, id: BufferId) -> Result<&Store> {
        let missing = || Error::Graph("the plan does not contain this tensor".to_owned());
        self.owned.get(id.index()).and_then(Option::as_ref).ok_or_else(missing)
    }
}
