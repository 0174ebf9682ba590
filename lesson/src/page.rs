//! The lesson as one HTML page: its text, and what the chapters' last runs found.
//!
//! A chapter leaves `results.json` and its figures in `out/chN`. The page takes both into itself, so
//! that it is one file to keep or to send. A chapter that has not run, or whose files are damaged,
//! says so in its place, and the rest of the page is there nevertheless.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use frostline_charts::Files;
use pulldown_cmark::{Options, Parser, html};
use pulldown_cmark_escape::escape_html;
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// A chapter on the page.
#[derive(Clone, Copy, Debug)]
pub struct Station {
    /// Name of the example that runs it.
    pub binary: &'static str,
    /// Its name in one line.
    pub title: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

/// The nine chapters, in order.
pub const STATIONS: [Station; 9] = [
    station("ch0_why_transfer", "Why transfer learning?", include_str!("page/text/ch0.md")),
    station("ch1_feature_hierarchy", "From general to specific", include_str!("page/text/ch1.md")),
    station("ch2_feature_extraction", "Feature extraction", include_str!("page/text/ch2.md")),
    station("ch3_fine_tuning", "Fine-tuning", include_str!("page/text/ch3.md")),
    station("ch4_freezing", "How much to freeze", include_str!("page/text/ch4.md")),
    station("ch5_learning_rates", "Learning rates", include_str!("page/text/ch5.md")),
    station("ch6_augmentation", "Augmentation", include_str!("page/text/ch6.md")),
    station("ch7_sweet_spot", "The sweet spot", include_str!("page/text/ch7.md")),
    station("ch8_beyond", "Beyond", include_str!("page/text/ch8.md")),
];

const fn station(binary: &'static str, title: &'static str, text: &'static str) -> Station {
    Station { binary, title, text }
}

/// What the page reads of a chapter's `results.json`; a part that is missing is left out.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Results {
    claim: String,
    adapter: String,
    seconds: f64,
    settings: Value,
    claims: Vec<Claim>,
    tables: Vec<Table>,
    figures: Vec<Figure>,
    quiz: Option<Quiz>,
}

#[derive(Deserialize)]
struct Claim {
    claim: String,
    verdict: String,
    evidence: String,
}

#[derive(Deserialize)]
struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    cells: Vec<Value>,
}

#[derive(Deserialize)]
struct Figure {
    file: String,
    caption: String,
}

#[derive(Deserialize)]
struct Quiz {
    question: String,
    answer: String,
}

/// The page, from what `out/ch0` to `out/ch8` hold. `notes[n]` is what went wrong with chapter n just
/// now, if anything did.
pub fn page(out: &Path, notes: &[Option<String>]) -> String {
    let found: Vec<Result<Results, String>> = (0..STATIONS.len()).map(|number| read(&out.join(format!("ch{number}")))).collect();
    let mut body = String::new();
    for (number, (station, results)) in STATIONS.iter().zip(&found).enumerate() {
        let note = notes.get(number).and_then(Option::as_deref);
        chapter(&mut body, number, station, results.as_ref().map_err(String::as_str), note, &out.join(format!("ch{number}")));
    }
    let mut list = String::new();
    for (number, (station, results)) in STATIONS.iter().zip(&found).enumerate() {
        let verdicts = results.as_ref().map_or_else(|_| badge("not run"), |r| r.claims.iter().map(|claim| badge(&claim.verdict)).collect());
        add(&mut list, format_args!("<li><a href=\"#ch{number}\">{number}. {}</a> {verdicts}</li>\n", text(station.title)));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<title>Transfer Learning From Zero</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>Transfer \
         Learning From Zero</h1>\n<p>Nine chapters, each with a claim that is put to the test by training for real on this machine. A claim \
         <em>holds</em> if its gain is more than twice its standard error over at least three seeds, <em>holds weakly</em> if there is a gain \
         that could be chance, and else <em>does not show here</em>.</p>\n</header>\n<nav aria-label=\"Chapters\">\n<ol>\n{list}</ol>\n</nav>\n\
         <main>\n{body}</main>\n</body>\n</html>\n",
        include_str!("page/page.css")
    )
}

fn read(folder: &Path) -> Result<Results, String> {
    let path = folder.join("results.json");
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "has not been run".to_owned(),
        _ => format!("has results that cannot be read ({}: {error})", path.display()),
    })?;
    serde_json::from_str(&text).map_err(|error| format!("has results that cannot be understood ({}: {error})", path.display()))
}

fn chapter(page: &mut String, number: usize, station: &Station, results: Result<&Results, &str>, note: Option<&str>, folder: &Path) {
    add(page, format_args!("<section id=\"ch{number}\">\n<h2>{number}. {}</h2>\n", text(station.title)));
    if let Ok(results) = results {
        add(page, format_args!("<p class=\"claim\">{}</p>\n", text(&results.claim)));
    }
    html::push_html(page, Parser::new_ext(station.text, Options::ENABLE_SMART_PUNCTUATION));
    if let Some(note) = note {
        add(page, format_args!("<p class=\"note\">{} What follows, if anything, is from an earlier run.</p>\n", text(note)));
    }
    match results {
        Ok(results) => told(page, results, folder),
        Err(why) => add(
            page,
            format_args!(
                "<p class=\"note\">This chapter {}. Run it, then assemble the page again:</p>\n<pre><code>cargo run --release --example \
                 {}\ncargo run --release --example lesson -- --assemble</code></pre>\n",
                text(why),
                station.binary
            ),
        ),
    }
    page.push_str("</section>\n");
}

fn told(page: &mut String, results: &Results, folder: &Path) {
    page.push_str("<h3>What this run says</h3>\n<ul class=\"verdicts\">\n");
    for Claim { claim, verdict, evidence } in &results.claims {
        let badge = badge(verdict);
        add(page, format_args!("<li>{badge}{}<br><span class=\"soft\">{}</span></li>\n", text(claim), text(evidence)));
    }
    page.push_str("</ul>\n");
    results.figures.iter().for_each(|figure| draw(page, figure, folder));
    results.tables.iter().for_each(|found| table(page, found));
    if let Some(Quiz { question, answer }) = &results.quiz {
        add(
            page,
            format_args!(
                "<div class=\"quiz\">\n<h3>Quiz</h3>\n<p>{}</p>\n<details><summary>The answer, from this run's own numbers</summary><p>{}</p>\
                 </details>\n</div>\n",
                text(question),
                text(answer)
            ),
        );
    }
    let quick = if results.settings["quick"] == true { "the short form, " } else { "" };
    let seeds = results.settings["seeds"].as_u64().map_or(String::new(), |seeds| format!("{seeds} seeds, "));
    add(page, format_args!("<p class=\"soft\">{quick}{seeds}{:.0} s on {}</p>\n", results.seconds, text(&results.adapter)));
}

fn draw(page: &mut String, Figure { file, caption }: &Figure, folder: &Path) {
    let caption = text(caption);
    // A figure lies in its chapter's folder: no other name is followed.
    let own = Path::new(file).file_name().filter(|name| *name == file.as_str());
    match own.and_then(|name| picture(&folder.join(name))) {
        Some((kind, bytes)) => {
            let data = STANDARD.encode(bytes);
            add(
                page,
                format_args!(
                    "<figure><img alt=\"{caption}\" src=\"data:image/{kind};base64,{data}\"><figcaption>{caption}</figcaption></figure>\n"
                ),
            );
        }
        _ => add(page, format_args!("<p class=\"note\">The figure {} is missing: {caption}</p>\n", text(file))),
    }
}

/// The figure at `path`: its SVG, or where there is none its PNG.
fn picture(path: &Path) -> Option<(&'static str, Vec<u8>)> {
    let Files { svg, png } = Files::of(path);
    let read = |kind, path| Some((kind, std::fs::read(path).ok()?));
    read("svg+xml", svg).or_else(|| read("png", png))
}

fn table(page: &mut String, Table { title, columns, rows }: &Table) {
    let title = text(title);
    // Wide tables scroll, also with the keyboard.
    add(
        page,
        format_args!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table><caption>{title}</caption>\n<thead><tr><th></th>"
        ),
    );
    columns.iter().for_each(|name| add(page, format_args!("<th scope=\"col\">{}</th>", text(name))));
    page.push_str("</tr></thead>\n<tbody>\n");
    for Row { name, cells } in rows {
        add(page, format_args!("<tr><th scope=\"row\">{}</th>", text(name)));
        for cell in cells {
            let words = cell
                .as_str()
                .or(cell["text"].as_str())
                .map_or_else(|| if cell.is_null() { "–".to_owned() } else { cell.to_string() }, str::to_owned);
            add(page, format_args!("<td>{}</td>", text(&words)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn badge(verdict: &str) -> String {
    let class = match verdict {
        "holds" => "holds",
        "holds weakly" => "weakly",
        _ => "not",
    };
    format!("<span class=\"badge {class}\">{}</span> ", text(verdict))
}

/// `words` as text or in a quoted attribute.
fn text(words: &str) -> String {
    let mut escaped = String::new();
    // Writing to a string does not fail.
    let _ = escape_html(&mut escaped, words);
    escaped
}

fn add(page: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(words);
}
