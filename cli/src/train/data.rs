//! The photos: found, checked, and split into those to train on and those to validate with. They stay on
//! disk and are decoded ahead of the device, so that a folder may be larger than memory.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use frostline_charts::bar;
use frostline_loader::{
    FolderReport, ImageFolder, ImageStream, OnCorrupt, Preprocessing, StreamOptions, TrainingFolder,
    stratified_split,
};
use frostline_trainer::{Activations, Learner, Source};

use crate::error::{Error, Result};
use crate::logging::timed;
use crate::train::manifest::{Manifest, Part, below};
use crate::train::recipe::Recipe;

/// From this ratio of class sizes on, a hint is printed.
const IMBALANCED: usize = 4;

/// The outputs of the frozen stages for all photos, computed once for the linear probe, the range test,
/// training and evaluations.
pub struct Outputs {
    train: Activations,
    validation: Activations,
}

/// Training photos and validation photos.
pub struct Data {
    /// To train on.
    pub train: ImageStream,
    /// Validation photos: no reported figure is of weights that were trained on them.
    pub validation: ImageStream,
    /// How they were split, for people.
    pub split: String,
    /// Whether the validation photos came in a separate folder.
    pub apart: bool,
    /// The contents of the folder, and warnings about them.
    pub report: FolderReport,
    /// The list of these photos.
    pub manifest: Manifest,
    /// Outputs of the frozen stages in place of the photos, if they are kept.
    outputs: Option<Outputs>,
}

impl Data {
    /// Opens the recipe's folder, and decodes every photo once to find unreadable ones.
    ///
    /// # Errors
    /// The errors of listing and reading; [`Error::NoValidation`] if no photo can be kept for validation.
    pub fn open(recipe: &Recipe, input: &Preprocessing) -> Result<Self> {
        let folder = TrainingFolder::open(&recipe.dir, OnCorrupt::SkipWithWarning)?;
        let listed = paths(&folder);
        let TrainingFolder { train, validation, mut report } = folder;
        let photos = open(&train, input, &mut report)?;
        let apart = validation.map(|folder| open(&folder, input, &mut report)).transpose()?;
        let split = split_text(recipe, apart.is_some());
        let (apart, train, validation) = match apart {
            Some(validation) => (true, photos, validation),
            None => {
                let split = stratified_split(&photos.label_indices(), recipe.val_fraction, recipe.seed)?;
                (false, photos.subset(&split.train)?, photos.subset(&split.validation)?)
            }
        };
        let manifest = manifest(recipe, &listed, &train, &validation)?;
        Self::checked(recipe, Self { train, validation, split, apart, report, manifest, outputs: None })
    }

    /// Opens the photos of the run in `run` again: those of its `manifest`, for the same use as before.
    ///
    /// # Errors
    /// [`Error::DataGone`] if there is no such folder; [`Error::OtherData`] if its photos have changed;
    /// otherwise as [`Data::open`].
    pub fn reopen(recipe: &Recipe, input: &Preprocessing, manifest: Manifest, run: &Path) -> Result<Self> {
        let root = &recipe.dir;
        if !root.is_dir() {
            return Err(Error::DataGone { data: root.clone(), run: run.to_owned() });
        }
        let folder = TrainingFolder::open(root, OnCorrupt::SkipWithWarning)?;
        let listed = paths(&folder);
        let listed: Vec<&Path> = listed.iter().map(PathBuf::as_path).collect();
        if let Some(differences) = manifest.differences(root, &folder.train.classes, &listed)? {
            return Err(Error::OtherData { data: root.clone(), run: run.to_owned(), differences });
        }
        let TrainingFolder { train, validation, mut report } = folder;
        let photos = open(&train, input, &mut report)?;
        let apart = validation.map(|folder| open(&folder, input, &mut report)).transpose()?;
        let split = split_text(recipe, apart.is_some());
        let part = |part: Part, photos: &ImageStream| {
            let places: HashMap<String, usize> =
                (0..photos.len()).filter_map(|i| Some((below(root, photos.path(i)?), i))).collect();
            let place = |path: &str| {
                places.get(path).copied().ok_or_else(|| Error::OtherData {
                    data: root.clone(),
                    run: run.to_owned(),
                    differences: format!("\n  1 photo cannot be read any more: {path}"),
                })
            };
            let indices = manifest.part(part).map(place).collect::<Result<Vec<usize>>>()?;
            Ok::<_, Error>(photos.subset(&indices)?)
        };
        let train = part(Part::Train, &photos)?;
        let validation = part(Part::Validation, apart.as_ref().unwrap_or(&photos))?;
        let apart = apart.is_some();
        Self::checked(recipe, Self { train, validation, split, apart, report, manifest, outputs: None })
    }

    /// `data`, if it has validation photos; with a hint if classes differ in size.
    fn checked(recipe: &Recipe, mut data: Self) -> Result<Self> {
        if data.validation.is_empty() {
            return Err(Error::NoValidation { path: recipe.dir.clone() });
        }
        let sizes = counts(&data.train);
        let (least, most) = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
        if !recipe.class_weights && *most >= IMBALANCED * (*least).max(1) {
            let hint = format!(
                "the largest class has {most} photos to train on, the smallest {least}: --class-weights \
                 gives them equal weight"
            );
            data.report.warnings.push(hint);
        }
        Ok(data)
    }

    /// Runs all photos through the stages of `learner` that are frozen now, and keeps the outputs in place of
    /// the photos.
    ///
    /// # Errors
    /// As [`Learner::activations`].
    pub fn keep_outputs(&mut self, learner: &mut Learner) -> Result<()> {
        if let Some(stage) = learner.frozen_stage() {
            let mut of = |photos: &ImageStream| learner.activations(photos, &stage);
            let (train, validation) = (of(&self.train)?, of(&self.validation)?);
            self.outputs = Some(Outputs { train, validation });
        }
        Ok(())
    }

    /// The training set: the photos, or the outputs of the frozen stages.
    pub fn to_train_on(&self) -> &dyn Source {
        self.outputs.as_ref().map_or(&self.train, |outputs| &outputs.train)
    }

    /// The validation set, of the same kind.
    pub fn to_validate_with(&self) -> &dyn Source {
        self.outputs.as_ref().map_or(&self.validation, |outputs| &outputs.validation)
    }

    /// The first `count` items of the training set.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn first_to_train_on(&self, count: usize) -> Result<Box<dyn Source>> {
        let first: Vec<usize> = (0..count).collect();
        Ok(match &self.outputs {
            Some(outputs) => Box::new(outputs.train.subset(&first)?),
            None => Box::new(self.train.subset(&first)?),
        })
    }

    /// Whether `path` is one of the photos.
    pub fn holds(&self, path: &Path) -> bool {
        [&self.train, &self.validation].iter().any(|all| (0..all.len()).any(|i| all.path(i) == Some(path)))
    }

    /// Warnings about the folder, one line each.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let skipped = self.report.skipped.iter().map(|skipped| format!("skipped {skipped}"));
        skipped.chain(self.report.warnings.iter().cloned())
    }
}

/// How many photos there are of each class.
pub fn counts(photos: &ImageStream) -> Vec<usize> {
    let mut counts = vec![0; photos.classes().len()];
    for &label in photos.labels() {
        counts[label as usize] += 1;
    }
    counts
}

fn split_text(recipe: &Recipe, apart: bool) -> String {
    match apart {
        true => "in separate folders".to_owned(),
        false => format!("{:.0}% of each class, seed {}", 100.0 * recipe.val_fraction, recipe.seed),
    }
}

/// All photos of a folder, readable or not.
fn paths(folder: &TrainingFolder) -> Vec<PathBuf> {
    let parts = [Some(&folder.train), folder.validation.as_ref()];
    parts.into_iter().flatten().flat_map(|part| &part.paths).cloned().collect()
}

/// Which of the photos `listed` are training photos, and which are validation photos.
fn manifest(
    recipe: &Recipe,
    listed: &[PathBuf],
    train: &ImageStream,
    validation: &ImageStream,
) -> Result<Manifest> {
    let of = |photos: &ImageStream, part| {
        let paths = (0..photos.len()).filter_map(|i| photos.path(i).map(Path::to_owned));
        paths.map(|path| (path, part)).collect::<Vec<_>>()
    };
    let mut photos = of(train, Part::Train);
    photos.extend(of(validation, Part::Validation));
    let used: HashSet<PathBuf> = photos.iter().map(|(path, _)| path.clone()).collect();
    let rest = listed.iter().filter(|path| !used.contains(*path));
    photos.extend(rest.map(|path| (path.clone(), Part::Skipped)));
    let photos = photos.iter().map(|(path, part)| (path.as_path(), *part));
    Manifest::new(&recipe.dir, train.classes(), photos)
}

/// The photos of a folder that can be decoded; the others go into the report.
fn open(folder: &ImageFolder, input: &Preprocessing, report: &mut FolderReport) -> Result<ImageStream> {
    let mut photos = ImageStream::new(folder, input, StreamOptions::default())?;
    let progress = bar("reading photos", photos.len() as u64);
    let broken = timed("reading photos", || photos.check(|done| progress.set_position(done as u64)))?;
    progress.finish_and_clear();
    report.warnings.extend(broken.iter().map(|error| format!("skipped {error}")));
    Ok(photos)
}
