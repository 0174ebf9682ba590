//! Gradual unfreezing (Howard & Ruder 2018, section 3.3): the head first, then one stage more at a
//! time, so that gradients of a random head do not reach the pretrained stages.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::freeze;
use crate::learner::Learner;
use crate::options::{FitOptions, Length};
use crate::progress::{History, Progress};
use crate::source::Source;

/// A part of a gradual fit.
#[derive(Clone, Debug, PartialEq)]
pub struct GradualPhase {
    /// Everything from this stage on was trained; below it, no backward kernel was dispatched.
    pub from: String,
    /// Its steps, counted from 1 in every phase.
    pub history: History,
}

impl Learner {
    /// Trains in one phase per entry of `stages`, the last of which unfreezes the most: `["fc", "layer4",
    /// "layer3"]`. The options' length is that of all phases together; each takes an equal part and goes
    /// through the schedule once. Rule, weight decay and groups hold in all phases, and momentum is carried
    /// over. `on_step` also gets the lowest trained stage of its phase; if it stops the fit, later phases are
    /// left out.
    ///
    /// The freeze before the call has no effect; afterwards everything below the last phase's stage is
    /// frozen. A checkpoint that the options request is of the phase in which it is written; the best weights
    /// are those of all phases. After a phase that stops early the next one begins.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`]; [`Error::Setting`] for stages that do not go down, or fewer steps
    /// than phases; otherwise as [`Learner::fit`]. Nothing is trained with wrong settings.
    pub fn fit_gradually(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        stages: &[&str],
        on_step: impl FnMut(&str, &Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<GradualPhase>> {
        self.phases(source, options, stages, None, on_step)
    }

    /// Continues a gradual fit that was stopped or resumed from a checkpoint, as if it had never been
    /// interrupted. The current freeze determines the phase. The result has the rest of that phase and the
    /// later ones.
    ///
    /// # Errors
    /// [`Error::OtherRun`] if no phase has this freeze; otherwise as [`Learner::continue_fit`] and
    /// [`Learner::fit_gradually`].
    pub fn continue_gradually(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        stages: &[&str],
        on_step: impl FnMut(&str, &Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<GradualPhase>> {
        let under_way = self.phase_under_way(stages)?;
        self.phases(source, options, stages, Some(under_way), on_step)
    }

    /// The phases from the current one on, or all of them.
    fn phases(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        stages: &[&str],
        under_way: Option<usize>,
        mut on_step: impl FnMut(&str, &Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<GradualPhase>> {
        let steps = match options.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                epochs.saturating_mul((source.labels().len() / options.batch.max(1)) as u64)
            }
        };
        self.check_phases(stages, steps)?;
        let count = stages.len() as u64;
        let mut phases = vec![];
        let mut best = options.better_than;
        for (place, &from) in stages.iter().enumerate().skip(under_way.unwrap_or(0)) {
            let phase = place as u64;
            let length = Length::Steps(steps * (phase + 1) / count - steps * phase / count);
            // Another order of the images in every phase, as in the epochs of one fit.
            let options = FitOptions { length, better_than: best, ..options.clone() }
                .seed(options.seed.wrapping_add(phase));
            let mut stopped = false;
            let watched = |progress: &Progress<'_>| {
                let flow = on_step(from, progress);
                stopped = flow.is_break();
                flow
            };
            let history = if under_way == Some(place) {
                self.continue_fit(source, &options, watched)?
            } else {
                self.freeze_below(from)?;
                self.fit(source, &options, watched)?
            };
            best = history.best;
            stopped |= !history.finished;
            phases.push(GradualPhase { from: from.to_owned(), history });
            // A phase that was stopped at its last step is finished, and still the last.
            if stopped {
                break;
            }
        }
        Ok(phases)
    }

    /// The index in `stages` of the phase with the current freeze.
    fn phase_under_way(&self, stages: &[&str]) -> Result<usize> {
        let frozen: BTreeSet<&str> = self.frozen().collect();
        for (place, stage) in stages.iter().enumerate() {
            let below = freeze::below(&self.model, &self.outline, stage)?;
            if below.iter().map(String::as_str).collect::<BTreeSet<_>>() == frozen {
                return Ok(place);
            }
        }
        let saved = format!("a phase with {} frozen parameters", frozen.len());
        Err(Error::OtherRun { setting: "list of stages".to_owned(), saved, given: stages.join(", ") })
    }

    fn check_phases(&self, stages: &[&str], steps: u64) -> Result<()> {
        let known = self.model.stages();
        let mut places = vec![];
        for &stage in stages {
            let place = known.iter().position(|name| name == stage);
            places.push(
                place
                    .ok_or_else(|| Error::UnknownGroup { name: stage.to_owned(), known: known.join(", ") })?,
            );
        }
        let wrong = |name, value, reason| Err(Error::Setting { name, value, reason });
        if places.is_empty() || places.windows(2).any(|pair| pair[0] <= pair[1]) {
            return wrong(
                "stages",
                stages.join(", "),
                "name at least one, the head first, and each below the one before",
            );
        }
        if steps < stages.len() as u64 {
            return wrong(
                "steps",
                steps.to_string(),
                "each phase needs at least one: train longer, or in fewer phases",
            );
        }
        Ok(())
    }
}
