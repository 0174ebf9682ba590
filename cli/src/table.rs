//! Tables for other programs and for spreadsheets: CSV (RFC 4180) in UTF-8, by three rules.
//!
//! - A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"):
//!   one that begins with `=`, `+`, `-`, `@`, their wide forms, a tab or the end of a line. So does a
//!   text with such a character after apostrophes: removing one apostrophe gives the original text.
//! - Cells with commas, quotes or ends of lines are quoted.
//! - Bytes of a path that are not Unicode show as `�`; the other bytes stay.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Characters with which formulas begin.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n'];

/// A cell.
pub struct Cell(String);

impl Cell {
    /// A number that this program computed: never a formula, with either sign.
    pub fn figure(value: impl Display) -> Self {
        Self(value.to_string())
    }

    /// A cell without a value.
    pub fn empty() -> Self {
        Self(String::new())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        let formula = text.trim_start_matches('\'').starts_with(FORMULA);
        Self(if formula { format!("'{text}") } else { text.to_owned() })
    }
}

impl From<&Path> for Cell {
    fn from(path: &Path) -> Self {
        Self::from(&*path.to_string_lossy())
    }
}

/// A table in memory.
pub struct Table {
    path: PathBuf,
    writer: csv::Writer<Vec<u8>>,
}

impl Table {
    /// A table with these columns, for the file at `path`.
    ///
    /// # Errors
    /// As [`Table::row`].
    pub fn new<'a>(path: &Path, columns: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut table = Self { path: path.to_owned(), writer: csv::Writer::from_writer(vec![]) };
        table.row(columns.into_iter().map(Cell::from))?;
        Ok(table)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::Write`] for a row of another length.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> Result<()> {
        let written = self.writer.write_record(cells.into_iter().map(|cell| cell.0));
        written.map_err(|error| Error::Write { path: self.path.clone(), source: error.into() })
    }

    /// The contents of the file.
    ///
    /// # Errors
    /// As [`Table::row`].
    pub fn finish(self) -> Result<Vec<u8>> {
        let Self { path, writer } = self;
        writer.into_inner().map_err(|error| Error::Write { path, source: error.into_error() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_and_every_text_comes_back() {
        let texts = [
            "=HYPERLINK(\"http://evil.example\")",
            "+1",
            "-a",
            "@SUM(A1)",
            "\tx",
            "\rx",
            "\nx",
            "＝1",
            "'=1",
            "''-1",
            "'tis",
            "",
            "a=b",
            "two\nlines, and \"quotes\"",
        ];
        let mut table = Table::new("x.csv".as_ref(), ["text", "figure"]).unwrap();
        for text in texts {
            table.row([Cell::from(text), Cell::figure(-0.5)]).unwrap();
        }
        let bytes = table.finish().unwrap();
        let mut read = csv::Reader::from_reader(&bytes[..]);
        let rows: Vec<csv::StringRecord> = read.records().map(|row| row.unwrap()).collect();
        assert_eq!(rows.len(), texts.len());
        for (row, text) in rows.iter().zip(texts) {
            assert!(!row[0].starts_with(FORMULA), "{:?}", &row[0]);
            let guarded = row[0].trim_start_matches('\'').starts_with(FORMULA);
            let back = if guarded { row[0].strip_prefix('\'').unwrap() } else { &row[0] };
            assert_eq!((back, &row[1]), (text, "-0.5"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_unicode_is_valid_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/photos/B\xe4r.png"));
        let mut table = Table::new("x.csv".as_ref(), ["path"]).unwrap();
        table.row([Cell::from(path)]).unwrap();
        assert_eq!(String::from_utf8(table.finish().unwrap()).unwrap(), "path\n/photos/B\u{fffd}r.png\n");
    }
}
