//! Publishing: the parts of the chapters' studies that are stored in the repository.
//!
//! | file | what it is |
//! |---|---|
//! | `docs/results/chN.json` | the chapter's `results.json`, one line for each run |
//! | `docs/results/chN.runs.jsonl` | the runs in it, copied from the chapter's `runs.jsonl` |
//! | `docs/figures/chN-*.svg` | its figures |
//! | `docs/lesson.md`, parts of `README.md` | made only from these |

use super::stations::STATIONS;
use super::{figure_file, lesson, readme, results};
use crate::error::{Error, Result};
use frostline_loader::atomic::write_atomically;
use frostline_study::{Run, Setting, lines, read};
use serde_json::Value;
use std::path::Path;

/// Copies results, runs and figures of all chapters from `out` into `docs`, and writes the documents. A
/// chapter that is not in `out`, or that cannot be published, stays unchanged. Returns one line for each
/// chapter; `Err` contains the reason why it was not published.
///
/// # Errors
/// If a document cannot be written.
pub fn publish(out: &Path, docs: &Path) -> Result<Vec<Result<String, String>>> {
    let lines = (0..STATIONS.len()).map(|number| chapter(number, &out.join(format!("ch{number}")), docs));
    let lines = lines.collect();
    write_documents(docs)?;
    Ok(lines)
}

/// Writes `lesson.md` in `docs`, and the parts of the `README.md` beside it, if there is one.
///
/// # Errors
/// If a file cannot be written, or the README lacks the comments around them.
pub fn write_documents(docs: &Path) -> Result<()> {
    write(&docs.join("lesson.md"), &lesson(docs))?;
    let path = docs.join("../README.md");
    match std::fs::read_to_string(&path) {
        Ok(text) => write(&path, &readme(docs, &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(&path, &error)),
    }
}

fn chapter(number: usize, folder: &Path, docs: &Path) -> Result<String, String> {
    let path = folder.join("results.json");
    if !path.exists() {
        return Ok(format!("chapter {number}: no results in {}; left as it was", folder.display()));
    }
    let stays = |why: String| format!("chapter {number} {why}; it is left as it was");
    let results = results::read(&path).map_err(stays)?;
    if results.rehearsal {
        return Err(stays("is a rehearsal, which is not published".to_owned()));
    }
    if results.settings.quick {
        return Err(stays("is the short form (--quick), which is not published".to_owned()));
    }
    if results.runs.is_empty() {
        return Err(stays("has no finished runs".to_owned()));
    }
    let runs = asked_for(folder, &path).map_err(|error| stays(format!("cannot be published: {error}")))?;
    copy(number, folder, docs, &runs).map_err(|error| stays(format!("cannot be published: {error}")))?;
    let missing = match results.missing_runs {
        0 => String::new(),
        missing => format!(", {missing} missing"),
    };
    Ok(format!("chapter {number}: {} runs{missing}", runs.len()))
}

/// The runs that the results at `path` report, from the `runs.jsonl` beside them, in their order.
fn asked_for(folder: &Path, path: &Path) -> Result<Vec<Run>> {
    let again = "write it again with --report-only";
    let wrong = |words: String| Error::Output { path: path.to_owned(), reason: format!("{words}; {again}") };
    let results: Value = value(path)?;
    let all = read(&folder.join("runs.jsonl"))?;
    let one = |reported: &Value| {
        let setting: Setting = serde_json::from_value(reported["setting"].clone())
            .map_err(|error| wrong(format!("a run without its setting ({error})")))?;
        let found = all.iter().find(|run| run.setting == setting);
        found.cloned().ok_or_else(|| wrong(format!("runs.jsonl has no run {setting} with its settings")))
    };
    results["runs"].as_array().into_iter().flatten().map(one).collect()
}

/// Writes figures, runs and results of a chapter. The results come last, because they name the others.
fn copy(number: usize, folder: &Path, docs: &Path, runs: &[Run]) -> Result<()> {
    let mut results = value(&folder.join("results.json"))?;
    let figures = docs.join("figures");
    for path in [&figures, &docs.join("results")] {
        std::fs::create_dir_all(path).map_err(|error| failed(path, &error))?;
    }
    let mut current = vec![];
    for figure in results["figures"].as_array_mut().into_iter().flatten() {
        let Some(from) = figure["file"].as_str().and_then(|name| figure_file(folder, name)) else { continue };
        let name = format!("ch{number}-{}", from.file_name().unwrap_or_default().to_string_lossy());
        let bytes = std::fs::read(&from).map_err(|error| failed(&from, &error))?;
        write_atomically(&figures.join(&name), |file| file.write_all(&bytes))?;
        figure["file"] = name.clone().into();
        current.push(name);
    }
    remove_others(&figures, &format!("ch{number}-"), &current)?;
    write(&docs.join(format!("results/ch{number}.runs.jsonl")), &lines(runs))?;
    write(&docs.join(format!("results/ch{number}.json")), &by_lines(&results))
}

/// Removes those files of `folder` whose name begins with `prefix` and that are not `current`.
fn remove_others(folder: &Path, prefix: &str, current: &[String]) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) && !current.contains(&name) {
            std::fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), &error))?;
        }
    }
    Ok(())
}

/// `value` with one line for each entry, and for each item of an entry that is a list of objects, so that the
/// file is short and its diffs are readable.
fn by_lines(value: &Value) -> String {
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            format!("{}: [\n{}\n]", Value::from(key.as_str()), items.join(",\n"))
        }
        _ => format!("{}: {value}", Value::from(key.as_str())),
    };
    let entries: Vec<String> = value.as_object().into_iter().flatten().map(entry).collect();
    format!("{{\n{}\n}}\n", entries.join(",\n"))
}

fn value(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|error| failed(path, &error))?;
    serde_json::from_str(&text).map_err(|error| failed(path, &error))
}

fn write(path: &Path, text: &str) -> Result<()> {
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Output { path: path.to_owned(), reason: error.to_string() }
}
