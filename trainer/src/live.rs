//! A run without an end, whose freeze, rates and images may change between two steps: for a page whose
//! controls act during training. Everything that waits is an `async fn`.
//!
//! While nothing changes, the steps are those of [`Learner::fit`] with a constant schedule, to the bit.

use frostline_engine::ops::cross_entropy::HISTORY;
use frostline_engine::{Cost, Optim, Optimizer, Plan, Session};
use frostline_loader::{BatchState, Batches, ImageSet};

use crate::error::{Error, Result};
use crate::learner::Learner;
use crate::mixup;
use crate::moments::Moments;
use crate::options::FitOptions;
use crate::source::{Batch, Source};
use crate::training::StepRecord;

/// A learner that trains step by step.
pub struct Live {
    learner: Learner,
    images: ImageSet,
    /// Batch, optimiser, seed, augmentation and loss; its length and the actions between steps are not used.
    options: FitOptions<'static>,
    session: Session,
    optimizer: Optimizer,
    batches: Batches,
    input: Batch,
    step: u64,
    unread: Vec<(u64, f32, BatchState)>,
    /// Counts of the dispatches of earlier sessions.
    executed: Cost,
}

impl Live {
    /// A run of `learner` on `images`, from the first step on. Only batch, optimiser, seed, loss, storage and
    /// augmentation of `options` are used.
    ///
    /// # Errors
    /// As [`Learner::fit`].
    pub async fn start(mut learner: Learner, images: ImageSet, options: FitOptions<'static>) -> Result<Self> {
        options.check()?;
        learner.check_source(&images)?;
        let batches = batches(&images, &options)?;
        learner.classes.clone_from(&images.classes);
        let plan = learner.training_plan(&options)?;
        let optimizer = learner.moments.optimizer(&learner.gpu, &plan, &options.optim)?;
        let session = Session::open(&learner.gpu, plan, &learner.params, Some(&optimizer)).await?;
        learner.watch_frozen().await?;
        let (input, unread, executed) = (Batch::default(), vec![], Cost::default());
        Ok(Self { learner, images, options, session, optimizer, batches, input, step: 0, unread, executed })
    }

    /// Submits a step. Waits only if the device is several steps behind.
    ///
    /// # Errors
    /// [`Error::Engine`]; and those of [`Live::read`] if more losses are unread than the device keeps.
    pub async fn step(&mut self) -> Result<()> {
        let state = self.batches.state();
        let indices = self.batches.next_batch();
        Source::gather(&self.images, &indices, Some(state), &mut self.input)?;
        self.input.write(&self.session)?;
        if let Some(augment) = &self.options.augment {
            let size = [self.images.height, self.images.width];
            self.session.write_transforms(&augment.draw(state, &indices, size))?;
        }
        if let Some(alpha) = self.options.mixup {
            self.session.write_mixes(&mixup::draw(alpha, state, self.options.batch)?)?;
        }
        let labels: Vec<u32> = indices.iter().map(|&i| self.images.labels[i]).collect();
        self.session.write_labels(&labels)?;
        let lr = self.options.optim.lr;
        self.session.begin_step(&mut self.optimizer, lr)?;
        self.session.run_async().await?;
        self.step += 1;
        self.unread.push((self.step, lr, state));
        // The device keeps no more losses than this.
        self.unread.drain(..self.unread.len().saturating_sub(HISTORY));
        Ok(())
    }

    /// Waits for the losses of the steps since the last reading, at most as many as the device keeps.
    ///
    /// # Errors
    /// [`Error::Diverged`] if one is not finite: the weights are those before that step. [`Error::Engine`].
    pub async fn read(&mut self) -> Result<Vec<StepRecord>> {
        let unread = std::mem::take(&mut self.unread);
        if unread.is_empty() {
            return Ok(vec![]);
        }
        let summaries = self.session.read_history_async(self.optimizer.steps(), unread.len()).await?;
        let mut records = vec![];
        for ((step, lr, state), summary) in unread.into_iter().zip(summaries) {
            if !summary.loss.is_finite() {
                let (layer, parameter, checkpoint) = (None, None, None);
                return Err(Error::Diverged { step, loss: summary.loss, layer, parameter, checkpoint });
            }
            let accuracy = summary.correct / summary.rows;
            records.push(StepRecord { step, epoch: state.epoch, lr, loss: summary.loss, accuracy });
        }
        Ok(records)
    }

    /// Freezes everything below the stage `name` from the next step on. Weights stay, and so does momentum
    /// where [`Learner::fit`] would carry it over. Returns the unread losses.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::Engine`] if nothing is left to train, and the run goes on as before;
    /// as [`Live::read`].
    pub async fn freeze_below(&mut self, name: &str) -> Result<Vec<StepRecord>> {
        let records = self.read().await?;
        let before = self.learner.freeze.clone();
        self.learner.freeze_below(name)?;
        if let Err(error) = self.replan().await {
            self.learner.freeze = before;
            return Err(error);
        }
        self.learner.watch_frozen().await?;
        Ok(records)
    }

    /// Sets the optimiser's rates from the next step on; the rule and its state stay. Returns the unread
    /// losses, if groups changed and the step was planned again.
    ///
    /// # Errors
    /// [`Error::Engine`] for an invalid rate, and the run goes on as before; as [`Live::read`].
    pub async fn set_rates(&mut self, optim: Optim) -> Result<Vec<StepRecord>> {
        let optim = Optim { rule: self.options.optim.rule, ..optim };
        let before = std::mem::replace(&mut self.options.optim, optim);
        if before.groups == self.options.optim.groups
            && before.weight_decay == self.options.optim.weight_decay
        {
            if let Err(error) = self.learner.training_plan(&self.options) {
                self.options.optim = before;
                return Err(error);
            }
            return Ok(vec![]);
        }
        let records = self.read().await?;
        if let Err(error) = self.replan().await {
            self.options.optim = before;
            return Err(error);
        }
        Ok(records)
    }

    /// Trains on other images from the next step on, from the start of their order.
    ///
    /// # Errors
    /// As [`Live::start`], and the run goes on with the images that it has.
    pub fn set_images(&mut self, images: ImageSet) -> Result<()> {
        self.learner.check_source(&images)?;
        self.batches = batches(&images, &self.options)?;
        self.images = images;
        Ok(())
    }

    /// A new plan for the current freeze and optimiser.
    async fn replan(&mut self) -> Result<()> {
        let learner = &mut self.learner;
        let plan = learner.training_plan(&self.options)?;
        let before = Moments::device(self.optimizer.clone(), self.session.plan(), &self.options.optim);
        let optimizer = before.optimizer(&learner.gpu, &plan, &self.options.optim)?;
        let session = Session::open(&learner.gpu, plan, &learner.params, Some(&optimizer)).await?;
        let replaced = std::mem::replace(&mut self.session, session);
        self.executed += replaced.executed();
        self.optimizer = optimizer;
        Ok(())
    }

    /// Steps submitted.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The plan of the next step.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// The same step with nothing frozen.
    ///
    /// # Errors
    /// None after a run has started.
    pub fn unfrozen_plan(&mut self) -> Result<Plan> {
        self.learner.unfrozen_plan(&self.options)
    }

    /// Counts of the dispatches of all steps so far, taken when they were encoded.
    pub fn executed(&self) -> Cost {
        let mut sum = self.executed;
        sum += self.session.executed();
        sum
    }

    /// The learner, to evaluate it, look inside it or save it. Its weights are those after the last step.
    pub fn learner(&mut self) -> &mut Learner {
        &mut self.learner
    }

    /// The optimiser's settings.
    pub fn optim(&self) -> &Optim {
        &self.options.optim
    }

    /// The file that [`Learner::save`] would write after a fit of these steps, but without a run to continue.
    ///
    /// # Errors
    /// [`Error::NotSaved`] if a value is not finite; [`Error::Engine`].
    pub async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        let (optimizer, plan) = (self.optimizer.clone(), self.session.plan());
        self.learner.moments = Moments::device(optimizer, plan, &self.options.optim);
        self.learner.save_async().await
    }
}

fn batches(images: &ImageSet, options: &FitOptions<'_>) -> Result<Batches> {
    let (batch, images) = (options.batch, images.len());
    if batch > images {
        return Err(Error::BatchTooLarge { batch, images });
    }
    Ok(Batches::new(images, batch, options.seed)?)
}

impl Learner {
    /// [`Learner::training_plan`] with nothing frozen.
    ///
    /// # Errors
    /// As [`Learner::training_plan`].
    pub fn unfrozen_plan(&mut self, options: &FitOptions<'_>) -> Result<Plan> {
        let frozen: Vec<String> = self.frozen().map(str::to_owned).collect();
        self.unfreeze_all();
        let plan = self.training_plan(options);
        self.set_frozen(&frozen);
        plan
    }
}
