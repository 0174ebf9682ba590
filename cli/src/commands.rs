//! The commands.

mod bench;
mod completions;
mod convert;
mod doctor;
mod evaluate;
mod features;
mod inspect;
mod plan;
mod predict;

pub use bench::Bench;
pub use completions::Completions;
pub use convert::Convert;
pub use doctor::Doctor;
pub use evaluate::Evaluate;
pub use features::Features;
pub use inspect::Inspect;
pub use plan::Plan;
pub use predict::Predict;
