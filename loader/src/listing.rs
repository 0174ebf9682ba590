//! The contents of a folder, the same for every command: training, prediction and evaluation use the same
//! files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::{Error, FileKind, Skipped};

/// Files that other programs create in folders of photos. Hidden names, such as `.ipynb_checkpoints`, are
/// skipped as well.
const LEFT_BEHIND: [&str; 8] = [
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "Thumbs.db",
    "desktop.ini",
];

/// The file that marks a folder as that of a run.
const RUN: &str = "run.json";
/// The folder for the runs of this program.
const RUNS: &str = "runs";

/// The photos in a folder and below, sorted by name, and the other files there. Circular links are followed
/// once.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be listed.
pub fn photos_below(folder: &Path) -> Result<(Vec<PathBuf>, Vec<Skipped>), Error> {
    let (mut photos, mut skipped) = (vec![], vec![]);
    descend(folder, &mut BTreeSet::new(), &mut photos, &mut skipped)?;
    Ok((photos, skipped))
}

fn descend(
    folder: &Path,
    seen: &mut BTreeSet<PathBuf>,
    photos: &mut Vec<PathBuf>,
    skipped: &mut Vec<Skipped>,
) -> Result<(), Error> {
    if !seen.insert(fs::canonicalize(folder).map_err(Error::io(folder, "list"))?) {
        return Ok(());
    }
    for path in visible_entries(folder)? {
        match FileKind::of(&path) {
            FileKind::Photo => photos.push(path),
            FileKind::Folder if holds_runs(&path) => skipped.push(Skipped { path, kind: FileKind::Runs }),
            FileKind::Folder => descend(&path, seen, photos, skipped)?,
            kind => skipped.push(Skipped { path, kind }),
        }
    }
    Ok(())
}

/// The entries of a folder that people put there, sorted by name.
pub(crate) fn visible_entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "list"))? {
        let path = entry.map_err(Error::io(folder, "list"))?.path();
        let name = name(&path);
        if !name.starts_with('.') && !LEFT_BEHIND.iter().any(|left| name.eq_ignore_ascii_case(left)) {
            entries.push(path);
        }
    }
    entries.sort();
    Ok(entries)
}

/// The folders among [`visible_entries`]; empty if it cannot be listed.
pub(crate) fn folders_in(folder: &Path) -> Vec<PathBuf> {
    visible_entries(folder).unwrap_or_default().into_iter().filter(|entry| entry.is_dir()).collect()
}

/// Whether this is a run's folder or a folder of them, such as `runs` beside the class folders after
/// `frostline train .`: a folder with this name and without photos is that of a starting run.
pub(crate) fn holds_runs(folder: &Path) -> bool {
    let run = |folder: &Path| folder.join(RUN).is_file();
    let begins = || {
        let photo = |path: &PathBuf| FileKind::of(path) == FileKind::Photo;
        name(folder) == RUNS && !visible_entries(folder).unwrap_or_default().iter().any(photo)
    };
    run(folder) || folders_in(folder).iter().any(|inner| run(inner)) || begins()
}

/// Whether two names are equal in any spelling: composed (NFC) or decomposed (NFD).
pub fn same_name(a: &str, b: &str) -> bool {
    a.nfc().eq(b.nfc())
}

/// The last part of a path, in composed letters (NFC): macOS writes an ä as a and two dots, and both
/// spellings must name the same class. Bytes that are not Unicode show as `\xE4`, so that two such names
/// differ.
pub(crate) fn name(path: &Path) -> String {
    let mut name = String::new();
    for chunk in path.file_name().unwrap_or_default().as_encoded_bytes().utf8_chunks() {
        name.extend(chunk.valid().nfc());
        name.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    name
}
