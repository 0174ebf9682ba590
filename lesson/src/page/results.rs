//! The parts of a chapter's results that the page reads.

use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// A chapter's `results.json`; a part that is missing is left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Results {
    pub claim: String,
    pub adapters: Vec<String>,
    /// Seconds of training of each run.
    pub seconds: Vec<f64>,
    pub settings: Settings,
    pub rehearsal: bool,
    pub missing_runs: usize,
    pub claims: Vec<Claim>,
    pub tables: Vec<Table>,
    pub figures: Vec<Figure>,
    pub quiz: Option<Quiz>,
    pub runs: Vec<Run>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub model: String,
    pub images: Vec<u64>,
    pub seeds: Option<u64>,
    pub batch: Option<u64>,
    pub lr: Option<f64>,
    pub quick: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Claim {
    pub claim: String,
    pub verdict: String,
    #[serde(default)]
    pub evidence: String,
    #[serde(default)]
    pub mean: Option<f64>,
    #[serde(default)]
    pub interval: Option<(f64, f64)>,
    #[serde(default)]
    pub unit: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Table {
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    pub name: String,
    pub cells: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Figure {
    pub file: String,
    pub caption: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Quiz {
    pub question: String,
    pub answer: String,
}

/// The fields of a run that are read here; `results.json` has more.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    pub setting: RunSetting,
    pub converged: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RunSetting {
    pub steps: Option<u64>,
}

/// The results in the file at `path`, or why there are none, as the end of a sentence "This chapter …".
pub(crate) fn read(path: &Path) -> Result<Results, String> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "has not been run".to_owned(),
        _ => format!("has results that cannot be read ({}: {error})", path.display()),
    })?;
    let wrong = |error| format!("has invalid results ({}: {error})", path.display());
    serde_json::from_str(&text).map_err(wrong)
}

impl Table {
    /// Whether a cell has the star of runs that have not converged.
    pub(crate) fn is_starred(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| words(cell).ends_with('*'))
    }
}

/// The text of a cell.
pub(crate) fn words(cell: &Value) -> String {
    match cell.as_str().or(cell["text"].as_str()) {
        Some(text) => text.to_owned(),
        None if cell.is_null() => "–".to_owned(),
        None => cell.to_string(),
    }
}
