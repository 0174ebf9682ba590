//! The common parts of all pages of the site: head, navigation and footer, from `web/site/shell.html`.

use crate::page::html::{add, text};
use crate::page::stations::STATIONS;

/// The shell, with placeholders for a page's parts.
pub(super) struct Shell {
    text: String,
    /// Files and names of the pages that are not chapters.
    pages: Vec<(&'static str, &'static str)>,
}

/// The position of a page in the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The start page.
    Start,
    /// A chapter.
    Chapter(usize),
    /// Any other page, by its file.
    File(&'static str),
}

impl Shell {
    pub(super) fn new(text: &str, mut pages: Vec<(&'static str, &'static str)>) -> Self {
        pages.push(("kernels.html", "Kernels"));
        Self { text: text.to_owned(), pages }
    }

    /// A page: `title` for the tab, `description` for search engines, `main` as HTML.
    pub(super) fn page(&self, place: Place, title: &str, description: &str, main: &str) -> String {
        let mut chapters = String::new();
        for (number, station) in STATIONS.iter().enumerate() {
            let (title, here) = (text(station.title), current(place == Place::Chapter(number)));
            add(
                &mut chapters,
                format_args!(
                    "<li><a href=\"ch{number}.html\"{here} title=\"{title}\"><span class=\"hidden\">Chapter \
                     </span>{number}<span class=\"hidden\">: {title}</span></a></li>"
                ),
            );
        }
        let link = |(file, name): &(&'static str, &str)| {
            let here = current(place == Place::File(file));
            format!("<li><a href=\"{file}\"{here}>{}</a></li>", text(name))
        };
        let pages = self.pages.iter().map(link).collect();
        let parts = [
            ("{{title}}", text(title)),
            ("{{description}}", text(description)),
            ("{{chapters}}", chapters),
            ("{{at-start}}", current(place == Place::Start).to_owned()),
            ("{{pages}}", pages),
            ("{{main}}", main.to_owned()),
        ];
        // `main` is replaced last, so that nothing in it is taken for a placeholder.
        parts.iter().fold(self.text.clone(), |page, (place, part)| page.replace(place, part))
    }
}

fn current(here: bool) -> &'static str {
    if here { " aria-current=\"page\"" } else { "" }
}
