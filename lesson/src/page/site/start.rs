//! The start page: a description of the lesson, and its chapters with their results.

use super::files::Files;
use super::live::Live;
use super::shell::{Place, Shell};
use super::{Result, chapter};
use crate::page::INTRODUCTION;
use crate::page::html::{add, legend, markdown, summary, text};
use crate::page::results::Results;
use crate::page::stations::STATIONS;

const TITLE: &str = "Transfer Learning From Zero";
const WHAT: &str = "Nine chapters about using a pretrained network for a new task. For each chapter, \
                    networks were trained with several seeds. The chapter reports \
                    what the runs show and what they do not show.";

pub(super) fn page(
    shell: &Shell,
    chapters: &[Result<Results, String>],
    live: &Live,
    files: &Files<'_>,
) -> Result<String> {
    let mut main = format!("<h1>{TITLE}</h1>\n<p class=\"lead\">{WHAT}</p>\n{}\n", live.welcome());
    if let Some(Ok(first)) = chapters.first()
        && let Some(figure) = first.figures.first()
    {
        let claim = chapter::short(first);
        add(
            &mut main,
            format_args!(
                "<section aria-labelledby=\"first\"><h2 id=\"first\">One result \
            first</h2>\n"
            ),
        );
        main.push_str(&claim);
        main.push_str(&chapter::figure(figure, files, true)?);
        main.push_str("</section>\n");
    }
    main.push_str(
        "<section aria-labelledby=\"chapters\"><h2 id=\"chapters\">The chapters</h2>\n<ol \
        class=\"cards\" start=\"0\">\n",
    );
    for (number, (station, results)) in STATIONS.iter().zip(chapters).enumerate() {
        let (title, question) = (text(station.title), text(station.question));
        let verdicts = results.as_ref().map_or_else(
            |why| format!("<p class=\"note\">This chapter {}.</p>", text(why)),
            |found| format!("<p class=\"badges\">{}</p>", summary(found)),
        );
        add(
            &mut main,
            format_args!(
                "<li><h3><a href=\"ch{number}.html\">{number}. \
                    {title}</a></h3><p>{question}</p>{verdicts}</li>\n"
            ),
        );
    }
    main.push_str(
        "</ol></section>\n<section aria-labelledby=\"how\"><h2 id=\"how\">How claims become \
        verdicts</h2>\n",
    );
    markdown(&mut main, INTRODUCTION);
    add(&mut main, format_args!("<dl>{}</dl></section>\n", legend()));
    Ok(shell.page(Place::Start, TITLE, WHAT, &main))
}
