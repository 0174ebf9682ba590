//! Training: from a model with weights to a model with better weights.
//!
//! | what | where |
//! |---|---|
//! | a model on a device, frozen in parts, trained, evaluated | [`Learner`] |
//! | length, batch, rate and other settings of a run | [`FitOptions`], [`Schedule`] |
//! | training images changed at random, on the device | [`Augment`] |
//! | images mixed in pairs | [`FitOptions::mixup`] |
//! | weights for classes with few images | [`FitOptions::class_weights`], [`balanced_class_weights()`] |
//! | the best weights of a run | [`FitOptions::keep_best`], [`Best`] |
//! | a run that ends when it no longer improves | [`FitOptions::stop_early`] |
//! | a run in a file, resumed bit for bit | [`Learner::save`], [`Learner::resume`], [`Learner::continue_fit`] |
//! | the tensors that a task changed in a shared base | [`Learner::save_delta`], [`Learner::load_delta`] |
//! | the output of a stage for images, computed once | [`Learner::features`], [`Features`] |
//! | a linear head on such features at its optimum | [`regression()`], [`Fitter`] |
//! | its strength by cross-validation | [`cross_validate()`] |
//! | images whose label may be wrong | [`held_out_probabilities()`], [`label_issues()`] |
//! | a softmax head or a support vector machine trained by steps | [`linear_probe()`] |
//! | outputs of frozen stages, computed once | [`FitOptions::cache_frozen`], [`Learner::activations`] |
//! | a rate to begin with | [`Learner::find_lr`] |
//! | a rate for each stage | [`Learner::slice`], [`Learner::layer_decay`] |
//! | a run whose freeze, rates and images can change while it trains | [`Live`] |
//! | gradual unfreezing, one more stage at a time | [`Learner::fit_gradually`] |
//! | whether a frozen batch norm kept its statistics | [`Evaluation::drift`], [`Learner::drift`] |
//! | how far each stage has moved | [`Learner::snapshot`], [`Learner::updates_since`] |
//! | the outputs of all stages for every image | [`Learner::walk`] |
//! | the pixels on which a value in them depends | [`Learner::input_gradients`] |
//! | how much each part of an image adds to a class's logit | [`Learner::class_activation`] |
//! | the cost of every freeze depth, before anything runs | [`what_if()`] |
//! | metrics | [`Evaluation`], [`Confusion`], [`wilson`] |
//!
//! A step is submitted to the device, which may be two steps behind: losses stay there until several are read
//! at once. Images are sent to the device as bytes and are normalised there ([`Batch`]). See [`Learner`] for
//! an example.

mod augment;
mod best;
mod cam;
mod checkpoint;
mod class_weights;
mod cross_validation;
mod delta;
mod drift;
mod error;
mod evaluate;
mod features;
mod find_lr;
mod fit;
mod freeze;
mod gradual;
mod head;
mod inference;
mod inside;
mod label_issues;
mod learner;
mod linear_probe;
mod live;
mod metrics;
mod mixup;
mod moments;
mod options;
mod prefix;
mod progress;
mod rates;
mod regression;
mod schedule;
mod side_by_side;
mod snapshot;
mod source;
mod state;
mod training;
mod what_if;

pub use augment::{Augment, ColorJitter, ResizedCrop};
pub use best::Best;
pub use cam::{ClassActivation, Look};
pub use class_weights::balanced_class_weights;
pub use cross_validation::{
    CrossValidation, Strength, cross_validate, cross_validate_with, held_out_probabilities,
};
pub use delta::DeltaReport;
pub use drift::{Drift, LayerDrift};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Prediction};
pub use features::Features;
pub use find_lr::{LrCurve, LrPoint, LrRange, LrSuggestions};
pub use gradual::GradualPhase;
pub use head::{Head, Standardization};
pub use inside::{Map, Unit};
pub use label_issues::{LabelIssue, label_issues};
pub use learner::Learner;
pub use linear_probe::{Probe, ProbeLoss, ProbeOptions, linear_probe};
pub use live::Live;
pub use metrics::{Confusion, NO_CLASS, wilson};
pub use options::{FitOptions, Length};
pub use prefix::Activations;
pub use progress::{History, Progress};
pub use rates::RateSlice;
pub use regression::{Fitter, HeadLoss, Regression, regression};
pub use schedule::{Curve, Schedule};
pub use snapshot::{Snapshot, StageUpdate};
pub use source::{Batch, Source};
pub use training::StepRecord;
pub use what_if::{Depth, what_if};
