//! The errors of building a model and loading its weights.

use crate::dialect::Dialect;
use crate::diff::Diff;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has this name.
    #[error("there is no model named {name:?}; there are: {known}")]
    UnknownModel {
        /// The name that was requested.
        name: String,
        /// The existing names.
        known: String,
    },
    /// The network has no stage of this name, or nothing comes after it.
    #[error("{model} has no stage {stage:?} here; there are: {known}")]
    UnknownStage {
        /// The model.
        model: String,
        /// The stage that was requested.
        stage: String,
        /// The stages there are.
        known: String,
    },
    /// A setting that the network does not have, or an invalid one.
    #[error("{model}: {setting} = {value}: {reason}")]
    Setting {
        /// The model.
        model: String,
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: usize,
        /// The valid values.
        reason: &'static str,
    },
    /// The tensor to record on does not fit the network's input there.
    #[error("{model}: {place} takes images of {expected} channels, got {got} (N, C, H, W); {advice}")]
    Input {
        /// The model.
        model: String,
        /// "the input" or the stage it comes after.
        place: String,
        /// The expected number of channels.
        expected: usize,
        /// The shape that was given.
        got: String,
        /// What to do.
        advice: String,
    },
    /// A group to skip that neither the model nor the file has.
    #[error("cannot skip {group:?}: neither the model nor the file has such a group; the model has: {known}")]
    UnknownGroup {
        /// The group that was requested.
        group: String,
        /// The groups there are.
        known: String,
    },
    /// Weights that do not fit the model; nothing was changed.
    #[error("{0}")]
    Mismatch(Box<Diff>),
    /// Weights for which another dialect has no names.
    #[error("these weights cannot be written with {to} names: {reason}")]
    Convert {
        /// The dialect that was requested.
        to: Dialect,
        /// Why not, and what to do.
        reason: String,
    },
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] frostline_engine::Error),
}

/// The result of a function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
