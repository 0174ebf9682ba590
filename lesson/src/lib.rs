//! What the chapters of "Transfer Learning From Zero" share: their data, their figures, and how
//! results are told.

mod assets;
mod error;
pub mod figure;
mod results;

pub use assets::{Assets, FASHION_MEAN, FASHION_STD};
pub use error::{Error, Result};
pub use results::{bar, runs_bar, write_json};
