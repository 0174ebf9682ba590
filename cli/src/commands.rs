//! The commands.

mod bench;
mod completions;
mod convert;
mod doctor;
mod evaluate;
mod export;
mod features;
mod find_lr;
mod inspect;
mod plan;
mod predict;
mod serve;
mod train;

pub use bench::Bench;
pub use completions::Completions;
pub use convert::Convert;
pub use doctor::Doctor;
pub use evaluate::Evaluate;
pub(crate) use evaluate::share;
pub use export::Export;
pub use features::Features;
pub use find_lr::FindLr;
pub use inspect::Inspect;
pub use plan::Plan;
pub use predict::Predict;
pub use serve::Serve;
pub use train::Train;
