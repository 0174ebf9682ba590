//! The commands.

mod convert;
mod evaluate;
mod features;
mod find_lr;
mod inspect;
mod plan;
mod predict;
mod train;

pub use convert::Convert;
pub use evaluate::Evaluate;
pub(crate) use evaluate::share;
pub use features::Features;
pub use find_lr::FindLr;
pub use inspect::Inspect;
pub use plan::Plan;
pub use predict::Predict;
pub use train::Train;
