//! The contents of a folder of photos, and warnings that a person should read before training.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::folder::{ImageFolder, Skipped};
use crate::image::MAX_FILE;
use crate::kind::FileKind;

/// Maximum number of files in a list; it then ends with "and 5 more".
const NAMED: usize = 3;

/// The contents of a folder: prints as text for people, serialises for programs. Files are given by their
/// paths inside the folder; bytes that are not Unicode show as `�`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FolderReport {
    /// The classes, in the order of their labels.
    pub classes: Vec<ClassCount>,
    /// Whether the folder has separate validation photos.
    pub has_validation: bool,
    /// The skipped files, by kind.
    pub skipped: Vec<SkippedFiles>,
    /// Photos that occur more than once, byte for byte.
    pub duplicates: Vec<Duplicates>,
    /// Warnings about problems for the training or its evaluation.
    pub warnings: Vec<String>,
}

/// The photos of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The folder's name.
    pub name: String,
    /// Training photos; all photos if there is no folder of validation photos.
    pub train: usize,
    /// Validation photos.
    pub validation: usize,
}

/// Skipped files of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedFiles {
    /// What they are.
    pub kind: FileKind,
    /// Which they are.
    pub files: Vec<String>,
    /// What can be done so that they are used.
    pub advice: Option<&'static str>,
}

/// One photo under several names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// The names, at least two.
    pub files: Vec<String>,
    /// Whether it is used both for training and for validation.
    pub across_train_and_validation: bool,
    /// Whether it is in several classes.
    pub across_classes: bool,
}

impl FolderReport {
    /// The report on a folder, or on two of which the second is for validation. Names in it are relative to
    /// `root`. Files of equal length are read to compare them.
    pub fn new(root: &Path, train: &ImageFolder, validation: Option<&ImageFolder>) -> Self {
        let count =
            |folder: &ImageFolder, class| folder.labels.iter().filter(|&&label| label == class).count();
        let class = |(class, name): (usize, &String)| ClassCount {
            name: name.clone(),
            train: count(train, class),
            validation: validation.map_or(0, |folder| count(folder, class)),
        };
        let skipped = train.skipped.iter().chain(validation.map_or(&[][..], |folder| &folder.skipped));
        let mut report = Self {
            classes: train.classes.iter().enumerate().map(class).collect(),
            has_validation: validation.is_some(),
            skipped: by_kind(root, skipped),
            duplicates: duplicates(root, train, validation),
            warnings: vec![],
        };
        report.warn();
        report
    }

    fn warn(&mut self) {
        let mut warnings = vec![];
        for ClassCount { name, train, validation } in &self.classes {
            let name = printable(name);
            match (self.has_validation, train, validation) {
                (false, 1, _) => warnings.push(format!(
                    "class {name} has 1 photo: it is used for training, none is left for validation, and \
                     one is too few to learn from; add more"
                )),
                (true, 1, _) => warnings
                    .push(format!("class {name} has 1 photo to train on, too few to learn from; add more")),
                _ => {}
            }
            if self.has_validation && *validation == 0 {
                warnings.push(format!("class {name} has no validation photo, so its accuracy stays unknown"));
            }
        }
        let mut about = |concerned: Vec<&Duplicates>, what: &str| {
            if let Some(first) = concerned.first() {
                warnings.push(format!("{} {what}: {}", photos(concerned.len()), list(&first.files)));
            }
        };
        let groups =
            |wanted: fn(&Duplicates) -> bool| self.duplicates.iter().filter(move |group| wanted(group));
        about(
            groups(|group| group.across_train_and_validation).collect(),
            "used both for training and for validation, which makes the accuracy look better than it is",
        );
        // Also if one copy is for training and the other for validation.
        about(
            groups(|group| group.across_classes).collect(),
            "in more than one class, byte for byte the same; only one label can be right",
        );
        if !self.has_validation {
            about(
                groups(|group| !group.across_classes).collect(),
                "present more than once; a split may train on one copy and validate with the other",
            );
        }
        self.warnings = warnings;
    }
}

impl fmt::Display for FolderReport {
    /// One line per class, one per kind of skipped file, one per warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = |of: fn(&ClassCount) -> usize| self.classes.iter().map(of).sum::<usize>();
        write!(f, "{} classes, {}", self.classes.len(), photos(total(|class| class.train)))?;
        if self.has_validation {
            write!(f, " to train on, {} to validate with", total(|class| class.validation))?;
        }
        let width = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
        for ClassCount { name, train, validation } in &self.classes {
            write!(f, "\n  {:<width$}  {train:>6}", printable(name))?;
            if self.has_validation {
                write!(f, " + {validation}")?;
            }
        }
        for skipped in &self.skipped {
            write!(f, "\nskipped: {skipped}")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning: {warning}"))
    }
}

impl fmt::Display for SkippedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.counted(self.files.len()), list(&self.files))?;
        self.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// The skipped files, grouped by kind.
pub fn by_kind<'a>(root: &Path, skipped: impl Iterator<Item = &'a Skipped>) -> Vec<SkippedFiles> {
    let mut kinds = BTreeMap::<FileKind, Vec<String>>::new();
    for Skipped { path, kind } in skipped {
        kinds.entry(*kind).or_default().push(inside(root, path));
    }
    kinds.into_iter().map(|(kind, files)| SkippedFiles { kind, files, advice: kind.advice() }).collect()
}

/// A photo and its location.
struct Photo<'a> {
    path: &'a Path,
    label: usize,
    validates: bool,
}

fn photos_of(folder: &ImageFolder, validates: bool) -> impl Iterator<Item = Photo<'_>> {
    folder.paths.iter().zip(&folder.labels).map(move |(path, &label)| Photo { path, label, validates })
}

/// Groups of files with the same bytes. Only files of equal length are read, which are few in a folder of
/// photos. A file that cannot be read is not a copy.
fn duplicates(root: &Path, train: &ImageFolder, validation: Option<&ImageFolder>) -> Vec<Duplicates> {
    let validation = validation.into_iter().flat_map(|folder| photos_of(folder, true));
    let all: Vec<Photo<'_>> = photos_of(train, false).chain(validation).collect();
    let mut by_length = HashMap::<u64, Vec<usize>>::new();
    for (i, photo) in all.iter().enumerate() {
        if let Ok(length @ 1..=MAX_FILE) = fs::metadata(photo.path).map(|status| status.len()) {
            by_length.entry(length).or_default().push(i);
        }
    }
    let mut by_content = HashMap::<[u8; 32], Vec<usize>>::new();
    for i in by_length.into_values().filter(|group| group.len() > 1).flatten() {
        if let Ok(hash) = sha256(all[i].path) {
            by_content.entry(hash).or_default().push(i);
        }
    }
    let mut groups: Vec<Vec<usize>> = by_content.into_values().filter(|group| group.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    let describe = |group: Vec<usize>| {
        let differ = |differ: fn(&Photo<'_>, &Photo<'_>) -> bool| {
            group.windows(2).any(|pair| differ(&all[pair[0]], &all[pair[1]]))
        };
        Duplicates {
            across_train_and_validation: differ(|a, b| a.validates != b.validates),
            across_classes: differ(|a, b| a.label != b.label),
            files: group.iter().map(|&i| inside(root, all[i].path)).collect(),
        }
    };
    groups.into_iter().map(describe).collect()
}

fn sha256(path: &Path) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hash)?;
    Ok(hash.finalize().into())
}

fn inside(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn photos(count: usize) -> String {
    FileKind::Photo.counted(count)
}

fn list(files: &[String]) -> String {
    let mut text = files.iter().take(NAMED).map(|file| printable(file)).collect::<Vec<_>>().join(", ");
    if files.len() > NAMED {
        text += &format!(" and {} more", files.len() - NAMED);
    }
    text
}

/// A name, escaped so that only text reaches a terminal.
pub(crate) fn printable(name: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    name.chars().map(escape).collect()
}
