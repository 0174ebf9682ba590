//! How results are told: progress on the terminal, numbers in a file.

use crate::error::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::Path;

/// A bar over `length` steps of the run `name`; it vanishes where no terminal looks at it.
pub fn bar(name: &str, length: u64) -> ProgressBar {
    style(ProgressBar::new(length), "{prefix:<34} {bar:30} {pos}/{len} {elapsed:>4} left {eta:<5} {msg}").with_prefix(name.to_owned())
}

/// A bar over all runs of a chapter.
pub fn runs_bar(name: &str, runs: u64) -> ProgressBar {
    style(ProgressBar::new(runs), "{prefix:<34} {bar:30} run {pos}/{len} {elapsed:>4} left {eta:<5} {msg}").with_prefix(name.to_owned())
}

fn style(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Writes `value` as JSON, making the folder if need be.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let fail = |error: &dyn std::fmt::Display| Error::Output { path: path.to_owned(), reason: error.to_string() };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| fail(&error))?;
    }
    let text = serde_json::to_string_pretty(value).map_err(|error| fail(&error))?;
    std::fs::write(path, text + "\n").map_err(|error| fail(&error))
}
