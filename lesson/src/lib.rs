//! What the chapters of "Transfer Learning From Zero" share: their data, their figures, and how
//! results are told.

mod assets;
pub mod bars;
mod chapter;
mod error;
mod fashion;
pub mod figure;
mod fit;
mod growth;
mod moved;
mod outline;
mod page;
pub mod profile;
mod results;
mod strategy;
mod table;
pub mod timeline;
mod track;
mod verdict;

pub use assets::{Assets, FASHION_MEAN, FASHION_STD};
pub use chapter::{Chapter, run};
pub use error::{Error, Result};
pub use fashion::{FASHION_CLASSES, FASHION_FOLDER, FASHION_SOURCE, FASHION_TARGET, fashion};
pub use fit::{Run, accuracies, fit, gains, sgd, spread};
pub use growth::{Growth, GrowthRow};
pub use moved::Moved;
pub use outline::{Flags, NoFlags, Outline, Settings};
pub use page::{STATIONS, Station, page};
pub use results::{bar, runs_bar, write_json};
pub use strategy::Strategy;
pub use table::{Cell, Table};
pub use track::{Start, Task, Track, in_colour, photo_body};
pub use verdict::{Claim, Verdict};
