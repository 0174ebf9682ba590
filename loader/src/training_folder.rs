//! A folder to train on, in one of two shapes: class folders, or `train` and `val` with class folders.

use std::path::{Path, PathBuf};

use crate::folder::{ImageFolder, OnCorrupt};
use crate::listing::{folders_in, holds_runs, name};
use crate::{Error, FileKind, FolderReport};

/// Words in the name of the training folder: `train`, `Training`, `training_set`, `seg_train`.
const TRAIN: [&str; 4] = ["train", "training", "trainset", "traindata"];
/// Words in the name of the validation folder; of several folders, that of the first word in this list is
/// used.
const VALIDATION: [&str; 10] =
    ["val", "valid", "validation", "valset", "dev", "eval", "test", "testing", "tests", "testset"];

/// The photos of a folder, and the warnings about it.
///
/// ```text
/// photos/cat/…  photos/dog/…                                    one folder a class, to be split
/// photos/train/cat/…  photos/train/dog/…  photos/val/cat/…      or split already
/// ```
#[derive(Clone, Debug)]
pub struct TrainingFolder {
    /// The training photos, or all photos.
    pub train: ImageFolder,
    /// The validation photos, if they are in a separate folder; with the classes of `train`.
    pub validation: Option<ImageFolder>,
    /// The contents of the folder, the skipped files, and warnings.
    pub report: FolderReport,
}

impl TrainingFolder {
    /// Lists a folder of either shape. The second is recognised by a folder whose name has the word `train`
    /// and that contains folders (so that a class of trains is not mistaken for it) beside one of `val`,
    /// `valid`, `dev`, `test` or the like, or beside no other folder. Upper and lower case are the same.
    ///
    /// # Errors
    /// As [`ImageFolder::open`]; as [`ImageFolder::open_with`] for the validation photos.
    pub fn open(dir: impl AsRef<Path>, on_corrupt: OnCorrupt) -> Result<Self, Error> {
        let root = dir.as_ref();
        let (train, validation) = match parts(root) {
            Some((train, validation)) => {
                let train = ImageFolder::open(train, on_corrupt)?;
                let open = |folder: PathBuf| ImageFolder::open_with(folder, &train.classes, on_corrupt);
                let validation = validation.map(open).transpose()?;
                (train, validation)
            }
            None => (ImageFolder::open(root, on_corrupt)?, None),
        };
        let report = FolderReport::new(root, &train, validation.as_ref());
        Ok(Self { train, validation, report })
    }
}

/// The validation folder inside a folder, if [`TrainingFolder::open`] would find one; `None` for a folder of
/// class folders.
pub fn validation_part(root: &Path) -> Option<PathBuf> {
    parts(root).and_then(|(_, validation)| validation)
}

/// The training folder and the validation folder, if `root` has them.
fn parts(root: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    let inside: Vec<PathBuf> = folders_in(root).into_iter().filter(|folder| !holds_runs(folder)).collect();
    let called = |known: &str| {
        let holds = |folder: &&PathBuf| has_word(folder, known) && !folders_in(folder).is_empty();
        inside.iter().find(holds).map(|folder| descended(folder))
    };
    let train = TRAIN.into_iter().find_map(called)?;
    let validation = VALIDATION.into_iter().find_map(called);
    // Test photos without known classes are neither a class nor validation photos.
    let known = |folder: &PathBuf| TRAIN.iter().chain(&VALIDATION).any(|word| has_word(folder, word));
    (validation.is_some() || inside.iter().all(known)).then_some((train, validation))
}

/// Whether a folder's name has this word, as `training_set` and `Training Set` have `training`.
fn has_word(folder: &Path, word: &str) -> bool {
    name(folder).split(|c: char| !c.is_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
}

/// Archives put a folder into one of the same name: `seg_train/seg_train/forest`.
fn descended(folder: &Path) -> PathBuf {
    match folders_in(folder).as_slice() {
        [only] if !folders_in(only).is_empty() && !holds_photo(only) => only.clone(),
        _ => folder.to_owned(),
    }
}

fn holds_photo(folder: &Path) -> bool {
    let entries = crate::listing::visible_entries(folder).unwrap_or_default();
    entries.iter().any(|path| FileKind::of(path) == FileKind::Photo)
}
