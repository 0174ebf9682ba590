//! The best weights of a run. The last weights may be worse, above all with few training images.
//!
//! Every validation is compared with the best one before it. The state of this comparison is part of the run
//! and is stored in its checkpoints. So a resumed run chooses the same best weights as an uninterrupted run,
//! and stops as early.

use std::path::Path;

use frostline_loader::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::checkpoint;
use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::learner::Learner;
use crate::options::FitOptions;
use crate::snapshot::Snapshot;
use crate::state::FitState;

/// The best validation of a run: the one with the highest accuracy; among those, the lowest loss; among
/// those, the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The steps taken before it.
    pub step: u64,
    /// Share that was recognised, 0..=1.
    pub accuracy: f64,
    /// Mean loss.
    pub loss: f64,
}

impl Best {
    fn beats(&self, other: &Self) -> bool {
        self.accuracy > other.accuracy || (self.accuracy == other.accuracy && self.loss < other.loss)
    }
}

/// The state of a run's validations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Validations {
    pub best: Option<Best>,
    /// Validations since the best one.
    since: u64,
}

impl Validations {
    /// No validation yet; the first best must be better than `best`.
    pub fn new(best: Option<Best>) -> Self {
        Self { best, since: 0 }
    }

    /// Records a validation, and returns whether it is the best so far. A validation whose loss is not finite
    /// is never the best.
    fn see(&mut self, step: u64, evaluation: &Evaluation) -> bool {
        let seen = Best { step, accuracy: evaluation.accuracy, loss: evaluation.loss };
        let better = seen.loss.is_finite() && self.best.is_none_or(|best| seen.beats(&best));
        if better {
            *self = Self::new(Some(seen));
        } else {
            self.since += 1;
        }
        better
    }

    /// Whether `patience` validations have passed since the best one.
    pub fn is_over(&self, patience: Option<u64>) -> bool {
        patience.is_some_and(|patience| self.since >= patience)
    }
}

impl Learner {
    /// Sets weights and running statistics back to the best of the last fit that was to
    /// [stop early](FitOptions::stop_early) or to [keep its best](FitOptions::keep_best), to the bit;
    /// also after a fit that ended in an error. The optimiser's state stays, and there is no run to
    /// continue afterwards.
    ///
    /// # Errors
    /// [`Error::NoBest`] if there are none; [`Error::Engine`].
    pub fn restore_best(&mut self) -> Result<Best> {
        let (best, weights) = self.best.take().ok_or(Error::NoBest)?;
        let restored = self.restore(&weights);
        self.best = Some((best, weights));
        restored.map(|()| best)
    }

    /// Records a validation of `run`. Keeps the best weights so far, if the options require it; returns
    /// whether these are the best.
    pub(crate) fn watch(
        &mut self,
        run: &mut FitState,
        evaluation: &Evaluation,
        options: &FitOptions<'_>,
    ) -> Result<bool> {
        let kept = run.watch.see(run.step, evaluation) && options.keeps_best();
        if let (true, Some(best)) = (kept, run.watch.best) {
            self.best = Some((best, self.snapshot()?));
        }
        Ok(kept)
    }

    /// Before `run` continues: restores its best weights, from memory or from their file.
    ///
    pub(crate) fn recall_best(&mut self, run: &FitState, options: &FitOptions<'_>) -> Result<()> {
        let known = run.watch.best.filter(|_| options.keeps_best());
        if self.best.as_ref().map(|(best, _)| *best) != known {
            self.best = match (known, &options.best) {
                (Some(best), Some(path)) => self.read_best(best, path)?,
                _ => None,
            };
        }
        Ok(())
    }

    /// The weights in `path`, if they are those of `best`. `None` if they are of a later, better step: the
    /// run was killed before its next checkpoint, and will reach that step again.
    fn read_best(&self, best: Best, path: &Path) -> Result<Option<(Best, Snapshot)>> {
        let checkpoint = Checkpoint::load(path)?;
        let (run, identity) = checkpoint::run_of(&checkpoint, path)?;
        if identity != self.identity {
            let reason = "another run wrote this file, so its weights are not the best ones of this run";
            return Err(Error::Checkpoint { path: path.to_owned(), reason: reason.to_owned() });
        }
        match run.and_then(|run| run.watch.best) {
            Some(found) if found == best => Ok(Some((best, Snapshot::of(&self.params, checkpoint.weights)?))),
            Some(found) if found.beats(&best) => Ok(None),
            // Weights that were saved before the first step, as the ones to beat, do not belong to a run yet.
            None if best.step == 0 => Ok(Some((best, Snapshot::of(&self.params, checkpoint.weights)?))),
            found => {
                let held = found.map_or("weights of no run".to_owned(), |found| {
                    format!(
                        "those of step \
                                  {}",
                        found.step
                    )
                });
                let reason = format!(
                    "the best weights of this run are those of step {}, but the file contains {held}. Give \
                     the file \
                     to which the run wrote its best weights, or start a new run with another file",
                    best.step
                );
                Err(Error::Checkpoint { path: path.to_owned(), reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Confusion;

    fn seen(watch: &mut Validations, step: u64, accuracy: f64, loss: f64) -> bool {
        let confusion = Confusion::new(2, []);
        watch.see(step, &Evaluation { loss, accuracy, confusion, predictions: vec![], drift: None })
    }

    #[test]
    fn accuracy_comes_first_then_loss_then_time() {
        let mut watch = Validations::default();
        assert!(!seen(&mut watch, 1, 0.9, f64::NAN), "a loss that is no number is never the best");
        assert!(seen(&mut watch, 2, 0.5, 1.0));
        assert!(seen(&mut watch, 3, 0.6, 2.0), "a higher accuracy, whatever the loss");
        assert!(!seen(&mut watch, 4, 0.5, 0.1));
        assert!(seen(&mut watch, 5, 0.6, 1.5), "the lower loss of two");
        assert!(!seen(&mut watch, 6, 0.6, 1.5), "the first of two equal ones");
        assert_eq!(watch.best, Some(Best { step: 5, accuracy: 0.6, loss: 1.5 }));
    }

    #[test]
    fn patience_counts_validations_since_the_best() {
        let mut watch = Validations::default();
        seen(&mut watch, 1, 0.5, 1.0);
        for step in 2..4 {
            assert!(!watch.is_over(Some(2)));
            seen(&mut watch, step, 0.4, 1.0);
        }
        assert!(watch.is_over(Some(2)) && !watch.is_over(Some(3)) && !watch.is_over(None));
        seen(&mut watch, 4, 0.7, 1.0);
        assert!(!watch.is_over(Some(1)));
    }

    /// Digits that are hard to write and read back exactly: equal values must stay equal.
    #[test]
    fn what_is_remembered_survives_its_text_to_the_bit() {
        for i in 1..2000 {
            let best = Best { step: i, accuracy: i as f64 / 2003.0, loss: 1.0 / (i as f64).sqrt() * 1e-3 };
            let text = serde_json::to_string(&Validations::new(Some(best))).unwrap();
            assert_eq!(serde_json::from_str::<Validations>(&text).unwrap().best, Some(best), "{text}");
        }
    }
}
