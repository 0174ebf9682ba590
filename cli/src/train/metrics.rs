//! `metrics.jsonl`: one line per step and one per evaluation.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use frostline_loader::atomic::write_atomically;
use frostline_trainer::{Evaluation, StepRecord};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::table::{Cell, Table};

/// The file's name in a run's folder.
pub const METRICS: &str = "metrics.jsonl";

/// A line: Keras's names. Steps are counted from 1 over all phases; 0 is the state before the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Steps taken.
    pub step: u64,
    /// The lowest trained stage, with gradual unfreezing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Learning rate of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f32>,
    /// Loss of the step's batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f32>,
    /// Share of the batch that was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f32>,
    /// Loss on the validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Share of them that was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
}

impl Line {
    /// Of a step.
    pub fn step(step: u64, from: Option<&str>, record: &StepRecord) -> Self {
        let (lr, loss, accuracy) = (Some(record.lr), Some(record.loss), Some(record.accuracy));
        Self { step, from: from.map(str::to_owned), lr, loss, accuracy, ..Self::default() }
    }

    /// The line of an evaluation after `step` steps.
    pub fn evaluation(step: u64, evaluation: &Evaluation) -> Self {
        Self {
            step,
            val_loss: Some(evaluation.loss),
            val_accuracy: Some(evaluation.accuracy),
            ..Self::default()
        }
    }
}

/// The file, to which lines are appended.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    lines: Vec<Line>,
}

impl Metrics {
    /// The file at `path` with the lines of a run up to `step`. Later lines are of steps that a killed run
    /// took after its last checkpoint and will repeat. A last line that was cut off is dropped.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(path: PathBuf, step: u64) -> Result<Self> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<Line> = lines.filter(|line: &Line| line.step <= step).collect();
        let text: String = lines.iter().map(text_of).collect();
        write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
        Ok(Self { path, lines })
    }

    /// Adds lines.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn extend(&mut self, lines: impl IntoIterator<Item = Line>) -> Result<()> {
        let before = self.lines.len();
        self.lines.extend(lines);
        let text: String = self.lines[before..].iter().map(text_of).collect();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(|error| self.failed(error))?;
        file.write_all(text.as_bytes()).map_err(|error| self.failed(error))
    }

    /// All lines as a table: one row per step and per evaluation; cells without a value are empty.
    ///
    /// # Errors
    /// The writer's errors for lack of memory.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let columns = ["step", "from", "lr", "loss", "accuracy", "val_loss", "val_accuracy"];
        let mut table = Table::new(&self.path.with_extension("csv"), columns)?;
        for line in &self.lines {
            let of = |value: Option<f32>| value.map_or(Cell::empty(), Cell::figure);
            let val = |value: Option<f64>| value.map_or(Cell::empty(), Cell::figure);
            table.row([
                Cell::figure(line.step),
                line.from.as_deref().map_or(Cell::empty(), Cell::from),
                of(line.lr),
                of(line.loss),
                of(line.accuracy),
                val(line.val_loss),
                val(line.val_accuracy),
            ])?;
        }
        table.finish()
    }

    /// All lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The best evaluation so far: its step, loss and accuracy. Compared by accuracy, and by loss if
    /// accuracies are equal.
    pub fn best(&self) -> Option<(u64, f64, f64)> {
        let evaluations =
            self.lines.iter().filter_map(|line| Some((line.step, line.val_loss?, line.val_accuracy?)));
        evaluations.reduce(|best, other| if (other.2, -other.1) > (best.2, -best.1) { other } else { best })
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Write { path: self.path.clone(), source }
    }
}

fn text_of(line: &Line) -> String {
    // Numbers and strings always have a JSON form.
    serde_json::to_string(line).map_or_else(|_| String::new(), |text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_runs_later_and_broken_lines_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = |step| Line { step, loss: Some(0.5), ..Line::default() };
        let mut metrics = Metrics::open(path.clone(), 0).unwrap();
        metrics.extend((1..=5).map(line)).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"step\": 2, \"lo").unwrap();
        let mut metrics = Metrics::open(path.clone(), 3).unwrap();
        assert_eq!(metrics.lines(), (1..=3).map(line).collect::<Vec<_>>());
        metrics.extend([line(4)]).unwrap();
        let table = String::from_utf8(metrics.csv().unwrap()).unwrap();
        assert!(
            table.starts_with("step,from,lr,loss,accuracy,val_loss,val_accuracy\n1,,,0.5,,,\n2,"),
            "{table}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().next(), Some("{\"step\":1,\"loss\":0.5}"));
    }
}
