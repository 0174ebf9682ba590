//! The README's parts with the lesson's results: each is between two comments and made from `docs/results`.

use super::figure_file;
use super::markdown::{published, summary, text};
use super::results::Results;
use super::stations::STATIONS;
use crate::error::{Error, Result};
use std::path::Path;

/// `readme` with its parts written again from `docs`: `figure`, a picture of the first chapter that has one,
/// and `chapters`, a table.
///
/// # Errors
/// If the comments around a part are missing.
pub fn readme(docs: &Path, readme: &str) -> Result<String> {
    let readme = replace(readme, "figure", &figure(docs))?;
    replace(&readme, "chapters", &chapters(docs))
}

/// `text` with `content` between the comments of `part`.
fn replace(text: &str, part: &str, content: &str) -> Result<String> {
    let (start, end) = (format!("<!-- lesson: {part} -->\n"), format!("<!-- end of {part} -->"));
    let found = text.split_once(&start).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let missing = || Error::Flags(format!("README.md has no lines {} and {end}", start.trim_end()));
    let (before, after) = found.ok_or_else(missing)?;
    Ok(format!("{before}{start}{content}{end}{after}"))
}

fn figure(docs: &Path) -> String {
    let picture = |number| {
        let figure = published(docs, number).ok()?.figures.into_iter().next()?;
        let path = figure_file(&docs.join("figures"), &figure.file)?;
        let (name, caption) = (path.file_name()?.to_string_lossy(), text(&figure.caption));
        Some(format!("![Chapter {number}: {caption}](docs/figures/{name})\n"))
    };
    (0..STATIONS.len()).find_map(picture).unwrap_or_default()
}

fn chapters(docs: &Path) -> String {
    let mut table = "| chapter | the question | what its runs say |\n|---|---|---|\n".to_owned();
    for (number, station) in STATIONS.iter().enumerate() {
        let says =
            published(docs, number).map_or_else(|why| format!("The chapter {why}."), |found| line(&found));
        let link = format!("[`{}`](docs/lesson.md#ch{number})", station.binary);
        table += &format!("| {link} | {} | {says} |\n", station.question);
    }
    table
}

/// The verdicts in numbers, and the chapter's first claim: the first in its source, independent of the
/// results.
fn line(results: &Results) -> String {
    let mut line = String::new();
    if results.missing_runs > 0 {
        line += &format!("Not all runs are finished (missing: {}). ", results.missing_runs);
    }
    line += &format!("{}. ", summary(results));
    if let Some(first) = results.claims.first() {
        let difference = first.difference().map(|words| format!(", {words}")).unwrap_or_default();
        line += &format!("First claim: “{}”: **{}**{difference}.", text(&first.claim), text(&first.verdict));
    }
    line
}
