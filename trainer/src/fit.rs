//! Training: the loop around the steps of a run.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use frostline_engine::Session;
use frostline_engine::blocking::block_on;
use frostline_engine::ops::{Mix, Transform};
use frostline_loader::{BatchState, Batches};
use web_time::Instant;

use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::learner::Learner;
use crate::mixup;
use crate::moments::Moments;
use crate::options::FitOptions;
use crate::prefix::Activations;
use crate::progress::{History, Progress};
use crate::source::{Batch, Source};
use crate::state::FitState;
use crate::training::{Rows, Training};

impl Learner {
    /// Trains on `source`, from the first step of a new run. `on_step` is called after every step was
    /// submitted, and may stop the run, which [`Learner::continue_fit`] can then continue.
    ///
    /// Momentum is carried over from the fit before (see [`Learner::reset_optimizer`]).
    ///
    /// # Errors
    /// [`Error::BatchTooLarge`]; [`Error::ImageShape`], [`Error::Classes`] or [`Error::Label`] for data that
    /// does not fit the model; [`Error::Engine`] if everything is frozen or the device has too little memory;
    /// [`Error::Diverged`] or [`Error::NotSaved`] once numbers overflow, [`Error::GradientOverflow`] once
    /// gradients stored as f16 do so at every step. After an error during the run the learner's weights are
    /// what the last step left; its run cannot be continued, only resumed from a checkpoint.
    pub fn fit(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        on_step: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<History> {
        let state = FitState::new(source, options)?;
        self.drive(source, options, state, on_step)
    }

    /// Continues a run that was stopped or resumed from a checkpoint, as if it had never been interrupted:
    /// losses and weights are the same bits.
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
        let state = self.run.clone().ok_or(Error::NoRun)?;
        state.check(&FitState::new(source, options)?.settings)?;
        self.drive(source, options, state, on_step)
    }

    fn drive(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        state: FitState,
        on_step: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<History> {
        options.check()?;
        let watched = options.validation.map(|(source, _)| source);
        for source in watched.into_iter().chain([source]) {
            self.check_source(source)?;
            self.check_frozen(source)?;
        }
        self.recall_best(&state, options)?;
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
        let rows = Images { source, options };
        Fit::new(self, &rows, watched, state, caching)?.run(on_step)
    }

    /// Stores the state of the run, to be saved or continued.
    fn keep(&mut self, training: &Training<'_>, options: &FitOptions<'_>, state: &FitState) {
        // A handle: the moments stay on the device, where the next steps change them.
        self.moments = Moments::device(training.optimizer.clone(), training.session.plan(), &options.optim);
        self.run = Some(state.clone());
    }
}

/// The images of a source, changed as the options say.
struct Images<'a> {
    source: &'a dyn Source,
    options: &'a FitOptions<'a>,
}

impl Rows for Images<'_> {
    fn labels(&self) -> &[u32] {
        self.source.labels()
    }

    fn fill(&self, indices: &[usize], state: BatchState, out: &mut Batch) -> Result<()> {
        Ok(self.source.gather(indices, Some(state), out)?)
    }

    fn expect(&self, indices: &[usize]) {
        self.source.expect(indices);
    }

    fn transforms(&self, indices: &[usize], state: BatchState) -> Option<Vec<Transform>> {
        let [height, width, _] = self.source.shape();
        Some(self.options.augment.as_ref()?.draw(state, indices, [height, width]))
    }

    fn mixes(&self, state: BatchState) -> Result<Option<Vec<Mix>>> {
        self.options.mixup.map(|alpha| mixup::draw(alpha, state, self.options.batch)).transpose()
    }
}

/// A run in progress.
struct Fit<'a> {
    learner: &'a mut Learner,
    options: &'a FitOptions<'a>,
    /// What validations evaluate.
    watched: Option<&'a dyn Source>,
    state: FitState,
    training: Training<'a>,
    history: History,
    start: Instant,
    /// Time before the start that counts as training.
    before: Duration,
    /// Time since the start that does not count.
    aside: Duration,
}

impl<'a> Fit<'a> {
    fn new(
        learner: &'a mut Learner,
        rows: &'a Images<'a>,
        watched: Option<&'a dyn Source>,
        state: FitState,
        before: Duration,
    ) -> Result<Self> {
        let Images { source, options } = *rows;
        let plan = learner.plan_after(source.activations().map(Activations::stage), options)?;
        let optimizer = learner.moments.optimizer(&learner.gpu, &plan, &options.optim)?;
        let session = Session::new(&learner.gpu, plan, &learner.params, Some(&optimizer))?;
        let batches = Batches::restore(source.labels().len(), options.batch, state.batches)?;
        block_on(learner.watch_frozen())?;
        learner.classes = source.classes().to_vec();
        // There is no run to continue until this one is stopped in order.
        learner.run = None;
        let mut training = Training::new(session, optimizer, batches, rows, options.batch)?;
        training.checkpoint = learner.last_checkpoint.clone();
        let (history, start, aside) = (History::default(), Instant::now(), Duration::ZERO);
        Ok(Self { learner, options, watched, state, training, history, start, before, aside })
    }

    fn run(mut self, mut on_step: impl FnMut(&Progress<'_>) -> ControlFlow<()>) -> Result<History> {
        let mut stopped = false;
        while !stopped && self.state.goes_on(self.options.patience) {
            let lr = self.step()?;
            let validates = self.is_due(self.options.validation.map(|(_, every)| every));
            let saves = self.is_due(self.options.checkpoint.as_ref().map(|(_, every)| *every));
            let known = self.history.records.len();
            self.read(validates || saves)?;

            let pause = Instant::now();
            let evaluation = match self.validate(validates) {
                Err(Error::Stopped) => {
                    self.state.unvalidated = true;
                    stopped = true;
                    break;
                }
                evaluation => evaluation?,
            };
            self.save(evaluation.as_ref(), saves)?;
            self.aside += pause.elapsed();

            stopped = on_step(&self.progress(lr, known, evaluation.as_ref())).is_break();
            stopped |= self.options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::SeqCst));
            self.history.evaluations.extend(evaluation.map(|evaluation| (self.state.step, evaluation)));
        }
        self.finish(stopped)
    }

    /// Submits the next step, and returns its learning rate. A step that was taken before the run was stopped
    /// still needs its validation.
    fn step(&mut self) -> Result<f32> {
        let state = &mut self.state;
        let taken = std::mem::take(&mut state.unvalidated);
        state.step += u64::from(!taken);
        let lr = self.options.optim.lr * self.options.schedule.factor(state.step - 1, state.steps);
        if !taken {
            self.training.step(state.step, lr)?;
            state.batches = self.training.batches.state();
        }
        Ok(lr)
    }

    fn is_last(&self) -> bool {
        self.state.step == self.state.steps
    }

    /// Whether an action that is due every `every` steps, and after the last, is due now.
    fn is_due(&self, every: Option<u64>) -> bool {
        every.is_some_and(|every| self.is_last() || self.state.step.is_multiple_of(every))
    }

    /// Reads losses, if the loop waits for the device anyway or many are unread.
    fn read(&mut self, waits: bool) -> Result<()> {
        if self.is_last() || waits || self.training.is_due(self.options.read_every) {
            if !self.is_last() {
                self.training.give()?;
            }
            self.history.records.extend(self.training.read(&self.learner.params)?);
        }
        Ok(())
    }

    fn validate(&mut self, is_due: bool) -> Result<Option<Evaluation>> {
        let Some(source) = self.watched.filter(|_| is_due) else { return Ok(None) };
        self.learner.stop = self.options.stop.clone();
        let evaluation = self.learner.evaluate(source);
        self.learner.stop = None;
        evaluation.map(Some)
    }

    /// Writes the files that are due now: the best weights, if these are the best, and the checkpoint.
    fn save(&mut self, evaluation: Option<&Evaluation>, saves: bool) -> Result<()> {
        let options = self.options;
        let mut improved = false;
        if let Some(evaluation) = evaluation {
            improved = self.learner.watch(&mut self.state, evaluation, options)?;
        }
        let best = options.best.as_ref().filter(|_| improved);
        let checkpoint = options.checkpoint.as_ref().filter(|_| saves).map(|(path, _)| path);
        for path in best.into_iter().chain(checkpoint) {
            self.learner.keep(&self.training, options, &self.state);
            self.learner.save(path)?;
            self.training.checkpoint = self.learner.last_checkpoint.clone();
            self.learner.run = None;
        }
        Ok(())
    }

    /// The progress of the run; losses after the first `known` were read just now.
    fn progress<'p>(&'p self, lr: f32, known: usize, evaluation: Option<&'p Evaluation>) -> Progress<'p> {
        Progress {
            step: self.state.step,
            steps: self.state.steps,
            epoch: self.state.batches.epoch,
            lr,
            latest: self.history.records.last(),
            read: &self.history.records[known..],
            elapsed: self.before + self.start.elapsed().saturating_sub(self.aside),
            evaluation,
            best: self.state.watch.best,
            skipped: self.training.skipped(),
        }
    }

    fn finish(mut self, stopped: bool) -> Result<History> {
        let (state, history) = (&self.state, &mut self.history);
        history.records.extend(self.training.read(&self.learner.params)?);
        history.skipped = self.training.skipped();
        history.best = state.watch.best;
        history.stopped_early =
            state.step < state.steps && !state.unvalidated && state.watch.is_over(self.options.patience);
        history.finished = (state.step == state.steps && !state.unvalidated) || history.stopped_early;
        self.learner.keep(&self.training, self.options, state);
        if let (true, Some((path, _))) = (stopped || history.stopped_early, &self.options.checkpoint) {
            self.learner.save(path)?;
        }
        Ok(self.history)
    }
}
