//! What the chapters of "Transfer Learning From Zero" share: their data, their figures, and how
//! results are told.

mod assets;
mod augmented;
pub mod bars;
mod chapter;
pub mod cka;
mod contact_sheet;
mod depth;
mod error;
pub mod excite;
mod fashion;
pub mod figure;
mod fit;
pub mod grid;
mod growth;
pub mod inside;
mod moved;
mod outline;
pub mod profile;
mod results;
mod scores;
mod shift;
mod strategy;
mod table;
pub mod timeline;
mod track;
pub mod tune;
mod verdict;

pub use assets::{Assets, FASHION_MEAN, FASHION_STD};
pub use augmented::{augmented, plainly};
pub use chapter::{Chapter, run};
pub use contact_sheet::contact_sheet;
pub use depth::{ByStage, Depth, probe_by_depth};
pub use error::{Error, Result};
pub use fashion::{FASHION_CLASSES, FASHION_FOLDER, FASHION_SOURCE, FASHION_TARGET, fashion};
pub use fit::{Run, accuracies, fit, gains, sgd, spread};
pub use growth::{Growth, GrowthRow};
pub use moved::Moved;
pub use outline::{Flags, NoFlags, Outline, Settings};
pub use results::{bar, runs_bar, write_json};
pub use scores::{Scores, signed};
pub use shift::shifted;
pub use strategy::Strategy;
pub use table::{Cell, Table};
pub use track::{Start, Task, Track, in_colour, photo_body, photos};
pub use verdict::{Claim, Verdict};
