//! Files that a device may store: compiled pipelines and measured choices.
//!
//! They are optional. They make a later run faster, and change its results only if the user requests it.
//!

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The location of a file that a device may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheFile {
    /// No file: nothing is read or written.
    Off,
    /// In the folder `frostline` of the user's cache directory (`~/.cache` or `$XDG_CACHE_HOME`;
    /// on Windows `%LOCALAPPDATA%`), under a name for the adapter.
    Default,
    /// Here.
    At(PathBuf),
}

impl CacheFile {
    /// The path, if there is one; `name` is the file's name in the user's cache directory.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        match self {
            CacheFile::Off => None,
            CacheFile::Default => Some(folder()?.join(name)),
            CacheFile::At(path) => Some(path.clone()),
        }
    }
}

/// `text` as part of a file's name: letters and digits, and single dashes for all other characters.
pub(crate) fn file_name(text: &str) -> String {
    let kept: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    kept.split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(not(target_family = "wasm"))]
fn folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("frostline"))
}

/// Replaces the file at `path` atomically, and creates its folder if needed.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error| Error::CacheFile { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(target_family = "wasm")]
fn folder() -> Option<PathBuf> {
    None
}

/// A browser has no files.
#[cfg(target_family = "wasm")]
pub(crate) fn replace(path: &Path, _bytes: &[u8]) -> Result<()> {
    Err(Error::CacheFile { path: path.to_owned(), reason: "there are no files here".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_give_names_that_every_file_system_takes() {
        assert_eq!(file_name("llvmpipe (LLVM 15.0.6, 256 bits)"), "llvmpipe-llvm-15-0-6-256-bits");
        assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new folder").join("file");
        for bytes in [b"first, and long".as_slice(), b"second"] {
            replace(&path, bytes).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let error = replace(&path.join("file is not a folder"), b"").unwrap_err();
        assert!(error.to_string().contains("file is not a folder"), "{error}");
    }
}
