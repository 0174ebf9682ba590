//! The commands.

mod find_lr;
mod plan;
mod train;

pub use find_lr::FindLr;
pub use plan::Plan;
pub use train::Train;
