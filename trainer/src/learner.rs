//! A learner: a model with weights on a device, its freeze, and its current run.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use frostline_engine::{Freeze, Gpu, Graph, Params};
use frostline_loader::{Preprocessing, StateDict};
use frostline_models::{LoadOptions, Model, Report, state_dict};
use sha2::{Digest, Sha256};

use crate::best::Best;
use crate::drift::FrozenStatistics;
use crate::error::{Error, Result};
use crate::inference::Inference;
use crate::moments::Moments;
use crate::snapshot::Snapshot;
use crate::state::FitState;

pub(crate) use infer::{Cut, Span};
pub(crate) use record::record;

mod check;
mod infer;
mod record;

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
/// learner.set_normalization(&[0.2860], &[0.3530])?;
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
    pub(crate) run: Option<FitState>,
    /// The mark of its checkpoints.
    pub(crate) identity: Option<String>,
    /// The statistics that frozen batch norms should have.
    pub(crate) watch: FrozenStatistics,
    pub(crate) last_checkpoint: Option<PathBuf>,
    /// The best weights of the last fit that kept them.
    pub(crate) best: Option<(Best, Snapshot)>,
    pub(crate) evaluation_batch: usize,
    /// Ends an evaluation when it is set.
    pub(crate) stop: Option<Arc<AtomicBool>>,
    /// The last inference plan, with the span that it was made for.
    inference: Option<(Span, usize, Inference)>,
}

impl Learner {
    /// `model` for images of `size` × `size` pixels, its weights drawn from `seed`.
    ///
    /// Unless [`Learner::set_preprocessing`] or [`Learner::set_normalization`] sets it, inputs are normalised
    /// as by the network's authors (EfficientNet-Lite, ImageNet's ResNets); grey images to −1..=1.
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
            watch: FrozenStatistics::default(),
            last_checkpoint: None,
            best: None,
            evaluation_batch: EVALUATION_BATCH,
            stop: None,
            inference: None,
        })
    }

    /// Loads weights from `tensors`, as [`state_dict::load`] does, and reports which fitted. The optimiser's
    /// state is reset.
    ///
    /// # Errors
    /// [`Error::Models`] with the list of differences; nothing is changed then.
    pub fn load(&mut self, tensors: &StateDict, options: &LoadOptions) -> Result<Report> {
        let report = state_dict::load(&self.params, tensors, options)?;
        self.moments = Moments::None;
        self.run = None;
        self.watch = FrozenStatistics::default();
        Ok(report)
    }

    /// Sets the preprocessing of images.
    ///
    /// # Errors
    /// [`Error::Loader`] if it is invalid, [`Error::ImageShape`] if its images have another size or other
    /// channels than the learner's input.
    pub fn set_preprocessing(&mut self, preprocessing: Preprocessing) -> Result<()> {
        preprocessing.check()?;
        let got = [preprocessing.crop, preprocessing.crop, preprocessing.channels];
        self.check_shape(got)?;
        self.preprocessing = preprocessing;
        self.inference = None; // its plan normalises as before
        Ok(())
    }

    /// Sets the mean that is subtracted from every channel's values in 0..=1, and the deviation that divides
    /// them.
    ///
    /// # Errors
    /// [`Error::Loader`] unless there is one mean and one positive deviation per channel.
    pub fn set_normalization(&mut self, mean: &[f32], std: &[f32]) -> Result<()> {
        let (mean, std) = (mean.to_vec(), std.to_vec());
        self.set_preprocessing(Preprocessing { mean, std, ..self.preprocessing.clone() })
    }

    /// Sets the batch size of evaluation; a smaller batch needs less memory. 64 by default.
    pub fn set_evaluation_batch(&mut self, images: usize) {
        self.evaluation_batch = images.max(1);
    }

    /// Resets momentum and moving averages: the next fit starts with none. Otherwise they are carried over
    /// from fit to fit if the rule is the same; AdamW's only as long as no parameter is unfrozen, because its
    /// bias correction counts the same steps for all.
    pub fn reset_optimizer(&mut self) {
        self.moments = Moments::None;
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The weights and running statistics, to read or to set.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Names of the classes: those of the data of the last fit; numbers before any fit.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Sets the names of the classes, for a head that did not come from a fit ([`Learner::set_head`]).
    ///
    /// # Errors
    /// [`Error::Classes`] unless there is a name for each class.
    pub fn set_classes(&mut self, names: &[String]) -> Result<()> {
        let classes = self.model.class_count().ok_or_else(|| self.no_classes())?;
        if names.len() != classes {
            return Err(Error::Classes { data: names.len(), model: classes });
        }
        self.classes = names.to_vec();
        Ok(())
    }

    /// Sets the mark of the checkpoints that this learner saves after this call, by which a reader can find
    /// the run of a checkpoint. The mark should depend only on settings, data and first weights, so that
    /// equal runs write equal bits, and differ for different runs.
    pub fn set_identity(&mut self, identity: impl Into<String>) {
        self.identity = Some(identity.into());
    }

    /// The mark of its checkpoints, and of the checkpoint that it was resumed from.
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

    /// The preprocessing of images.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Side of its input images, in pixels.
    pub fn size(&self) -> usize {
        self.preprocessing.crop
    }

    /// The last checkpoint that was written, or that this learner was resumed from.
    pub fn last_checkpoint(&self) -> Option<&std::path::Path> {
        self.last_checkpoint.as_deref()
    }
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
