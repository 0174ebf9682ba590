//! A study: runs that are compared. Nothing here trains: see the `lesson` crate for that.
//!
//! | what | where |
//! |---|---|
//! | the settings that determine a run | [`Setting`], [`Cell`] |
//! | the result of a run: an answer for every test image | [`Run`], [`Answers`] |
//! | the file of finished runs | [`Store`] |
//! | a part of the runs, for several machines | [`Shard`] |
//! | the claims, and what the runs show | [`Claim`], [`put_to_the_test`], [`Finding`] |
//! | verdicts from differences over seeds and test images | [`judge`] |

mod answers;
mod claim;
mod run;
#[cfg(test)]
mod samples;
mod setting;
mod shard;
mod store;

pub mod judge;

pub use answers::{Answers, digest};
pub use claim::{Claim, Finding, MARGIN, Measure, POINTS, Runs, Side, Term, put_to_the_test, signed};
pub use judge::Kind;
pub use run::{BUNCHES, Cost, LEAST_EPOCHS, NATS_LEFT, Run, SHARE_LEFT, bunches};
pub use setting::{Cell, Setting, as_written, serialize_as_written};
pub use shard::Shard;
pub use store::{Error, Merged, Store, lines, read};
