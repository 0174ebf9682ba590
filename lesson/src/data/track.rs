//! A pretrained network, and tasks that are similar to its pretraining or different from it.
//!
//! | network | pretrained on | similar | different | source test |
//! |---|---|---|---|---|
//! | `resnet10`, embedded | six kinds of clothes, 28×28 grey | four other kinds of clothes | digits | 600 images |
//! | `resnet10_photo`, embedded | distilled from EfficientNet-Lite0 | six kinds of photos | none | none |
//! | `resnet18` … with `--weights` | ImageNet | six kinds of photos | digits, in colour | none |
//!
//! `--data` replaces the similar task, and the photos, by a folder.

use crate::data::assets::{Assets, FASHION_MEAN, FASHION_STD};
use crate::error::{Error, Result};
use crate::outline::Flags;
use crate::study::Lab;
use frostline_engine::Gpu;
use frostline_loader::safetensors::{self, SafeFile};
use frostline_loader::{
    ImageFolder, ImageSet, OnCorrupt, Preprocessing, resize, stratified_split, stratified_subset,
};
use frostline_models::{LoadOptions, Model};
use frostline_study::digest;
use frostline_trainer::{Features, Learner};
use std::path::Path;
use std::sync::Arc;

/// Side in pixels of the input of ImageNet networks: a compromise between accuracy and the time of a run
/// without a GPU.
const PHOTO_SIDE: usize = 96;
/// The embedded network for photos.
const PHOTO_NETWORK: &str = "resnet10_photo";
/// Share of a task's pool that is held out for validation, if the task has a separate test set.
const VALIDATION: f64 = 0.2;
/// Names of the embedded tasks.
const EMBEDDED: [&str; 3] = ["clothes", "digits", "photos"];

/// Name of the task of the embedded photos.
pub const PHOTOS: &str = "photos";

/// A task to learn.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name: `clothes`.
    pub name: String,
    /// The pool from which training images are drawn.
    pub pool: ImageSet,
    /// Validation images; empty if the tests are [`Tests::Rest`].
    pub validation: ImageSet,
    /// The test images of a run.
    pub tests: Tests,
}

/// The test images of a run.
#[derive(Clone, Debug)]
pub enum Tests {
    /// These images.
    Fixed(ImageSet),
    /// All images of the pool that the run did not draw: each seed has other test images.
    Rest,
}

/// Images of one run.
#[derive(Clone, Debug)]
pub struct Draw {
    /// To train on.
    pub train: ImageSet,
    /// Validation images, for choices and never for reports; may be empty.
    pub validation: ImageSet,
    /// To test on.
    pub test: ImageSet,
}

/// Where training starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Weights drawn at random.
    Scratch,
    /// The pretrained weights, with a new head.
    Pretrained,
}

/// A pretrained network with its tasks.
pub struct Track {
    model: Model,
    input: Preprocessing,
    /// The pretrained weights.
    pub weights: SafeFile,
    /// Similar to the pretraining.
    pub similar: Task,
    /// Unlike it.
    pub different: Option<Task>,
    /// Images of the classes of the pretraining, to measure forgetting.
    pub source: Option<ImageSet>,
}

impl Task {
    /// A task with a separate test set. A fifth of `images` is held out for validation.
    fn tested_on(name: &str, images: &ImageSet, test: ImageSet) -> Result<Self> {
        let split = stratified_split(&images.label_indices(), VALIDATION, 0)?;
        let [pool, validation] = [images.subset(&split.train)?, images.subset(&split.validation)?];
        Ok(Self { name: name.to_owned(), pool, validation, tests: Tests::Fixed(test) })
    }

    /// A task whose runs are tested on all images that they did not draw.
    fn tested_on_the_rest(name: &str, pool: ImageSet) -> Result<Self> {
        Ok(Self { name: name.to_owned(), validation: pool.subset(&[])?, pool, tests: Tests::Rest })
    }

    /// The images of a run on `n` training images, drawn by `seed` with all classes alike. A larger `n` only
    /// adds to the images of a smaller one.
    ///
    /// # Errors
    /// If the pool has fewer.
    pub fn draw(&self, n: usize, seed: u64) -> Result<Draw> {
        let [train, rest] = self.indices(n, seed)?;
        let test = match &self.tests {
            Tests::Fixed(test) => test.clone(),
            Tests::Rest => self.pool.subset(&rest)?,
        };
        Ok(Draw { train: self.pool.subset(&train)?, validation: self.validation.clone(), test })
    }

    /// The images of the pool that a run on `n` of them trains on, and the rest.
    ///
    /// # Errors
    /// If the pool has fewer.
    pub fn indices(&self, n: usize, seed: u64) -> Result<[Vec<usize>; 2]> {
        let train = stratified_subset(&self.pool.label_indices(), n, self.pool.classes.len(), seed)?;
        let rest = (0..self.pool.len()).filter(|i| !train.contains(i)).collect();
        Ok([train, rest])
    }

    /// `features` of the pool, divided as [`Task::draw`] divides the images: to train on, and the rest.
    ///
    /// # Errors
    /// If the pool has fewer.
    pub fn divide(&self, features: &Features, n: usize, seed: u64) -> Result<[Features; 2]> {
        Ok(self.indices(n, seed)?.map(|indices| features.subset(&indices)))
    }

    /// The maximum number of training images of a run: each class keeps one for the test if the tests are the
    /// rest.
    pub fn most(&self) -> usize {
        match self.tests {
            Tests::Fixed(_) => self.pool.len(),
            Tests::Rest => self.pool.len().saturating_sub(self.pool.classes.len()),
        }
    }

    /// Whether each seed is tested on other images.
    pub fn tests_vary(&self) -> bool {
        matches!(self.tests, Tests::Rest)
    }

    /// The test images; if the tests are the rest, the pool.
    pub fn test(&self) -> &ImageSet {
        match &self.tests {
            Tests::Fixed(test) => test,
            Tests::Rest => &self.pool,
        }
    }

    /// At most `n` of the test images, the same at every call.
    ///
    /// # Errors
    /// None for a complete task.
    pub fn some_tests(&self, n: usize) -> Result<ImageSet> {
        let test = self.test();
        Ok(test.subset(&stratified_subset(
            &test.label_indices(),
            n.min(test.len()),
            test.classes.len(),
            0,
        )?)?)
    }

    /// Accuracy of guessing, in %.
    pub fn chance(&self) -> f64 {
        100.0 / self.pool.classes.len() as f64
    }

    /// Identifies the images and how they are divided.
    pub fn identity(&self) -> String {
        let sets = [
            Some(&self.pool),
            Some(&self.validation),
            if let Tests::Fixed(test) = &self.tests { Some(test) } else { None },
        ];
        let labels: Vec<Vec<u8>> = sets
            .iter()
            .flatten()
            .map(|set| set.labels.iter().flat_map(|label| label.to_le_bytes()).collect())
            .collect();
        let parts =
            sets.iter().flatten().zip(&labels).flat_map(|(set, labels)| [&set.images[..], &labels[..]]);
        digest(parts)
    }
}

impl Track {
    /// The track that the chapter's flags select.
    ///
    /// # Errors
    /// [`Error::Flags`] for a network without weights; the errors of reading files.
    pub fn open(flags: &Flags, assets: &Assets) -> Result<Self> {
        let task = |name: &str, set: &str| -> Result<Task> {
            Task::tested_on(
                name,
                &assets.sheet(&format!("{set}_train"))?,
                assets.sheet(&format!("{set}_test"))?,
            )
        };
        let model = Model::new(&flags.model)?;
        let own = flags.model == "resnet10";
        let weights = match &flags.weights {
            Some(file) => safetensors::read(file)?,
            None if own => assets.weights("resnet10_fashion")?,
            None if flags.model == PHOTO_NETWORK => assets.weights("resnet10_photos")?,
            None => return Err(no_weights(&flags.model)),
        };
        let mut track = if own {
            let input = Preprocessing {
                resize: Some(28),
                channels: 1,
                mean: vec![FASHION_MEAN],
                std: vec![FASHION_STD],
                ..Preprocessing::imagenet(28)
            };
            let source = Some(assets.sheet("fashion_source_test")?);
            let (similar, different) = (task("clothes", "fashion")?, Some(task("digits", "digits")?));
            Self { model: model.in_channels(1), input, weights, similar, different, source }
        } else {
            let input = photo_input();
            let colour = |sheet: &str| in_colour(&assets.sheet(sheet)?, PHOTO_SIDE);
            let different =
                Some(Task::tested_on("digits", &colour("digits_train")?, colour("digits_test")?)?);
            let similar = Task::tested_on_the_rest("photos", assets.photos(&input)?)?;
            Self { model, input, weights, similar, different, source: None }
        };
        if let Some(folder) = &flags.data {
            track.similar = own_images(folder, &track.input)?;
        }
        Ok(track)
    }

    /// The embedded ResNet-10 of photos, with the embedded photos or those of `--data` as its task.
    ///
    /// # Errors
    /// If weights or photos are missing or broken.
    pub fn photos(flags: &Flags, assets: &Assets) -> Result<Self> {
        let input = photo_input();
        let similar = Task::tested_on_the_rest("photos", all_photos(flags, assets, &input)?)?;
        let weights = assets.weights("resnet10_photos")?;
        Ok(Self { model: Model::new(PHOTO_NETWORK)?, input, weights, similar, different: None, source: None })
    }

    /// The task that is different from the pretraining.
    ///
    /// # Errors
    /// [`Error::Flags`] if the track has none.
    pub fn different(&self) -> Result<&Task> {
        self.different.as_ref().ok_or_else(|| {
            Error::Flags(
                "this network has no task that differs from its \
                                         pretraining"
                    .to_owned(),
            )
        })
    }

    /// A learner for `task`.
    ///
    /// # Errors
    /// If the weights do not fit the network.
    pub fn learner(&self, gpu: &Arc<Gpu>, task: &Task, start: Start, seed: u64) -> Result<Learner> {
        let mut learner =
            Learner::new(gpu, self.model.clone().classes(task.pool.classes.len()), self.input.crop, seed)?;
        learner.set_preprocessing(self.input.clone())?;
        if start == Start::Pretrained {
            learner.load(&self.weights.tensors, &LoadOptions::skip_head())?;
        }
        if task.tests_vary() {
            // A few dozen photos should not be padded to a batch of 64 or 128.
            learner.set_evaluation_batch(21);
        }
        Ok(learner)
    }

    /// The network as it was pretrained, with its old head, for [`Track::source`].
    ///
    /// # Errors
    /// If the weights do not fit the network.
    pub fn pretrained(&self, gpu: &Arc<Gpu>) -> Result<Learner> {
        let head = self.weights.tensors.get("fc.bias").map_or(1000, |bias| bias.data.len());
        let mut learner = Learner::new(gpu, self.model.clone().classes(head), self.input.crop, 0)?;
        learner.set_preprocessing(self.input.clone())?;
        learner.load(&self.weights.tensors, &LoadOptions::strict())?;
        Ok(learner)
    }

    /// The preprocessing of images.
    pub fn input(&self) -> &Preprocessing {
        &self.input
    }

    /// The network, with the head of its pretraining.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Identifies the network and its weights.
    pub fn identity(&self) -> String {
        let mut parts: Vec<Vec<u8>> =
            vec![self.model.name().as_bytes().to_vec(), format!("{:?}", self.input).into_bytes()];
        for (name, tensor) in &self.weights.tensors {
            parts.push(name.as_bytes().to_vec());
            parts.push(tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect());
        }
        digest(parts.iter().map(Vec::as_slice))
    }

    /// Stages with an output, from the image on, without the head.
    pub fn body(&self) -> Vec<String> {
        self.model.stages().into_iter().filter(|stage| stage != "fc").collect()
    }
}

/// A body with ImageNet weights for images of `side` × `side` pixels, to compute features with:
/// the flags' network if it is one for photos, else EfficientNet-Lite0. Its features are those of `avgpool`,
/// its input images those of [`Learner::preprocessing`]. With [`Start::Scratch`] the same network with
/// weights that `seed` draws.
///
/// # Errors
/// If weights are missing or do not fit.
pub fn photo_body(lab: &Lab, side: usize, start: Start, seed: u64) -> Result<Learner> {
    let (flags, gpu) = (&lab.flags, lab.gpu()?);
    let embedded = || lab.assets.weights("efficientnet_lite0");
    let (name, weights, options) = match (&flags.weights, flags.model.as_str()) {
        (Some(file), name) if name != "resnet10" && name != PHOTO_NETWORK => {
            (name, safetensors::read(file)?, LoadOptions::skip_head())
        }
        (None, name) if !["resnet10", PHOTO_NETWORK, "efficientnet_lite0"].contains(&name) => {
            return Err(no_weights(name));
        }
        _ => ("efficientnet_lite0", embedded()?, LoadOptions::strict()),
    };
    let mut learner = Learner::new(gpu, Model::new(name)?.without_head(), side, seed)?;
    if name != "efficientnet_lite0" {
        learner.set_preprocessing(Preprocessing { resize: Some(side), ..learner.preprocessing().clone() })?;
    }
    if start == Start::Pretrained {
        learner.load(&weights.tensors, &options)?;
    }
    // The embedded photos are 147: seven batches without a rest.
    learner.set_evaluation_batch(21);
    Ok(learner)
}

/// The photos, prepared for a learner with this input: those of `--data`, else the embedded ones.
///
/// # Errors
/// If a folder or one of its photos cannot be read.
pub fn photos(lab: &Lab, input: &Preprocessing) -> Result<ImageSet> {
    all_photos(&lab.flags, &lab.assets, input)
}

fn all_photos(flags: &Flags, assets: &Assets, input: &Preprocessing) -> Result<ImageSet> {
    match &flags.data {
        Some(folder) => Ok(ImageFolder::open(folder, OnCorrupt::Fail)?.load_all(input)?),
        None => assets.photos(input),
    }
}

fn photo_input() -> Preprocessing {
    Preprocessing { resize: Some(PHOTO_SIDE), ..Preprocessing::imagenet(PHOTO_SIDE) }
}

fn no_weights(model: &str) -> Error {
    Error::Flags(format!("--model {model} needs --weights FILE: the repository has none for {model}"))
}

fn own_images(folder: &Path, input: &Preprocessing) -> Result<Task> {
    let images = ImageFolder::open(folder, OnCorrupt::Fail)?.load_all(input)?;
    let name = folder.file_name().map_or("images".into(), |name| name.to_string_lossy().into_owned());
    // A folder called `digits` is not the task called `digits`.
    let name = if EMBEDDED.contains(&name.as_str()) { format!("own {name}") } else { name };
    // Seven tenths for training, three for the test.
    let split = stratified_split(&images.label_indices(), 0.3, 0)?;
    Task::tested_on(&name, &images.subset(&split.train)?, images.subset(&split.validation)?)
}

/// Grey images as input of a network for photos: enlarged, with three equal channels.
pub fn in_colour(images: &ImageSet, side: usize) -> Result<ImageSet> {
    let mut large = vec![];
    for i in 0..images.len() {
        let grey = resize::resize_interleaved(
            images.image(i),
            images.channels,
            (images.width, images.height),
            (side, side),
        )?;
        large.extend(grey.iter().flat_map(|&value| [value; 3]));
    }
    Ok(ImageSet {
        height: side,
        width: side,
        channels: 3,
        images: large,
        labels: images.labels.clone(),
        classes: images.classes.clone(),
    })
}
