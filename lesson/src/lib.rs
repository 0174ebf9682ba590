//! What the chapters of "Transfer Learning From Zero" share: their data, their runs, and the judgement and
//! report of results.
//!
//! | module | contents |
//! |---|---|
//! | [`study`] | the harness: plan, trial, report, and the chapter that combines them |
//! | [`explorer`] | the page on which a reader freezes layers and trains |
//! | [`page`] | the lesson as one HTML page and as the repository's documents, from results alone |
//! | [`data`] | images, networks and tasks |
//! | [`measure`] | measurements of a network that several chapters use |
//! | [`draw`] | pictures that only the lesson needs |
//! | here | the outline of a chapter, its flags, the recipe of a run |

pub mod data;
pub mod draw;
mod duration;
mod error;
pub mod explorer;
mod fit;
pub mod measure;
mod outline;
pub mod page;
pub mod prelude;
mod results;
pub mod study;

pub use data::assets::{Assets, FASHION_MEAN, FASHION_STD};
pub use data::augmented::{augmented, plainly};
pub use data::fashion::{FASHION_CLASSES, FASHION_FOLDER, FASHION_SOURCE, FASHION_TARGET, fashion};
pub use data::moved::Moved;
pub use data::shift::shifted;
pub use data::track::{Draw, Start, Task, Tests, Track, in_colour, photo_body, photos};
pub use draw::contact_sheet::contact_sheet;
pub use draw::range_test::draw_range_test;
pub use draw::step_timeline::draw_step;
pub use error::{Error, Result};
pub use fit::sgd;
pub use frostline_charts::{Cell as Entry, Table, figure, scatter};
pub use frostline_study::{Cell, Claim, Finding, Kind, Measure, Runs, Side, Term};
pub use measure::clock::{RATES, clock};
pub use measure::depth::Depth;
pub use measure::freeze_depth::FreezeDepth;
pub use measure::normalisation::head_without_normalisation;
pub use measure::transplant::{new_head, transplant, with_old_head};
pub use outline::{Flags, NoFlags, Outline, Settings};
pub use results::write_json;
pub use study::{Chapter, Lab, Plan, Report, Trial};
