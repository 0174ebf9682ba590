//! The photos: found, checked, and split into those to train on and those to validate with. They stay on
//! disk and are decoded ahead of the device, so that a folder may be larger than memory.

use frostline_charts::bar;
use frostline_loader::{
    FolderReport, ImageFolder, ImageStream, OnCorrupt, Preprocessing, StreamOptions, TrainingFolder,
    stratified_split,
};

use crate::error::{Error, Result};
use crate::train::recipe::Recipe;

/// Classes that differ so many times in size are worth a hint.
const IMBALANCED: usize = 4;

/// Photos to train on and photos to validate with.
pub struct Data {
    /// To train on.
    pub train: ImageStream,
    /// To validate with; no weight is trained on them.
    pub validation: ImageStream,
    /// How they were split, for people.
    pub split: String,
    /// What is in the folder, and what to beware of.
    pub report: FolderReport,
}

impl Data {
    /// Opens the recipe's folder, and decodes every photo once to see whether it can be.
    ///
    /// # Errors
    /// What listing and reading give; [`Error::NoValidation`] if no photo can be kept for validation.
    pub fn open(recipe: &Recipe, input: &Preprocessing) -> Result<Self> {
        let TrainingFolder { train, validation, mut report } =
            TrainingFolder::open(&recipe.dir, OnCorrupt::SkipWithWarning)?;
        let photos = open(&train, input, &mut report)?;
        let (train, validation, split) = match validation {
            Some(validation) => {
                (photos, open(&validation, input, &mut report)?, "in folders of their own".to_owned())
            }
            None => {
                let split = stratified_split(&photos.label_indices(), recipe.val_fraction, recipe.seed)?;
                let text = format!("{:.0}% of each class, seed {}", 100.0 * recipe.val_fraction, recipe.seed);
                (photos.subset(&split.train)?, photos.subset(&split.validation)?, text)
            }
        };
        if validation.is_empty() {
            return Err(Error::NoValidation { path: recipe.dir.clone() });
        }
        let sizes = counts(&train);
        let (least, most) = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
        if !recipe.class_weights && *most >= IMBALANCED * (*least).max(1) {
            let hint = format!(
                "the largest class has {most} photos to train on, the smallest {least}: --class-weights makes them count alike"
            );
            report.warnings.push(hint);
        }
        Ok(Self { train, validation, split, report })
    }

    /// What a person should know about the folder, a line each.
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

/// The photos of a folder that can be decoded; the others go into the report.
fn open(folder: &ImageFolder, input: &Preprocessing, report: &mut FolderReport) -> Result<ImageStream> {
    let mut photos = ImageStream::new(folder, input, StreamOptions::default())?;
    let progress = bar("reading photos", photos.len() as u64);
    let broken = photos.check(|done| progress.set_position(done as u64))?;
    progress.finish_and_clear();
    report.warnings.extend(broken.iter().map(|error| format!("skipped {error}")));
    Ok(photos)
}
