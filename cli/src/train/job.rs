//! A run: begun or resumed, then trained. LP-FT by default: a linear probe on the features of the frozen
//! network first, then fine-tuning from there (Kumar et al. 2022).

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frostline_charts::bar;
use frostline_engine::{Gpu, Optim};
use frostline_loader::ImageStream;
use frostline_models::POOLED;
use frostline_trainer::{
    Best, CrossValidation, Evaluation, Features, FitOptions, GradualPhase, Learner, LrRange, Progress,
    Schedule, Source, balanced_class_weights, cross_validate,
};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::Output;
use crate::error::{Error, Result};
use crate::logging::timed;
use crate::output::warn;
use crate::train::choices::{CACHED, Choice, Chosen, choose, find_lr, no_fine_tuning};
use crate::train::data::{Data, counts};
use crate::train::folder::{Run, RunFolder};
use crate::train::interrupt::Interrupt;
use crate::train::metrics::{Line, METRICS, Metrics};
use crate::train::recipe::{Augmentation, Recipe};
use crate::train::settle::Settled;
use crate::train::start::Start;
use crate::train::tensorboard::{self, EVENTS};

/// The rate if the range test suggests none.
pub const CAUTIOUS: f32 = 1e-3;
/// A run ends after this many epochs without a new best, unless the number of epochs was given.
const PATIENCE: u64 = 8;

/// A learner on data, ready to train.
pub struct Job {
    /// What was requested.
    pub recipe: Recipe,
    /// What was chosen.
    pub chosen: Chosen,
    /// The choices with their reasons; empty for a resumed run.
    pub choices: Vec<Choice>,
    /// The photos.
    pub data: Data,
    /// The network.
    pub learner: Learner,
    /// The accuracy of the linear probe, if there was one.
    pub probe: Option<Evaluation>,
    /// The duration of the probe, including the features of the photos.
    pub probe_took: Option<Duration>,
    /// The features of all photos from the frozen network, training photos first, if there was a probe.
    pub features: Option<Features>,
    /// The inverse penalty strength that was last chosen for a head on these features.
    pub strength: Option<f64>,
    /// The comparison of fine-tuning with the probe.
    pub settled: Option<Settled>,
    /// Number of photos on which the probe's head was trained again, if it was.
    pub refitted: Option<usize>,
    /// When a time budget ends the training, even if the estimate was longer.
    pub deadline: Option<Instant>,
    /// Whether an event file for TensorBoard is written.
    pub tensorboard: bool,
}

impl Job {
    /// Reads photos and weights, chooses the settings that no flag sets, except the rate, and gives the
    /// network its head.
    ///
    /// # Errors
    /// The errors of reading, choosing and probing.
    pub fn begin(gpu: &Arc<Gpu>, recipe: Recipe, output: &Output) -> Result<Self> {
        let start = Start::find(&recipe)?;
        let data = Data::open(&recipe, &start.input)?;
        output.say(tell_data(&data))?;
        data.warnings().for_each(warn);
        let mut learner = start.learner(gpu, data.train.classes(), recipe.seed)?;
        output.say(format_args!("model      {}  ({})", learner.model(), start.name))?;
        output.say(format_args!("adapter    {}", gpu.describe()))?;
        let (chosen, choices) = choose(&recipe, &mut learner, &data, &start.name, start.pretrained())?;
        choices.iter().try_for_each(|choice| output.say(choice))?;
        let mut job = Self::new(recipe, chosen, choices, data, learner);
        let start_of_probe = Instant::now();
        // Each phase of gradual unfreezing has other frozen stages.
        if cached(&job.recipe, &job.chosen, &job.data.train) && !job.recipe.gradual {
            timed("frozen stages", || job.data.keep_outputs(&mut job.learner))?;
        }
        if start.pretrained() && !job.recipe.no_probe {
            let (found, probe) = job.probe()?;
            job.probe_took = Some(start_of_probe.elapsed());
            let choice = tell_probe(&found, &probe);
            output.say(&choice)?;
            job.choices.push(choice);
            job.probe = Some(probe);
        }
        Ok(job)
    }

    /// The run in `folder`, in the state of its last checkpoint.
    ///
    /// # Errors
    /// The errors of reading checkpoint and photos.
    pub fn resume(gpu: &Arc<Gpu>, folder: &RunFolder, run: &Run, chosen: Chosen) -> Result<Self> {
        folder.put_tuned_back()?;
        let mut learner =
            folder.learner(gpu, &folder.last(), run).map_err(|error| folder.without_last(error, run))?;
        learner.set_evaluation_batch(chosen.batch);
        let recipe = run.recipe.clone();
        let data = Data::reopen(&recipe, learner.preprocessing(), folder.manifest()?, folder.path())?;
        Ok(Self::new(recipe, chosen, vec![], data, learner))
    }

    fn new(recipe: Recipe, chosen: Chosen, choices: Vec<Choice>, data: Data, learner: Learner) -> Self {
        Self {
            recipe,
            chosen,
            choices,
            data,
            learner,
            probe: None,
            probe_took: None,
            features: None,
            strength: None,
            settled: None,
            refitted: None,
            deadline: None,
            tensorboard: false,
        }
    }

    /// Marks the checkpoints of the run that begins here, and returns the mark: a hash of the settings, the
    /// photos and the weights. Differences of spelling, such as the path of the photos, are left out.
    ///
    ///
    /// # Errors
    /// If the weights cannot be read.
    pub fn mark(&mut self) -> Result<String> {
        let recipe = Recipe { dir: PathBuf::new(), model: None, weights: None, ..self.recipe.clone() };
        let (manifest, weights) = (&self.data.manifest, self.learner.weights_hash()?);
        let all = serde_json::json!([recipe, self.chosen, manifest, weights]).to_string();
        let mark: String = Sha256::digest(all).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.learner.set_identity(&mark);
        Ok(mark)
    }

    /// Trains a linear probe on pooled features and puts it in the head's place.
    fn probe(&mut self) -> Result<(CrossValidation, Evaluation)> {
        let mut of = |photos: &dyn Source| timed("features", || self.learner.features(photos, POOLED, 1));
        let (train, validation) = (of(self.data.to_train_on())?, of(self.data.to_validate_with())?);
        let found = timed("linear probe", || cross_validate(&train, self.recipe.seed))?;
        let head = &found.regression.head;
        self.learner.set_head(head)?;
        let evaluation = head.evaluate(&validation)?;
        self.strength = Some(found.regression.c);
        self.features = Some(train.followed_by(&validation));
        Ok((found, evaluation))
    }

    /// Plans no step if fine-tuning cannot succeed, and prints the reason.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub fn spare_fine_tuning(&mut self, output: &Output) -> Result<()> {
        let probe = self.probe.as_ref().filter(|_| self.chosen.epochs > 0);
        if let Some(choice) = probe.and_then(|probe| no_fine_tuning(&self.recipe, self.chosen.epochs, probe))
        {
            output.say(&choice)?;
            self.choices.push(choice);
            // As with --freeze-below fc: only the head was trained.
            (self.chosen.epochs, self.chosen.freeze_below) = (0, "fc".to_owned());
        }
        Ok(())
    }

    /// Sets the rate: the one that was given, or the one that a range test suggests.
    ///
    /// # Errors
    /// As [`Learner::find_lr`].
    pub fn choose_rate(&mut self, output: &Output) -> Result<()> {
        if self.chosen.epochs == 0 {
            return Ok(());
        }
        let (lr, why) = match (self.recipe.lr, self.recipe.slice) {
            (Some(lr), _) => (lr, "as asked".to_owned()),
            (None, Some(slice)) => {
                let optim = self.learner.slice(Optim::sgd(1.0), slice)?;
                (optim.lr, "the head's, as given; lower stages have lower rates".to_owned())
            }
            (None, None) => {
                let range = LrRange::default();
                let test = || find_lr(&self.recipe, &mut self.learner, &self.data, &self.chosen, range);
                match timed("range test", test)?.1 {
                    Some(lr) => (lr, "the range test's suggestion".to_owned()),
                    None => (CAUTIOUS, "the range test suggests none: a cautious rate".to_owned()),
                }
            }
        };
        self.set_rate(lr, why, output)
    }

    /// Sets the rate, and prints the reason.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub fn set_rate(&mut self, lr: f32, why: String, output: &Output) -> Result<()> {
        self.chosen.lr = lr;
        let choice = Choice { what: "rate", value: format!("{lr:.1e}"), why };
        output.say(&choice)?;
        self.choices.push(choice);
        Ok(())
    }

    /// The plan of a step, with its ledger.
    ///
    /// # Errors
    /// As [`Learner::training_plan`].
    pub fn plan(&self) -> Result<String> {
        Ok(self
            .learner
            .training_plan(&options(&self.recipe, &self.chosen, &self.learner, &self.data.train)?)?
            .to_string())
    }

    /// Trains to the end of the run, or until Ctrl-C. The best weights are in the folder afterwards.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after Ctrl-C, with everything saved; otherwise as [`Learner::fit`].
    pub fn train(&mut self, folder: &RunFolder, interrupt: &Interrupt, resumed: bool) -> Result<()> {
        let stages = self.phases();
        let per_epoch = (self.data.train.len() / self.chosen.batch).max(1) as u64;
        let steps = self.steps();
        let mut options = options(&self.recipe, &self.chosen, &self.learner, &self.data.train)?
            .validate(self.data.to_validate_with(), per_epoch)
            .checkpoint(folder.last(), per_epoch)
            .keep_best(folder.best())
            .stop_when(interrupt.flag());
        // A number of epochs that was given is followed.
        let patience = if self.recipe.epochs.is_none() { PATIENCE } else { 0 };
        options.patience = Some(self.recipe.early_stop.unwrap_or(patience)).filter(|epochs| *epochs > 0);
        let mut watch = Watch::new(folder, interrupt, resumed, &stages, steps)?;
        watch.deadline = self.deadline;
        watch.tensorboard = self.tensorboard;
        if let (false, Some(probe)) = (resumed, &self.probe) {
            self.learner.save(folder.probe())?;
            self.learner.save(folder.best())?;
            options = options.better_than(Best { step: 0, accuracy: probe.accuracy, loss: probe.loss });
            watch.metrics.extend([Line::evaluation(0, probe)])?;
        }
        if steps == 0 {
            return watch.finish(&[]);
        }
        let stages: Vec<&str> = stages.iter().map(String::as_str).collect();
        let source = self.data.to_train_on();
        let on_step = |from: &str, progress: &Progress<'_>| watch.step(from, progress);
        let trained = match resumed {
            false => self.learner.fit_gradually(source, &options, &stages, on_step),
            true => self.learner.continue_gradually(source, &options, &stages, on_step),
        };
        watch.bar.finish_and_clear();
        watch.finish(&trained?)
    }

    /// Number of steps of the run; 0 if it is a linear probe only.
    pub fn steps(&self) -> u64 {
        self.chosen.steps_on(self.data.train.len())
    }

    /// Number of phases, each of which needs at least one step.
    pub fn phase_count(&self) -> usize {
        self.phases().len()
    }

    /// The lowest trained stage of each phase: a single stage, or with gradual unfreezing all stages from the
    /// head down to it.
    fn phases(&self) -> Vec<String> {
        let lowest = &self.chosen.freeze_below;
        let mut stages: Vec<String> =
            self.learner.model().stages().into_iter().skip_while(|stage| stage != lowest).collect();
        stages.reverse();
        if self.recipe.gradual { stages } else { vec![lowest.clone()] }
    }
}

/// The settings of training on `photos`, without those of validating and saving.
///
/// # Errors
/// For invalid rates.
pub fn options(
    recipe: &Recipe,
    chosen: &Chosen,
    learner: &Learner,
    photos: &ImageStream,
) -> Result<FitOptions<'static>> {
    let mut optim = Optim::sgd(chosen.lr).momentum(0.9);
    if let Some(slice) = recipe.slice {
        optim = learner.slice(optim, slice)?;
    }
    if let Some(decay) = recipe.layer_decay {
        optim = learner.layer_decay(optim, decay)?;
    }
    let mut options = chosen
        .steps
        .map_or_else(|| FitOptions::epochs(chosen.epochs), FitOptions::steps)
        .batch(chosen.batch)
        .optim(optim)
        .schedule(Schedule::from(recipe.schedule.unwrap_or_default()).warm_up(recipe.warm_up))
        .seed(recipe.seed)
        .label_smoothing(recipe.label_smoothing)
        .storage(recipe.storage.into());
    if recipe.class_weights {
        options = options.class_weights(balanced_class_weights(photos.labels(), photos.classes().len())?);
    }
    options.augment = chosen.augment.of(learner.model().input_channels());
    options.mixup = recipe.mixup;
    Ok(options.cache_frozen(cached(recipe, chosen, photos)))
}

/// Whether the outputs of the frozen stages are kept: if they are the same in every epoch and fit into
/// memory.
fn cached(recipe: &Recipe, chosen: &Chosen, photos: &ImageStream) -> bool {
    let random = chosen.augment != Augmentation::None || recipe.mixup.is_some();
    !random && photos.len() <= CACHED
}

/// The observer of a run while it trains: metrics, the best weights, the progress bar, Ctrl-C.
struct Watch<'a> {
    folder: &'a RunFolder,
    interrupt: &'a Interrupt,
    metrics: Metrics,
    bar: ProgressBar,
    stages: &'a [String],
    steps: u64,
    /// The first error: the run ends at the next step.
    failed: Option<Error>,
    /// The step after which Ctrl-C ended the run.
    interrupted: Option<u64>,
    deadline: Option<Instant>,
    tensorboard: bool,
}

impl<'a> Watch<'a> {
    fn new(
        folder: &'a RunFolder,
        interrupt: &'a Interrupt,
        resumed: bool,
        stages: &'a [String],
        steps: u64,
    ) -> Result<Self> {
        let known = if resumed { u64::MAX } else { 0 };
        let metrics = Metrics::open(folder.file(METRICS), known)?;
        Ok(Self {
            folder,
            interrupt,
            metrics,
            bar: bar("training", steps),
            stages,
            steps,
            failed: None,
            interrupted: None,
            deadline: None,
            tensorboard: false,
        })
    }

    fn step(&mut self, from: &str, progress: &Progress<'_>) -> ControlFlow<()> {
        self.interrupt.training();
        let step = self.before(from) + progress.step;
        self.bar.set_position(step);
        if let Err(error) = self.note(from, progress, step) {
            self.failed = Some(error);
            return ControlFlow::Break(());
        }
        if self.interrupt.asked() {
            self.interrupted = Some(step);
            return ControlFlow::Break(());
        }
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            log::info!("the time budget ended after step {step} of {}", self.steps);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn note(&mut self, from: &str, progress: &Progress<'_>, step: u64) -> Result<()> {
        // A killed run resumes from its last checkpoint and repeats the later metrics. If it was stopped
        // between a step and its evaluation, only the evaluation is missing.
        let evaluated_alone = progress.read.is_empty() && progress.evaluation.is_some();
        let known = if evaluated_alone { step } else { step - 1 };
        if self.metrics.lines().last().is_some_and(|line| line.step > known) {
            self.metrics = Metrics::open(self.folder.file(METRICS), known)?;
        }
        let (before, phase) = (self.before(from), self.phase(from));
        self.metrics
            .extend(progress.read.iter().map(|record| Line::step(before + record.step, phase, record)))?;
        let Some(evaluation) = progress.evaluation else { return Ok(()) };
        self.bar.set_message(format!("{:.1}%", 100.0 * evaluation.accuracy));
        log::info!(
            "step {step} of {}: {:.1}% of the validation photos, loss {:.4}",
            self.steps,
            100.0 * evaluation.accuracy,
            evaluation.loss
        );
        self.metrics.extend([Line::evaluation(step, evaluation)])?;
        self.write_events()
    }

    fn write_events(&self) -> Result<()> {
        if self.tensorboard {
            tensorboard::write(&self.folder.file(EVENTS), self.metrics.lines())?;
        }
        Ok(())
    }

    /// The name of the phase in metrics; `None` if there is only one.
    fn phase<'f>(&self, from: &'f str) -> Option<&'f str> {
        (self.stages.len() > 1).then_some(from)
    }

    /// Steps of the phases before the one that trains from `from`; as the learner divides them.
    fn before(&self, from: &str) -> u64 {
        let place = self.stages.iter().position(|stage| stage == from).unwrap_or(0);
        self.steps * place as u64 / self.stages.len() as u64
    }

    fn finish(mut self, phases: &[GradualPhase]) -> Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // A run that was stopped between two reports has steps that were not reported.
        let noted =
            self.metrics.lines().iter().filter(|line| line.loss.is_some()).map(|line| line.step).max();
        if let Some(GradualPhase { from, history }) = phases.last() {
            let (before, phase) = (self.before(from), self.phase(from));
            let rest = history.records.iter().filter(|record| Some(before + record.step) > noted);
            self.metrics.extend(rest.map(|record| Line::step(before + record.step, phase, record)))?;
        }
        if self.interrupt.asked() && self.interrupted.is_none() {
            // Stopped in an evaluation, after a step that was not reported.
            self.interrupted = self.metrics.lines().last().map(|line| line.step);
        }
        self.folder.write("metrics.csv", &self.metrics.csv()?)?;
        self.write_events()?;
        match self.interrupted {
            Some(step) if step < self.steps => {
                Err(Error::Interrupted { run: self.folder.path().to_owned(), step, steps: self.steps })
            }
            _ => Ok(()),
        }
    }
}

fn tell_probe(found: &CrossValidation, evaluation: &Evaluation) -> Choice {
    let (c, percent) = (found.regression.c, 100.0 * evaluation.accuracy);
    let why = match found.chosen() {
        Some(chosen) => format!(
            "L2 strength C of {} tried: recognises {} of {} training photos while they are held out, {} folds",
            found.strengths.len(),
            chosen.right,
            found.held_out,
            found.folds
        ),
        None => "too few photos to choose the L2 strength C by cross-validation".to_owned(),
    };
    let value = format!("a linear probe with C = {c}: {percent:.1}% of the validation photos");
    Choice { what: "head", value, why }
}

fn tell_data(data: &Data) -> String {
    let (train, validation) = (counts(&data.train), counts(&data.validation));
    let (least, most) = (train.iter().min().unwrap_or(&0), train.iter().max().unwrap_or(&0));
    format!(
        "data       {} photos of {} classes to train on ({least} to {most} a class), {} to validate with  ({})",
        data.train.len(),
        train.len(),
        validation.iter().sum::<usize>(),
        data.split
    )
}
