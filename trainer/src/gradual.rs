//! Gradual unfreezing (Howard & Ruder 2018, section 3.3): the head first, then one stage more at a
//! time, so that gradients of a random head do not reach what is pretrained.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::fit::{History, Progress};
use crate::learner::Learner;
use crate::options::{FitOptions, Length};
use crate::source::Source;

/// A part of a gradual fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// All from this stage on was trained; below it, nothing was dispatched backwards.
    pub from: String,
    /// Its steps, counted from 1 in every phase.
    pub history: History,
}

impl Learner {
    /// Trains in as many phases as there are `stages`, the last of which unfreezes most:
    /// `["fc", "layer4", "layer3"]`. The options' length is that of all phases together; each takes
    /// an equal part and goes through the schedule once. Rule, weight decay and groups hold in all
    /// phases, and momentum is carried over. `on_step` also gets the stage that its phase trains
    /// from; where it stops the fit, later phases are left out.
    ///
    /// What was frozen before does not count; afterwards all below the last phase's stage is frozen.
    /// A checkpoint that the options ask for is of the phase it is written in; the best weights are
    /// those of all phases. A phase that stops early makes room for the next.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`]; [`Error::Setting`] for stages that do not go down, or fewer steps
    /// than phases; otherwise as [`Learner::fit`]. Nothing is trained with wrong settings.
    pub fn fit_gradually(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        stages: &[&str],
        mut on_step: impl FnMut(&str, &Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Phase>> {
        let steps = match options.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs.saturating_mul((source.labels().len() / options.batch.max(1)) as u64),
        };
        self.check_phases(stages, steps)?;
        let count = stages.len() as u64;
        let mut phases = vec![];
        let mut best = options.better_than;
        for (phase, &from) in (0..).zip(stages) {
            self.freeze_below(from)?;
            let length = Length::Steps(steps * (phase + 1) / count - steps * phase / count);
            // Another order of the images in every phase, as in the epochs of one fit.
            let options = FitOptions { length, better_than: best, ..options.clone() }.seed(options.seed.wrapping_add(phase));
            let history = self.fit(source, &options, |progress| on_step(from, progress))?;
            let finished = history.finished;
            best = history.best;
            phases.push(Phase { from: from.to_owned(), history });
            if !finished {
                break;
            }
        }
        Ok(phases)
    }

    fn check_phases(&self, stages: &[&str], steps: u64) -> Result<()> {
        let known = self.model.stages();
        let mut places = vec![];
        for &stage in stages {
            let place = known.iter().position(|name| name == stage);
            places.push(place.ok_or_else(|| Error::UnknownGroup { name: stage.to_owned(), known: known.join(", ") })?);
        }
        let wrong = |name, value, reason| Err(Error::Setting { name, value, reason });
        if places.is_empty() || places.windows(2).any(|pair| pair[0] <= pair[1]) {
            return wrong("stages", stages.join(", "), "name at least one, the head first, and each below the one before");
        }
        if steps < stages.len() as u64 {
            return wrong("steps", steps.to_string(), "each phase needs one at least: train longer, or in fewer phases");
        }
        Ok(())
    }
}
