//! One process at a time in a run's folder, by a lock on a file in it. The system releases the lock when the
//! process ends, even after `kill -9`, so no lock needs to be removed by hand.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use same_file::Handle;

use crate::error::{Error, Result};
use crate::output::warn;
use crate::train::folder::{BEFORE_THE_FIRST, has_checkpoint};

/// Name of the locked file. Its contents do not matter.
const LOCK: &str = ".lock";
/// Number of attempts to lock a folder that other processes create and remove meanwhile.
const TRIES: usize = 100;

/// A folder that only this process uses until the value is dropped.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
    /// The folders that were created for it, the outermost first.
    made: Vec<PathBuf>,
}

impl Claim {
    /// Creates `folder` if it does not exist, and claims it; `None` if another process has claimed it.
    ///
    /// # Errors
    /// [`Error::Write`] if it cannot be created or locked.
    pub fn new(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(LOCK);
        let failed = |source| Error::Write { path: path.clone(), source };
        for _ in 0..TRIES {
            let made = missing(folder);
            match std::fs::create_dir_all(folder) {
                Ok(()) => {}
                // A run has just ended and removed this folder, or the one above.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !folder.is_file() => continue,
                Err(source) => return Err(Error::Write { path: folder.to_owned(), source }),
            }
            let file =
                match OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path) {
                    Ok(file) => file,
                    // Its run ended and removed the folder.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed(error)),
                };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    warn(format_args!(
                        "{}: this file system has no locks; make sure that no other training writes there",
                        folder.display()
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Between opening and locking, the file may have been removed by the run that had it.
            let held = file.try_clone().and_then(Handle::from_file).map_err(failed)?;
            if Handle::from_path(&path).is_ok_and(|there| there == held) {
                return Ok(Some(Self { _lock: file, made }));
            }
        }
        Ok(None)
    }
}

/// `folder` and those folders above it that do not exist, the outermost first.
fn missing(folder: &Path) -> Vec<PathBuf> {
    let above = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
    let mut missing: Vec<PathBuf> = above.take_while(|path| !path.exists()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// The files of a run that ends before its first checkpoint, and their removal. Used while the folder is
/// claimed.
#[derive(Clone, Debug)]
pub struct Leftovers {
    folder: PathBuf,
    /// The folders that were created for this run.
    made: Vec<PathBuf>,
    /// Whether the run was begun by this process.
    new: bool,
}

impl Leftovers {
    /// For a run that this process begins.
    pub fn of_new(folder: &Path, claim: &Claim) -> Self {
        Self { folder: folder.to_owned(), made: claim.made.clone(), new: true }
    }

    /// For a resumed run: only half-written files are ever removed.
    pub fn of_begun(folder: &Path) -> Self {
        let leftovers = Self { folder: folder.to_owned(), made: vec![], new: false };
        leftovers.remove_temporary();
        leftovers
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether there is no checkpoint to resume from.
    pub fn is_nothing(&self) -> bool {
        self.new && !has_checkpoint(&self.folder)
    }

    /// Removes the run's files, unless one of them is a checkpoint, and the folders that were created for
    /// them.
    pub fn remove(&self) {
        if !self.is_nothing() {
            return;
        }
        self.remove_files();
        let _ = std::fs::remove_file(self.folder.join(LOCK));
        // The innermost first; a folder that contains other files stays.
        for folder in self.made.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }

    /// Removes what a run writes before its first checkpoint.
    pub fn remove_files(&self) {
        for name in BEFORE_THE_FIRST {
            let _ = std::fs::remove_file(self.folder.join(name));
        }
        self.remove_temporary();
    }

    /// Removes files that a killed process was writing. The process that holds the claim writes none at this time.
    fn remove_temporary(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') && name.ends_with(".tmp") {
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_one_processs_until_it_is_dropped() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("runs/photos");
        let claim = Claim::new(&folder).unwrap().unwrap();
        assert_eq!(claim.made, [place.path().join("runs"), folder.clone()]);
        assert!(Claim::new(&folder).unwrap().is_none());
        drop(claim);
        assert_eq!(Claim::new(&folder).unwrap().unwrap().made, Vec::<PathBuf>::new());
    }

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("runs/photos");
        let claim = Claim::new(&folder).unwrap().unwrap();
        let leftovers = Leftovers::of_new(&folder, &claim);
        std::fs::write(folder.join("run.json"), "{}").unwrap();
        std::fs::write(folder.join(".run.json.1.0.tmp"), "{").unwrap();
        leftovers.remove();
        assert!(!place.path().join("runs").exists());
        drop(claim);

        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("notes.txt"), "mine").unwrap();
        let claim = Claim::new(&folder).unwrap().unwrap();
        let leftovers = Leftovers::of_new(&folder, &claim);
        leftovers.remove();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "the notes alone");

        std::fs::write(folder.join("best.safetensors"), "").unwrap();
        std::fs::write(folder.join("run.json"), "{}").unwrap();
        leftovers.remove();
        assert!(folder.join("run.json").exists(), "a run with a checkpoint stays");
    }

    /// The lock of a removed folder has no effect.
    #[cfg(unix)]
    #[test]
    fn many_claim_and_remove_and_never_two_at_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run");
        let (inside, claims) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let Some(claim) = Claim::new(&folder).unwrap() else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have it");
                        claims.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_micros(50));
                        // A thread that comes after the folder was removed makes its own folder.
                        inside.fetch_sub(1, Ordering::SeqCst);
                        Leftovers::of_new(&folder, &claim).remove();
                    }
                });
            }
        });
        assert!(claims.into_inner() > 0);
    }
}
