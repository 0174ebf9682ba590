//! Settings of a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use frostline_engine::{Optim, Storage};

use crate::augment::Augment;
use crate::best::Best;
use crate::error::{Error, Result};
use crate::mixup;
use crate::schedule::Schedule;
use crate::source::Source;

/// The length of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// This many steps.
    Steps(u64),
    /// This many passes over all images, without those that do not fill the last batch.
    Epochs(u64),
}

/// Settings of a run. Made by [`FitOptions::steps`] or [`FitOptions::epochs`]; the other methods
/// change one setting each.
#[derive(Clone)]
pub struct FitOptions<'a> {
    /// How long.
    pub length: Length,
    /// Images in a step.
    pub batch: usize,
    /// The optimiser; its rate is the schedule's full rate.
    pub optim: Optim,
    /// The schedule of the rate.
    pub schedule: Schedule,
    /// Seed of the order of the images.
    pub seed: u64,
    /// Share of every target that is spread over all classes.
    pub label_smoothing: f32,
    /// The weight of each class in the loss of the steps; `None` for equal weights.
    pub class_weights: Vec<f32>,
    /// The α of mixup, if training images are mixed in pairs.
    pub mixup: Option<f32>,
    /// Number format of the steps' activations; evaluation uses f32.
    pub storage: Storage,
    /// The random changes of the training images, on the device; evaluation uses unchanged images.
    pub augment: Option<Augment>,
    /// Losses are read back every this many steps, because reading waits for the device.
    pub read_every: u64,
    /// Computes the outputs of the frozen stages once, before the first step, and trains on them.
    pub cache_frozen: bool,
    /// The validation set, and the number of steps between evaluations; there is one at the end as well.
    pub validation: Option<(&'a dyn Source, u64)>,
    /// The checkpoint file, and the number of steps between checkpoints; there is one at the end as well.
    pub checkpoint: Option<(PathBuf, u64)>,
    /// Number of validations without a new best after which the run ends.
    pub patience: Option<u64>,
    /// The file to save to whenever a validation is the best so far.
    pub best: Option<PathBuf>,
    /// The result that the first best of this run must exceed.
    pub better_than: Option<Best>,
    /// Ends the run in order when it is set.
    pub stop: Option<Arc<AtomicBool>>,
}

impl<'a> FitOptions<'a> {
    /// A run of `steps` steps: batches of 32, SGD with momentum 0.9 at 0.01, a cosine, seed 0;
    /// losses read every 10 steps.
    pub fn steps(steps: u64) -> Self {
        Self {
            length: Length::Steps(steps),
            batch: 32,
            optim: Optim::sgd(0.01).momentum(0.9),
            schedule: Schedule::cosine(),
            seed: 0,
            label_smoothing: 0.0,
            class_weights: vec![],
            mixup: None,
            storage: Storage::F32,
            augment: None,
            read_every: 10,
            cache_frozen: false,
            validation: None,
            checkpoint: None,
            patience: None,
            best: None,
            better_than: None,
            stop: None,
        }
    }

    /// A run of `epochs` passes over all images; the rest as [`FitOptions::steps`].
    pub fn epochs(epochs: u64) -> Self {
        Self { length: Length::Epochs(epochs), ..Self::steps(0) }
    }

    /// Sets the batch size.
    pub fn batch(mut self, images: usize) -> Self {
        self.batch = images;
        self
    }

    /// Sets the optimiser and its rate.
    pub fn optim(mut self, optim: Optim) -> Self {
        self.optim = optim;
        self
    }

    /// Sets the optimiser's rate alone.
    pub fn lr(mut self, lr: f32) -> Self {
        self.optim.lr = lr;
        self
    }

    /// Sets the schedule of the rate.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets the seed of the order of the images.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the label smoothing, 0 to below 1.
    pub fn label_smoothing(mut self, share: f32) -> Self {
        self.label_smoothing = share;
        self
    }

    /// Sets the weight of each class in the loss, as PyTorch's `CrossEntropyLoss(weight=…)`: weights of 0 or
    /// more; the mean divides by the sum of the weights of the batch's labels.
    /// [`balanced_class_weights`](crate::balanced_class_weights) gives weights that compensate for classes
    /// with few images. Evaluations weight all images equally.
    pub fn class_weights(mut self, weights: Vec<f32>) -> Self {
        self.class_weights = weights;
        self
    }

    /// Mixes every training image, as augmented, with another of its batch, and their labels as well
    /// (mixup, Zhang et al. 2018): λ of one, 1 − λ of the other, λ drawn from Beta(`alpha`, `alpha`)
    /// for every batch. The authors use 0.2 for ImageNet and 1 for small images. A step's
    /// [accuracy](crate::StepRecord::accuracy) then counts λ for the image's own label and 1 − λ for its
    /// partner's; its loss, too, is of both.
    pub fn mixup(mut self, alpha: f32) -> Self {
        self.mixup = Some(alpha);
        self
    }

    /// Sets how the steps store activations. With [`Storage::f16`] they take half the memory, on
    /// adapters that have 16-bit floats, and the losses differ slightly from those of f32.
    ///
    /// Gradients then carry a loss scale ([`LossScale`](frostline_engine::LossScale)), which adapts to them
    /// as in PyTorch's `GradScaler`. A step whose gradients overflow is skipped: weights, the optimiser's
    /// state and AdamW's count of steps stay, the schedule advances, and running statistics of batch norms
    /// were already updated. [`History::skipped`](crate::History::skipped) counts such steps.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// Changes the training images at random, differently in every epoch.
    pub fn augment(mut self, augment: Augment) -> Self {
        self.augment = Some(augment);
        self
    }

    /// Reads losses every `steps` steps.
    pub fn read_every(mut self, steps: u64) -> Self {
        self.read_every = steps;
        self
    }

    /// Computes the outputs of completely frozen stages once per image instead of once per image and epoch,
    /// and trains and validates on them: the same losses, bit for bit on the same adapter with f32 storage.
    /// It takes as much memory as [`Activations`](crate::Activations) do, and has no effect if the first
    /// stage trains or batch norms use the batch's statistics.
    pub fn cache_frozen(mut self, cache: bool) -> Self {
        self.cache_frozen = cache;
        self
    }

    /// Evaluates on `source` every `steps` steps and at the end.
    pub fn validate(mut self, source: &'a dyn Source, steps: u64) -> Self {
        self.validation = Some((source, steps));
        self
    }

    /// Saves to `path` every `steps` steps, when stopped, and at the end.
    pub fn checkpoint(mut self, path: impl Into<PathBuf>, steps: u64) -> Self {
        self.checkpoint = Some((path.into(), steps));
        self
    }

    /// Ends the run after this many validations in a row that were not the [`Best`] so far; the best
    /// weights are kept for [`Learner::restore_best`](crate::Learner::restore_best). Prechelt 1998,
    /// "Early Stopping: But When?".
    pub fn stop_early(mut self, patience: u64) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Saves to `path` whenever a validation is the [`Best`] so far: a normal checkpoint, from which the run
    /// can continue. The weights are also kept for [`Learner::restore_best`](crate::Learner::restore_best).
    pub fn keep_best(mut self, path: impl Into<PathBuf>) -> Self {
        self.best = Some(path.into());
        self
    }

    /// Keeps weights of this run as the best only if they are better than `best`, the best of an earlier run.
    /// Of two consecutive runs, the better result is then kept.
    pub fn better_than(mut self, best: Best) -> Self {
        self.better_than = Some(best);
        self
    }

    /// Stops the run, as `on_step` may, when `flag` is set; also during an evaluation, with which the
    /// continued run then begins.
    pub fn stop_when(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }

    /// Whether the best weights are kept.
    pub(crate) fn keeps_best(&self) -> bool {
        self.patience.is_some() || self.best.is_some()
    }

    /// Names the random change that prevents the outputs of frozen stages from replacing the images, if there
    /// is one.
    pub(crate) fn stochastic(&self) -> Option<&'static str> {
        match (&self.augment, self.mixup) {
            (Some(_), _) => Some("augmentation"),
            (None, Some(_)) => Some("mixup"),
            (None, None) => None,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let every = [
            ("read_every", self.read_every),
            ("validate, steps", self.validation.as_ref().map_or(1, |(_, every)| *every)),
            ("stop_early, patience", self.patience.unwrap_or(1)),
            ("checkpoint, steps", self.checkpoint.as_ref().map_or(1, |(_, every)| *every)),
        ];
        if let Some(augment) = &self.augment {
            augment.check()?;
        }
        if let Some(alpha) = self.mixup {
            mixup::check(alpha)?;
        }
        if self.keeps_best() && self.validation.is_none() {
            let value = self.best.as_ref().map_or("on".to_owned(), |path| path.display().to_string());
            return Err(Error::Setting {
                name: "best weights",
                value,
                reason: "the best weights are chosen by validation: set `validate`",
            });
        }
        match every.into_iter().find(|(_, steps)| *steps == 0) {
            None => Ok(()),
            Some((name, _)) => {
                let reason = "it must be at least 1";
                Err(Error::Setting { name, value: "0".to_owned(), reason })
            }
        }
    }
}
