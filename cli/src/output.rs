//! Where results go.

use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// Standard output, for people or for programs.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON alone, or text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints text for people; nothing where results are JSON.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn say(&self, text: impl Display) -> Result<()> {
        if self.json { Ok(()) } else { line(text) }
    }

    /// Prints a result for programs; nothing where results are text.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn json(&self, result: &impl Serialize) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(result).map_err(|error| Error::Output(error.into()))?;
        line(text)
    }
}

/// A path as JSON has it: text. Bytes that are no Unicode show as `\u{fffd}`, where serde would refuse them.
pub fn path_text(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

/// `println!` would panic where the reader has closed the pipe.
fn line(text: impl Display) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(Error::Output)
}
