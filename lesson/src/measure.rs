//! Measurements of a network that several chapters use.

pub mod cka;
pub mod clock;
pub mod depth;
pub mod excite;
pub mod freeze_depth;
pub mod hierarchy;
pub mod normalisation;
pub mod pca;
pub mod stored;
pub mod transplant;
