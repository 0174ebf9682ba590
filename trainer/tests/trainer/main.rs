//! The trainer on tiny models: one binary, so that it is linked once.

mod augment;
mod best;
mod cam;
mod delta;
mod divergence;
mod drift;
mod fit;
mod freeze;
mod inference;
mod inside;
mod label_issues;
mod live;
mod mixup;
mod prefix;
mod probe;
mod rates;
mod regression;
mod reopen;
mod resume;
mod setup;
mod steady;
mod stream;
