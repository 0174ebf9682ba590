//! Numbers in a file.

use crate::error::{Error, Result};
use frostline_loader::atomic::write_atomically;
use serde::Serialize;
use std::path::Path;

/// Writes `value` as JSON, and creates the folder if needed. After a crash, either the old file or the new
/// one is there.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let fail =
        |error: &dyn std::fmt::Display| Error::Output { path: path.to_owned(), reason: error.to_string() };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| fail(&error))?;
    }
    let text = serde_json::to_string_pretty(value).map_err(|error| fail(&error))?;
    write_atomically(path, |file| file.write_all((text + "\n").as_bytes()))?;
    Ok(())
}
