//! The trainer on tiny models: one binary, so that it is linked once.

mod delta;
mod divergence;
mod fit;
mod freeze;
mod inference;
mod probe;
mod resume;
mod setup;
mod steady;
