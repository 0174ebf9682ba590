//! Training: the state of a run, and the loop around its steps.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use frostline_engine::blocking::block_on;
use frostline_engine::{Optim, Optimizer, Session};
use frostline_loader::{BatchState, Batches};
use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::best::{Best, Watch};
use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::learner::Learner;
use crate::mixup;
use crate::moments::Moments;
use crate::options::{FitOptions, Length};
use crate::prefix::Activations;
use crate::source::{Batch, Source};
use crate::training::{Rows, StepRecord, Training};

/// Where a run stands; with the weights and the moments, all that decides what comes next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Steps taken.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Where the next batch comes from.
    pub batches: BatchState,
    /// Settings and data, as text: what must be the same for a continued run to be the same run.
    pub settings: BTreeMap<String, String>,
    /// Its validations so far.
    #[serde(default)]
    pub watch: Watch,
    /// Whether it was stopped in the validation after its last step.
    #[serde(default)]
    pub unvalidated: bool,
}

impl Run {
    fn new(source: &dyn Source, options: &FitOptions<'_>) -> Result<Self> {
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
            watch: Watch::new(options.better_than),
            unvalidated: false,
        })
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

/// Enough to notice that the images are others, or in another order: FNV-1a of the labels.
fn identity(source: &dyn Source) -> String {
    let labels = source.labels();
    let bytes = labels.iter().flat_map(|label| label.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{} images, labels {hash:016x}", labels.len())
}

/// Where a run is, after every step.
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
    /// The last step whose loss is known: losses are read in bunches.
    pub latest: Option<&'a StepRecord>,
    /// The steps whose losses were read just now.
    pub read: &'a [StepRecord],
    /// How long the call has been training: with the time that caching frozen stages took, without
    /// evaluations and checkpoints. Exact where losses
    /// were read just now; steps that are only submitted may still be running.
    pub elapsed: Duration,
    /// The evaluation after this step, if there was one.
    pub evaluation: Option<&'a Evaluation>,
    /// The best evaluation so far; this step's, if `step` is its.
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

/// What a call of [`Learner::fit`] or [`Learner::continue_fit`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Its steps.
    pub records: Vec<StepRecord>,
    /// Its evaluations, each with the steps taken before it.
    pub evaluations: Vec<(u64, Evaluation)>,
    /// The best evaluation of the whole run, what an earlier call did of it included.
    pub best: Option<Best>,
    /// Its steps that were not taken because gradients overflowed f16: each lowered the loss scale, unless
    /// that is fixed ([`LossScale`](frostline_engine::LossScale)).
    pub skipped: u64,
    /// Whether the run ended because it no longer got better, before its last step.
    pub stopped_early: bool,
    /// Whether the run is at its end; else [`Learner::continue_fit`] goes on.
    pub finished: bool,
}

impl History {
    /// The losses, step by step.
    pub fn losses(&self) -> Vec<f32> {
        self.records.iter().map(|record| record.loss).collect()
    }
}

impl Learner {
    /// Trains on `source`, from the first step of a new run on. `on_step` is called after every
    /// step was submitted, and may stop the run, which [`Learner::continue_fit`] then goes on with.
    ///
    /// Momentum is carried over from the fit before (see [`Learner::reset_optimizer`]).
    ///
    /// # Errors
    /// [`Error::BatchTooLarge`]; [`Error::ImageShape`], [`Error::Classes`] or [`Error::Label`] for data that
    /// does not go with the model; [`Error::Engine`] if everything is frozen or the device has too little
    /// memory; [`Error::Diverged`] or [`Error::NotSaved`] once numbers overflow, [`Error::GradientOverflow`]
    /// once gradients stored as f16 do so at every step. After an error during the run the learner's weights
    /// are what the last step left; its run cannot be continued, only resumed from a checkpoint.
    pub fn fit(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        on_step: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<History> {
        let run = Run::new(source, options)?;
        self.drive(source, options, run, on_step)
    }

    /// Goes on with the run that was stopped or resumed from a checkpoint, as if it had never been
    /// interrupted: losses and weights are the same bits.
    ///
    /// # Errors
    /// [`Error::NoRun`]; [`Error::OtherRun`] if settings or data are not those of the run;
    /// otherwise as [`Learner::fit`].
    pub fn continue_fit(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        on_step: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<History> {
        let run = self.run.clone().ok_or(Error::NoRun)?;
        let given = Run::new(source, options)?.settings;
        for (setting, saved) in &run.settings {
            let given = given.get(setting).map_or("", String::as_str);
            if given != saved {
                return Err(Error::OtherRun {
                    setting: setting.clone(),
                    saved: saved.clone(),
                    given: given.to_owned(),
                });
            }
        }
        self.drive(source, options, run, on_step)
    }

    fn drive(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        mut run: Run,
        mut on_step: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<History> {
        options.check()?;
        let watched = options.validation.map(|(source, _)| source);
        for source in watched.into_iter().chain([source]) {
            self.check_source(source)?;
            self.check_frozen(source)?;
        }
        self.recall_best(&run, options)?;
        let (mut cached, mut cached_watched, mut caching) = (None, None, Duration::ZERO);
        if options.cache_frozen {
            if let Some(what) = options.stochastic() {
                return Err(Error::StochasticCache { what: what.to_owned() });
            }
            let start = Instant::now();
            cached = self.cache(source, options.batch)?;
            cached_watched = watched.map(|source| self.cache(source, options.batch)).transpose()?.flatten();
            caching = start.elapsed();
        }
        let source = cached.as_ref().map_or(source, |outputs| outputs as &dyn Source);
        let watched =
            watched.map(|source| cached_watched.as_ref().map_or(source, |outputs| outputs as &dyn Source));
        let images = source.labels().len();
        let plan = self.plan_after(source.activations().map(Activations::stage), options)?;
        let mut optimizer = self.moments.optimizer(&self.gpu, &plan, &options.optim)?;
        let mut session = Session::new(&self.gpu, plan, &self.params, Some(&optimizer))?;
        let mut batches = Batches::restore(images, options.batch, run.batches)?;
        block_on(self.watch_frozen())?;
        self.classes = source.classes().to_vec();
        // Until the run is stopped in good order there is none to continue.
        self.run = None;

        let fill =
            |indices: &[usize], state, out: &mut Batch| Ok(source.gather(indices, Some(state), out)?);
        let [height, width, _] = source.shape();
        let transforms =
            |indices: &[usize], state| Some(options.augment.as_ref()?.draw(state, indices, [height, width]));
        let mixes = |state| options.mixup.map(|alpha| mixup::draw(alpha, state, options.batch)).transpose();
        let expect = |indices: &[usize]| source.expect(indices);
        let rows = Rows {
            labels: source.labels(),
            fill: &fill,
            expect: &expect,
            transforms: &transforms,
            mixes: &mixes,
        };
        let mut training = Training::new(&mut session, &mut optimizer, &mut batches, rows, options.batch)?;
        training.checkpoint = self.last_checkpoint.clone();
        let mut history = History::default();
        let mut stopped = false;
        let (start, mut aside) = (Instant::now(), Duration::ZERO);
        while (run.unvalidated || run.step < run.steps && !run.watch.is_over(options.patience)) && !stopped {
            // A step that was taken before the run was stopped still needs its validation.
            let taken = std::mem::take(&mut run.unvalidated);
            run.step += u64::from(!taken);
            let lr = options.optim.lr * options.schedule.factor(run.step - 1, run.steps);
            if !taken {
                training.step(run.step, lr)?;
                run.batches = training.batches.state();
            }

            let last = run.step == run.steps;
            let due = |every: u64| last || run.step.is_multiple_of(every);
            let validation = options.validation.filter(|(_, every)| due(*every));
            let save = options.checkpoint.as_ref().filter(|(_, every)| due(*every));
            let known = history.records.len();
            let wait = last || validation.is_some() || save.is_some();
            if wait || training.is_due(options.read_every) {
                if !last {
                    training.give()?;
                }
                history.records.extend(training.read(&self.params)?);
            }
            let pause = Instant::now();
            let evaluation = match watched.filter(|_| validation.is_some()) {
                Some(source) => {
                    self.stop = options.stop.clone();
                    let evaluated = self.evaluate(source);
                    self.stop = None;
                    match evaluated {
                        Err(Error::Stopped) => {
                            run.unvalidated = true;
                            stopped = true;
                            break;
                        }
                        evaluated => Some(evaluated?),
                    }
                }
                None => None,
            };
            let mut improved = false;
            if let Some(evaluation) = &evaluation {
                improved = self.watch(&mut run, evaluation, options)?;
            }
            let best = options.best.as_ref().filter(|_| improved);
            for path in best.into_iter().chain(save.map(|(path, _)| path)) {
                self.keep(training.optimizer, training.session, options, &run);
                self.save(path)?;
                training.checkpoint = self.last_checkpoint.clone();
                self.run = None;
            }
            aside += pause.elapsed();
            let progress = Progress {
                step: run.step,
                steps: run.steps,
                epoch: run.batches.epoch,
                lr,
                latest: history.records.last(),
                read: &history.records[known..],
                elapsed: caching + start.elapsed().saturating_sub(aside),
                evaluation: evaluation.as_ref(),
                best: run.watch.best,
                skipped: training.skipped(),
            };
            stopped = on_step(&progress).is_break();
            stopped |= options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::SeqCst));
            history.evaluations.extend(evaluation.map(|evaluation| (run.step, evaluation)));
        }
        history.records.extend(training.read(&self.params)?);
        history.skipped = training.skipped();
        history.best = run.watch.best;
        history.stopped_early =
            run.step < run.steps && !run.unvalidated && run.watch.is_over(options.patience);
        history.finished = (run.step == run.steps && !run.unvalidated) || history.stopped_early;
        self.keep(&optimizer, &session, options, &run);
        if let (true, Some((path, _))) = (stopped || history.stopped_early, &options.checkpoint) {
            self.save(path)?;
        }
        Ok(history)
    }

    /// Takes over where the run stands, to be saved or continued.
    fn keep(&mut self, optimizer: &Optimizer, session: &Session, options: &FitOptions<'_>, run: &Run) {
        // A handle: the moments stay on the device, where the next steps change them.
        self.moments = Moments::device(optimizer.clone(), session.plan(), &options.optim);
        self.run = Some(run.clone());
    }
}
