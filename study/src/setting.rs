//! The settings that determine a run.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Everything that determines the result of a run: on one adapter, two runs of one setting give the same
/// answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The study: `ch4`.
    pub study: String,
    /// Version of the study's code; it rises when a change of the code changes the result of a run.
    pub version: u32,
    /// Name of the task: `clothes`.
    pub task: String,
    /// How: `from scratch`.
    pub condition: String,
    /// Number of labelled training images.
    pub images: usize,
    /// Determines these images, their order, and weights that are drawn at random.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Images in a step.
    pub batch: usize,
    /// Highest learning rate.
    #[serde(serialize_with = "serialize_as_written")]
    pub lr: f32,
    /// Identifies the network's pretrained weights and the task's images.
    pub inputs: String,
}

impl Setting {
    /// Passes over the training images.
    pub fn epochs(&self) -> f64 {
        self.steps as f64 * self.batch as f64 / self.images.max(1) as f64
    }

    /// Whether the run belongs to `cell`.
    pub fn is_of(&self, cell: &Cell) -> bool {
        self.images == cell.images && self.condition == cell.condition && self.task == cell.task
    }

    /// The cell that the run belongs to.
    pub fn cell(&self) -> Cell {
        Cell { task: self.task.clone(), condition: self.condition.clone(), images: self.images }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, seed {}", self.cell(), self.seed)
    }
}

/// Writes 0.02 as 0.02, not as JSON would write the `f32`: 0.019999999552965164.
pub fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// [`as_written`] for serde.
///
/// # Errors
/// The errors of `serializer`.
pub fn serialize_as_written<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(as_written(*value))
}

/// Runs that differ in their seed only: a cell of a study's table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// What is learned.
    pub task: String,
    /// How.
    pub condition: String,
    /// Number of labelled images.
    pub images: usize,
}

impl Cell {
    /// The runs of `condition` on `images` images of `task`.
    pub fn new(task: impl Into<String>, condition: impl Into<String>, images: usize) -> Self {
        Self { task: task.into(), condition: condition.into(), images }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} images, {}", self.task, self.images, self.condition)
    }
}
