//! The measurements of chapter 1 on the stages of a network.

use crate::data::assets::{FASHION_MEAN, FASHION_STD};
use crate::data::track::{Start, Task, in_colour, photo_body, photos};
use crate::draw::inside;
use crate::error::Result;
use crate::measure::cka::Gram;
use crate::measure::depth::Depth;
use crate::study::{Lab, Trial};
use frostline_engine::Optim;
use frostline_loader::{ImageSet, stratified_split, stratified_subset};
use frostline_models::Model;
use frostline_trainer::{Features, Learner, ProbeOptions};
use std::path::Path;
use std::rc::Rc;

/// Side in pixels of EfficientNet-Lite0's input, for probes and for pictures.
const SIDES: [usize; 2] = [96, 128];
/// Number of photos that count as exciting a channel most.
const BEST: usize = 5;
/// Share of the source's images on which networks are compared; they are trained on the others.
const COMPARED: f64 = 0.2;

/// The stages of EfficientNet-Lite0 and of ResNet-10 that are measured.
///
/// # Errors
/// None: both networks are known.
pub fn depths() -> Result<[Depth; 2]> {
    Ok([Depth::of(&Model::new("efficientnet_lite0")?), Depth::of(&Model::new("resnet10")?)])
}

/// Trains a softmax head on the output of `stage` of EfficientNet-Lite0 for the images, with AdamW as the
/// trainer's own probe. Each image runs through the network once for all runs.
///
/// # Errors
/// The errors of computing features and training.
pub fn probe(trial: &mut Trial<'_>, stage: &str) -> Result<()> {
    let (lab, (_, task), setting) = (trial.lab, trial.task()?, trial.setting);
    let pool = features(lab, task, "pool", stage, &|input| {
        if task.tests_vary() { photos(lab, input) } else { in_colour(&task.pool, SIDES[0]) }
    })?;
    let [train, rest] = task.divide(&pool, setting.images, setting.seed)?;
    let optim = Optim { lr: setting.lr, ..ProbeOptions::default().optim };
    let options = ProbeOptions { optim, ..trial.probe_options() };
    if task.tests_vary() {
        trial.probe(&train, &[("test", &rest)], &options)?;
    } else {
        let test = features(lab, task, "test", stage, &|_| in_colour(task.test(), SIDES[0]))?;
        trial.probe(&train, &[("test", &test)], &options)?;
    }
    Ok(())
}

/// The output of `stage` for the images that `images` returns.
fn features(
    lab: &Lab,
    task: &Task,
    part: &str,
    stage: &str,
    images: &dyn Fn(&frostline_loader::Preprocessing) -> Result<ImageSet>,
) -> Result<Rc<Features>> {
    let stages = &depths()?[0].stages;
    let at = stages.iter().position(|name| name == stage).unwrap_or_default();
    lab.features_by_depth(&format!("{} {part}", task.name), at, || {
        let mut body = photo_body(lab, SIDES[0], Start::Pretrained, 0)?;
        let images = images(body.preprocessing())?;
        Ok(body.features_by_depth(&images, stages)?)
    })
}

/// Takes the five photos, among half of all, that excite a channel of EfficientNet-Lite0 most, and computes
/// the share of pairs of one kind. Stores the mean over a stage's channels as the number `pairs of one kind
/// after STAGE, %`.
///
/// # Errors
/// The errors of running the network.
pub fn purity(trial: &mut Trial<'_>) -> Result<()> {
    let mut body = photo_body(trial.lab, SIDES[1], Start::Pretrained, 0)?;
    let (set, Depth { stages, .. }) = (photos(trial.lab, body.preprocessing())?, &depths()?[0]);
    let half = stratified_subset(&set.label_indices(), set.len() / 2, set.classes.len(), trial.setting.seed)?;
    for (stage, peaks) in stages.iter().zip(inside::peaks(&mut body, &set, stages)?) {
        trial.number(
            format!("pairs of one kind after {stage}, %"),
            100.0 * peaks.purity(&set.labels, &half, BEST),
        )?;
    }
    Ok(())
}

/// The training images of ResNet-10s from scratch, and the images on which they are compared: of the kinds of
/// clothes that one of them learns, and of the others.
///
/// # Errors
/// If images cannot be read.
pub fn compared_images(lab: &Lab) -> Result<(ImageSet, [ImageSet; 2])> {
    let source = lab.assets.sheet("fashion_source_test")?;
    let split = stratified_split(&source.label_indices(), COMPARED, 0)?;
    let others = lab.track()?.similar.some_tests(split.validation.len())?;
    Ok((source.subset(&split.train)?, [source.subset(&split.validation)?, others]))
}

/// Compares two ResNet-10s from different random weights. The first trains on `tasks[0]`, the second on `tasks[1]`;
/// without `trained` neither trains. The measure is debiased linear CKA on `seen`, as the numbers `CKA after STAGE`.
///
/// # Errors
/// The errors of training.
pub fn compare(trial: &mut Trial<'_>, tasks: &[ImageSet; 2], trained: bool, seen: &[ImageSet]) -> Result<()> {
    let (stages, mut grams) = (&depths()?[1].stages, vec![]);
    for (images, seed) in tasks.iter().zip(2 * trial.setting.seed..) {
        let model = Model::new("resnet10")?.in_channels(1).classes(images.classes.len());
        let mut learner = Learner::new(trial.lab.gpu()?, model, images.width, seed)?;
        learner.set_normalization(&[FASHION_MEAN], &[FASHION_STD])?;
        if trained {
            trial.fit(&mut learner, images, &trial.options().seed(seed))?;
        }
        grams.push(Gram::by_depth(&mut learner, seen, stages)?);
    }
    for (i, stage) in stages.iter().enumerate() {
        trial.number(format!("CKA after {stage}"), grams[0][i].cka(&grams[1][i]))?;
    }
    Ok(())
}

/// Draws figures of EfficientNet-Lite0 into `folder`: filters, the outputs of its stages for photo number
/// `photo`, and what excites its channels ([`inside::FIGURES`]).
///
/// # Errors
/// If there is no such photo, or a figure cannot be written.
pub fn look(lab: &Lab, photo: usize, folder: &Path) -> Result<()> {
    let mut body = photo_body(lab, SIDES[1], Start::Pretrained, 0)?;
    let set = photos(lab, body.preprocessing())?;
    if photo >= set.len() {
        let words = format!("--photo {photo}: there are {} photos, counted from 0", set.len());
        return Err(crate::Error::Flags(words));
    }
    inside::draw(folder, &mut body, &set, &depths()?[0], photo)
}
