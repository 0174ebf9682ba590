//! The items that every chapter's example uses, to be imported with `*`.

pub use crate::data::track::{PHOTOS, Start};
pub use crate::error::Result;
pub use crate::outline::{NoFlags, Outline, Settings};
pub use crate::study::{Chapter, Lab, Plan, Report, Trial};
pub use frostline_charts::figure::draw;
pub use frostline_study::{Cell, Claim, Side, Term};
