//! Predictions as a file for other programs: CSV, or one line of JSON per photo.

use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::table::{Cell, Table};

/// The result for a photo: a probability for each class, or the reason why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The file. Bytes of its name that are not Unicode show as `�`.
    pub image: String,
    /// The probabilities, in the order of the classes.
    pub answer: Result<Vec<f64>, String>,
}

impl Row {
    /// The `count` most probable of `classes`; among equals, the first.
    pub fn best<'a>(&self, classes: &'a [String], count: usize) -> Vec<(&'a str, f64)> {
        let probabilities = self.answer.iter().flatten().copied();
        let mut ranked: Vec<(&str, f64)> = classes.iter().map(String::as_str).zip(probabilities).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(count);
        ranked
    }

    /// `{"image": …, "predictions": [{"class": …, "probability": …}, …]}` with the `count` most probable, or
    /// `{"image": …, "error": …}`.
    pub fn json(&self, classes: &[String], count: usize) -> Value {
        if let Err(error) = &self.answer {
            return json!({ "image": self.image, "error": error });
        }
        let best = self.best(classes, count).into_iter();
        let best: Vec<Value> = best.map(|(class, p)| json!({ "class": class, "probability": p })).collect();
        json!({ "image": self.image, "predictions": best })
    }
}

/// One line of JSON per photo, with all classes, the most probable first.
pub fn json_lines(classes: &[String], rows: &[Row]) -> Vec<u8> {
    rows.iter().flat_map(|row| format!("{}\n", row.json(classes, classes.len())).into_bytes()).collect()
}

/// The columns `image`, `class`, `probability` and `error`, and then one for each class with its probability.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write) that names `path`, the file to write.
pub fn csv(path: &Path, classes: &[String], rows: &[Row]) -> Result<Vec<u8>> {
    let columns = ["image", "class", "probability", "error"].into_iter();
    let mut table = Table::new(path, columns.chain(classes.iter().map(String::as_str)))?;
    for row in rows {
        let (class, probability) = match row.best(classes, 1).first() {
            Some((class, probability)) => (Cell::from(*class), Cell::figure(probability)),
            None => (Cell::empty(), Cell::empty()),
        };
        let error = row.answer.as_ref().err().map_or(Cell::empty(), |error| Cell::from(error.as_str()));
        let of = |class: usize| row.answer.as_ref().ok().and_then(|all| all.get(class));
        let figures = (0..classes.len()).map(|class| of(class).map_or(Cell::empty(), Cell::figure));
        table.row([Cell::from(row.image.as_str()), class, probability, error].into_iter().chain(figures))?;
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        vec![
            Row { image: "a, b.png".to_owned(), answer: Ok(vec![0.25, 0.75]) },
            Row { image: "c.png".to_owned(), answer: Err("not \"whole\"".to_owned()) },
        ]
    }

    #[test]
    fn names_are_quoted_and_cells_without_a_value_are_empty() {
        let classes = ["cat", "dog"].map(str::to_owned);
        let text = String::from_utf8(csv("x".as_ref(), &classes, &rows()).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "image,class,probability,error,cat,dog",
                "\"a, b.png\",dog,0.75,,0.25,0.75",
                "c.png,,,\"not \"\"whole\"\"\",,"
            ]
        );
    }

    #[test]
    fn a_line_of_json_has_every_class() {
        let classes = ["cat", "dog"].map(str::to_owned);
        let text = String::from_utf8(json_lines(&classes, &rows())).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["predictions"][1], json!({ "class": "cat", "probability": 0.25 }));
        assert_eq!(lines[1]["error"], "not \"whole\"");
    }
}
