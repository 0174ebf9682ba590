//! The lesson as Markdown: `docs/lesson.md`, from `docs/results` and `docs/figures`.

use super::badge::counts;
use super::results::{Claim, Figure, Quiz, Results, Row, Table, read, words};
use super::stations::{STATIONS, Station};
use super::{INTRODUCTION, figure_file};
use std::fmt::Write;
use std::path::Path;

/// The text of `docs/lesson.md`. It depends only on `docs/results`, `docs/figures` and the texts.
pub fn lesson(docs: &Path) -> String {
    let mut page = format!(
        "# Transfer Learning From Zero

<!-- Made by `cargo run --release --example lesson -- --publish docs`; changes by hand are lost. -->

Nine chapters. Each tests its claims by training real networks. {INTRODUCTION}
The formulae are in [statistics.md](statistics.md). [studies.md](studies.md) says how to repeat a study or to
run a larger one. All runs are in [results](results).\n\n"
    );
    let all: Vec<Result<Results, String>> =
        (0..STATIONS.len()).map(|number| published(docs, number)).collect();
    page += "| chapter | verdicts |\n|---|---|\n";
    for (number, (station, results)) in STATIONS.iter().zip(&all).enumerate() {
        let verdicts = results.as_ref().map_or_else(|why| why.clone(), summary);
        add(&mut page, format_args!("| [{number}. {}](#ch{number}) | {verdicts} |\n", station.title));
    }
    for (number, (station, results)) in STATIONS.iter().zip(&all).enumerate() {
        chapter(&mut page, number, station, results, docs);
    }
    page
}

/// The results of chapter `number` in `docs`, or why there are none, as the end of a sentence "This chapter
/// …".
pub(super) fn published(docs: &Path, number: usize) -> Result<Results, String> {
    let path = docs.join(format!("results/ch{number}.json"));
    if !path.exists() {
        return Err("has no published runs yet".to_owned());
    }
    // The path would differ from machine to machine.
    read(&path).map_err(|_| format!("has invalid results (results/ch{number}.json)"))
}

/// The number of claims with each verdict: `3 supported, 1 inconclusive`.
pub(super) fn summary(results: &Results) -> String {
    let counts = counts(&results.claims);
    counts.iter().map(|(word, count)| format!("{count} {}", text(word))).collect::<Vec<_>>().join(", ")
}

fn chapter(
    page: &mut String,
    number: usize,
    station: &Station,
    results: &Result<Results, String>,
    docs: &Path,
) {
    let Station { binary, title, text: words, .. } = station;
    add(page, format_args!("\n<a id=\"ch{number}\"></a>\n\n## Chapter {number}: {title}\n\n"));
    if let Ok(results) = results {
        add(page, format_args!("> {}\n\n", text(&results.claim)));
    }
    add(page, format_args!("{}\n\n", words.trim_end()));
    add(page, format_args!("Source: [`{binary}`](../examples/{binary}.rs). "));
    add(page, format_args!("Command: `cargo run --release --example {binary}`\n\n### What the runs say\n\n"));
    match results {
        Ok(results) => findings(page, results, docs),
        Err(why) => add(page, format_args!("**This chapter {}.**\n", text(why))),
    }
}

/// Verdicts, figures, tables and quiz of a chapter.
fn findings(page: &mut String, results: &Results, docs: &Path) {
    for warning in results.warnings() {
        add(page, format_args!("**{}**\n\n", text(&warning)));
    }
    page.push_str("| claim | verdict | numbers |\n|---|---|---|\n");
    for Claim { claim, verdict, evidence, .. } in &results.claims {
        let (claim, verdict, evidence) = (text(claim), text(verdict), text(evidence));
        add(page, format_args!("| {claim} | **{verdict}** | {evidence} |\n"));
    }
    for Figure { file, caption } in &results.figures {
        let caption = text(caption);
        match figure_file(&docs.join("figures"), file).as_deref().and_then(Path::file_name) {
            Some(name) => {
                let name = name.to_string_lossy();
                add(page, format_args!("\n![{caption}](figures/{name})\n\n*{caption}*\n"));
            }
            None => add(page, format_args!("\n**The figure {} is missing: {caption}**\n", text(file))),
        }
    }
    results.tables.iter().for_each(|found| table(page, found));
    if let Some(star) = Results::star(&results.tables) {
        add(page, format_args!("\n{}\n", text(&star)));
    }
    if let Some(Quiz { question, answer }) = &results.quiz {
        let (question, answer) = (text(question), text(answer));
        add(page, format_args!("\n**Quiz.** {question}\n\n<details><summary>The answer</summary>\n\n"));
        add(page, format_args!("{answer}\n\n</details>\n"));
    }
    let (settings, runs) = (text(&results.settings_in_words()), text(&results.runs_in_words()));
    add(page, format_args!("\n{settings}.\n{runs}.\n"));
}

fn table(page: &mut String, Table { title, columns, rows }: &Table) {
    add(page, format_args!("\n{}\n\n| |", text(title)));
    columns.iter().for_each(|name| add(page, format_args!(" {} |", text(name))));
    page.push_str("\n|---|");
    columns.iter().for_each(|_| page.push_str("---:|"));
    page.push('\n');
    for Row { name, cells } in rows {
        add(page, format_args!("| {} |", text(name)));
        cells.iter().for_each(|cell| add(page, format_args!(" {} |", text(&words(cell)))));
        page.push('\n');
    }
}

/// `words` as text of a paragraph or a cell, with special characters escaped.
pub(super) fn text(words: &str) -> String {
    let mut escaped = String::new();
    for sign in words.chars() {
        match sign {
            '\n' | '\r' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '~' | '#' => escaped.extend(['\\', sign]),
            _ => escaped.push(sign),
        }
    }
    escaped
}

fn add(page: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(words);
}
