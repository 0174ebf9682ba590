//! The photos of a run that a person should look at: `review.html`, and `review.csv` for programs.

use std::path::Path;
use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_trainer::{
    Evaluation, LabelIssue, Prediction, cross_validate, held_out_probabilities, label_issues,
};

use crate::error::Result;
use crate::review::{Photo, Section, page, percent, shown};
use crate::table::{Cell, Table};
use crate::train::data::Data;
use crate::train::folder::{Run, RunFolder};
use crate::train::job::Job;
use crate::train::manifest::below;

/// Names of the files in a run's folder.
pub const PAGE: &str = "review.html";
const TABLE: &str = "review.csv";
/// Maximum number of photos on the page whose label may be wrong; the table contains all of them.
const ISSUES: usize = 36;
const KIND: &str = "validation photos";
const TITLE: &str = "Photos that may have a wrong label";

/// Predictions of heads on the features of the frozen network for held-out photos, compared with the labels.
pub struct Checked {
    /// Labels that may be wrong, the worst first. Indices count the training photos first and then the
    /// validation photos.
    pub issues: Vec<LabelIssue>,
    /// Number of photos.
    photos: usize,
    /// Number of photos that cannot be checked.
    alone: usize,
}

impl Job {
    /// Compares the label of every photo with the prediction of a head that was trained without the photo.
    /// `None` for a run that began without a linear probe.
    ///
    /// # Errors
    /// The errors of reading photos and checkpoint and training heads.
    pub fn check_labels(&mut self, gpu: &Arc<Gpu>, folder: &RunFolder, run: &Run) -> Result<Option<Checked>> {
        if !folder.probe().exists() {
            return Ok(None);
        }
        let (seed, strength) = (self.recipe.seed, self.strength);
        if self.features.is_none() {
            let mut probe = folder.learner(gpu, &folder.probe(), run)?;
            probe.set_evaluation_batch(self.chosen.batch);
            self.all_features(&mut probe)?;
        }
        let Some(features) = &self.features else { return Ok(None) };
        let c = match strength {
            Some(c) => c,
            None => cross_validate(features, seed)?.regression.c,
        };
        let probabilities = held_out_probabilities(features, c, seed)?;
        let alone = probabilities.iter().filter(|row| row.is_none()).count();
        let issues = label_issues(&features.labels, &probabilities);
        Ok(Some(Checked { issues, photos: features.labels.len(), alone }))
    }
}

/// Writes the page and, where labels were checked, the table.
///
/// # Errors
/// If they cannot be written.
pub fn write(
    folder: &RunFolder,
    job: &Job,
    evaluation: &Evaluation,
    predictions: &[Prediction],
    checked: Option<&Checked>,
) -> Result<()> {
    let (data, root) = (&job.data, &job.recipe.dir);
    let photos = &data.validation;
    let classes = photos.classes();
    let photo = |i: usize| {
        let path = photos.path(i).unwrap_or(Path::new(""));
        (path, below(root, path))
    };
    let sections = [
        Section::mistakes(KIND, classes, photos.labels(), predictions, photo),
        checked.map_or_else(unchecked, |checked| suspects(checked, data, root)),
        Section::confusions(KIND, classes, &evaluation.confusion),
    ];
    let name = folder.path().file_name().unwrap_or_default().to_string_lossy();
    let about = format!(
        "The model recognises {} of {} validation photos. Each photo below is a link to the file.",
        evaluation.confusion.right(),
        photos.len()
    );
    folder.write(PAGE, page(&format!("Photos to look at: {name}"), &about, &sections).as_bytes())?;
    match checked {
        Some(checked) => folder.write(TABLE, &table(&folder.file(TABLE), checked, data)?),
        None => Ok(()),
    }
}

fn unchecked() -> Section {
    let words = "Labels were not checked. The check needs the features of a pretrained network, and this run \
                 began without a linear probe on them.";
    Section::new(TITLE, vec![words.to_owned()])
}

/// A photo by its index among the training photos followed by the validation photos.
fn place(data: &Data, image: usize) -> (&Path, &'static str) {
    let (photos, i, part) = match image.checked_sub(data.train.len()) {
        None => (&data.train, image, "training photo"),
        Some(i) => (&data.validation, i, "validation photo"),
    };
    (photos.path(i).unwrap_or(Path::new("")), part)
}

fn suspects(checked: &Checked, data: &Data, root: &Path) -> Section {
    let classes = data.train.classes();
    let Checked { issues, photos, alone } = checked;
    let mut words = vec![
        "Each photo was shown to a linear classifier on the frozen network's features that was trained without it. \
         A photo is listed if the classifier is as sure of another class as it usually is of that class's own \
         photos (confident learning, Northcutt et al. 2021)."
            .to_owned(),
        "Look at the photos before you change a label: some labels are right, and the photo is only hard to \
         classify.".to_owned(),
        match issues.len() {
            0 => format!("None of {photos} photos is listed."),
            1 => format!("1 of {photos} photos is listed."),
            count => format!(
                "{count} of {photos} photos are listed, the most suspicious first. {TABLE} has them as a table."
            ),
        },
    ];
    words.extend(shown(ISSUES.min(issues.len()), issues.len()));
    if *alone > 0 {
        words.push(match alone {
            1 => "1 photo was not checked: it is the only one of its class.".to_owned(),
            _ => format!("{alone} photos were not checked: each is the only one of its class."),
        });
    }
    let photo = |issue: &LabelIssue| {
        let (path, part) = place(data, issue.image);
        let [label, suggested] = [issue.label, issue.suggested].map(|class| &classes[class as usize]);
        let (p_label, p_suggested) = (percent(issue.p_label), percent(issue.p_suggested));
        Photo {
            path: path.to_owned(),
            name: below(root, path),
            claim: format!("{label}, or {suggested}?"),
            figures: format!("{label} {p_label}, {suggested} {p_suggested}; {part}"),
        }
    };
    let photos = issues.iter().take(ISSUES).map(photo).collect();
    Section { photos, ..Section::new(TITLE, words) }
}

/// The columns `path`, `label`, `suggested`, `p_label` and `p_suggested`.
fn table(path: &Path, checked: &Checked, data: &Data) -> Result<Vec<u8>> {
    let classes = data.train.classes();
    let mut table = Table::new(path, ["path", "label", "suggested", "p_label", "p_suggested"])?;
    for issue in &checked.issues {
        let [label, suggested] =
            [issue.label, issue.suggested].map(|class| Cell::from(classes[class as usize].as_str()));
        let [p_label, p_suggested] =
            [issue.p_label, issue.p_suggested].map(|p| Cell::figure(format_args!("{p:.4}")));
        table.row([Cell::from(place(data, issue.image).0), label, suggested, p_label, p_suggested])?;
    }
    table.finish()
}
