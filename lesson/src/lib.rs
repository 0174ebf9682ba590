//! What the chapters of "Transfer Learning From Zero" share: their data, their runs, and how results are
//! judged and reported.
//!
//! | room | what is in it |
//! |---|---|
//! | [`study`] | the harness: plan, trial, report, and the chapter that ties them together |
//! | [`explorer`] | the page on which one freezes layers and trains |
//! | [`page`] | the lesson as one HTML page and as the repository's documents, from results alone |
//! | here | data, networks and measurements that several chapters use |

mod assets;
mod augmented;
pub mod cka;
mod clock;
mod contact_sheet;
mod depth;
mod duration;
mod error;
pub mod excite;
pub mod explorer;
mod fashion;
mod fit;
mod freeze_depth;
pub mod hierarchy;
pub mod inside;
mod moved;
mod normalisation;
mod outline;
pub mod page;
pub mod pca;
mod picture;
pub mod prelude;
mod range_test;
mod results;
mod shift;
mod step_timeline;
pub mod stored;
pub mod study;
mod track;
mod transplant;

pub use assets::{Assets, FASHION_MEAN, FASHION_STD};
pub use augmented::{augmented, plainly};
pub use clock::{RATES, clock};
pub use contact_sheet::contact_sheet;
pub use depth::Depth;
pub use error::{Error, Result};
pub use fashion::{FASHION_CLASSES, FASHION_FOLDER, FASHION_SOURCE, FASHION_TARGET, fashion};
pub use fit::sgd;
pub use freeze_depth::FreezeDepth;
pub use frostline_charts::{Cell as Entry, Table, figure, scatter};
pub use frostline_study::{Cell, Claim, Finding, Kind, Measure, Runs, Side, Term};
pub use moved::Moved;
pub use normalisation::head_without_normalisation;
pub use outline::{Flags, NoFlags, Outline, Settings};
pub use range_test::draw_range_test;
pub use results::write_json;
pub use shift::shifted;
pub use step_timeline::draw_step;
pub use study::{Chapter, Lab, Plan, Report, Trial};
pub use track::{Draw, Start, Task, Tests, Track, in_colour, photo_body, photos};
pub use transplant::{new_head, transplant, with_old_head};
