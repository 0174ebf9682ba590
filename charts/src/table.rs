//! Tables: on the terminal, in results.json and on the lesson's page.

use crate::spread::Spread;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::fmt;

/// A table with named rows.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Its title, with the units.
    pub title: String,
    /// Names of the columns after the first, which names the row.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

/// The content of a cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, and its number of decimals.
    Number(f64, usize),
    /// Mean ± deviation over seeds.
    Spread(Spread),
    /// Nothing was measured.
    Empty,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            rows: vec![],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, name: impl Into<String>, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(Row { name: name.into(), cells: cells.into_iter().collect() });
    }
}

impl Cell {
    /// Mean ± deviation of `values`; empty if there are none.
    pub fn spread(values: &[f64]) -> Self {
        Spread::of(values).map_or(Cell::Empty, Cell::Spread)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Number(value, digits) => write!(f, "{value:.digits$}"),
            Cell::Spread(spread) => write!(f, "{spread}"),
            Cell::Empty => f.write_str("-"),
        }
    }
}

impl Serialize for Cell {
    /// Text as text, a number as a number, a spread as `{"mean", "std", "seeds"}`; for people each number
    /// comes with its `text`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::Empty => serializer.serialize_none(),
            Cell::Number(value, _) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("value", value)?;
                map.serialize_entry("text", &self.to_string())?;
                map.end()
            }
            Cell::Spread(spread) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("mean", &spread.mean)?;
                map.serialize_entry("std", &spread.deviation)?;
                map.serialize_entry("seeds", &spread.count)?;
                map.serialize_entry("text", &self.to_string())?;
                map.end()
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.cells.iter().map(Cell::to_string).collect()).collect();
        let length = |text: &str| text.chars().count();
        let first = self.rows.iter().map(|row| length(&row.name)).max().unwrap_or(0);
        let width =
            |i: usize| texts.iter().filter_map(|row| row.get(i)).map(|text| length(text)).max().unwrap_or(0);
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(i, name)| width(i).max(length(name))).collect();
        writeln!(f, "{}", self.title)?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, cells: &[String]| {
            write!(f, "  {name:<first$}")?;
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)
        };
        line(f, "", &self.columns)?;
        for (row, cells) in self.rows.iter().zip(&texts) {
            line(f, &row.name, cells)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("accuracy, %", &["scratch", "steps"]);
        table.row("20 images", [Cell::spread(&[50.0, 60.0]), Cell::Number(150.0, 0)]);
        table.row("all", [Cell::Empty, "–".into()]);
        table
    }

    #[test]
    fn columns_stand_below_each_other() {
        let text = table().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "accuracy, %");
        assert!(lines[2].contains("55.0±7.1    150"), "{text}");
        assert!(lines[1..].iter().all(|line| line.chars().count() == lines[1].chars().count()), "{text}");
    }

    #[test]
    fn json_keeps_mean_deviation_and_count() {
        let json = serde_json::to_value(table()).unwrap();
        assert_eq!(json["rows"][0]["cells"][0]["seeds"], 2);
        assert_eq!(json["rows"][0]["cells"][0]["text"], "55.0±7.1");
        assert!(json["rows"][1]["cells"][0].is_null());
    }
}
