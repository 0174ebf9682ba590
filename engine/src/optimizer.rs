//! The optimiser's state on the device: one flat buffer per slot, of the trainable parameters only, and the
//! loss scale if gradients are stored as f16.

use crate::blocking::block_on;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::Layout;
use crate::loss_scale::{self, LossScale, LossScaleState};
use crate::plan::Plan;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slot, parameter, PyTorch's shape and values of a moment.
pub type HostMoment = (&'static str, String, Vec<usize>, Vec<f32>);

/// Moments of the trainable parameters of a plan, and the number of steps begun. A clone is another handle on
/// the same state.
#[derive(Clone, Debug)]
pub struct Optimizer {
    gpu: Arc<Gpu>,
    slots: &'static [&'static str],
    pub(crate) layout: Layout,
    pub(crate) moments: Vec<wgpu::Buffer>,
    pub(crate) loss_scaler: Option<(LossScale, wgpu::Buffer)>,
    steps: Arc<AtomicU64>,
}

impl Optimizer {
    /// Zero moments for the trainable parameters of `plan`, and its initial loss scale.
    pub fn new(gpu: &Arc<Gpu>, plan: &Plan) -> Result<Self> {
        let slots = plan.optim.as_ref().map_or(&[] as &[&str], |optim| optim.slots());
        let layout = plan.trainable.clone();
        let moments = slots.iter().map(|slot| gpu.storage(slot, layout.bytes())).collect::<Result<_>>()?;
        let scaler = |scale| -> Result<_> { Ok((scale, gpu.storage("loss scale", loss_scale::BYTES)?)) };
        let scale = plan.optim.as_ref().and(plan.loss_scale).map(|(_, scale)| scale);
        let loss_scaler = scale.map(scaler).transpose()?;
        let optimizer = Self { gpu: gpu.clone(), slots, layout, moments, loss_scaler, steps: Arc::default() };
        if let Some(scale) = scale {
            optimizer.set_loss_scale(scale.start());
        }
        Ok(optimizer)
    }

    /// Number of steps begun, including those that were skipped because a gradient or the loss was not
    /// finite.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Counts a step and returns its number, from 1.
    pub(crate) fn begin_step(&self) -> u64 {
        self.steps.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The loss scale after the last step; `None` unless gradients are stored as f16. Waits for the device.
    pub fn loss_scale(&self) -> Result<Option<LossScaleState>> {
        block_on(self.loss_scale_async())
    }

    /// [`Optimizer::loss_scale`] for callers that must not block.
    pub async fn loss_scale_async(&self) -> Result<Option<LossScaleState>> {
        let Some((_, buffer)) = &self.loss_scaler else { return Ok(None) };
        let bytes = self.gpu.read_bytes_async(buffer, 0, loss_scale::BYTES).await?;
        Ok(Some(LossScaleState::from_words(&bytemuck::pod_collect_to_vec(&bytes))))
    }

    fn set_loss_scale(&self, state: LossScaleState) {
        if let Some((_, buffer)) = &self.loss_scaler {
            self.gpu.write_bytes(buffer, 0, bytemuck::cast_slice(&state.to_words()));
        }
    }

    /// Continues after `steps` steps with the loss scale `earlier`, both of the same or of another optimiser.
    /// A fixed loss scale stays, and without one only the steps that were taken count.
    pub fn go_on_from(&mut self, steps: u64, earlier: Option<LossScaleState>) {
        let skipped = earlier.map_or(0, |state| u64::from(state.skipped_steps));
        let steps = match (&self.loss_scaler, earlier) {
            (Some((scale, _)), Some(earlier)) => {
                self.set_loss_scale(scale.go_on_from(earlier));
                steps
            }
            _ => steps.saturating_sub(skipped),
        };
        self.steps.store(steps, Ordering::Relaxed);
    }

    /// Copies the moments that both have from `earlier`: after unfreezing, layers that trained before keep
    /// their momentum and new ones start at zero.
    pub fn carry_over(&mut self, earlier: &Optimizer) -> Result<()> {
        self.go_on_from(earlier.steps(), earlier.loss_scale()?);
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (name, slice) in self.layout.iter() {
            let Some(from) = earlier.layout.get(name) else { continue };
            for (slot, moment) in self.slots.iter().zip(&self.moments) {
                if let Some(at) = earlier.slots.iter().position(|other| other == slot) {
                    let (bytes, old) = (slice.shape.bytes(), &earlier.moments[at]);
                    encoder.copy_buffer_to_buffer(old, from.offset, moment, slice.offset, bytes);
                }
            }
        }
        self.gpu.submit(encoder, "taking over moments");
        Ok(())
    }

    /// All moments as (slot, parameter, PyTorch's shape, values).
    pub fn to_host(&self) -> Result<Vec<HostMoment>> {
        block_on(self.to_host_async())
    }

    /// [`Optimizer::to_host`] for callers that must not block.
    pub async fn to_host_async(&self) -> Result<Vec<HostMoment>> {
        let mut all = vec![];
        for (slot, moment) in self.slots.iter().zip(&self.moments) {
            let flat = self.gpu.read_async(moment, 0, (self.layout.bytes() / 4) as usize).await?;
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
        let at = self
            .slots
            .iter()
            .position(|other| *other == slot)
            .ok_or_else(|| known(self.slots.join(", "), "optimizer slot"))?;
        let slice =
            self.layout.get(name).ok_or_else(|| known("those that train".to_owned(), "optimizer state"))?;
        if values.len() != slice.shape.count() {
            return Err(Error::data(name, &slice.shape, format!("{} values", values.len())));
        }
        self.gpu.write(&self.moments[at], slice.offset, &slice.shape.pack(values));
        Ok(())
    }
}
