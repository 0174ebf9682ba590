//! The commands.

mod plan;

pub use plan::Plan;
