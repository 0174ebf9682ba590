//! What the chapters of "Transfer Learning From Zero" share: their data, their figures, and how
//! results are told.

mod assets;
pub mod bars;
mod chapter;
mod depth;
mod error;
pub mod figure;
mod fit;
pub mod heatmap;
mod outline;
pub mod profile;
mod range_test;
mod results;
mod table;
pub mod timeline;
mod track;
mod verdict;

pub use assets::{Assets, FASHION_MEAN, FASHION_STD};
pub use chapter::{Chapter, run};
pub use depth::{Depth, Seen, ledger};
pub use error::{Error, Result};
pub use fit::{Run, accuracies, fit, gains, sgd, spread};
pub use outline::{Flags, NoFlags, Outline, Settings};
pub use range_test::range_test;
pub use results::{bar, runs_bar, write_json};
pub use table::{Cell, Table};
pub use track::{Start, Task, Track, in_colour, photo_body};
pub use verdict::{Claim, Verdict, points};
