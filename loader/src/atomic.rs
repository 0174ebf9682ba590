//! Replacing a file so that a crash, a full disk or a power cut leaves either the complete old file or the
//! complete new one.
//!
//! The recipe is the classic one: write a temporary file in the same folder, flush it to the disk
//! (`fsync`), rename it over the target (atomic within one file system), then flush the folder, because the
//! rename changed its entry.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

/// Writes a file through `write`. It appears under `path` only when it is complete and on disk.
///
/// # Errors
/// [`Error::Io`] if the folder is missing or not writable, the disk is full, or `write` fails.
/// An earlier file at `path` is then unchanged, and no temporary file is left behind.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("history.json");
/// frostline_loader::atomic::write_atomically(&path, |file| file.write_all(b"[0.7, 0.4]")).unwrap();
/// assert_eq!(std::fs::read(&path).unwrap(), b"[0.7, 0.4]");
/// ```
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (file, temporary) = create_temporary(folder, path)?;

    let mut writer = BufWriter::new(file);
    write(&mut writer).map_err(Error::io(path, "write"))?;
    let file = writer.into_inner().map_err(|error| Error::io(path, "write")(error.into_error()))?;
    file.sync_all().map_err(Error::io(path, "write"))?;
    drop(file);

    std::fs::rename(&temporary.0, path).map_err(Error::io(path, "replace"))?;
    // Only Unix can open and flush a folder; elsewhere the rename alone must suffice.
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder, "flush the folder"))?;
    Ok(())
}

/// A temporary file that is removed on every exit, including panics. After a successful rename its name no
/// longer exists, and removing it does nothing.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Creates `.<name>.<process>.<counter>.tmp` next to the target; hidden, so that [`ImageFolder`]
/// and people overlook it.
///
/// [`ImageFolder`]: crate::ImageFolder
fn create_temporary(folder: &Path, path: &Path) -> Result<(File, Temporary), Error> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    loop {
        let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".{name}.{}.{counter}.tmp", std::process::id()));
        match File::create_new(&temporary) {
            Ok(file) => return Ok((file, Temporary(temporary))),
            // A killed process with the same number left this file: try the next counter.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(Error::io(path, "write")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn replaces_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        write_atomically(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failure_half_way_keeps_the_old_file_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, b"old").unwrap();
        let error = write_atomically(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_panic_half_way_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let result =
            std::panic::catch_unwind(|| write_atomically(&path, |_| panic!("expected by this test")));
        assert!(result.is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write_atomically(Path::new("/no/such/folder/a.txt"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/a.txt"), "{error}");
    }

    #[test]
    fn a_folder_in_the_way_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, |file| file.write_all(b"x")).is_err());
        assert_eq!(names(folder.path()), ["taken"]);
    }
}
