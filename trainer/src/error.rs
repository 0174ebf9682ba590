//! The errors of training. Each text contains what a person needs to act on it.

use std::path::{Path, PathBuf};

/// An error of the trainer, or of the crates that it uses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is explained by the message that contains it")]
pub enum Error {
    /// The GPU, a graph or a plan.
    #[error(transparent)]
    Engine(#[from] frostline_engine::Error),
    /// A file or data.
    #[error(transparent)]
    Loader(#[from] frostline_loader::Error),
    /// A model or its weights.
    #[error(transparent)]
    Models(frostline_models::Error),
    /// The loss became NaN or infinite.
    #[error(
        "step {step}: the loss is {loss}{}{}. The step was not taken and no file was overwritten. {} A smaller \
         learning rate, or a warm-up, is the usual remedy",
        layer.as_ref().map(|layer| format!("; the first layer with an output that is not finite is `{layer}`")).unwrap_or_default(),
        parameter.as_ref().map(|name| format!("; `{name}` contains a value that is not \
                                               finite")).unwrap_or_default(),
        advice(checkpoint.as_deref()),
    )]
    Diverged {
        /// The step of this loss, counted from 1.
        step: u64,
        loss: f32,
        /// The first layer, in forward order.
        layer: Option<String>,
        /// The first tensor that is not finite, parameters before running statistics.
        parameter: Option<String>,
        /// The last good checkpoint.
        checkpoint: Option<PathBuf>,
    },
    /// Gradients overflow 16-bit floats at every step.
    #[error(
        "step {step}: none of the last {skipped} steps was taken, because gradients were not finite at a loss scale of \
         {scale}. {} Store activations as f32, or set a smaller loss scale if it is a fixed one",
        advice(checkpoint.as_deref()),
    )]
    GradientOverflow {
        /// The last step, counted from 1.
        step: u64,
        skipped: u64,
        scale: u32,
        /// The last good checkpoint.
        checkpoint: Option<PathBuf>,
    },
    /// A weight or a running statistic is not finite, and would have been saved.
    #[error(
        "after step {step}, `{tensor}` contains a value that is not finite, so nothing was saved. {} A \
         smaller learning \
         rate, or a warm-up, is the usual remedy",
        advice(checkpoint.as_deref()),
    )]
    NotSaved { step: u64, tensor: String, checkpoint: Option<PathBuf> },
    /// The data does not fill one batch, and training drops batches that are not full.
    #[error(
        "a batch of {batch} cannot be filled from {images} training images: choose a batch of at most {images}"
    )]
    BatchTooLarge { batch: usize, images: usize },
    /// Images of a size other than the learner's.
    #[error(
        "the images are {}x{} with {} channels, but this learner takes {}x{} with {}: prepare the images for the model, \
         or make a learner for these",
        got[0], got[1], got[2], expected[0], expected[1], expected[2]
    )]
    ImageShape {
        /// Height, width, channels.
        expected: [usize; 3],
        got: [usize; 3],
    },
    /// Other classes than the model's last layer has.
    #[error(
        "the data has {data} classes, but the model's last layer has {model}: give the model a new last layer of {data}"
    )]
    Classes { data: usize, model: usize },
    /// A label that names no class.
    #[error("image {index} has label {label}, but there are {classes} classes (labels start at 0)")]
    Label { index: usize, label: u32, classes: usize },
    /// A model that only computes features.
    #[error(
        "`{model}` has no last layer for classification: give it classes, or train a linear probe on its \
         features"
    )]
    NoClasses { model: String },
    /// No images.
    #[error("there are no images to {purpose}")]
    NoImages { purpose: &'static str },
    /// An invalid setting.
    #[error("{name} = {value}: {reason}")]
    Setting { name: &'static str, value: String, reason: &'static str },
    /// A layer group or stage that the model does not have.
    #[error("there is no group of layers named `{name}`; there are: {known}")]
    UnknownGroup { name: String, known: String },
    /// A continued run with other settings or data.
    #[error(
        "this is not the run that was interrupted: its {setting} was {saved}, now it is {given}. Give the same settings \
         and data, or begin a new run"
    )]
    OtherRun { setting: String, saved: String, given: String },
    /// The flag of [`FitOptions::stop_when`](crate::FitOptions::stop_when) was set.
    #[error("stopped, as asked")]
    Stopped,
    /// Nothing to continue.
    #[error(
        "there is no run to continue: a run begins with its first step, and a checkpoint from before that \
         step contains none"
    )]
    NoRun,
    /// No best weights to go back to.
    #[error(
        "no best weights were kept: fit with `stop_early` or `keep_best` and at least one validation, and resume with the \
         file of the best weights"
    )]
    NoBest,
    /// A checkpoint with an impossible entry.
    #[error("{}: {reason}", path.display())]
    Checkpoint { path: PathBuf, reason: String },
    /// Features of images that change at random cannot be kept.
    #[error(
        "features cannot be computed once and kept: {what} changes the images at random every time. Leave it out, or \
         train through the frozen layers instead"
    )]
    StochasticCache { what: String },
    /// Outputs of stages that would change during the training.
    #[error(
        "the outputs of `{stage}` cannot replace the images: {reason}. Freeze all up to `{stage}`, or train \
         on the images"
    )]
    NotFrozen { stage: String, reason: String },
    /// Outputs that were computed with weights other than the learner's.
    #[error(
        "these outputs of `{stage}` were computed with other weights or another normalisation than the learner has now: compute them again"
    )]
    StaleActivations { stage: String },
    /// Features of different widths.
    #[error(
        "the training features have {train} values each and the others {other}: take both at the same stage and grid"
    )]
    FeatureWidth { train: usize, other: usize },
    /// Features that are not numbers: the network that computed them is damaged, or overflows.
    #[error(
        "the features of image {row} are not finite, so no head can be trained on them: the network's weights are \
         damaged, or its values overflow (16-bit storage?)"
    )]
    NotFinite { row: usize },
}

impl From<frostline_models::Error> for Error {
    /// The device's errors are [`Error::Engine`], also if they occur while a model's weights are copied: a
    /// caller finds `OutOfMemory` and `DeviceLost` in one place.
    fn from(error: frostline_models::Error) -> Self {
        match error {
            frostline_models::Error::Engine(error) => Self::Engine(error),
            error => Self::Models(error),
        }
    }
}

/// The result of a function of the trainer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn advice(checkpoint: Option<&Path>) -> String {
    match checkpoint {
        Some(path) => format!("Go back to the last good checkpoint, {}.", path.display()),
        None => "There is no checkpoint to go back to.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_device_says_is_an_engine_error_also_from_behind_a_model() {
        let memory = frostline_engine::Error::OutOfMemory {
            bytes: 84_736,
            purpose: "a read-back".to_owned(),
            in_use: None,
        };
        let error = Error::from(frostline_models::Error::from(memory));
        assert!(
            matches!(error, Error::Engine(frostline_engine::Error::OutOfMemory { bytes: 84_736, .. })),
            "{error:?}"
        );
        let other = frostline_models::Model::new("resnet").unwrap_err();
        assert!(matches!(Error::from(other), Error::Models(_)));
    }
}
