//! One training run of a chapter, with its progress bar.

use crate::error::Result;
use frostline_charts::{Spread, bar};
use frostline_engine::Optim;
use frostline_trainer::{FitOptions, Learner, Source, StepRecord};
use serde::Serialize;
use std::ops::ControlFlow;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// Share of the test images that was recognised, 0..=1.
    pub accuracy: f64,
    /// The steps, with loss and accuracy on the batch.
    pub records: Vec<StepRecord>,
    /// The evaluations during the run ([`FitOptions::validate`]).
    pub curve: Vec<Point>,
    /// Seconds of training, evaluations left out.
    pub seconds: f64,
}

impl Run {
    /// Milliseconds a step took, evaluations left out.
    pub fn step_milliseconds(&self) -> f64 {
        1000.0 * self.seconds / self.records.len().max(1) as f64
    }
}

/// An evaluation during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Steps taken before it.
    pub step: u64,
    /// Seconds of training before it, earlier evaluations left out.
    pub seconds: f64,
    /// Share that was recognised, 0..=1.
    pub accuracy: f64,
    /// Mean loss.
    pub loss: f64,
}

/// SGD as the recipes of this lesson have it: Nesterov's momentum 0.9, weight decay 5e-4.
pub fn sgd(lr: f32) -> Optim {
    Optim::sgd(lr).momentum(0.9).nesterov().weight_decay(5e-4)
}

/// Trains `learner` on `train` and evaluates it on `test`.
///
/// # Errors
/// What [`Learner::fit`] and [`Learner::evaluate`] say.
pub fn fit(learner: &mut Learner, train: &dyn Source, test: &dyn Source, options: &FitOptions<'_>, name: &str) -> Result<Run> {
    let bar = bar(name, 1);
    let (mut curve, mut seconds) = (vec![], 0.0);
    let history = learner.fit(train, options, |progress| {
        bar.set_length(progress.steps);
        bar.set_position(progress.step);
        bar.set_message(progress.latest.map_or(String::new(), |latest| format!("loss {:.3}", latest.loss)));
        seconds = progress.elapsed.as_secs_f64();
        curve.extend(progress.evaluation.map(|found| Point { step: progress.step, seconds, accuracy: found.accuracy, loss: found.loss }));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    Ok(Run { accuracy: learner.evaluate(test)?.accuracy, records: history?.records, curve, seconds })
}

/// Test accuracies of `runs`, in %.
pub fn accuracies(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| 100.0 * run.accuracy).collect()
}

/// Mean and deviation of the test accuracies of `runs`, in %.
pub fn spread(runs: &[Run]) -> Spread {
    Spread::of(&accuracies(runs)).unwrap_or(Spread { mean: f64::NAN, deviation: 0.0, count: 0 })
}

/// Test accuracy of each of `runs` less that of its partner with the same seed, in points.
pub fn gains(runs: &[Run], over: &[Run]) -> Vec<f64> {
    runs.iter().zip(over).map(|(run, other)| 100.0 * (run.accuracy - other.accuracy)).collect()
}

/// The mean of `values`; not a number if there are none.
pub fn mean(values: &[f64]) -> f64 {
    Spread::of(values).map_or(f64::NAN, |spread| spread.mean)
}

/// Each of `values` less its partner in `from`, with the same seed.
pub fn differences(values: &[f64], from: &[f64]) -> Vec<f64> {
    values.iter().zip(from).map(|(value, from)| value - from).collect()
}
