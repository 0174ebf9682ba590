//! A learner: a model with weights on a device, its freeze, and its current run.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use frostline_engine::blocking::block_on;
use frostline_engine::ops::CrossEntropy;
use frostline_engine::{BatchNormMode, Error as EngineError, Freeze, Gpu, Graph, Params, Plan, TensorId};
use frostline_loader::{Preprocessing, StateDict};
use frostline_models::{LoadOptions, Model, Recorded, Report, state_dict};
use sha2::{Digest, Sha256};

use crate::best::Best;
use crate::drift::Watch;
use crate::error::{Error, Result};
use crate::fit::Run;
use crate::freeze;
use crate::inference::Inference;
use crate::moments::Moments;
use crate::options::FitOptions;
use crate::snapshot::Snapshot;
use crate::source::{Source, upcoming};

/// Images in a batch of evaluation; its results do not depend on it.
const EVALUATION_BATCH: usize = 64;

/// A model that can be trained, evaluated, saved and resumed.
///
/// ```no_run
/// use std::{ops::ControlFlow, sync::Arc};
/// use frostline_engine::{Gpu, Optim};
/// use frostline_models::{LoadOptions, Model};
/// use frostline_trainer::{FitOptions, Learner};
///
/// # use frostline_loader::ImageSet;
/// # fn example(train: &ImageSet, test: &ImageSet) -> Result<(), frostline_trainer::Error> {
/// let gpu = Arc::new(Gpu::new()?);
/// let model = Model::new("resnet10")?.classes(4);
/// let mut learner = Learner::new(&gpu, model, 28, 0)?;
/// let file = frostline_loader::safetensors::read("assets/resnet10_fashion.safetensors")?;
/// learner.load(&file.tensors, &LoadOptions::skip_head())?;
/// learner.normalization(&[0.2860], &[0.3530])?;
/// learner.freeze_below("layer4")?;
/// let options = FitOptions::steps(150).batch(32).optim(Optim::sgd(0.02).momentum(0.9));
/// learner.fit(train, &options, |progress| {
///     println!("{progress}");
///     ControlFlow::Continue(())
/// })?;
/// println!("{:.1}%", 100.0 * learner.evaluate(test)?.accuracy);
/// # Ok(())
/// # }
/// ```
pub struct Learner {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) model: Model,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) classes: Vec<String>,
    pub(crate) seed: u64,
    /// The model recorded for one image: names and order of its parameters.
    pub(crate) outline: Graph,
    pub(crate) params: Params,
    pub(crate) freeze: Freeze,
    pub(crate) moments: Moments,
    pub(crate) run: Option<Run>,
    /// What its checkpoints are marked with.
    pub(crate) identity: Option<String>,
    /// The statistics that frozen batch norms should have.
    pub(crate) watch: Watch,
    pub(crate) last_checkpoint: Option<PathBuf>,
    /// The best weights of the last fit that was to keep them.
    pub(crate) best: Option<(Best, Snapshot)>,
    pub(crate) evaluation_batch: usize,
    /// Ends an evaluation when it is set.
    pub(crate) stop: Option<Arc<AtomicBool>>,
    /// The last inference plan, with what it was made for.
    inference: Option<(Span, usize, Inference)>,
}

/// Where an inference plan ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Logits,
    /// The output of a stage.
    Stage(String),
    /// Its mean over the image.
    Pooled(String),
}

/// The part of the network that an inference plan computes: what comes after a stage (all of it, if
/// there is none), up to a place.
type Span = (Option<String>, Cut);

impl Learner {
    /// `model` for images of `size` × `size` pixels, its weights drawn from `seed`.
    ///
    /// Unless [`Learner::preprocessing`] or [`Learner::normalization`] sets it, inputs are normalised as the
    /// network's inventors did (EfficientNet-Lite, ImageNet's ResNets); grey images to −1..=1.
    ///
    /// # Errors
    /// [`Error::Models`] for settings that cannot be built, [`Error::Engine`] if the device has too little
    /// memory.
    pub fn new(gpu: &Arc<Gpu>, model: Model, size: usize, seed: u64) -> Result<Self> {
        let preprocessing = default_preprocessing(&model, size);
        preprocessing.check()?;
        let (outline, _) = record(&model, size, 1)?;
        let params = Params::new(gpu, &outline, seed)?;
        let classes = (0..model.class_count().unwrap_or(0)).map(|class| class.to_string());
        Ok(Self {
            gpu: gpu.clone(),
            classes: classes.collect(),
            model,
            preprocessing,
            seed,
            outline,
            params,
            freeze: Freeze::none(),
            moments: Moments::None,
            run: None,
            identity: None,
            watch: Watch::default(),
            last_checkpoint: None,
            best: None,
            evaluation_batch: EVALUATION_BATCH,
            stop: None,
            inference: None,
        })
    }

    /// Takes weights over from `tensors`, as [`state_dict::load`] does, and reports what fitted.
    /// The optimiser starts afresh.
    ///
    /// # Errors
    /// [`Error::Models`] with the list of differences; nothing is changed then.
    pub fn load(&mut self, tensors: &StateDict, options: &LoadOptions) -> Result<Report> {
        let report = state_dict::load(&self.params, tensors, options)?;
        self.moments = Moments::None;
        self.run = None;
        self.watch = Watch::default();
        Ok(report)
    }

    /// Sets how images become inputs.
    ///
    /// # Errors
    /// [`Error::Loader`] if it cannot be carried out, [`Error::ImageShape`] if it makes images of
    /// another size or other channels than the learner takes.
    pub fn preprocessing(&mut self, preprocessing: Preprocessing) -> Result<()> {
        preprocessing.check()?;
        let got = [preprocessing.crop, preprocessing.crop, preprocessing.channels];
        self.check_shape(got)?;
        self.preprocessing = preprocessing;
        self.inference = None; // its plan normalises as before
        Ok(())
    }

    /// Sets what is subtracted from every channel's values in 0..=1, and what they are divided by.
    ///
    /// # Errors
    /// [`Error::Loader`] unless there is one of each per channel, and the deviations are positive.
    pub fn normalization(&mut self, mean: &[f32], std: &[f32]) -> Result<()> {
        let (mean, std) = (mean.to_vec(), std.to_vec());
        self.preprocessing(Preprocessing { mean, std, ..self.preprocessing.clone() })
    }

    /// Sets how many images evaluation takes at once: fewer need less memory. 64 at first.
    pub fn evaluation_batch(&mut self, images: usize) {
        self.evaluation_batch = images.max(1);
    }

    /// Freezes everything below the stage or group `name` (`layer4`, `fc`), and nothing else: all
    /// from `name` on trains. Below `stem` there is nothing.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn freeze_below(&mut self, name: &str) -> Result<()> {
        let frozen = freeze::below(&self.model, &self.outline, name)?;
        self.set_frozen(&frozen);
        Ok(())
    }

    /// Freezes the stage or group `name` (`stem`, `layer1`, `layer2.0.bn1`) as well.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn freeze(&mut self, name: &str) -> Result<()> {
        let more = self.members(name)?;
        let frozen: Vec<String> = self.frozen().map(str::to_owned).chain(more).collect();
        self.set_frozen(&frozen);
        Ok(())
    }

    /// Lets everything train.
    pub fn unfreeze(&mut self) {
        self.set_frozen(&[]);
    }

    /// Lets the stage or group `name` train again: surgical fine-tuning is
    /// `freeze_below("fc")`, `freeze("fc")`, then `unfreeze_only("layer2")`.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn unfreeze_only(&mut self, name: &str) -> Result<()> {
        let open = self.members(name)?;
        let rest = self.frozen().filter(|frozen| !open.iter().any(|name| name == frozen));
        let frozen: Vec<String> = rest.map(str::to_owned).collect();
        self.set_frozen(&frozen);
        Ok(())
    }

    /// Sets which statistics batch norm layers use while training.
    pub fn batch_norm(&mut self, mode: BatchNormMode) {
        self.freeze.batch_norm = mode;
    }

    pub(crate) fn set_frozen(&mut self, names: &[String]) {
        let batch_norm = self.freeze.batch_norm;
        self.freeze = Freeze::names(names.iter().map(String::as_str));
        self.freeze.batch_norm = batch_norm;
    }

    /// Names of the frozen parameters.
    pub fn frozen(&self) -> impl Iterator<Item = &str> {
        self.freeze.frozen_names()
    }

    /// Names of the parameters of the stage or group `name`, for an optimiser's groups.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn members(&self, name: &str) -> Result<Vec<String>> {
        freeze::members(&self.model, &self.outline, name)
    }

    /// Forgets momentum and moving averages: the next fit starts with none. Otherwise they are
    /// carried over from fit to fit, where the rule is the same; AdamW's only as long as no
    /// parameter is thawed, because its bias correction counts the same steps for all.
    pub fn reset_optimizer(&mut self) {
        self.moments = Moments::None;
    }

    /// The plan that [`Learner::fit`] would run with these options: what it costs, and what the
    /// freeze saves, before anything runs.
    ///
    /// # Errors
    /// [`Error::Engine`] if everything is frozen, [`Error::NoClasses`] without a last layer.
    pub fn training_plan(&self, options: &FitOptions<'_>) -> Result<Plan> {
        self.plan_after(None, options)
    }

    /// The plan of a step on images, or on the outputs of a stage.
    pub(crate) fn plan_after(&self, stage: Option<&str>, options: &FitOptions<'_>) -> Result<Plan> {
        if let (Some(what), Some(_)) = (options.stochastic(), stage) {
            return Err(Error::StochasticCache { what: what.to_owned() });
        }
        let (mut graph, recorded, mixes) = match stage {
            None => self.record_changed(options)?,
            Some(_) => {
                let (graph, recorded) = self.record_after(stage, options.batch)?;
                (graph, recorded, None)
            }
        };
        let logits = recorded.logits.ok_or_else(|| self.no_classes())?;
        let labels = graph.labels(options.batch);
        let FitOptions { label_smoothing, class_weights, .. } = options;
        let loss = CrossEntropy { label_smoothing: *label_smoothing, class_weights: class_weights.clone() };
        let inputs: Vec<TensorId> = [logits, labels].into_iter().chain(mixes).collect();
        let loss = graph.record(loss, "loss", &inputs)?;
        let tuning = self.gpu.tuning().with_storage(options.storage);
        Ok(Plan::training(&graph, loss, &self.freeze, &options.optim, &tuning)?)
    }

    /// The whole model, on images of bytes that are augmented and mixed first, as the options specify; and
    /// the input that contains how they are mixed.
    fn record_changed(&self, options: &FitOptions<'_>) -> Result<(Graph, Recorded, Option<TensorId>)> {
        let mut graph = Graph::new();
        let mut x = match &options.augment {
            None => self.record_images(&mut graph, options.batch)?,
            Some(augment) => {
                // Augmentation takes values in 0..=1, and normalises last of all.
                let channels = self.model.input_channels();
                let pixels = graph.pixels(options.batch, self.size(), self.size(), channels);
                let x = graph.normalize(pixels, &vec![0.0; channels], &vec![1.0; channels])?;
                graph.augment(x, augment.op(&self.preprocessing))?
            }
        };
        let mixes = options.mixup.map(|_| graph.mixes(options.batch));
        if let Some(mixes) = mixes {
            x = graph.mixup(x, mixes)?;
        }
        let recorded = self.model.record(&mut graph, x)?;
        Ok((graph, recorded, mixes))
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The weights and running statistics, to look at or to set.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Names of the classes: those of the data last fitted, numbers before.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Names the classes before any data is fitted: a head may come from elsewhere
    /// ([`Learner::set_head`]).
    ///
    /// # Errors
    /// [`Error::Classes`] unless there is a name for each class.
    pub fn name_classes(&mut self, names: &[String]) -> Result<()> {
        let classes = self.model.class_count().ok_or_else(|| self.no_classes())?;
        if names.len() != classes {
            return Err(Error::Classes { data: names.len(), model: classes });
        }
        self.classes = names.to_vec();
        Ok(())
    }

    /// Marks the checkpoints that this learner saves from now on, so that a reader can determine the run of a
    /// checkpoint: with a text that is the same for runs of the same settings, data and first weights, and
    /// for no others, so that runs stay the same bits.
    pub fn set_identity(&mut self, identity: impl Into<String>) {
        self.identity = Some(identity.into());
    }

    /// What its checkpoints are marked with, and the one was that it was resumed from.
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// SHA-256 of the bits of all weights and running statistics, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Engine`] if they cannot be read.
    pub fn weights_hash(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for (name, _, values) in self.params.to_host()? {
            hash.update(name.as_bytes());
            values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// How images become inputs.
    pub fn input(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Side of the images it takes, in pixels.
    pub fn size(&self) -> usize {
        self.preprocessing.crop
    }

    /// The last checkpoint that was written, or that this learner was resumed from.
    pub fn last_checkpoint(&self) -> Option<&std::path::Path> {
        self.last_checkpoint.as_deref()
    }

    /// The plan's values at `cut` for every image of `source`, one after another.
    pub(crate) fn infer(&mut self, source: &dyn Source, cut: Cut) -> Result<Vec<f32>> {
        block_on(self.infer_async(source, cut))
    }

    pub(crate) async fn infer_async(&mut self, source: &dyn Source, cut: Cut) -> Result<Vec<f32>> {
        self.check_images(source)?;
        let len = source.labels().len();
        if len == 0 {
            return Err(Error::NoImages { purpose: "look at" });
        }
        let batch = self.evaluation_batch.min(len);
        let span = (source.activations().map(|outputs| outputs.stage().to_owned()), cut);
        let mut inference = match self.inference.take() {
            Some((of, images, inference)) if of == span && images == batch => inference,
            _ => self.prepare(&span, batch).await?,
        };
        let step = inference.batch();
        let stop = self.stop.clone();
        let values = inference.run(len, |indices, out| {
            if stop.as_ref().is_some_and(|stop| stop.load(Ordering::SeqCst)) {
                return Err(Error::Stopped);
            }
            source.gather(indices, None, out)?;
            let next = indices.last().map_or(0, |last| last + 1);
            source.expect(&upcoming(
                (next..len).step_by(step).map(|first| (first..len.min(first + step)).collect()),
            ));
            Ok(())
        });
        let values = values.await?;
        self.inference = Some((span, batch, inference));
        Ok(values)
    }

    /// Inference of `span` in batches of `batch` images, or of fewer where the adapter cannot bind what so
    /// many take.
    pub(crate) async fn prepare(&self, span: &Span, mut batch: usize) -> Result<Inference> {
        loop {
            let (graph, output) = self.record_span(span, batch)?;
            match Inference::open(&self.gpu, &graph, output, &self.params, batch).await {
                Err(Error::Engine(EngineError::TooLarge { .. })) if batch > 1 => batch = batch.div_ceil(2),
                made => return made,
            }
        }
    }

    fn record_span(&self, (after, cut): &Span, batch: usize) -> Result<(Graph, TensorId)> {
        let (mut graph, recorded) = self.record_after(after.as_deref(), batch)?;
        let output = self.output_at(&mut graph, &recorded, cut)?;
        Ok((graph, output))
    }

    /// A batch of images of bytes, normalised.
    pub(crate) fn record_images(&self, graph: &mut Graph, batch: usize) -> Result<TensorId> {
        let Preprocessing { crop, channels, mean, std, .. } = &self.preprocessing;
        let pixels = graph.pixels(batch, *crop, *crop, *channels);
        Ok(graph.normalize(pixels, mean, std)?)
    }

    /// Where a plan of what was recorded is to end.
    pub(crate) fn output_at(&self, graph: &mut Graph, recorded: &Recorded, cut: &Cut) -> Result<TensorId> {
        let stage = |name: &String| {
            recorded.stages.get(name).copied().ok_or_else(|| Error::UnknownGroup {
                name: name.clone(),
                known: recorded.stages.keys().cloned().collect::<Vec<_>>().join(", "),
            })
        };
        Ok(match cut {
            Cut::Logits => recorded.logits.ok_or_else(|| self.no_classes())?,
            Cut::Stage(name) => stage(name)?,
            Cut::Pooled(name) => {
                let output = stage(name)?;
                match graph.shape(output).torch()[..] {
                    [_, _, 1, 1] => output,
                    _ => graph.global_avg_pool(output, "features")?,
                }
            }
        })
    }

    /// Shape of one image's values at `stage`: channels, height, width.
    pub(crate) fn stage_shape(&self, stage: &str) -> Result<[usize; 3]> {
        let (graph, output) = self.record_span(&(None, Cut::Stage(stage.to_owned())), 1)?;
        let shape = graph.shape(output).torch();
        Ok([shape[1], shape[2], shape[3]])
    }

    /// Fails unless images and labels of `source` fit this model's input and classes.
    pub(crate) fn check_source(&self, source: &dyn Source) -> Result<()> {
        self.check_images(source)?;
        self.check_labels(source)
    }

    /// Fails unless the labels of `source` are classes of this model.
    pub(crate) fn check_labels(&self, source: &dyn Source) -> Result<()> {
        let classes = self.model.class_count().ok_or_else(|| self.no_classes())?;
        if source.classes().len() != classes {
            return Err(Error::Classes { data: source.classes().len(), model: classes });
        }
        let labels = source.labels();
        match labels.iter().position(|&label| label as usize >= classes) {
            None => Ok(()),
            Some(index) => Err(Error::Label { index, label: labels[index], classes }),
        }
    }

    pub(crate) fn check_shape(&self, got: [usize; 3]) -> Result<()> {
        let expected = [self.size(), self.size(), self.model.input_channels()];
        if got == expected { Ok(()) } else { Err(Error::ImageShape { expected, got }) }
    }

    pub(crate) fn no_classes(&self) -> Error {
        Error::NoClasses { model: self.model.name().to_owned() }
    }
}

/// The whole model on a batch of `batch` images of floats.
pub(crate) fn record(model: &Model, size: usize, batch: usize) -> Result<(Graph, Recorded)> {
    let mut graph = Graph::new();
    let x = graph.input(batch, size, size, model.input_channels());
    let recorded = model.record(&mut graph, x)?;
    Ok((graph, recorded))
}

fn default_preprocessing(model: &Model, size: usize) -> Preprocessing {
    match model.input_channels() {
        3 if model.name().starts_with("efficientnet_lite") => Preprocessing::efficientnet_lite(size),
        3 => Preprocessing::imagenet(size),
        channels => {
            let half = vec![0.5; channels];
            Preprocessing {
                resize: Some(size),
                channels,
                mean: half.clone(),
                std: half,
                ..Preprocessing::imagenet(size)
            }
        }
    }
}

impl fmt::Debug for Learner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frozen = self.frozen().count();
        let parameters = self.outline.parameter_names().len();
        write!(f, "Learner({}, {frozen} of {parameters} parameters frozen)", self.model)
    }
}
