//! Why the system refuses a file, and what to do. The system's message has only a code and a few words.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// Why `path` could not be read, for people.
pub fn reading(path: &Path, error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder; check the path".to_owned(),
        ErrorKind::PermissionDenied => {
            "you have no permission to read this; change its permissions, or copy it".to_owned()
        }
        _ => general(path, error),
    }
}

/// Why `path` could not be written, for people.
pub fn writing(path: &Path, error: &Error) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match (error.kind(), folder) {
        (ErrorKind::NotFound, Some(folder)) if !folder.exists() => missing(folder),
        (ErrorKind::PermissionDenied, _) => {
            "you have no permission to write here; give another path, or change its permissions".to_owned()
        }
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
            format!("no space is left ({error}); free some space, or give another path")
        }
        (ErrorKind::ReadOnlyFilesystem, _) => "this disk is read-only; give another path".to_owned(),
        _ => general(path, error),
    }
}

/// The message for a missing folder.
pub fn missing(folder: &Path) -> String {
    format!("there is no folder {}; create it first, or give another path", folder.display())
}

fn general(path: &Path, error: &Error) -> String {
    match error.kind() {
        ErrorKind::IsADirectory => "this is a folder; give the path of a file".to_owned(),
        ErrorKind::NotADirectory => {
            let is_file = |above: &&Path| above.is_file();
            match path.ancestors().skip(1).find(is_file) {
                Some(file) => format!("{} is a file, not a folder; give another path", file.display()),
                None => "a part of this path is not a folder; give another path".to_owned(),
            }
        }
        ErrorKind::InvalidFilename => "the name is too long, or not allowed here; give another".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_the_system_refuses_is_said_with_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let (file, folder) = (place.path().join("file"), place.path().join("folder"));
        fs::write(&file, "").unwrap();
        fs::create_dir(&folder).unwrap();
        let read = |path: &Path| reading(path, &fs::read(path).unwrap_err());
        let write = |path: &Path| writing(path, &fs::write(path, "").unwrap_err());
        let in_nothing = write(&place.path().join("none/page.html"));
        assert!(in_nothing.contains("none; create it first"), "{in_nothing}");
        assert!(read(&place.path().join("none")).contains("check the path"));
        if cfg!(unix) {
            let in_file = write(&file.join("page.html"));
            assert!(in_file.contains("file is a file, not a folder"), "{in_file}");
            assert!(
                write(&folder).contains("this is a folder") && read(&folder).contains("this is a folder")
            );
            assert!(read(&place.path().join("x".repeat(300))).contains("too long"));
        }
        let full = writing(&file, &ErrorKind::StorageFull.into());
        assert!(full.contains("free some space"), "{full}");
    }
}
