//! The results that the host reads from a session.

use super::{Session, Summary};
use crate::blocking::block_on;
use crate::error::{Error, Result};
use crate::loss_scale;
use crate::ops::cross_entropy::HISTORY;

impl Session {
    /// The output's values in PyTorch's order; waits for the run.
    pub fn read_output(&self) -> Result<Vec<f32>> {
        block_on(self.read_output_async())
    }

    /// [`Session::read_output`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`crate::Gpu::wait`].
    pub async fn read_output_async(&self) -> Result<Vec<f32>> {
        let (buffer, shape) = self.plan.output;
        Ok(shape.unpack(&self.store(buffer)?.read_async(&self.gpu, shape.padded_count()).await?))
    }

    /// Loss and hits of the last run; waits for it.
    pub fn read_summary(&self) -> Result<Summary> {
        let values = self.store(self.plan.output.0)?.read(&self.gpu, 4)?;
        Ok(Summary { loss: values[0], correct: values[1], rows: values[2] })
    }

    /// The summaries of the `count` steps up to number `last` (counted from 1), oldest first, in one
    /// transfer. At most [`HISTORY`] are stored.
    pub fn read_history(&self, last: u64, count: usize) -> Result<Vec<Summary>> {
        block_on(self.read_history_async(last, count))
    }

    /// [`Session::read_history`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`crate::Gpu::wait`]; [`Error::Graph`] for a plan without a loss.
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
    /// The errors of [`crate::Gpu::wait`]; [`Error::Unknown`] for a parameter that has no gradient.
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

    /// The gradient of the images after a run of a [`crate::Plan::input_gradient`], in the order of
    /// [`Session::write_input`]: NHWC without padding. Waits for the run.
    pub fn read_input_gradient(&self) -> Result<Vec<f32>> {
        block_on(self.read_input_gradient_async())
    }

    /// [`Session::read_input_gradient`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`crate::Gpu::wait`]; [`Error::Graph`] for a plan that computes no such gradient.
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

    /// Removes the loss scale of the last run from its gradients.
    async fn unscale(&self, gradient: &mut [f32]) -> Result<()> {
        let Some((_, scaler)) = &self.loss_scaler else { return Ok(()) };
        let unscale = self.gpu.read_async(scaler, loss_scale::UNSCALE, 1).await?[0];
        gradient.iter_mut().for_each(|value| *value *= unscale);
        Ok(())
    }
}
