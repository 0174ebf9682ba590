//! Opening files whose names come from outside: regular files only, because opening a pipe can block forever
//! and a device can be endless.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;

/// Opens a regular file for reading; also returns its length in bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Error> {
    let status = std::fs::metadata(path).map_err(Error::io(path, "open"))?;
    if !status.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    Ok((file, status.len()))
}

/// The whole of a regular file of at most `limit` bytes.
pub(crate) fn read_all(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let (file, bytes) = open(path)?;
    if bytes > limit {
        return Err(Error::FileTooLarge { path: path.to_owned(), bytes, limit });
    }
    let mut content = Vec::new();
    // `take` is needed because the file may grow between the check above and this read.
    file.take(limit).read_to_end(&mut content).map_err(Error::io(path, "read"))?;
    Ok(content)
}
