//! A chapter's page: the question and a short answer, the live part, the text, what the runs say, the quiz,
//! and the program that ran.

use super::files::Files;
use super::live::Live;
use super::shell::{Place, Shell};
use super::{Result, grid, quiz};
use crate::page::html::{add, markdown, summary, table, text, verdicts};
use crate::page::results::{Figure, Results};
use crate::page::stations::{STATIONS, Station};

pub(super) fn page(
    shell: &Shell,
    number: usize,
    results: &Result<Results, String>,
    live: &Live,
    files: &Files<'_>,
) -> Result<String> {
    let station = &STATIONS[number];
    let (title, question) = (text(station.title), text(station.question));
    let mut main = format!("<h1><span class=\"number\">Chapter {number}</span> {title}</h1>\n");
    add(&mut main, format_args!("<p class=\"lead\">{question}</p>\n"));
    if let Ok(results) = results {
        main.push_str(&short(results));
        if let Some(first) = results.figures.first() {
            main.push_str(&figure(first, files, true)?);
        }
    }
    main.push_str(&live.part(&format!("ch{number}")));
    main.push_str("<section aria-labelledby=\"text\"><h2 id=\"text\">What this is about</h2>\n");
    markdown(&mut main, station.text);
    main.push_str("</section>\n");
    match results {
        Ok(results) => {
            if number == 4 {
                main.push_str(&grid::panels(results));
            }
            findings(&mut main, results, files)?;
            main.push_str(&quiz::questions(number, results));
        }
        Err(why) => add(&mut main, format_args!("<p class=\"note\">This chapter {}.</p>\n", text(why))),
    }
    program(&mut main, station);
    neighbours(&mut main, number);
    let title = format!("{number}. {} – Transfer Learning From Zero", station.title);
    Ok(shell.page(Place::Chapter(number), &title, station.question, &main))
}

/// The verdicts in numbers and the first claim with its difference, in short form.
pub(super) fn short(results: &Results) -> String {
    let mut short = format!("<div class=\"short\"><p class=\"badges\">{}</p>\n", summary(results));
    if let Some(first) = results.claims.first() {
        let difference = first.difference().map(|words| format!(": {}", text(&words))).unwrap_or_default();
        add(
            &mut short,
            format_args!(
                "<p>First claim: “{}” <b>{}</b>{difference}.</p>\n",
                text(&first.claim),
                text(&first.verdict)
            ),
        );
    }
    short + "</div>\n"
}

/// A published figure. The `first` one is loaded at once, others when the reader scrolls near them.
pub(super) fn figure(Figure { file, caption }: &Figure, files: &Files<'_>, first: bool) -> Result<String> {
    let caption = text(caption);
    let Some(found) = files.figure(file)? else {
        return Ok(format!("<p class=\"note\">The figure {} is missing: {caption}</p>\n", text(file)));
    };
    let (name, class) = (text(&found.name), if found.photos { "photos" } else { "drawing" });
    let size = found.size.map_or(String::new(), |(w, h)| {
        format!(
            " width=\"{w}\" height=\"{h}\" \
        style=\"--wide:{w}px\""
        )
    });
    let loading = if first { "eager" } else { "lazy" };
    Ok(format!(
        "<figure><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{caption}\">\
         <img class=\"{class}\" loading=\"{loading}\" src=\"figures/{name}\" alt=\"{caption}\"{size}></div>\
         <figcaption>{caption} <a href=\"figures/{name}\">Open the figure alone</a></figcaption></figure>\n"
    ))
}

/// Verdicts, the other figures and tables.
fn findings(main: &mut String, results: &Results, files: &Files<'_>) -> Result<()> {
    main.push_str("<section aria-labelledby=\"results\"><h2 id=\"results\">What the runs say</h2>\n");
    for warning in results.warnings() {
        add(main, format_args!("<p class=\"note\">{}</p>\n", text(&warning)));
    }
    verdicts(main, &results.claims);
    for other in results.figures.iter().skip(1) {
        main.push_str(&figure(other, files, false)?);
    }
    results.tables.iter().for_each(|found| table(main, found));
    if let Some(star) = Results::star(&results.tables) {
        add(main, format_args!("<p class=\"soft\">{}</p>\n", text(&star)));
    }
    let (settings, runs) = (text(&results.settings_in_words()), text(&results.runs_in_words()));
    add(main, format_args!("<p class=\"soft\">{settings}.<br>{runs}.</p>\n</section>\n"));
    Ok(())
}

fn program(main: &mut String, Station { binary, .. }: &Station) {
    add(
        main,
        format_args!(
            "<section aria-labelledby=\"code\"><h2 id=\"code\">The code that ran</h2>\n\
             <p><a href=\"code-{binary}.html\"><code>examples/{binary}.rs</code></a> made these results. \
             To run it on your machine:</p>\n<pre><code>cargo run --release --example {binary}</code></pre>\n\
             </section>\n"
        ),
    );
}

fn neighbours(main: &mut String, number: usize) {
    let link = |number: usize, rel: &str, words: &str| {
        let title = text(STATIONS[number].title);
        format!("<a rel=\"{rel}\" href=\"ch{number}.html\"><span>{words}</span> {number}. {title}</a>")
    };
    let previous = number.checked_sub(1).map_or(String::new(), |at| link(at, "prev", "Previous"));
    let next = if number + 1 < STATIONS.len() { link(number + 1, "next", "Next") } else { String::new() };
    add(
        main,
        format_args!(
            "<nav class=\"neighbours\" aria-label=\"Other \
        chapters\">{previous}{next}</nav>\n"
        ),
    );
}
