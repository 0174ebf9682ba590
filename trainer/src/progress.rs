//! Reports to a caller about a run: after every step, and at the end.

use std::fmt;
use std::time::Duration;

use crate::best::Best;
use crate::evaluate::Evaluation;
use crate::training::StepRecord;

/// The progress of a run, after every step.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The step that was just submitted, counted from 1.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Epochs completed.
    pub epoch: u64,
    /// Its learning rate.
    pub lr: f32,
    /// The last step whose loss is known: losses are read in groups.
    pub latest: Option<&'a StepRecord>,
    /// The steps whose losses were read just now.
    pub read: &'a [StepRecord],
    /// How long the call has been training: with the time that caching frozen stages took, without
    /// evaluations and checkpoints. Exact where losses were read just
    /// now; steps that are only submitted may still be running.
    pub elapsed: Duration,
    /// The evaluation after this step, if there was one.
    pub evaluation: Option<&'a Evaluation>,
    /// The best evaluation so far; it is this step's if its step is `step`.
    pub best: Option<Best>,
    /// Steps of this call that were not taken because gradients overflowed f16, as far as losses were read.
    pub skipped: u64,
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}/{}  rate {:.2e}", self.step, self.steps, self.lr)?;
        if let Some(latest) = self.latest {
            write!(f, "  loss {:.4} (step {})", latest.loss, latest.step)?;
        }
        if self.skipped > 0 {
            write!(f, "  {} steps skipped", self.skipped)?;
        }
        match self.evaluation {
            Some(evaluation) => write!(f, "  accuracy {:.1}%", 100.0 * evaluation.accuracy),
            None => Ok(()),
        }
    }
}

/// The result of a call of [`crate::Learner::fit`] or [`crate::Learner::continue_fit`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Its steps.
    pub records: Vec<StepRecord>,
    /// Its evaluations, each with the steps taken before it.
    pub evaluations: Vec<(u64, Evaluation)>,
    /// The best evaluation of the whole run, including its earlier calls.
    pub best: Option<Best>,
    /// Its steps that were not taken because gradients overflowed f16: each lowered the loss scale, unless
    /// that is fixed ([`LossScale`](frostline_engine::LossScale)).
    pub skipped: u64,
    /// Whether the run ended before its last step because it no longer improved.
    pub stopped_early: bool,
    /// Whether the run is at its end; else [`crate::Learner::continue_fit`] continues it.
    pub finished: bool,
}

impl History {
    /// The losses, step by step.
    pub fn losses(&self) -> Vec<f32> {
        self.records.iter().map(|record| record.loss).collect()
    }
}
