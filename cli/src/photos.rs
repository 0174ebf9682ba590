//! Photos on disk, decoded one batch at a time: memory holds one batch, for any number of photos.

use crate::output::tell_error;
use crate::{Error, Result};
use frostline_loader::listing::{photos_below, same_name};
use frostline_loader::report::by_kind;
use frostline_loader::training_folder::validation_part;
use frostline_loader::{
    BatchState, Error as LoaderError, FileKind, ImageFolder, OnCorrupt, Preprocessing, image,
};
use frostline_trainer::{Batch, Source};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Views of a photo in test-time augmentation: see [`Preprocessing::ten_crop`].
pub const VIEWS: usize = 10;

/// The message for a photo for which the network gives NaN or infinity instead of a class.
pub const NOT_A_NUMBER: &str =
    "the network's output is not a number; its weights may be damaged, or come from a run that diverged";

/// Photos, each seen in one view or in [`VIEWS`], one after another.
#[derive(Debug)]
pub struct Photos {
    paths: Vec<PathBuf>,
    /// One a view.
    labels: Vec<u32>,
    classes: Vec<String>,
    preprocessing: Preprocessing,
    views: usize,
    /// Errors of unreadable photos, by index in `paths`. The network gets zeros for them.
    unreadable: Mutex<BTreeMap<usize, LoaderError>>,
    bar: ProgressBar,
}

impl Photos {
    /// Photos without labels.
    pub fn unlabelled(paths: Vec<PathBuf>, preprocessing: Preprocessing, views: usize) -> Self {
        let labels = vec![0; paths.len() * views];
        Self {
            bar: bar(paths.len()),
            paths,
            labels,
            classes: vec![],
            preprocessing,
            views,
            unreadable: Mutex::default(),
        }
    }

    /// The photos of a folder of class folders, and a description of the skipped files, for people.
    ///
    /// # Errors
    /// As [`ImageFolder::open_any`].
    pub fn all_classes(folder: &Path, preprocessing: Preprocessing) -> Result<(Self, Vec<String>)> {
        let found = ImageFolder::open_any(folder, OnCorrupt::SkipWithWarning)?;
        let mut photos = Self::unlabelled(found.paths, preprocessing, 1);
        photos.labels = found.labels.iter().map(|&label| label as u32).collect();
        photos.classes = found.classes;
        Ok((photos, found.warnings))
    }

    /// The same, with labels that are indices into `classes`, the model's classes. If a folder has separate
    /// validation photos, as `train` accepts them, only these are used, and the first warning states it.
    ///
    /// # Errors
    /// [`Error::FolderClasses`] for a folder that names none of them; as [`ImageFolder::open_any`].
    pub fn of_classes(
        folder: &Path,
        classes: &[String],
        preprocessing: Preprocessing,
    ) -> Result<(Self, Vec<String>)> {
        let part = validation_part(folder);
        let folder = part.as_deref().unwrap_or(folder);
        let (mut photos, mut warnings) = Self::all_classes(folder, preprocessing)?;
        if part.is_some() {
            warnings.insert(0, format!("evaluating only the validation photos, {}", folder.display()));
        }
        let found = std::mem::replace(&mut photos.classes, classes.to_vec());
        let place = |name: &String| classes.iter().position(|class| same_name(class, name));
        let unknown: Vec<&str> =
            found.iter().filter(|name| place(name).is_none()).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(Error::FolderClasses {
                folder: folder.to_owned(),
                unknown: unknown.join(", "),
                known: listed(classes),
            });
        }
        let absent: Vec<String> = classes
            .iter()
            .filter(|class| !found.iter().any(|name| same_name(class, name)))
            .cloned()
            .collect();
        if !absent.is_empty() {
            warnings.push(format!("{}: no photos of {}", folder.display(), listed(&absent)));
        }
        let places: Vec<u32> = found.iter().filter_map(place).map(|class| class as u32).collect();
        photos.labels.iter_mut().for_each(|label| *label = places[*label as usize]);
        Ok((photos, warnings))
    }

    /// The files, in order.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Number of views per photo.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Errors of the photos that could not be read so far, by index in [`Photos::paths`].
    pub fn unreadable(&self) -> MutexGuard<'_, BTreeMap<usize, LoaderError>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Indices of the photos that could be read.
    pub fn readable(&self) -> Vec<usize> {
        let unreadable = self.unreadable();
        (0..self.paths.len()).filter(|i| !unreadable.contains_key(i)).collect()
    }

    /// Reports unreadable photos on standard error.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if there was any.
    pub fn tell_unreadable(&self) -> Result<()> {
        let unreadable = self.unreadable();
        for error in unreadable.values() {
            tell_error(error);
        }
        if unreadable.is_empty() {
            Ok(())
        } else {
            Err(Error::Unreadable { unreadable: unreadable.len(), photos: self.paths.len() })
        }
    }

    /// All views of photo `i`, each (crop, crop, channels).
    fn decode(&self, i: usize) -> Result<Vec<Vec<u8>>, LoaderError> {
        image::read(&self.paths[i], |photo| match self.views {
            1 => Ok(vec![self.preprocessing.pixels(photo)?]),
            _ => self.preprocessing.ten_crop(photo),
        })
    }

    /// The photos in `wanted`, decoded on all cores; `None` for a photo that cannot be read.
    fn decode_all(&self, wanted: &[usize]) -> Vec<Option<Vec<Vec<u8>>>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut decoded: Vec<Option<Vec<Vec<u8>>>> = vec![None; wanted.len()];
        let share = wanted.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (photos, places) in wanted.chunks(share).zip(decoded.chunks_mut(share)) {
                scope.spawn(move || {
                    for (&photo, place) in photos.iter().zip(places) {
                        match self.decode(photo) {
                            Ok(views) => *place = Some(views),
                            Err(error) => drop(self.unreadable().insert(photo, error)),
                        }
                    }
                });
            }
        });
        decoded
    }
}

impl Source for Photos {
    fn shape(&self) -> [usize; 3] {
        [self.preprocessing.crop, self.preprocessing.crop, self.preprocessing.channels]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn gather(&self, indices: &[usize], _: Option<BatchState>, out: &mut Batch) -> Result<(), LoaderError> {
        let mut wanted: Vec<usize> = indices.iter().map(|i| i / self.views).collect();
        wanted.dedup();
        let decoded = self.decode_all(&wanted);
        let [height, width, channels] = self.shape();
        let (black, images) = (vec![0; height * width * channels], out.bytes());
        images.clear();
        for &i in indices {
            let place = wanted.iter().position(|photo| *photo == i / self.views);
            let views = place.and_then(|place| decoded[place].as_ref());
            images.extend_from_slice(views.map_or(&black, |views| &views[i % self.views]));
        }
        self.bar.set_position(wanted.last().map_or(0, |last| *last as u64 + 1));
        Ok(())
    }
}

/// The photos that `given` names: files as they are, and all photos in folders and below them, sorted by
/// name; and a description of the files that were skipped there, for people.
///
/// # Errors
/// [`Error::NoImages`] for a folder without images; the errors of [`photos_below`] for a folder that cannot
/// be listed. A missing file is no error here: it is reported with the others that cannot be read.
pub fn expand(given: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let (mut paths, mut warnings) = (vec![], vec![]);
    for path in given {
        if !path.is_dir() {
            paths.push(path.clone());
            continue;
        }
        let (photos, skipped) = photos_below(path)?;
        // Notes and similar files beside photos are not reported.
        let told = skipped.iter().filter(|skipped| skipped.kind != FileKind::Other);
        warnings.extend(by_kind(path, told).iter().map(|skipped| format!("skipped {skipped}")));
        if photos.is_empty() {
            return Err(Error::NoImages { folder: path.clone() });
        }
        paths.extend(photos);
    }
    Ok((paths, warnings))
}

/// Names for an error's text: the first twenty, and how many more.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{text} and {} more", names.len() - SHOWN) } else { text }
}

/// On standard error, and only if that is a terminal.
fn bar(photos: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} photos [{wide_bar}] {per_sec} ({eta})");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(photos as u64).with_style(style).with_finish(ProgressFinish::AndClear)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mixed case, spaces, hidden files, other files, nested folders, and a link to its own folder.
    #[test]
    fn folders_are_as_people_have_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/deep er")).unwrap();
        for name in ["b/2.JPG", "b/deep er/ü 3.Png", "1.webp", ".hidden.png", "notes.txt", "b/4.heic"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(root, root.join("b/again")).unwrap();
        let given = [root.to_owned(), root.join("absent.png")];
        let expected = ["1.webp", "b/2.JPG", "b/deep er/ü 3.Png", "absent.png"].map(|name| root.join(name));
        let (paths, warnings) = expand(&given).unwrap();
        assert_eq!(paths, expected);
        assert!(warnings.len() == 1 && warnings[0].contains("1 HEIC photo: b/4.heic"), "{warnings:?}");
        std::fs::create_dir(root.join("empty")).unwrap();
        let error = expand(&[root.join("empty")]).unwrap_err().to_string();
        assert!(error.contains("empty") && error.contains("no photos"), "{error}");
    }
}
