//! Training: what happens between a model with weights and a model with better ones.
//!
//! | what | where |
//! |---|---|
//! | a model on a device, frozen in parts, trained, evaluated | [`Learner`] |
//! | length, batch, rate and all else of a run | [`FitOptions`], [`Schedule`] |
//! | a run in a file, resumed bit for bit | [`Learner::save`], [`Learner::resume`], [`Learner::continue_fit`] |
//! | what a task changed of a base that many share | [`Learner::save_delta`], [`Learner::load_delta`] |
//! | what a stage makes of images, computed once | [`Learner::features`], [`Features`] |
//! | a softmax head on such features | [`linear_probe()`] |
//! | counts and spreads | [`Evaluation`], [`Confusion`], [`Spread`] |
//!
//! A step is one submission to the device, and nothing waits for it: losses stay there until a
//! bunch of them is read. See [`Learner`] for an example.

mod checkpoint;
mod delta;
mod error;
mod evaluate;
mod features;
mod fit;
mod freeze;
mod inference;
mod learner;
mod linear_probe;
mod metrics;
mod moments;
mod options;
mod schedule;
mod source;
mod training;

pub use delta::DeltaReport;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Prediction};
pub use features::Features;
pub use fit::{History, Progress};
pub use learner::Learner;
pub use linear_probe::{Probe, ProbeOptions, Standardization, linear_probe};
pub use metrics::{Confusion, Spread};
pub use options::{FitOptions, Length};
pub use schedule::{Curve, Schedule};
pub use source::Source;
pub use training::StepRecord;
