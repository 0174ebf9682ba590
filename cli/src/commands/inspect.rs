//! `frostline inspect`: the contents of a file of weights.

use crate::output::path_text;
use crate::weights::{HUB, OPTIMIZER, Weights, of_run};
use crate::{Error, Output, Result};
use clap::Args;
use frostline_loader::safetensors::{self, ReadOptions, SafeFile};
use frostline_loader::{HostTensor, StateDict, shape_text};
use frostline_models::{Dialect, guess, looks_like, plain_names};
use indicatif::BinaryBytes;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The flags.
#[derive(Args, Debug)]
pub struct Inspect {
    /// A safetensors file, or hf:owner/name.
    file: OsString,
}

/// Longest metadata value that is printed in full; `--json` prints all of it.
const LONGEST: usize = 100;

/// What was found.
#[derive(Serialize)]
struct Found {
    #[serde(skip)]
    path: PathBuf,
    file: Value,
    bytes: u64,
    /// The naming scheme of the tensors.
    dialect: String,
    /// The network that they fit, with its sizes.
    network: Option<String>,
    /// Number of values in all tensors that belong to the network.
    values: usize,
    not_finite: usize,
    /// Tensors that are an optimiser's state in a checkpoint.
    optimizer_tensors: usize,
    tensors: Vec<Row>,
    metadata: BTreeMap<String, String>,
}

/// One tensor.
#[derive(Serialize)]
struct Row {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    nan: usize,
    infinite: usize,
    /// Of the finite values; `None` if there are none.
    smallest: Option<f32>,
    largest: Option<f32>,
}

impl Inspect {
    /// Reads the whole file, and prints its contents.
    ///
    /// # Errors
    /// For a file that is not a safetensors file, or that has a number format which this program does not
    /// read.
    pub fn run(&self, output: &Output) -> Result<()> {
        let path = match self.file.to_str().is_some_and(|spec| spec.starts_with(HUB)) {
            true => Weights::open(&self.file)?.path,
            false => of_run(Path::new(&self.file)).unwrap_or_else(|| PathBuf::from(&self.file)),
        };
        let file = safetensors::read_with(&path, ReadOptions { allow_non_finite: true })?;
        let bytes =
            std::fs::metadata(&path).map_err(|source| Error::Read { path: path.clone(), source })?.len();
        let found = found(path, bytes, file);
        output.say(text(&found))?;
        output.json(&found)
    }
}

fn found(path: PathBuf, bytes: u64, file: SafeFile) -> Found {
    let SafeFile { tensors, metadata, dtypes } = file;
    let (optimizer, weights): (StateDict, StateDict) =
        tensors.into_iter().partition(|(name, _)| name.starts_with(OPTIMIZER));
    let row = |(name, tensor): (&String, &HostTensor)| {
        let count = |test: fn(f32) -> bool| tensor.data.iter().filter(|value| test(**value)).count();
        let finite = || tensor.data.iter().copied().filter(|value| value.is_finite());
        Row {
            name: name.clone(),
            dtype: dtypes.get(name).map_or("", |dtype| dtype.name()).to_owned(),
            shape: tensor.shape.clone(),
            nan: count(f32::is_nan),
            infinite: count(f32::is_infinite),
            smallest: finite().reduce(f32::min),
            largest: finite().reduce(f32::max),
        }
    };
    let rows: Vec<Row> = weights.iter().chain(&optimizer).map(row).collect();
    Found {
        file: path_text(&path),
        path,
        bytes,
        dialect: Dialect::detect(weights.keys().map(String::as_str)).to_string(),
        network: network(&weights),
        values: weights.values().map(|tensor| tensor.data.len()).sum(),
        not_finite: rows.iter().map(|row| row.nan + row.infinite).sum(),
        optimizer_tensors: optimizer.len(),
        tensors: rows,
        metadata,
    }
}

fn network(weights: &StateDict) -> Option<String> {
    let other = || looks_like(weights).map(|other| format!("{other}, which this program does not support"));
    other().or_else(|| guess(&plain_names(weights.clone())).map(|model| model.to_string()))
}

fn text(found: &Found) -> String {
    let weights = found.tensors.len() - found.optimizer_tensors;
    let mut lines = vec![
        format!(
            "{}: {} in {weights} tensors of {} values",
            found.path.display(),
            BinaryBytes(found.bytes),
            found.values
        ),
        format!("network: {}", found.network.as_deref().unwrap_or("none that this program supports")),
        format!("names: {}", found.dialect),
    ];
    if found.optimizer_tensors > 0 {
        lines.push(format!("optimizer: {} tensors", found.optimizer_tensors));
    }
    let finite = if found.not_finite == 0 {
        "all of them".to_owned()
    } else {
        format!("all but {}", found.not_finite)
    };
    lines.push(format!("finite values: {finite}"));
    lines
        .extend(found.metadata.iter().map(|(key, value)| format!("{}: {}", key.escape_debug(), clip(value))));
    // Names come from a file. They are escaped, so that only text reaches the terminal.
    let names: Vec<String> = found.tensors.iter().map(|row| row.name.escape_debug().to_string()).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    lines.push(String::new());
    for (name, row) in names.iter().zip(&found.tensors) {
        let mut line = format!("{name:widest$}  {:<5} {:<20}", row.dtype, shape_text(&row.shape));
        if let (Some(smallest), Some(largest)) = (row.smallest, row.largest) {
            line += &format!(" {smallest:>11.4e} to {largest:>11.4e}");
        }
        for (count, what) in [(row.nan, "NaN"), (row.infinite, "infinite")] {
            if count > 0 {
                line += &format!("  {count} {what}");
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} characters)", text[..end].escape_debug(), text.chars().count()),
        None => text.escape_debug().to_string(),
    }
}
