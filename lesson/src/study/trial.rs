//! One run: the methods that a chapter's experiment calls, and what is stored of the run.

use super::lab::Lab;
use super::plan::REHEARSAL;
use crate::data::track::{Draw, Start, Task, Track};
use crate::error::{Error, Result};
use crate::fit::sgd;
use frostline_loader::{ImageSet, stratified_subset};
use frostline_study::{Answers, Cost, Run, Setting, bunches, digest};
use frostline_trainer::linear_probe;
use frostline_trainer::{
    self as trainer, Features, FitOptions, History, Learner, Length, ProbeOptions, Progress, Source,
};
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

/// Number of steps that a rehearsal times, after one that is not timed.
const REHEARSED_STEPS: u64 = 2;
/// The last stage before the head.
const POOLED: &str = "avgpool";
/// The prefix of the names of accuracies on validation images during a run.
pub(super) const VALIDATION_AFTER: &str = "validation after ";
/// Number of test images that a rehearsal times.
const REHEARSED_TESTS: usize = 64;

/// A run in progress. Its methods train and test, and store losses, answers and costs.
///
/// A *rehearsal* trains two steps and tests few images, to estimate how long the run itself will take.
pub struct Trial<'a> {
    /// Flags, device, data and weights.
    pub lab: &'a Lab,
    /// What decides the run.
    pub setting: &'a Setting,
    bar: ProgressBar,
    run: Run,
    losses: Vec<f32>,
    rehearsal: bool,
    own_tests: bool,
    /// Seconds of the run that its rehearsal does not have.
    beyond: f64,
    /// Number of images on which the run is validated while it trains; its rehearsal is not.
    watched: usize,
}

impl<'a> Trial<'a> {
    /// Runs `experiment` for `setting`.
    ///
    /// # Errors
    /// The errors of the experiment.
    pub(super) fn perform(
        lab: &'a Lab,
        setting: &'a Setting,
        bar: ProgressBar,
        experiment: fn(&mut Trial<'_>) -> Result<()>,
    ) -> Result<Run> {
        let mut trial = Self::new(lab, setting, bar, false)?;
        experiment(&mut trial)?;
        let losses = bunches(&trial.losses);
        Ok(Run { losses, ..trial.run })
    }

    /// Seconds that the run of `setting` will take, from a short form of it.
    ///
    /// # Errors
    /// The errors of the experiment.
    pub(super) fn rehearse(
        lab: &'a Lab,
        setting: &'a Setting,
        experiment: fn(&mut Trial<'_>) -> Result<()>,
    ) -> Result<f64> {
        let mut trial = Self::new(lab, setting, ProgressBar::hidden(), true)?;
        let (start, shared) = (Instant::now(), lab.shared_seconds());
        experiment(&mut trial)?;
        // The common preparation of all runs is finished here.
        let own = start.elapsed().as_secs_f64() - (lab.shared_seconds() - shared);
        Ok((own + trial.beyond).max(0.0))
    }

    fn new(lab: &'a Lab, setting: &'a Setting, bar: ProgressBar, rehearsal: bool) -> Result<Self> {
        let run = Run {
            setting: setting.clone(),
            answers: BTreeMap::new(),
            numbers: BTreeMap::new(),
            losses: vec![],
            diverged: false,
            cost: Cost::default(),
            seconds: 0.0,
            adapter: lab.gpu()?.describe(),
        };
        let own_tests = lab.task(&setting.task)?.1.tests_vary();
        Ok(Self { lab, setting, bar, run, losses: vec![], rehearsal, own_tests, beyond: 0.0, watched: 0 })
    }

    /// The condition, for `match`; without the rate of a cell that [`Plan::add_rates`](super::Plan::add_rates)
    /// added.
    pub fn condition(&self) -> &'a str {
        without_rate(&self.setting.condition)
    }

    /// The network and the task.
    ///
    /// # Errors
    /// As [`Lab::task`].
    pub fn task(&self) -> Result<(&'a Track, &'a Task)> {
        self.lab.task(&self.setting.task)
    }

    /// The images to train on, as the seed draws them, those to choose by, and those to test on.
    ///
    /// # Errors
    /// If the task has too few.
    pub fn draw(&self) -> Result<Draw> {
        let draw = self.task()?.1.draw(self.setting.images, self.setting.seed)?;
        if self.setting.version != REHEARSAL {
            return Ok(draw);
        }
        let some = |set: &ImageSet| -> Result<ImageSet> {
            let n = set.len().min(REHEARSED_TESTS.max(set.classes.len()));
            Ok(if n == 0 {
                set.clone()
            } else {
                set.subset(&stratified_subset(&set.label_indices(), n, set.classes.len(), 0)?)?
            })
        };
        Ok(Draw { train: draw.train, validation: some(&draw.validation)?, test: some(&draw.test)? })
    }

    /// The network, with a head for the task.
    ///
    /// # Errors
    /// If the weights do not fit it.
    pub fn learner(&self, start: Start) -> Result<Learner> {
        let (track, task) = self.task()?;
        track.learner(self.lab.gpu()?, task, start, self.setting.seed)
    }

    /// A run with its setting's steps, batch and rate along a cosine, SGD as in [`sgd`].
    pub fn options(&self) -> FitOptions<'static> {
        let Setting { steps, batch, lr, seed, .. } = *self.setting;
        FitOptions::steps(steps).batch(batch).optim(sgd(lr)).seed(seed)
    }

    /// A head on features with the setting's steps, batch and rate along a cosine, SGD as in [`sgd`], on
    /// standardised features.
    pub fn probe_options(&self) -> ProbeOptions {
        let Setting { steps, batch, lr, seed, .. } = *self.setting;
        ProbeOptions { steps, batch: Some(batch), optim: sgd(lr), seed, ..ProbeOptions::default() }
    }

    /// Trains `learner` on `train`.
    ///
    /// # Errors
    /// As [`Learner::fit`]; a loss that overflows is not an error; it marks the run as diverged.
    pub fn fit(
        &mut self,
        learner: &mut Learner,
        train: &dyn Source,
        options: &FitOptions<'_>,
    ) -> Result<History> {
        self.run.cost = cost(learner, options)?;
        self.training(options, 1, |options, watch| learner.fit(train, options, |progress| watch(progress)))
    }

    /// Trains `learner` on the drawn images, and tests it on the validation images after every tenth of the steps:
    /// keeps the accuracies as numbers, and the answers after a fifth of the steps under `early`.
    ///
    /// # Errors
    /// As [`Trial::fit`].
    pub fn fit_watched(
        &mut self,
        learner: &mut Learner,
        draw: &Draw,
        options: FitOptions<'_>,
        early: &str,
    ) -> Result<()> {
        if draw.validation.is_empty() {
            return self.fit(learner, &draw.train, &options).map(|_| ());
        }
        let every = (self.setting.steps / 10).max(1);
        let history = self.fit(learner, &draw.train, &options.validate(&draw.validation, every))?;
        for (step, found) in &history.evaluations {
            self.number(format!("{VALIDATION_AFTER}{step} steps, %"), 100.0 * found.accuracy)?;
            if *step == 2 * every {
                self.keep(early, &draw.validation.labels, &found.predictions);
            }
        }
        Ok(())
    }

    /// Trains one stage more at a time, the head first, as [`Learner::fit_gradually`].
    ///
    /// # Errors
    /// As [`Trial::fit`].
    pub fn fit_gradually(
        &mut self,
        learner: &mut Learner,
        train: &dyn Source,
        options: &FitOptions<'_>,
        stages: &[&str],
    ) -> Result<History> {
        self.run.cost = cost(learner, options)?;
        self.training(options, stages.len() as u64, |options, watch| {
            let phases = learner.fit_gradually(train, options, stages, |_, progress| watch(progress))?;
            Ok(phases.into_iter().last().map(|phase| phase.history).unwrap_or_default())
        })
    }

    /// `fit` takes at least `least` steps.
    fn training(
        &mut self,
        options: &FitOptions<'_>,
        least: u64,
        mut fit: impl FnMut(
            &FitOptions<'_>,
            &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
        ) -> trainer::Result<History>,
    ) -> Result<History> {
        if self.rehearsal {
            let steps = if let Length::Steps(steps) = options.length { steps } else { self.setting.steps };
            if let Some((images, every)) = options.validation {
                self.watched +=
                    images.labels().len() * usize::try_from(steps / every.max(1)).unwrap_or_default();
            }
            let mut short = |steps: u64| {
                let options =
                    FitOptions { length: Length::Steps(steps), validation: None, ..options.clone() };
                match fit(&options, &mut |_| ControlFlow::Continue(())) {
                    Err(trainer::Error::Diverged { .. }) => Ok(History::default()),
                    other => other,
                }
            };
            let start = Instant::now();
            short(least)?;
            let (warm, timed) = (start.elapsed(), least.max(REHEARSED_STEPS));
            let history = short(timed)?;
            let all = start.elapsed().as_secs_f64();
            let one = (all - warm.as_secs_f64()) / timed as f64;
            self.beyond += one * steps as f64 - all;
            return Ok(history);
        }
        let (bar, losses) = (&self.bar, &mut self.losses);
        let start = Instant::now();
        let history = fit(options, &mut |progress| {
            let loss = progress.latest.map_or(String::new(), |latest| format!(", loss {:.3}", latest.loss));
            bar.set_message(format!("step {}/{}{loss}", progress.step, progress.steps));
            losses.extend(progress.read.iter().map(|record| record.loss));
            ControlFlow::Continue(())
        });
        self.run.seconds += start.elapsed().as_secs_f64();
        match history {
            Ok(history) => Ok(history),
            Err(trainer::Error::Diverged { .. }) => {
                self.run.diverged = true;
                Ok(History::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tests `learner` on the task's validation and test images.
    ///
    /// # Errors
    /// As [`Learner::evaluate`].
    pub fn test(&mut self, learner: &mut Learner, draw: &Draw) -> Result<()> {
        if !draw.validation.is_empty() {
            self.answer("validation", learner, &draw.validation)?;
        }
        self.answer("test", learner, &draw.test)
    }

    /// Tests `learner` on `images` and keeps its answers under `name`.
    ///
    /// # Errors
    /// As [`Learner::evaluate`].
    pub fn answer(&mut self, name: &str, learner: &mut Learner, images: &ImageSet) -> Result<()> {
        if self.rehearsal {
            let some = images.subset(&(0..images.len().min(REHEARSED_TESTS)).collect::<Vec<_>>())?;
            let start = Instant::now();
            learner.evaluate(&some)?;
            let warm = start.elapsed();
            learner.evaluate(&some)?;
            let all = start.elapsed().as_secs_f64();
            let one = (all - warm.as_secs_f64()) / some.len() as f64;
            self.beyond += one * (images.len() + std::mem::take(&mut self.watched)) as f64 - all;
            return Ok(());
        }
        let found = learner.evaluate(images)?;
        self.keep(name, &images.labels, &found.predictions);
        Ok(())
    }

    /// Trains a head on `train` and stores its answers on `tests`, each under its name.
    ///
    /// # Errors
    /// As [`linear_probe`].
    pub fn probe(
        &mut self,
        train: &Features,
        tests: &[(&str, &Features)],
        options: &ProbeOptions,
    ) -> Result<trainer::Probe> {
        let mut all = Features { values: vec![], labels: vec![], ..train.subset(&[]) };
        for (_, test) in tests {
            all.values.extend(&test.values);
            all.labels.extend(&test.labels);
        }
        let start = Instant::now();
        let probe = linear_probe(self.lab.gpu()?, train, &all, options)?;
        self.run.seconds += start.elapsed().as_secs_f64();
        self.losses.extend(probe.records.iter().map(|record| record.loss));
        let mut from = 0;
        for (name, test) in tests {
            let to = from + test.labels.len();
            self.keep(name, &test.labels, &probe.test.predictions[from..to]);
            from = to;
        }
        Ok(probe)
    }

    /// Trains a head on the output of `stage` of `learner` for the drawn images (means over a grid of `grid`
    /// × `grid`), and tests it on the validation and test images.
    ///
    /// # Errors
    /// As [`Learner::features`] and [`linear_probe`].
    pub fn head(
        &mut self,
        learner: &mut Learner,
        draw: &Draw,
        stage: &str,
        grid: usize,
        options: &ProbeOptions,
    ) -> Result<trainer::Probe> {
        if stage == POOLED {
            // The cost of a step that runs the frozen body as well.
            learner.freeze_below("fc")?;
            self.run.cost = cost(learner, &self.options())?;
        }
        let train = learner.features(&draw.train, stage, grid)?;
        let test = learner.features(&draw.test, stage, grid)?;
        if draw.validation.is_empty() {
            return self.probe(&train, &[("test", &test)], options);
        }
        let validation = learner.features(&draw.validation, stage, grid)?;
        self.probe(&train, &[("validation", &validation), ("test", &test)], options)
    }

    /// Keeps predictions for the images of the test `name` whose classes are `labels`.
    pub fn keep(&mut self, name: &str, labels: &[u32], predictions: &[u32]) {
        // If each seed is tested on the images that it did not draw, no other seed or size has the same test
        // images.
        let own = if self.own_tests {
            format!("{} {}", self.setting.images, self.setting.seed)
        } else {
            String::new()
        };
        let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        let set = digest([self.setting.inputs.as_bytes(), own.as_bytes(), &bytes]);
        self.run.answers.insert(name.to_owned(), Answers::new(set, labels, predictions));
    }

    /// Stores `value`, a measurement, under `name`.
    ///
    /// # Errors
    /// If it is not finite: such a number would make its comparison impossible.
    pub fn number(&mut self, name: impl Into<String>, value: f64) -> Result<()> {
        let name = name.into();
        if !value.is_finite() {
            return Err(Error::Number { name, value });
        }
        self.run.numbers.insert(name, value);
        Ok(())
    }
}

/// `full` of `full at 0.03`.
pub(super) fn without_rate(condition: &str) -> &str {
    condition.split(" at ").next().unwrap_or_default()
}

fn cost(learner: &mut Learner, options: &FitOptions<'_>) -> Result<Cost> {
    let plan = learner.training_plan(options)?;
    let ledger = plan.ledger();
    Ok(Cost { dispatches: ledger.step.dispatches, macs: ledger.step.macs, kept_bytes: ledger.kept_bytes })
}
