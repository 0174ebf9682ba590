//! A data set as people keep it: one folder, in it one folder of images per class.
//!
//! ```text
//! photos/cat/IMG_01.jpg   photos/cat/IMG_02.png   photos/dog/a.webp   …
//! ```
//!
//! Opening only lists; images are decoded when asked for. Classes and files are sorted by name, so
//! that labels do not depend on the order in which a file system happens to answer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, ImageSet, Preprocessing, RgbImage8, image};

/// What to do about an image that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCorrupt {
    /// Stop with its error.
    Fail,
    /// Leave it out and add a warning.
    SkipWithWarning,
}

/// The images of a folder of class folders, as paths.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    /// Names of the classes, sorted; a label is an index into this list.
    pub classes: Vec<String>,
    /// The image files, by class and then by name.
    pub paths: Vec<PathBuf>,
    /// The class of each path.
    pub labels: Vec<usize>,
    /// What was passed over and why, for people.
    pub warnings: Vec<String>,
    root: PathBuf,
    on_corrupt: OnCorrupt,
}

impl ImageFolder {
    /// Lists a folder. Hidden names (`.DS_Store`, `.git`) are ignored; other files that are not
    /// `.png`, `.jpg`, `.jpeg` or `.webp`, and folders inside a class, are passed over with a
    /// warning. Links are followed, but only one level of folders is looked into, so that links
    /// in a circle cannot lead astray.
    ///
    /// # Errors
    /// [`Error::NoSuchFolder`], [`Error::NoClassFolders`], [`Error::OneClass`],
    /// [`Error::EmptyClass`], [`Error::NoImages`]; [`Error::Io`] if a folder cannot be listed.
    pub fn open(dir: impl AsRef<Path>, on_corrupt: OnCorrupt) -> Result<Self, Error> {
        let root = dir.as_ref();
        let path = root.to_owned();
        if !root.is_dir() {
            return Err(Error::NoSuchFolder { path });
        }
        let folders: Vec<PathBuf> = visible_entries(root)?.into_iter().filter(|entry| entry.is_dir()).collect();
        let classes: Vec<String> = folders.iter().map(|folder| name(folder)).collect();
        let mut set = Self { classes, paths: Vec::new(), labels: Vec::new(), warnings: Vec::new(), root: path.clone(), on_corrupt };
        for (label, folder) in folders.iter().enumerate() {
            set.list_class(folder, label)?;
        }
        match set.classes.as_slice() {
            [] => return Err(Error::NoClassFolders { path }),
            [only] => {
                let class = only.clone();
                return Err(Error::OneClass { path, class });
            }
            _ if set.paths.is_empty() => {
                let classes = set.classes.len();
                return Err(Error::NoImages { path, classes });
            }
            _ => set.check_no_empty_class(&set.labels)?,
        }
        Ok(set)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Never true of a folder that opened.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// What is done about images that cannot be decoded.
    pub fn on_corrupt(&self) -> OnCorrupt {
        self.on_corrupt
    }

    /// Decodes image `i`.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`], or as [`image::decode`], whatever [`OnCorrupt`] says: whoever
    /// asks for one image must hear that it is not there.
    pub fn load(&self, i: usize) -> Result<RgbImage8, Error> {
        let path = self.paths.get(i).ok_or(Error::IndexOutOfRange { index: i, len: self.len() })?;
        image::decode(path)
    }

    /// Decodes, scales and crops all images into a set in memory. Under
    /// [`OnCorrupt::SkipWithWarning`], images that cannot be decoded are left out, each with a
    /// line in [`ImageFolder::warnings`].
    ///
    /// # Errors
    /// As [`image::decode`] and [`Preprocessing::pixels`]; [`Error::EmptyClass`] if skipping left
    /// nothing of a class.
    pub fn load_all(&mut self, preprocessing: &Preprocessing) -> Result<ImageSet, Error> {
        preprocessing.check()?;
        let mut images = Vec::new();
        let mut labels = Vec::new();
        for i in 0..self.len() {
            match self.load(i).and_then(|image| preprocessing.pixels(&image)) {
                Ok(pixels) => {
                    images.extend(pixels);
                    labels.push(self.labels[i]);
                }
                Err(error) if self.on_corrupt == OnCorrupt::SkipWithWarning => {
                    self.warnings.push(format!("skipped: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        self.check_no_empty_class(&labels)?;
        Ok(ImageSet {
            height: preprocessing.crop,
            width: preprocessing.crop,
            channels: preprocessing.channels,
            images,
            labels: labels.into_iter().map(|label| label as u32).collect(),
            classes: self.classes.clone(),
        })
    }

    /// Adds the images of one class folder.
    fn list_class(&mut self, folder: &Path, label: usize) -> Result<(), Error> {
        let mut passed_over = 0;
        for entry in visible_entries(folder)? {
            // `is_file` follows links and is false for pipes and devices, which could be endless,
            // and for links that lead nowhere or in a circle.
            if entry.is_file() && has_image_extension(&entry) {
                self.paths.push(entry);
                self.labels.push(label);
            } else {
                passed_over += 1;
            }
        }
        if passed_over > 0 {
            let folder = folder.display();
            self.warnings.push(format!("{folder}: passed over {passed_over} entries that are not PNG, JPEG or WebP files"));
        }
        Ok(())
    }

    fn check_no_empty_class(&self, labels: &[usize]) -> Result<(), Error> {
        match (0..self.classes.len()).find(|label| !labels.contains(label)) {
            None => Ok(()),
            Some(label) => Err(Error::EmptyClass { path: self.root.join(&self.classes[label]) }),
        }
    }
}

/// The entries of a folder whose names do not begin with a dot, sorted by name.
fn visible_entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "list"))? {
        let path = entry.map_err(Error::io(folder, "list"))?.path();
        if !name(&path).starts_with('.') {
            entries.push(path);
        }
    }
    entries.sort();
    Ok(entries)
}

/// The last part of a path. Bytes that are not Unicode show as `�`; the path itself keeps them.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["png", "jpg", "jpeg", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}
