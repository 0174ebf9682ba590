//! A time budget: first the probe, which is already a model, then as many steps as fit. A step is measured,
//! and the schedule is made for the number of steps that fit. A run that was merely cut off would end at a
//! high rate.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use frostline_trainer::{Length, LrRange};

use crate::error::{Error, Result};
use crate::logging::timed;
use crate::output::Output;
use crate::train::choices::Choice;
use crate::train::job::{CAUTIOUS, Job, options};

/// Steps of the measurement; the first is not counted.
const MEASURED: u64 = 4;
/// Share of the remaining time that is planned for steps, because not all steps take the same time.
const PLANNED: f64 = 0.9;
/// For figures and the model card.
const FIGURES: Duration = Duration::from_secs(2);
/// A rate so small that no update exceeds the rounding of a weight.
const STILL: f32 = 1e-30;

/// Measured times of a job on this machine.
struct Pace {
    step: Duration,
    /// Before the first step: outputs of frozen stages, buffers, kernels.
    preparation: Duration,
    /// All validation photos through the whole network.
    evaluation: Duration,
}

/// Chooses rate and steps of `job` so that a run begun at `begun` ends after `minutes`.
///
/// # Errors
/// [`Error::Flags`] if not one step fits and there is no probe to be the model; the errors of training.
pub fn plan(job: &mut Job, minutes: f64, begun: Instant, output: &Output) -> Result<()> {
    let budget = Duration::from_secs_f64(60.0 * minutes);
    let left = || budget.saturating_sub(begun.elapsed());
    if left() < measuring(job) {
        let seconds = begun.elapsed().as_secs_f64();
        return set(
            job,
            0,
            format!("{seconds:.0} s of {minutes} minutes have passed after the probe"),
            output,
        );
    }
    let Pace { step, preparation, evaluation } = timed("measuring a step", || measure(job))?;
    let test = preparation + step * LrRange::default().steps as u32;
    if job.recipe.lr.is_none() && job.recipe.slice.is_none() && test > left() / 4 {
        let why = format!("a cautious rate: a range test takes {:.0} s", test.as_secs_f64());
        job.set_rate(CAUTIOUS, why, output)?;
    } else {
        job.choose_rate(output)?;
    }

    let images = job.data.train.len();
    let per_epoch = (images / job.chosen.batch).max(1);
    let options = options(&job.recipe, &job.chosen, &job.learner, &job.data.train)?;
    // Cached outputs of frozen stages save as much in an evaluation as in a step.
    let cached = step.mul_f64(job.data.validation.len() as f64 / job.chosen.batch as f64);
    let validation = if options.cache_frozen { evaluation.min(cached) } else { evaluation };
    // The best weights are compared with the probe, if there is one, and the report evaluates once more.
    let compared = if job.probe.is_some() { 2 * validation } else { Duration::ZERO };
    let report = evaluation + compared + FIGURES;
    let time = left().saturating_sub(preparation + validation + report).mul_f64(PLANNED);
    let each = step.as_secs_f64() + validation.as_secs_f64() / per_epoch as f64;
    let most = job.chosen.epochs * per_epoch as u64;
    let fits = most.min((time.as_secs_f64() / each.max(1e-9)) as u64);
    // All phases of gradual unfreezing, or none.
    let least = job.phase_count() as u32;
    let steps = if fits < u64::from(least) { 0 } else { fits };
    if steps == 0 && job.probe.is_none() {
        let needs =
            begun.elapsed() + preparation + validation + report + step.mul_f64(f64::from(least) / PLANNED);
        return Err(no_step(minutes, needs));
    }
    job.deadline = Some(begun + budget.saturating_sub(report));
    let milliseconds = 1e3 * step.as_secs_f64();
    let why = match steps == most {
        true => format!("as without the {minutes} minutes: a step takes {milliseconds:.0} ms"),
        false => format!("what fits into {minutes} minutes: a step takes {milliseconds:.0} ms"),
    };
    set(job, steps, why, output)
}

/// An error: there will be no model after `minutes`. It names the number of minutes that would be enough.
fn no_step(minutes: f64, needs: Duration) -> Error {
    // With a margin, because no two runs take the same time.
    let enough = (1.5 * needs.as_secs_f64() / 6.0).ceil() / 10.0;
    Error::Flags(format!(
        "--minutes {minutes}: not even one step fits, and there is no linear probe to use as the model; \
         give --minutes {enough}"
    ))
}

fn set(job: &mut Job, steps: u64, why: String, output: &Output) -> Result<()> {
    job.chosen.steps = Some(steps);
    let choice = Choice { what: "steps", value: steps.to_string(), why };
    output.say(&choice)?;
    job.choices.push(choice);
    Ok(())
}

/// The time of a photo through the whole network, estimated from the probe.
fn forward(job: &Job) -> Option<Duration> {
    let photos = job.data.train.len() + job.data.validation.len();
    Some(job.probe_took? / photos as u32)
}

/// Approximate time of the measurement: frozen stages once for the photos, and steps, in which frozen stages
/// save as much as the backward pass costs.
fn measuring(job: &Job) -> Duration {
    let photos = job.chosen.batch as u32 * (2 + MEASURED as u32);
    forward(job).map_or(Duration::ZERO, |each| each * photos)
}

/// Takes some steps that change no weight, on as many photos as two steps need.
fn measure(job: &mut Job) -> Result<Pace> {
    let before = job.learner.snapshot()?;
    let mut options = options(&job.recipe, &job.chosen, &job.learner, &job.data.train)?.lr(STILL);
    options.read_every = 1;
    let few = job.data.train.len().min(2 * job.chosen.batch);
    let photos = job.data.first_to_train_on(few)?;
    let mut fit = |steps: u64| -> Result<(Duration, Vec<Duration>)> {
        options.length = Length::Steps(steps);
        let (start, mut times) = (Instant::now(), vec![]);
        let fitted = job.learner.fit(photos.as_ref(), &options, |progress| {
            times.push(progress.elapsed);
            ControlFlow::Continue(())
        });
        let all = start.elapsed();
        // Running statistics may have changed.
        job.learner.restore(&before)?;
        job.learner.reset_optimizer();
        fitted?;
        Ok((all, times))
    };
    let (all, times) = fit(MEASURED)?;
    let counted = times.len().saturating_sub(1).max(1) as u32;
    let step = match (times.first(), times.last()) {
        (Some(first), Some(last)) => last.saturating_sub(*first) / counted,
        _ => all,
    };
    // Evaluates again: the kernels are compiled now.
    let mut preparation = fit(1)?.0.saturating_sub(step);
    if options.cache_frozen && photos.activations().is_none() && job.learner.frozen_stage().is_some() {
        let photos = job.data.train.len() + job.data.validation.len();
        preparation = preparation.mul_f64(photos as f64 / few as f64);
    }
    let validation = job.data.validation.len();
    let each = match forward(job) {
        Some(each) => each,
        None => {
            let some = validation.min(job.chosen.batch);
            let photos = job.data.validation.subset(&(0..some).collect::<Vec<_>>())?;
            // The first time compiles kernels.
            job.learner.evaluate(&photos)?;
            let start = Instant::now();
            job.learner.evaluate(&photos)?;
            start.elapsed() / some as u32
        }
    };
    Ok(Pace { step, preparation, evaluation: each * validation as u32 })
}
