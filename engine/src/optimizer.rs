//! The optimiser's state on the device: one flat buffer per slot, of the trainable parameters only.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::Layout;
use crate::plan::Plan;
use std::sync::Arc;

/// Slot, parameter, PyTorch's shape and values of a moment.
pub type HostMoment = (&'static str, String, Vec<usize>, Vec<f32>);

/// Moments of the trainable parameters of a plan, and how many steps were taken.
#[derive(Clone, Debug)]
pub struct Optimizer {
    gpu: Arc<Gpu>,
    slots: &'static [&'static str],
    pub(crate) layout: Layout,
    pub(crate) moments: Vec<wgpu::Buffer>,
    /// Steps taken.
    pub steps: u64,
}

impl Optimizer {
    /// Zero moments for the trainable parameters of `plan`.
    pub fn new(gpu: &Arc<Gpu>, plan: &Plan) -> Result<Self> {
        let slots = plan.optim.as_ref().map_or(&[] as &[&str], |optim| optim.slots());
        let layout = plan.trainable.clone();
        let moments = slots.iter().map(|slot| gpu.storage(slot, layout.bytes())).collect::<Result<_>>()?;
        Ok(Self { gpu: gpu.clone(), slots, layout, moments, steps: 0 })
    }

    /// Takes over from `earlier` what both have: after unfreezing, layers that trained before keep
    /// their momentum and new ones start at zero.
    pub fn carry_over(&mut self, earlier: &Optimizer) {
        self.steps = earlier.steps;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (name, slice) in self.layout.iter() {
            let Some(from) = earlier.layout.get(name) else { continue };
            for (slot, moment) in self.slots.iter().zip(&self.moments) {
                if let Some(at) = earlier.slots.iter().position(|other| other == slot) {
                    encoder.copy_buffer_to_buffer(&earlier.moments[at], from.offset, moment, slice.offset, slice.shape.bytes());
                }
            }
        }
        self.gpu.submit(encoder, "taking over moments");
    }

    /// All moments as (slot, parameter, PyTorch's shape, values).
    pub fn to_host(&self) -> Result<Vec<HostMoment>> {
        let mut all = vec![];
        for (slot, moment) in self.slots.iter().zip(&self.moments) {
            let flat = self.gpu.read(moment, 0, (self.layout.bytes() / 4) as usize)?;
            for (name, slice) in self.layout.iter() {
                let at = (slice.offset / 4) as usize;
                let values = slice.shape.unpack(&flat[at..at + slice.shape.padded_count()]);
                all.push((*slot, name.to_owned(), slice.shape.torch(), values));
            }
        }
        Ok(all)
    }

    /// Sets one moment from values in PyTorch's order.
    pub fn set(&self, slot: &str, name: &str, values: &[f32]) -> Result<()> {
        let known = |known: String, what| Error::Unknown { what, name: format!("{slot}.{name}"), known };
        let at = self.slots.iter().position(|other| *other == slot).ok_or_else(|| known(self.slots.join(", "), "optimizer slot"))?;
        let slice = self.layout.get(name).ok_or_else(|| known("those that train".to_owned(), "optimizer state"))?;
        if values.len() != slice.shape.count() {
            return Err(Error::data(name, &slice.shape, format!("{} values", values.len())));
        }
        self.gpu.write(&self.moments[at], slice.offset, &slice.shape.pack(values));
        Ok(())
    }
}
