//! What the chapters of "Transfer Learning From Zero" share: their data, their figures, and how
//! results are told.

mod assets;
pub mod bars;
mod error;
pub mod figure;
pub mod profile;
mod results;
pub mod timeline;

pub use assets::{Assets, FASHION_MEAN, FASHION_STD};
pub use error::{Error, Result};
pub use results::{bar, runs_bar, write_json};
