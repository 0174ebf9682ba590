//! The outputs of frozen stages, computed once: training and evaluation then start above them.
//!
//! Below the frostline nothing changes from step to step, so the frozen stages need to run only once per
//! image, not once per image and epoch. [`Activations`] are their outputs. They can replace the images
//! wherever a [`Source`] is used. One set can be used for any number of runs with the same frozen weights:
//! other seeds, other rates, other subsets.
//!
//! They are float values of every pixel and channel: 1,000 images after ResNet-10's `layer1` are
//! 50 MB, after its `layer3` 12.5 MB.

use frostline_engine::freeze::in_group;
use frostline_engine::{BatchNormMode, Graph, Plan};
use frostline_loader::{BatchState, Error as LoaderError, Preprocessing};
use frostline_models::{POOLED, Recorded};

use crate::error::{Error, Result};
use crate::learner::{Cut, Learner};
use crate::options::FitOptions;
use crate::source::{Batch, Source};

/// The outputs of a stage for every image. Made by [`Learner::activations`].
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    stage: String,
    /// Height, width, channels.
    shape: [usize; 3],
    /// (images, height, width, channels).
    values: Vec<f32>,
    labels: Vec<u32>,
    classes: Vec<String>,
    /// Hash of the weights and running statistics that computed them, and of the normalisation.
    fingerprint: u64,
}

impl Activations {
    /// The stage whose outputs these are.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The values of image `i`: (height, width, channels).
    ///
    /// # Panics
    /// If there is no image `i`, as indexing does.
    pub fn image(&self, i: usize) -> &[f32] {
        let each = self.shape.iter().product::<usize>();
        &self.values[i * each..][..each]
    }

    /// The values of all images, one after another.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Bytes of memory that the values take.
    pub fn bytes(&self) -> u64 {
        4 * self.values.len() as u64
    }

    /// The values of these images, in this order; an index may occur more than once.
    ///
    /// # Errors
    /// [`LoaderError::IndexOutOfRange`], as [`Error::Loader`].
    pub fn subset(&self, indices: &[usize]) -> Result<Self> {
        let mut values = vec![];
        self.gather_values(indices, &mut values)?;
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        Ok(Self { values, labels, stage: self.stage.clone(), classes: self.classes.clone(), ..*self })
    }

    /// Replaces what `out` contains by the values of these images.
    fn gather_values(&self, indices: &[usize], out: &mut Vec<f32>) -> Result<(), LoaderError> {
        let (len, each) = (self.labels.len(), self.shape.iter().product::<usize>());
        out.clear();
        out.reserve(indices.len() * each);
        for &index in indices {
            let row =
                self.values.get(index.saturating_mul(each)..index.saturating_add(1).saturating_mul(each));
            out.extend(row.ok_or(LoaderError::IndexOutOfRange { index, len })?);
        }
        Ok(())
    }
}

impl Source for Activations {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn gather(&self, indices: &[usize], _: Option<BatchState>, out: &mut Batch) -> Result<(), LoaderError> {
        self.gather_values(indices, out.floats())
    }

    fn activations(&self) -> Option<&Activations> {
        Some(self)
    }
}

/// The values of an image, (channels, height, width), as (height, width, channels).
pub(crate) fn channels_last(image: &[f32], channels: usize) -> impl Iterator<Item = f32> {
    let pixels = image.len() / channels;
    (0..pixels).flat_map(move |pixel| (0..channels).map(move |channel| image[channel * pixels + pixel]))
}

impl Learner {
    /// The output of `stage` (`stem`, `layer1` …, `avgpool`) for every image of `source`, as in evaluation.
    /// They replace the images in training and evaluation while everything up to `stage` is frozen. `source`
    /// may itself be the outputs of an earlier stage.
    ///
    /// Losses are those of training on the images, up to rounding; they are the same bits where
    /// [`Learner::set_evaluation_batch`] is the batch of training, for which the same kernels are chosen.
    ///
    /// # Errors
    /// [`Error::StochasticCache`] for a source that changes its images at random,
    /// [`Error::UnknownGroup`] for a stage that does not exist (after the source's); [`Error::ImageShape`],
    /// [`Error::NoImages`], [`Error::StaleActivations`], [`Error::Engine`].
    pub fn activations(&mut self, source: &dyn Source, stage: &str) -> Result<Activations> {
        if let Some(what) = source.stochastic() {
            return Err(Error::StochasticCache { what: what.to_owned() });
        }
        let [channels, height, width] = self.stage_shape(stage)?;
        let planes = self.infer(source, Cut::Stage(stage.to_owned()))?;
        let mut values = Vec::with_capacity(planes.len());
        for image in planes.chunks_exact(channels * height * width) {
            values.extend(channels_last(image, channels));
        }
        let fingerprint = self.fingerprint(stage)?;
        let (labels, classes) = (source.labels().to_vec(), source.classes().to_vec());
        Ok(Activations {
            stage: stage.to_owned(),
            shape: [height, width, channels],
            values,
            labels,
            classes,
            fingerprint,
        })
    }

    /// The plan that [`Learner::fit`] would run with these options on [`Activations`] of `stage`,
    /// printed beside what the whole network would cost with nothing frozen.
    ///
    /// # Errors
    /// As [`Learner::training_plan`]; [`Error::UnknownGroup`].
    pub fn cached_plan(&self, stage: &str, options: &FitOptions<'_>) -> Result<Plan> {
        Ok(self.plan_after(Some(stage), options)?.part_of(&self.training_plan(options)?))
    }

    /// The last stage up to which everything is frozen and keeps its running statistics.
    pub fn frozen_stage(&self) -> Option<String> {
        let mut frozen = None;
        for stage in
            self.model.stages().into_iter().filter(|_| self.freeze.batch_norm != BatchNormMode::Batch)
        {
            match self.members(&stage) {
                Ok(names) if names.iter().all(|name| self.freeze.is_frozen(name)) => frozen = Some(stage),
                _ => break,
            }
        }
        // Above the last stage of the body comes the mean, which has nothing to train.
        let body = self.model.stages().len() - usize::from(self.model.class_count().is_some());
        let last =
            frozen.as_ref().and_then(|stage| self.model.stages().iter().position(|known| known == stage));
        if last.is_some_and(|last| last + 1 >= body) { Some(POOLED.to_owned()) } else { frozen }
    }

    /// The outputs of the frozen stages for `source`, if there are frozen stages above those it has passed.
    pub(crate) fn cache(&mut self, source: &dyn Source, batch: usize) -> Result<Option<Activations>> {
        let passed = source.activations().map(Activations::stage);
        let Some(stage) = self.frozen_stage().filter(|stage| Some(stage.as_str()) != passed) else {
            return Ok(None);
        };
        // With the batch size of training, the kernels are those of training, so results are bit-identical.
        let usual = std::mem::replace(&mut self.evaluation_batch, batch);
        let outputs = self.activations(source, &stage);
        self.evaluation_batch = usual;
        outputs.map(Some)
    }

    /// What comes after `stage`, or the whole model on images of bytes.
    pub(crate) fn record_after(&self, stage: Option<&str>, batch: usize) -> Result<(Graph, Recorded)> {
        let mut graph = Graph::new();
        let recorded = match stage {
            None => {
                let x = self.record_images(&mut graph, batch)?;
                self.model.record(&mut graph, x)?
            }
            Some(stage) => {
                let [channels, height, width] = self.stage_shape(stage)?;
                let x = graph.input(batch, height, width, channels);
                self.model.record_from(&mut graph, stage, x)?
            }
        };
        Ok((graph, recorded))
    }

    /// Fails unless the images of `source` fit this model's input, or are outputs of its stages.
    pub(crate) fn check_images(&self, source: &dyn Source) -> Result<()> {
        let Some(outputs) = source.activations() else { return self.check_shape(source.shape()) };
        let [channels, height, width] = self.stage_shape(&outputs.stage)?;
        if outputs.shape != [height, width, channels]
            || outputs.fingerprint != self.fingerprint(&outputs.stage)?
        {
            return Err(Error::StaleActivations { stage: outputs.stage.clone() });
        }
        Ok(())
    }

    /// Fails if training on `source` would change the stages whose outputs it contains.
    pub(crate) fn check_frozen(&self, source: &dyn Source) -> Result<()> {
        let Some(Activations { stage, .. }) = source.activations() else { return Ok(()) };
        let wrong = |reason: String| Err(Error::NotFrozen { stage: stage.clone(), reason });
        if self.freeze.batch_norm == BatchNormMode::Batch {
            return wrong(
                "batch norms use the batch's statistics, and update their running statistics".to_owned(),
            );
        }
        let groups = self.groups_through(stage)?;
        let trains =
            |name: &&str| !self.freeze.is_frozen(name) && groups.iter().any(|group| in_group(name, group));
        match self.outline.parameter_names().into_iter().find(trains) {
            Some(name) => wrong(format!("`{name}` trains")),
            None => Ok(()),
        }
    }

    /// The layer groups up to `stage`, itself included.
    fn groups_through(&self, stage: &str) -> Result<Vec<String>> {
        let mut groups = vec![];
        for known in self.model.stages() {
            // The mean comes before the head, which is the last of a model that has one.
            if stage == POOLED && known == "fc" {
                break;
            }
            groups.extend(self.model.members(&known)?);
            if known == stage {
                break;
            }
        }
        Ok(groups)
    }

    /// A number that changes with everything that the outputs of `stage` depend on, except the images.
    fn fingerprint(&self, stage: &str) -> Result<u64> {
        let groups = self.groups_through(stage)?;
        let mut hash = 0xcbf2_9ce4_8422_2325u64; // FNV-1a, by words
        let mut add = |values: &[f32]| {
            values.iter().for_each(|value| {
                hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
            });
        };
        let Preprocessing { mean, std, .. } = &self.preprocessing;
        add(mean);
        add(std);
        for (name, _, values) in self.params.to_host()? {
            if groups.iter().any(|group| in_group(&name, group)) {
                add(&values);
            }
        }
        Ok(hash)
    }
}
