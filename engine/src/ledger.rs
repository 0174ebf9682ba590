//! The ledger: the cost of a plan, layer by layer, before anything has run.

use crate::dispatch::{Dispatch, Phase};
use indexmap::IndexMap;
use serde::Serialize;
use std::ops::AddAssign;

/// What dispatches cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Number of dispatches.
    pub dispatches: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of the buffers read, each operand counted once per dispatch.
    pub bytes_read: u64,
    /// Bytes of the buffers written.
    pub bytes_written: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.dispatches += other.dispatches;
        self.macs += other.macs;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }
}

impl From<&Dispatch> for Cost {
    fn from(d: &Dispatch) -> Self {
        Self { dispatches: 1, macs: d.macs, bytes_read: d.bytes_read, bytes_written: d.bytes_written }
    }
}

/// One layer of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerLedger {
    /// Its forward pass.
    pub forward: Cost,
    /// Its backward pass.
    pub backward: Cost,
    /// Bytes of its activations that are kept for backward.
    pub kept_bytes: u64,
    /// Names of its forward kernels, in order.
    pub forward_kernels: Vec<String>,
    /// Names of its backward kernels, in order.
    pub backward_kernels: Vec<String>,
}

/// The cost of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Dispatches of one forward pass.
    pub forward_dispatches: u64,
    /// Dispatches of one backward pass.
    pub backward_dispatches: u64,
    /// Dispatches of the optimiser.
    pub update_dispatches: u64,
    /// One step: forward, backward and update.
    pub step: Cost,
    /// Dispatches that run once, before the first step.
    pub prologue: Cost,
    /// Multiply-accumulates of one forward pass.
    pub forward_macs: u64,
    /// Multiply-accumulates of one backward pass.
    pub backward_macs: u64,
    /// Bytes of activations (including masks and the input) that forward keeps for backward.
    pub kept_bytes: u64,
    /// Bytes of the pool that all activations and their gradients share.
    pub pool_bytes: u64,
    /// Bytes of all parameters.
    pub parameter_bytes: u64,
    /// Bytes of the gradients of the trainable ones.
    pub gradient_bytes: u64,
    /// Bytes of the optimiser's state.
    pub optimizer_bytes: u64,
    /// Layer by layer, in the order they run.
    pub layers: IndexMap<String, LayerLedger>,
}

impl Ledger {
    pub(crate) fn add(&mut self, dispatch: &Dispatch) {
        let cost = Cost::from(dispatch);
        if dispatch.phase == Phase::Prologue {
            self.prologue += cost;
            return;
        }
        self.step += cost;
        let name = dispatch.variant.kernel.name();
        match dispatch.phase {
            Phase::Forward => {
                self.forward_dispatches += 1;
                self.forward_macs += cost.macs;
                let layer = self.layers.entry(dispatch.layer.clone()).or_default();
                layer.forward += cost;
                layer.forward_kernels.push(name);
            }
            Phase::Backward => {
                self.backward_dispatches += 1;
                self.backward_macs += cost.macs;
                let layer = self.layers.entry(dispatch.layer.clone()).or_default();
                layer.backward += cost;
                layer.backward_kernels.push(name);
            }
            Phase::Update | Phase::Prologue => self.update_dispatches += 1,
        }
    }

    /// Backward kernels of `layer` that `unfrozen` dispatches and this plan does not.
    pub fn skipped_kernels(&self, unfrozen: &Ledger, layer: &str) -> Vec<String> {
        let Some(full) = unfrozen.layers.get(layer) else { return vec![] };
        let mut mine = self.layers.get(layer).map(|row| row.backward_kernels.clone()).unwrap_or_default();
        let mut skipped = full.backward_kernels.clone();
        skipped.retain(|kernel| match mine.iter().position(|other| other == kernel) {
            Some(at) => {
                mine.swap_remove(at);
                false
            }
            None => true,
        });
        skipped
    }
}
