//! The lesson as one HTML page.
//!
//! A chapter writes `results.json` and its figures to `out/chN`. The page contains both, so that it is a
//! single file to keep or to send. For a chapter that has not run, or whose files are damaged, the page
//! contains a note in its place; the rest of the page does not depend on it.

use super::badge::{BADGES, class, counts};
use super::results::{Claim, Figure, Quiz, Results, Row, Table, read, words};
use super::stations::{STATIONS, Station};
use super::{INTRODUCTION, figure_file};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pulldown_cmark::{Options, Parser, html};
use pulldown_cmark_escape::escape_html;
use std::fmt::Write;
use std::path::Path;

/// The page, from what `out/ch0` to `out/ch8` hold. `notes[n]` is the error of chapter n in this run, if
/// there was one.
pub fn page(out: &Path, notes: &[Option<String>]) -> String {
    let folder = |number: usize| out.join(format!("ch{number}"));
    let mut list = String::new();
    let mut body = String::new();
    for (number, station) in STATIONS.iter().enumerate() {
        let results = read(&folder(number).join("results.json"));
        let note = notes.get(number).and_then(Option::as_deref);
        chapter(&mut body, number, station, &results, note, &folder(number));
        let verdicts = results.as_ref().map_or_else(|_| badge("not run", "not run"), summary);
        let title = text(station.title);
        add(&mut list, format_args!("<li><a href=\"#ch{number}\">{number}. {title}</a> {verdicts}</li>\n"));
    }
    let mut introduction = String::new();
    markdown(&mut introduction, INTRODUCTION);
    let legend = legend();
    let style = include_str!("page.css");
    format!(
        "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Transfer Learning From Zero</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>Transfer Learning From Zero</h1>
<p>Nine chapters. Each tests its claims by training real networks.</p>
{introduction}<p>The formulae are in <code>docs/statistics.md</code> of the repository.</p>
<details><summary>All verdicts</summary>
<dl>
{legend}</dl>
</details>
</header>
<nav aria-label=\"Chapters\">
<ol>
{list}</ol>
</nav>
<main>
{body}</main>
</body>
</html>
"
    )
}

fn chapter(
    page: &mut String,
    number: usize,
    station: &Station,
    results: &Result<Results, String>,
    note: Option<&str>,
    folder: &Path,
) {
    let title = text(station.title);
    add(page, format_args!("<section id=\"ch{number}\">\n<h2>{number}. {title}</h2>\n"));
    if let Ok(results) = results {
        add(page, format_args!("<p class=\"claim\">{}</p>\n", text(&results.claim)));
    }
    markdown(page, station.text);
    if let Some(note) = note {
        let note = text(note);
        let earlier = "What follows, if anything, is from an earlier run.";
        add(page, format_args!("<p class=\"note\">{note} {earlier}</p>\n"));
    }
    match results {
        Ok(results) => findings(page, results, folder),
        Err(why) => {
            let (why, binary) = (text(why), station.binary);
            let then = "Run it, then assemble the page again:";
            add(page, format_args!("<p class=\"note\">This chapter {why}. {then}</p>\n<pre><code>"));
            add(page, format_args!("cargo run --release --example {binary}\n"));
            page.push_str("cargo run --release --example lesson -- --assemble</code></pre>\n");
        }
    }
    page.push_str("</section>\n");
}

/// Verdicts, figures, tables and quiz of a chapter.
fn findings(page: &mut String, results: &Results, folder: &Path) {
    page.push_str("<h3>What these runs say</h3>\n");
    for warning in results.warnings() {
        add(page, format_args!("<p class=\"note\">{}</p>\n", text(&warning)));
    }
    verdicts(page, &results.claims);
    results.figures.iter().for_each(|figure| draw(page, figure, folder));
    results.tables.iter().for_each(|found| table(page, found));
    if let Some(star) = Results::star(&results.tables) {
        add(page, format_args!("<p class=\"soft\">{}</p>\n", text(&star)));
    }
    if let Some(Quiz { question, answer }) = &results.quiz {
        let (question, answer) = (text(question), text(answer));
        add(page, format_args!("<div class=\"quiz\">\n<h3>Quiz</h3>\n<p>{question}</p>\n"));
        page.push_str("<details><summary>The answer, from these runs' own numbers</summary>");
        add(page, format_args!("<p>{answer}</p></details>\n</div>\n"));
    }
    let (settings, runs) = (text(&results.settings_in_words()), text(&results.runs_in_words()));
    add(page, format_args!("<p class=\"soft\">{settings}.<br>{runs}.</p>\n"));
}

/// Each claim with its verdict and the numbers behind it.
pub(super) fn verdicts(page: &mut String, claims: &[Claim]) {
    page.push_str("<ul class=\"verdicts\">\n");
    for Claim { claim, verdict, evidence, .. } in claims {
        let (badge, claim, evidence) = (badge(verdict, verdict), text(claim), text(evidence));
        add(page, format_args!("<li>{badge}{claim}<br><span class=\"soft\">{evidence}</span></li>\n"));
    }
    page.push_str("</ul>\n");
}

/// What each verdict means.
pub(super) fn legend() -> String {
    let mut legend = String::new();
    for found in BADGES {
        let (badge, meaning) = (badge(found.word, found.word), text(found.meaning));
        add(&mut legend, format_args!("<dt>{badge}</dt><dd>{meaning}</dd>\n"));
    }
    legend
}

fn draw(page: &mut String, Figure { file, caption }: &Figure, folder: &Path) {
    let caption = text(caption);
    let path = figure_file(folder, file);
    match path.and_then(|path| Some((path.extension()? == "svg", std::fs::read(&path).ok()?))) {
        Some((is_svg, bytes)) => {
            let (kind, data) = (if is_svg { "svg+xml" } else { "png" }, STANDARD.encode(bytes));
            let image = format!("<img alt=\"{caption}\" src=\"data:image/{kind};base64,{data}\">");
            let image = format!("<div class=\"scroll\" tabindex=\"0\">{image}</div>");
            add(page, format_args!("<figure>{image}<figcaption>{caption}</figcaption></figure>\n"));
        }
        None => {
            let file = text(file);
            add(page, format_args!("<p class=\"note\">The figure {file} is missing: {caption}</p>\n"));
        }
    }
}

pub(super) fn table(page: &mut String, Table { title, columns, rows }: &Table) {
    let title = text(title);
    // Wide tables scroll, also with the keyboard.
    page.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"region\"");
    add(
        page,
        format_args!(" aria-label=\"{title}\"><table><caption>{title}</caption>\n<thead><tr><th></th>"),
    );
    columns.iter().for_each(|name| add(page, format_args!("<th scope=\"col\">{}</th>", text(name))));
    page.push_str("</tr></thead>\n<tbody>\n");
    for Row { name, cells } in rows {
        add(page, format_args!("<tr><th scope=\"row\">{}</th>", text(name)));
        cells.iter().for_each(|cell| add(page, format_args!("<td>{}</td>", text(&words(cell)))));
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// The number of claims with each verdict, as badges.
pub(super) fn summary(results: &Results) -> String {
    counts(&results.claims).into_iter().map(|(word, count)| badge(word, &format!("{count} {word}"))).collect()
}

pub(super) fn badge(verdict: &str, words: &str) -> String {
    format!("<span class=\"badge {}\">{}</span> ", class(verdict), text(words))
}

pub(super) fn markdown(page: &mut String, words: &str) {
    html::push_html(page, Parser::new_ext(words, Options::ENABLE_SMART_PUNCTUATION));
}

/// `words` as text or in a quoted attribute.
pub(super) fn text(words: &str) -> String {
    let mut escaped = String::new();
    // Writing to a string does not fail.
    let _ = escape_html(&mut escaped, words);
    escaped
}

pub(super) fn add(page: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(words);
}
