//! The inner part of the loop: steps are only submitted, and losses are read back every few steps.
//!
//! Reading a loss waits for the device, so it is done for many steps at once, from the ring that the plan
//! keeps, and the next batch is submitted before. A loss that is not finite is therefore detected late, but
//! does no harm: from that step on the optimiser's kernels leave the weights unchanged. With f16 storage they
//! also skip single steps whose gradients overflowed; the number of those is read with the losses.

use std::path::PathBuf;

use frostline_engine::ops::cross_entropy::HISTORY;
use frostline_engine::ops::{Mix, Transform};
use frostline_engine::{LossScaleState, Optimizer, Params, Session};
use frostline_loader::{BatchState, Batches};

use crate::error::{Error, Result};
use crate::source::{Batch, upcoming};

/// The result of one training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRecord {
    /// The step, counted from 1.
    pub step: u64,
    /// Epochs completed before it.
    pub epoch: u64,
    /// Learning rate.
    pub lr: f32,
    /// Mean loss of the batch, before the step was taken.
    pub loss: f32,
    /// Share of the batch that was recognised, 0..=1; of [mixed](crate::FitOptions::mixup) images, the
    /// share of the label that was.
    pub accuracy: f32,
}

/// Labelled rows of any kind: images, or features that were computed earlier.
pub(crate) trait Rows {
    fn labels(&self) -> &[u32];

    /// Replaces the contents of the buffer by the values of these rows.
    fn fill(&self, indices: &[usize], state: BatchState, out: &mut Batch) -> Result<()>;

    /// Called with the rows that come next.
    fn expect(&self, _indices: &[usize]) {}

    /// The change of each of these rows on the device, if there is one.
    fn transforms(&self, _indices: &[usize], _state: BatchState) -> Option<Vec<Transform>> {
        None
    }

    /// The share and partner of each row of a batch, if rows are mixed.
    fn mixes(&self, _state: BatchState) -> Result<Option<Vec<Mix>>> {
        Ok(None)
    }
}

/// A step whose loss is still on the device.
struct Unread {
    step: u64,
    lr: f32,
    state: BatchState,
}

pub(crate) struct Training<'a> {
    pub session: Session,
    pub optimizer: Optimizer,
    pub batches: Batches,
    rows: &'a dyn Rows,
    /// The path of the last good checkpoint, for an error message.
    pub checkpoint: Option<PathBuf>,
    batch: usize,
    unread: Vec<Unread>,
    input: Batch,
    /// The position in the run of the last batch that was sent to the device.
    given: Option<BatchState>,
    scaling: Scaling,
}

/// The loss scale at the last reading, and the counts of skipped steps before it.
#[derive(Default)]
struct Scaling {
    state: Option<LossScaleState>,
    /// Steps of this run of the loop that were skipped.
    skipped: u64,
    /// Consecutive skipped steps before the last reading, with the scale at its minimum.
    stuck: u64,
}

impl Scaling {
    /// Updates from the `state` after `steps` more steps.
    fn read(&mut self, state: Option<LossScaleState>, steps: u64) {
        if let (Some(before), Some(now)) = (self.state, state) {
            let skipped = u64::from(now.skipped_steps.saturating_sub(before.skipped_steps));
            self.skipped += skipped;
            let stuck = skipped == steps && now.scale == before.scale;
            self.stuck = if stuck { self.stuck + steps } else { 0 };
        }
        self.state = state;
    }
}

/// Number of consecutive skipped steps after which a run ends.
const MOST_STUCK: u64 = 25;

impl<'a> Training<'a> {
    pub fn new(
        session: Session,
        optimizer: Optimizer,
        batches: Batches,
        rows: &'a dyn Rows,
        batch: usize,
    ) -> Result<Self> {
        let scaling = Scaling { state: optimizer.loss_scale()?, ..Scaling::default() };
        let (unread, input) = (vec![], Batch::default());
        Ok(Self {
            session,
            optimizer,
            batches,
            rows,
            checkpoint: None,
            batch,
            unread,
            input,
            given: None,
            scaling,
        })
    }

    /// Steps that were not taken because gradients overflowed f16, as far as losses were read.
    pub fn skipped(&self) -> u64 {
        self.scaling.skipped
    }

    /// Submits step number `step` (counted from 1) with the next batch. Waits only if the device is several
    /// steps behind.
    pub fn step(&mut self, step: u64, lr: f32) -> Result<()> {
        self.give()?;
        let state = self.batches.state();
        self.batches.next_batch();
        self.rows.expect(&upcoming(self.batches.clone()));
        self.session.begin_step(&mut self.optimizer, lr)?;
        self.session.run()?;
        self.unread.push(Unread { step, lr, state });
        Ok(())
    }

    /// Sends the next batch to the device, unless it is already there. Best called before waiting for the
    /// device.
    pub fn give(&mut self) -> Result<()> {
        let state = self.batches.state();
        if self.given != Some(state) {
            let indices = self.batches.peek().to_vec();
            self.write(&indices, state)?;
            self.given = Some(state);
        }
        Ok(())
    }

    fn write(&mut self, indices: &[usize], state: BatchState) -> Result<()> {
        self.rows.fill(indices, state, &mut self.input)?;
        self.input.write(&self.session)?;
        if let Some(transforms) = self.rows.transforms(indices, state) {
            self.session.write_transforms(&transforms)?;
        }
        if let Some(mixes) = self.rows.mixes(state)? {
            self.session.write_mixes(&mixes)?;
        }
        let labels = self.rows.labels();
        let labels: Vec<u32> = indices.iter().map(|&i| labels[i]).collect();
        Ok(self.session.write_labels(&labels)?)
    }

    /// Whether losses are read now: `every` steps have run, or the ring is full.
    pub fn is_due(&self, every: u64) -> bool {
        self.unread.len() as u64 >= every.min(HISTORY as u64)
    }

    /// The losses of all steps since the last reading; [`Error::Diverged`] if one is not finite,
    /// [`Error::GradientOverflow`] if no step is taken any more.
    pub fn read(&mut self, params: &Params) -> Result<Vec<StepRecord>> {
        if self.unread.is_empty() {
            return Ok(vec![]);
        }
        let unread = std::mem::take(&mut self.unread);
        let (count, last) = (unread.len() as u64, unread.last().map_or(0, |unread| unread.step));
        let summaries = self.session.read_history(self.optimizer.steps(), unread.len())?;
        self.scaling.read(self.optimizer.loss_scale()?, count);
        let mut records = vec![];
        for (step, summary) in unread.into_iter().zip(summaries) {
            if !summary.loss.is_finite() {
                return Err(self.diverged(&step, summary.loss, params)?);
            }
            records.push(StepRecord {
                step: step.step,
                epoch: step.state.epoch,
                lr: step.lr,
                loss: summary.loss,
                accuracy: summary.correct / summary.rows,
            });
        }
        match self.scaling {
            Scaling { state: Some(state), stuck, .. } if stuck >= MOST_STUCK => {
                Err(Error::GradientOverflow {
                    step: last,
                    skipped: stuck,
                    scale: state.scale,
                    checkpoint: self.checkpoint.clone(),
                })
            }
            _ => Ok(records),
        }
    }

    /// Finds the layer or tensor with the first value that is not finite, on the batch with which it
    /// occurred.
    fn diverged(&mut self, step: &Unread, loss: f32, params: &Params) -> Result<Error> {
        let images = self.rows.labels().len();
        let indices = Batches::restore(images, self.batch, step.state)?.next_batch();
        self.write(&indices, step.state)?;
        Ok(Error::Diverged {
            step: step.step,
            loss,
            layer: self.session.first_not_finite()?,
            parameter: first_not_finite(params)?,
            checkpoint: self.checkpoint.clone(),
        })
    }
}

/// The first tensor, parameters before running statistics, with a value that is not finite.
fn first_not_finite(params: &Params) -> Result<Option<String>> {
    let bad = |values: &[f32]| values.iter().any(|value| !value.is_finite());
    let found = params.to_host()?.into_iter().find(|(_, _, values)| bad(values));
    Ok(found.map(|(name, _, _)| name))
}
