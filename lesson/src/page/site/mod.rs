//! The lesson as a static site: a page for each chapter, from `docs/results` alone.
//!
//! | file | what is in it |
//! |---|---|
//! | `shell.rs` | the common parts of all pages |
//! | `start.rs`, `chapter.rs` | the start page, and a chapter's page |
//! | `grid.rs` | chapter 4's measured results, a panel for each of the four situations |
//! | `quiz.rs` | questions whose answers are claims that the runs decided |
//! | `source.rs`, `highlight.rs` | kernels and programs as pages with numbered lines |
//! | `plans.rs` | the dispatches of a training step for each freeze, so that the page shows them without a GPU |
//! | `live.rs` | the parts that train in the page, if the engine was built for browsers |
//! | `files.rs` | style, scripts, figures, weights and photos, copied |
//!
//! The pages are complete without scripts. Scripts and the engine are only added to them.

mod chapter;
mod files;
mod grid;
mod highlight;
mod live;
mod plans;
mod quiz;
mod shell;
mod source;
mod start;

use super::markdown::published;
use super::stations::STATIONS;
use crate::error::{Error, Result};
use files::Files;
use live::Live;
use shell::Shell;
use std::path::Path;

/// Writes the site into the folder `out`, from the repository at `root`: its published results, its shaders
/// and programs, and `web/site`. If `web/site/pkg` contains the engine for browsers, the site has the parts
/// that train. Returns sentences about its contents.
///
/// # Errors
/// If a file cannot be read or written, or if the folder `out` exists and is not a site.
pub fn site(root: &Path, out: &Path) -> Result<Vec<String>> {
    let files = Files::new(root, out)?;
    let live = Live::new(root);
    let pages = live.pages().map(|page| (page.file, page.name));
    let shell = Shell::new(&files.read("web/site/shell.html")?, pages.collect());
    let docs = root.join("docs");
    let chapters: Vec<_> = (0..STATIONS.len()).map(|number| published(&docs, number)).collect();

    files.write("index.html", &start::page(&shell, &chapters, &live, &files)?)?;
    for (number, results) in chapters.iter().enumerate() {
        files.write(&format!("ch{number}.html"), &chapter::page(&shell, number, results, &live, &files)?)?;
    }
    for (number, station) in STATIONS.iter().enumerate() {
        let page = source::program(&shell, number, station, &files)?;
        files.write(&format!("code-{}.html", station.binary), &page)?;
    }
    let kernels = source::kernels(&shell, &files)?;
    kernels.iter().try_for_each(|(name, page)| files.write(name, page))?;
    for page in live.pages() {
        files.write(page.file, &live::page(&shell, page, &live))?;
    }
    files.write("data/plans.json", &plans::plans()?.to_string())?;
    files.copy_site(&live)?;
    let pages = 1 + 2 * STATIONS.len() + kernels.len() + live.pages().count();
    Ok(vec![format!("{pages} pages in {}", out.display()), live.in_words()])
}

/// An error about the file or folder at `path`.
fn failed(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Output { path: path.to_owned(), reason: error.to_string() }
}
