//! A data set in the usual layout: a folder with one sub-folder of images per class.
//!
//! ```text
//! photos/cat/IMG_01.jpg   photos/cat/IMG_02.png   photos/dog/a.webp   …
//! ```
//!
//! Opening only lists the files; images are decoded on request. Classes and files are sorted by name, so that
//! labels do not depend on the order in which the file system lists them.

use std::path::{Path, PathBuf};

use crate::listing::{folders_in, holds_runs, name, same_name, visible_entries};
use crate::report::by_kind;
use crate::{Error, FileKind, ImageSet, Preprocessing, RgbImage8, image};

/// What to do with an image that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCorrupt {
    /// Stop with the error.
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
    /// The files that were skipped, in the same order.
    pub skipped: Vec<Skipped>,
    /// The same for people, one line per kind, and the images that [`ImageFolder::load_all`] left out.
    pub warnings: Vec<String>,
    root: PathBuf,
    on_corrupt: OnCorrupt,
}

/// The entries of a folder that are not photos in class folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
}

impl ImageFolder {
    /// Lists a folder. Hidden names (`.DS_Store`, `.git`) and files that other programs create (`__MACOSX`,
    /// `@eaDir`, `Thumbs.db`) are ignored; files that are neither PNG, JPEG nor WebP by their first bytes
    /// ([`FileKind`]), folders inside a class, this program's own runs, and files beside the class folders
    /// are skipped with a warning. Two spellings of one name (NFC and NFD) are one class. Links are followed,
    /// but only one level of folders is searched, so that circular links do no harm.
    ///
    /// # Errors
    /// [`Error::NoSuchFolder`], [`Error::NoClassFolders`], [`Error::OneClass`],
    /// [`Error::OneFolderDown`], [`Error::EmptyClass`], [`Error::NoImages`]; [`Error::Io`] if a
    /// folder cannot be listed.
    pub fn open(dir: impl AsRef<Path>, on_corrupt: OnCorrupt) -> Result<Self, Error> {
        let set = Self::open_any(dir, on_corrupt)?;
        if let [only] = set.classes.as_slice() {
            return Err(Error::OneClass { path: set.root, class: only.clone() });
        }
        match (0..set.classes.len()).find(|label| !set.labels.contains(label)) {
            None => Ok(set),
            Some(label) => Err(Error::EmptyClass { path: set.root.join(&set.classes[label]) }),
        }
    }

    /// [`ImageFolder::open`] for photos that are not trained on: one class is enough, and classes without
    /// photos get a warning.
    ///
    /// # Errors
    /// As [`ImageFolder::open`] for a folder without any photos.
    pub fn open_any(dir: impl AsRef<Path>, on_corrupt: OnCorrupt) -> Result<Self, Error> {
        let mut set = Self::list(dir.as_ref(), None, on_corrupt)?;
        if let ([only], []) = (set.classes.as_slice(), set.paths.as_slice())
            && let path = set.root.clone()
            && set.skipped.iter().any(|skipped| skipped.kind == FileKind::Folder)
        {
            return Err(Error::OneFolderDown { inner: path.join(only), path });
        }
        set.check_not_empty()?;
        let empty = |&label: &usize| !set.labels.contains(&label);
        let empty: Vec<&str> =
            (0..set.classes.len()).filter(empty).map(|label| set.classes[label].as_str()).collect();
        if !empty.is_empty() {
            set.warnings.push(format!("no photos in: {}", empty.join(", ")));
        }
        Ok(set)
    }

    /// Lists a folder whose classes are those of other photos, or of a model: labels are indices into
    /// `classes`, and not every class needs photos. Otherwise as [`ImageFolder::open`].
    ///
    /// # Errors
    /// [`Error::UnknownClass`] for a class folder that is not in `classes`; [`Error::NoSuchFolder`],
    /// [`Error::NoClassFolders`], [`Error::NoImages`], [`Error::Io`].
    pub fn open_with(
        dir: impl AsRef<Path>,
        classes: &[String],
        on_corrupt: OnCorrupt,
    ) -> Result<Self, Error> {
        let set = Self::list(dir.as_ref(), Some(classes), on_corrupt)?;
        set.check_not_empty()?;
        Ok(set)
    }

    fn list(root: &Path, classes: Option<&[String]>, on_corrupt: OnCorrupt) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(Error::NoSuchFolder { path: root.to_owned() });
        }
        let (runs, folders): (Vec<PathBuf>, Vec<PathBuf>) =
            folders_in(root).into_iter().partition(|folder| holds_runs(folder));
        if folders.is_empty() {
            return Err(Error::NoClassFolders { path: root.to_owned() });
        }
        let mut named: Vec<(String, PathBuf)> =
            folders.into_iter().map(|folder| (name(&folder), folder)).collect();
        named.sort();
        let mut names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
        names.dedup();
        let classes = classes.unwrap_or(&names);
        let beside = visible_entries(root)?.into_iter().filter(|entry| !entry.is_dir());
        let runs = runs.into_iter().map(|path| Skipped { path, kind: FileKind::Runs });
        let mut set = Self {
            classes: classes.to_vec(),
            paths: Vec::new(),
            labels: Vec::new(),
            skipped: beside.map(beside_the_classes).chain(runs).collect(),
            warnings: Vec::new(),
            root: root.to_owned(),
            on_corrupt,
        };
        for (name, folder) in named {
            let Some(label) = classes.iter().position(|class| same_name(class, &name)) else {
                return Err(Error::UnknownClass { path: folder, class: name, known: classes.join(", ") });
            };
            set.list_class(&folder, label)?;
        }
        set.warnings =
            by_kind(root, set.skipped.iter()).iter().map(|skipped| format!("skipped {skipped}")).collect();
        Ok(set)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Never true for a folder that was opened.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The treatment of images that cannot be decoded.
    pub fn on_corrupt(&self) -> OnCorrupt {
        self.on_corrupt
    }

    /// Decodes image `i`.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`], or as [`image::decode`], independent of [`OnCorrupt`]: a request for a
    /// single image must not succeed without it.
    pub fn load(&self, i: usize) -> Result<RgbImage8, Error> {
        let path = self.paths.get(i).ok_or(Error::IndexOutOfRange { index: i, len: self.len() })?;
        image::decode(path)
    }

    /// Decodes, scales and crops all images into a set in memory; [`ImageStream`](crate::ImageStream) is for
    /// folders that are too large for memory. Under [`OnCorrupt::SkipWithWarning`], images that cannot be
    /// decoded are left out, each with a line in [`ImageFolder::warnings`].
    ///
    /// # Errors
    /// As [`image::decode`] and [`Preprocessing::pixels`]; [`Error::EmptyClass`] if skipping left no image of
    /// a class.
    pub fn load_all(&mut self, preprocessing: &Preprocessing) -> Result<ImageSet, Error> {
        preprocessing.check()?;
        let mut images = Vec::new();
        let mut labels = Vec::new();
        for i in 0..self.len() {
            match image::read(&self.paths[i], |image| preprocessing.pixels(image)) {
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
        if let Some(lost) = self.labels.iter().find(|label| !labels.contains(label)) {
            return Err(Error::EmptyClass { path: self.root.join(&self.classes[*lost]) });
        }
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
        for path in visible_entries(folder)? {
            match FileKind::of(&path) {
                FileKind::Photo => {
                    self.paths.push(path);
                    self.labels.push(label);
                }
                kind => self.skipped.push(Skipped { path, kind }),
            }
        }
        Ok(())
    }

    fn check_not_empty(&self) -> Result<(), Error> {
        match self.paths.as_slice() {
            [] => Err(Error::NoImages { path: self.root.clone(), classes: self.classes.len() }),
            _ => Ok(()),
        }
    }
}

fn beside_the_classes(path: PathBuf) -> Skipped {
    let kind = match FileKind::of(&path) {
        FileKind::Photo => FileKind::Loose,
        kind => kind,
    };
    Skipped { path, kind }
}
