//! The ResNet track: a pretrained network, and tasks that are like what it knows or unlike it.
//!
//! | network | knows | similar | different | source test |
//! |---|---|---|---|---|
//! | `resnet10`, embedded | six kinds of clothes, 28×28 grey | four other kinds of clothes | digits | 600 images |
//! | `resnet18` … with `--weights` | ImageNet | six kinds of photos | digits, in colour | none here |
//!
//! `--data` puts a folder in place of the similar task.

use crate::assets::{FASHION_MEAN, FASHION_STD};
use crate::chapter::Chapter;
use crate::error::{Error, Result};
use frostline_engine::Gpu;
use frostline_loader::safetensors::{self, SafeFile};
use frostline_loader::{ImageFolder, ImageSet, OnCorrupt, Preprocessing, resize, stratified_split, stratified_subset};
use frostline_models::{LoadOptions, Model};
use frostline_trainer::Learner;
use std::path::Path;
use std::sync::Arc;

/// Pixels a side at which the networks for ImageNet see their tasks: a compromise between what they
/// recognise and the time that a run takes without a GPU.
const PHOTO_SIDE: usize = 96;

/// Something to learn.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it is called: `clothes`.
    pub name: String,
    /// Images to draw training images from.
    pub pool: ImageSet,
    /// Images to test on.
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
    gpu: Arc<Gpu>,
    model: Model,
    input: Preprocessing,
    /// The pretrained weights.
    pub weights: SafeFile,
    /// Like what the network knows.
    pub similar: Task,
    /// Unlike it.
    pub different: Task,
    /// Images of the classes that the weights know, to see what they forget.
    pub source: Option<ImageSet>,
}

impl Task {
    /// `n` training images with all classes alike, as `seed` draws them. A larger `n` only adds.
    ///
    /// # Errors
    /// If the pool has fewer.
    pub fn draw(&self, n: usize, seed: u64) -> Result<ImageSet> {
        Ok(self.pool.subset(&stratified_subset(&self.pool.label_indices(), n, self.pool.classes.len(), seed)?)?)
    }

    /// At most `n` of the test images, the same at every call.
    ///
    /// # Errors
    /// None that a whole task could cause.
    pub fn some_tests(&self, n: usize) -> Result<ImageSet> {
        let n = n.min(self.test.len());
        Ok(self.test.subset(&stratified_subset(&self.test.label_indices(), n, self.test.classes.len(), 0)?)?)
    }

    /// The first and the second half of the classes, as tasks of their own; none if there are fewer
    /// than four.
    ///
    /// # Errors
    /// None that a whole task could cause.
    pub fn halves(&self) -> Result<Vec<Task>> {
        let classes: Vec<usize> = (0..self.pool.classes.len()).collect();
        let halves = if classes.len() < 4 { [&[][..], &[]] } else { classes.split_at(classes.len() / 2).into() };
        let half = |half: &[usize]| {
            let names: Vec<&str> = half.iter().map(|&class| self.pool.classes[class].as_str()).collect();
            Ok(Task { name: names.join(" or "), pool: self.pool.of_classes(half)?, test: self.test.of_classes(half)? })
        };
        halves.into_iter().filter(|classes| !classes.is_empty()).map(half).collect()
    }

    /// Accuracy of guessing, in %.
    pub fn chance(&self) -> f64 {
        100.0 / self.pool.classes.len() as f64
    }
}

impl Track {
    /// The track that the chapter's flags ask for.
    ///
    /// # Errors
    /// [`Error::Flags`] for a network without weights; what reading files gives.
    pub fn open(chapter: &Chapter) -> Result<Self> {
        let (flags, assets, gpu) = (&chapter.flags, &chapter.assets, chapter.gpu.clone());
        let task = |name: &str, set: &str| -> Result<Task> {
            Ok(Task { name: name.to_owned(), pool: assets.sheet(&format!("{set}_train"))?, test: assets.sheet(&format!("{set}_test"))? })
        };
        let model = Model::new(&flags.model)?;
        let own = flags.model == "resnet10";
        let weights = match &flags.weights {
            Some(file) => safetensors::read(file)?,
            None if own => assets.weights("resnet10_fashion")?,
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
            let (similar, different) = (task("clothes", "fashion")?, task("digits", "digits")?);
            Self { gpu, model: model.in_channels(1), input, weights, similar, different, source }
        } else {
            let square = Preprocessing { resize: Some(PHOTO_SIDE), ..Preprocessing::imagenet(PHOTO_SIDE) };
            let digits = task("digits", "digits")?;
            let different = Task { pool: in_colour(&digits.pool, PHOTO_SIDE)?, test: in_colour(&digits.test, PHOTO_SIDE)?, ..digits };
            let similar = split("photos", &assets.photos(&square)?)?;
            Self { gpu, model, input: square, weights, similar, different, source: None }
        };
        if let Some(folder) = &flags.data {
            track.similar = own_images(folder, &track.input)?;
        }
        Ok(track)
    }

    /// A learner for `task`.
    ///
    /// # Errors
    /// If the weights do not fit the network.
    pub fn learner(&self, task: &Task, start: Start, seed: u64) -> Result<Learner> {
        let mut learner = Learner::new(&self.gpu, self.model.clone().classes(task.pool.classes.len()), self.input.crop, seed)?;
        learner.preprocessing(self.input.clone())?;
        if start == Start::Pretrained {
            learner.load(&self.weights.tensors, &LoadOptions::skip_head())?;
        }
        Ok(learner)
    }

    /// The network as it was pretrained, with its old head, for [`Track::source`].
    ///
    /// # Errors
    /// If the weights do not fit the network.
    pub fn pretrained(&self) -> Result<Learner> {
        let head = self.weights.tensors.get("fc.bias").map_or(1000, |bias| bias.data.len());
        let mut learner = Learner::new(&self.gpu, self.model.clone().classes(head), self.input.crop, 0)?;
        learner.preprocessing(self.input.clone())?;
        learner.load(&self.weights.tensors, &LoadOptions::strict())?;
        Ok(learner)
    }

    /// How images become inputs.
    pub fn input(&self) -> &Preprocessing {
        &self.input
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The network, with a head for what it was pretrained on.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Stages with an output, from the image on, without the head.
    pub fn body(&self) -> Vec<String> {
        self.model.stages().into_iter().filter(|stage| stage != "fc").collect()
    }
}

/// A body with ImageNet weights for images of `side` × `side` pixels, to compute features with:
/// the flags' network if it is one for photos, else EfficientNet-Lite0. Its features are those of
/// `avgpool`, its images those of [`Learner::input`].
///
/// # Errors
/// If weights are missing or do not fit.
pub fn photo_body(chapter: &Chapter, side: usize) -> Result<Learner> {
    let mut learner = match (&chapter.flags.weights, chapter.flags.model.as_str()) {
        (Some(file), name) if name != "resnet10" => {
            let mut learner = Learner::new(&chapter.gpu, Model::new(name)?.without_head(), side, 0)?;
            learner.preprocessing(Preprocessing { resize: Some(side), ..learner.input().clone() })?;
            learner.load(&safetensors::read(file)?.tensors, &LoadOptions::skip_head())?;
            learner
        }
        (None, name) if name != "resnet10" && name != "efficientnet_lite0" => return Err(no_weights(name)),
        _ => {
            let mut learner = Learner::new(&chapter.gpu, Model::new("efficientnet_lite0")?.without_head(), side, 0)?;
            learner.load(&chapter.assets.weights("efficientnet_lite0")?.tensors, &LoadOptions::strict())?;
            learner
        }
    };
    // The embedded photos are 147: seven batches without a rest.
    learner.evaluation_batch(21);
    Ok(learner)
}

/// The photos as a learner with this input takes them: those of `--data`, else the embedded ones.
///
/// # Errors
/// If a folder or one of its photos cannot be read.
pub fn photos(chapter: &Chapter, input: &Preprocessing) -> Result<ImageSet> {
    match &chapter.flags.data {
        Some(folder) => Ok(ImageFolder::open(folder, OnCorrupt::Fail)?.load_all(input)?),
        None => chapter.assets.photos(input),
    }
}

fn no_weights(model: &str) -> Error {
    Error::Flags(format!("--model {model} needs --weights FILE: the repository has none for {model}"))
}

/// Seven parts of ten to draw from, three to test on.
fn split(name: &str, images: &ImageSet) -> Result<Task> {
    let split = stratified_split(&images.label_indices(), 0.3, 0)?;
    Ok(Task { name: name.to_owned(), pool: images.subset(&split.train)?, test: images.subset(&split.validation)? })
}

fn own_images(folder: &Path, input: &Preprocessing) -> Result<Task> {
    let images = ImageFolder::open(folder, OnCorrupt::Fail)?.load_all(input)?;
    let name = folder.file_name().map_or("images".into(), |name| name.to_string_lossy());
    split(&name, &images)
}

/// Grey images as a network for photos takes them: enlarged, with three equal channels.
pub fn in_colour(images: &ImageSet, side: usize) -> Result<ImageSet> {
    let mut large = vec![];
    for i in 0..images.len() {
        let grey = resize::resize_interleaved(images.image(i), images.channels, (images.width, images.height), (side, side))?;
        large.extend(grey.iter().flat_map(|&value| [value; 3]));
    }
    Ok(ImageSet { height: side, width: side, channels: 3, images: large, labels: images.labels.clone(), classes: images.classes.clone() })
}
