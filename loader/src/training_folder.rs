//! A folder to train on as people have it: class folders, or `train` and `val` with class folders.

use std::path::{Path, PathBuf};

use crate::folder::{ImageFolder, OnCorrupt, name, visible_entries};
use crate::{Error, FolderReport};

/// What the folder to train on may be called.
const TRAIN: [&str; 2] = ["train", "training"];
/// What the folder to validate with may be called; the first of these that is there counts.
const VALIDATION: [&str; 4] = ["val", "valid", "validation", "test"];

/// The photos of a folder, and what is to be said about it.
///
/// ```text
/// photos/cat/…  photos/dog/…                                    one folder a class, to be split
/// photos/train/cat/…  photos/train/dog/…  photos/val/cat/…      or split already
/// ```
#[derive(Clone, Debug)]
pub struct TrainingFolder {
    /// The photos to train on, or all of them.
    pub train: ImageFolder,
    /// The photos to validate with, if they are kept apart; with the classes of `train`.
    pub validation: Option<ImageFolder>,
    /// What was found, what was passed over, and what to beware of.
    pub report: FolderReport,
}

impl TrainingFolder {
    /// Lists a folder of either shape. The second is told by a folder `train` that holds folders
    /// (so that a class of trains is not mistaken for one) beside `val`, `valid`, `validation` or
    /// `test`, or beside no other folder. Upper and lower case are the same.
    ///
    /// # Errors
    /// As [`ImageFolder::open`]; as [`ImageFolder::open_with`] for the photos to validate with.
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

/// The folders to train on and to validate with, if `root` has them.
fn parts(root: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        visible_entries(path).unwrap_or_default().into_iter().filter(|entry| entry.is_dir()).collect()
    };
    let inside = folders(root);
    let called = |known: &str| inside.iter().find(|folder| name(folder).eq_ignore_ascii_case(known)).cloned();
    let train = TRAIN.into_iter().find_map(called).filter(|train| !folders(train).is_empty())?;
    let validation = VALIDATION.into_iter().find_map(called);
    (validation.is_some() || inside.len() == 1).then_some((train, validation))
}
