//! The documents of the lesson: its texts, and the results of the chapters' runs.
//!
//! | file | what is in it |
//! |---|---|
//! | `stations.rs`, `text/` | the nine chapters and their texts |
//! | `results.rs` | reads a chapter's results; a damaged chapter affects only its part |
//! | `badge.rs`, `facts.rs` | verdicts, settings and runs in words |
//! | `html.rs` | one page that contains everything, from `out/chN` |
//! | `publish.rs` | the published parts of a study: `docs/results`, `docs/figures` |
//! | `site/` | the static site of `make site`, from `docs/results` |
//! | `markdown.rs`, `readme.rs` | `docs/lesson.md` and the README's parts, from `docs/results` |

mod badge;
mod facts;
mod html;
mod markdown;
mod publish;
mod readme;
mod results;
mod site;
mod stations;

pub use html::page;
pub use markdown::lesson;
pub use publish::{publish, write_documents};
pub use readme::readme;
pub use site::site;
pub use stations::{STATIONS, Station};

use frostline_charts::Files;
use std::path::{Path, PathBuf};

/// How claims become verdicts, in front of the chapters.
const INTRODUCTION: &str = include_str!("text/introduction.md");

/// The file of the figure `name` in `folder`: its SVG, or else its PNG. A name that contains a folder is
/// ignored.
fn figure_file(folder: &Path, name: &str) -> Option<PathBuf> {
    let own = Path::new(name).file_name().filter(|own| *own == name)?;
    let Files { svg, png } = Files::of(&folder.join(own));
    [svg, png].into_iter().find(|path| path.is_file())
}
