//! Settings of a run.

use std::path::PathBuf;

use frostline_engine::{Optim, Storage};

use crate::augment::Augment;
use crate::error::{Error, Result};
use crate::schedule::Schedule;
use crate::source::Source;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// This many steps.
    Steps(u64),
    /// This many times all images, but for those that do not fill a last batch.
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
    /// How the rate moves.
    pub schedule: Schedule,
    /// Seed of the order of the images.
    pub seed: u64,
    /// Share of every target that is spread over all classes.
    pub label_smoothing: f32,
    /// How the steps store activations; evaluation stays f32.
    pub storage: Storage,
    /// How the training images are changed at random, on the device; evaluation sees them as they are.
    pub augment: Option<Augment>,
    /// Losses are read back every so many steps: reading waits for the device.
    pub read_every: u64,
    /// Computes the outputs of the frozen stages once, before the first step, and trains on them.
    pub cache_frozen: bool,
    /// What to evaluate on, and every how many steps (and at the end).
    pub validation: Option<(&'a dyn Source, u64)>,
    /// Where to save, and every how many steps (and at the end).
    pub checkpoint: Option<(PathBuf, u64)>,
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
            storage: Storage::F32,
            augment: None,
            read_every: 10,
            cache_frozen: false,
            validation: None,
            checkpoint: None,
        }
    }

    /// A run of `epochs` times all images; the rest as [`FitOptions::steps`].
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

    /// Sets how the rate moves.
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

    /// Sets how the steps store activations. With [`Storage::f16`] they take half the memory, on
    /// adapters that have 16-bit floats, and the losses are a little other ones.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// Changes the training images at random, anew in every epoch.
    pub fn augment(mut self, augment: Augment) -> Self {
        self.augment = Some(augment);
        self
    }

    /// Reads losses every `steps` steps.
    pub fn read_every(mut self, steps: u64) -> Self {
        self.read_every = steps;
        self
    }

    /// Computes the outputs of the stages that are frozen whole once per image and not once per image
    /// and epoch, and trains and validates on them: the same losses, bit for bit on the same adapter
    /// with f32 storage. It takes as much memory as [`Activations`](crate::Activations) do, and has
    /// no effect where the first stage trains or batch norms keep to the batch's statistics.
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

    pub(crate) fn check(&self) -> Result<()> {
        let every = [
            ("read_every", self.read_every),
            ("validate, steps", self.validation.as_ref().map_or(1, |(_, every)| *every)),
            ("checkpoint, steps", self.checkpoint.as_ref().map_or(1, |(_, every)| *every)),
        ];
        if let Some(augment) = &self.augment {
            augment.check()?;
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
