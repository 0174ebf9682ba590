//! What a page may set about a run.

use crate::augment::Changes;
use crate::fault::{Fault, Result};
use frostline_engine::{Group, Optim};
use frostline_models::Model;
use frostline_trainer::{FitOptions, Learner, Schedule};
use indexmap::IndexMap;
use serde::Deserialize;

/// One rate, or a rate for each stage.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Rate {
    /// For all parameters.
    One(f32),
    /// For each stage by name; stages that are left out get the largest.
    Each(IndexMap<String, f32>),
}

/// Settings of a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Recipe {
    /// The stage below which everything is frozen.
    pub freeze_below: String,
    /// The stages that train, in place of `freeze_below`: all others are frozen.
    pub trainable: Option<Vec<String>>,
    /// Learning rates.
    pub rate: Rate,
    /// Images in a step.
    pub batch: usize,
    /// Of the order of the images, and of augmentation.
    pub seed: u64,
    /// What is done to training images.
    pub augment: Option<Changes>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            freeze_below: "fc".to_owned(),
            trainable: None,
            rate: Rate::One(0.02),
            batch: 16,
            seed: 0,
            augment: None,
        }
    }
}

impl Rate {
    /// The lesson's optimiser, SGD with Nesterov's momentum 0.9 and weight decay 5e-4, at these rates.
    ///
    /// # Errors
    /// For a stage that `model` does not have.
    pub fn optim(&self, model: &Model) -> Result<Optim> {
        let sgd = |lr: f32| Optim::sgd(lr).momentum(0.9).nesterov().weight_decay(5e-4);
        match self {
            Self::One(rate) => Ok(sgd(*rate)),
            Self::Each(rates) => {
                // The base rate is the largest, so that every factor is in 0..=1.
                let base = rates.values().copied().fold(0.0, f32::max);
                let mut optim = sgd(base);
                for (stage, &rate) in rates {
                    let members = model.members(stage)?;
                    let rate = if base > 0.0 { rate / base } else { rate };
                    optim = optim.group(Group { members, rate, weight_decay: 5e-4, frozen: false });
                }
                Ok(optim)
            }
        }
    }
}

impl Recipe {
    /// From JSON.
    ///
    /// # Errors
    /// For text that is none, and for unknown settings.
    pub fn parse(json: &str) -> Result<Self> {
        Ok(serde_json::from_str(json)?)
    }

    /// Freezes what is not to train.
    ///
    /// # Errors
    /// For a stage that the network does not have.
    pub fn freeze(&self, learner: &mut Learner) -> Result<()> {
        let Some(trainable) = &self.trainable else { return Ok(learner.freeze_below(&self.freeze_below)?) };
        let stages = learner.model().stages();
        if let Some(unknown) = trainable.iter().find(|stage| !stages.contains(stage)) {
            let known = stages.join(", ");
            return Err(Fault::input(format!("there is no stage `{unknown}`; there are: {known}")));
        }
        learner.unfreeze_all();
        for stage in stages.iter().filter(|stage| !trainable.contains(stage)) {
            learner.freeze(stage)?;
        }
        Ok(())
    }

    /// The same for the trainer.
    ///
    /// # Errors
    /// As [`Rate::optim`].
    pub fn options(&self, model: &Model) -> Result<FitOptions<'static>> {
        let options = FitOptions::steps(u64::MAX)
            .batch(self.batch)
            .seed(self.seed)
            .schedule(Schedule::constant())
            .optim(self.rate.optim(model)?);
        Ok(match &self.augment {
            None => options,
            Some(changes) => options.augment(changes.augment()?),
        })
    }
}
