//! Where results go.

use crate::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output, for people or for programs.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    /// Whether a closed pipe is an error.
    needs_a_reader: bool,
}

impl Output {
    /// JSON alone, or text.
    pub fn new(json: bool) -> Self {
        Self { json, needs_a_reader: true }
    }

    /// The same for work whose results are files: it continues if the reader has closed the pipe.
    pub fn outliving_its_reader(self) -> Self {
        Self { needs_a_reader: false, ..self }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints text for people; nothing if results are JSON.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn say(&self, text: impl Display) -> Result<()> {
        if self.json { Ok(()) } else { self.line(text) }
    }

    /// Prints a result for programs; nothing if results are text.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn json(&self, result: &impl Serialize) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(result).map_err(|error| Error::Output(error.into()))?;
        self.line(text)
    }

    /// Prints a result for programs in one line, for readers that process lines one by one; nothing if
    /// results are text.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn json_line(&self, result: &Value) -> Result<()> {
        if self.json { self.line(result) } else { Ok(()) }
    }

    /// `println!` would panic if the reader has closed the pipe.
    fn line(&self, text: impl Display) -> Result<()> {
        let written = writeln!(std::io::stdout().lock(), "{text}").map_err(Error::Output);
        written.or_else(
            |error| {
                if error.is_closed_pipe() && !self.needs_a_reader { Ok(()) } else { Err(error) }
            },
        )
    }
}

/// Whether the output to standard error is JSON too.
static JSON: AtomicBool = AtomicBool::new(false);

/// After this call, each error, warning and note is one line of JSON: `{"error": …}`, `{"warning": …}`,
/// `{"note": …}`.
pub(crate) fn complain_in_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Prints an error.
pub(crate) fn tell_error(text: impl Display) {
    complain("error", "error: ", text);
}

/// Prints a warning.
pub(crate) fn warn(text: impl Display) {
    complain("warning", "warning: ", text);
}

/// Prints a note, which is neither an error nor a warning.
pub(crate) fn note(text: impl Display) {
    complain("note", "", text);
}

/// Prints to standard error. `eprintln!` would panic if it is closed; the text has no reader then.
fn complain(kind: &str, prefix: &str, text: impl Display) {
    let line = match JSON.load(Ordering::Relaxed) {
        true => json!({ kind: text.to_string().trim() }).to_string(),
        false => format!("{prefix}{text}"),
    };
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A path as text for JSON. Bytes that are not Unicode become `\u{fffd}`, where serde would refuse the path.
pub fn path_text(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}
