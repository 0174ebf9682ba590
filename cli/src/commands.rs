//! The commands.

mod convert;
mod evaluate;
mod features;
mod inspect;
mod plan;
mod predict;

pub use convert::Convert;
pub use evaluate::Evaluate;
pub use features::Features;
pub use inspect::Inspect;
pub use plan::Plan;
pub use predict::Predict;
