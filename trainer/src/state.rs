//! The state of a run. With the weights and the moments, it determines all further steps.

use std::collections::BTreeMap;

use frostline_engine::Optim;
use frostline_loader::{BatchState, Batches};
use serde::{Deserialize, Serialize};

use crate::best::Validations;
use crate::error::{Error, Result};
use crate::options::{FitOptions, Length};
use crate::source::Source;

/// The state of a run. With the weights and the moments, it determines all further steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FitState {
    /// Steps taken.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The source state of the next batch.
    pub batches: BatchState,
    /// Settings and data, as text: they must be the same when a run is continued.
    pub settings: BTreeMap<String, String>,
    /// Its validations so far.
    #[serde(default)]
    pub watch: Validations,
    /// Whether it was stopped during the validation after its last step.
    #[serde(default)]
    pub unvalidated: bool,
}

impl FitState {
    /// The state before the first step.
    pub fn new(source: &dyn Source, options: &FitOptions<'_>) -> Result<Self> {
        let images = source.labels().len();
        if options.batch > images {
            return Err(Error::BatchTooLarge { batch: options.batch, images });
        }
        let batches = Batches::new(images, options.batch, options.seed)?;
        let steps = match options.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs.saturating_mul(batches.per_epoch() as u64),
        };
        let settings = settings(source, options, steps);
        Ok(Self {
            step: 0,
            steps,
            batches: batches.state(),
            settings,
            watch: Validations::new(options.better_than),
            unvalidated: false,
        })
    }

    /// Whether a step, or a validation that was missed, remains.
    pub fn goes_on(&self, patience: Option<u64>) -> bool {
        self.unvalidated || self.step < self.steps && !self.watch.is_over(patience)
    }

    /// Fails unless the run can go on with `given`, the settings of a call.
    ///
    /// # Errors
    /// [`Error::OtherRun`] with the first setting that differs.
    pub fn check(&self, given: &BTreeMap<String, String>) -> Result<()> {
        for (setting, saved) in &self.settings {
            let given = given.get(setting).map_or("", String::as_str);
            if given != saved {
                let (setting, saved, given) = (setting.clone(), saved.clone(), given.to_owned());
                return Err(Error::OtherRun { setting, saved, given });
            }
        }
        Ok(())
    }
}

fn settings(source: &dyn Source, options: &FitOptions<'_>, steps: u64) -> BTreeMap<String, String> {
    let Optim { rule, lr, weight_decay, groups } = &options.optim;
    // Validations change a run if they end it, or if they decide which of its weights are best.
    let validation = options.validation.filter(|_| options.keeps_best());
    let settings = [
        ("number of steps", steps.to_string()),
        ("batch", options.batch.to_string()),
        ("optimiser", format!("{rule:?}")),
        ("learning rate", lr.to_string()),
        ("weight decay", weight_decay.to_string()),
        ("optimiser's groups", format!("{groups:?}")),
        ("schedule", format!("{:?}", options.schedule)),
        ("seed", options.seed.to_string()),
        ("label smoothing", options.label_smoothing.to_string()),
        ("class weights", format!("{:?}", options.class_weights)),
        ("mixup", options.mixup.map_or("none".to_owned(), |alpha| format!("alpha {alpha}"))),
        ("storage", format!("{:?}", options.storage)),
        (
            "augmentation",
            options.augment.as_ref().map_or("none".to_owned(), |augment| format!("{augment:?}")),
        ),
        (
            "early stopping",
            options.patience.map_or("none".to_owned(), |patience| format!("after {patience} validations")),
        ),
        (
            "validation",
            validation.map_or("none".to_owned(), |(source, every)| {
                format!("every {every} steps, {}", identity(source))
            }),
        ),
        ("data", identity(source)),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Detects other images, or another order: FNV-1a of the labels.
fn identity(source: &dyn Source) -> String {
    let labels = source.labels();
    let bytes = labels.iter().flat_map(|label| label.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{} images, labels {hash:016x}", labels.len())
}
