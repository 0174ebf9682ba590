//! A study: runs that are compared. What decides a run and what it came to, the file that keeps finished runs,
//! and parts of a study for several machines. Nothing here trains: see the `lesson` crate for that.

mod answers;
mod run;
#[cfg(test)]
mod samples;
mod setting;
mod shard;
mod store;

pub use answers::{Answers, digest};
pub use run::{BUNCHES, Cost, LEAST_EPOCHS, NATS_LEFT, Run, SHARE_LEFT, bunches};
pub use setting::{Cell, Setting};
pub use shard::Shard;
pub use store::{Error, Merged, Store, read};
