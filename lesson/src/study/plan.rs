//! The runs that a chapter needs.

use super::lab::Lab;
use crate::error::{Error, Result};
use crate::outline::{Flags, Outline, rounded};
use frostline_study::{Cell, Setting, Side};
use std::collections::HashMap;

/// From this number of labelled images on, a run gets more steps.
const MANY_IMAGES: usize = 1000;
/// Rate of a network from scratch, in units of the flags' rate, which is that of a pretrained one.
const SCRATCH_RATE: f32 = 2.5;
/// Rate of a head on standardised features, in the same units. Of 1, 2.5, 5, 10 and 25 it was the best on
/// validation images, over 50 to 1,000 images of clothes and digits.
const HEAD_RATE: f32 = 5.0;
/// Version of a rehearsal's runs. No study uses these runs, because they are tested on few images.
pub(super) const REHEARSAL: u32 = 0;
/// How much longer a run on many images is: 500 steps where others have 150.
const LONGER: (u64, u64) = (10, 3);

/// The runs of a chapter: each of its cells, once for every seed.
pub struct Plan<'a> {
    /// Flags, data and weights.
    pub lab: &'a Lab,
    outline: &'a Outline,
    settings: Vec<Setting>,
    inputs: HashMap<String, String>,
}

impl<'a> Plan<'a> {
    /// A plan without runs.
    pub fn new(lab: &'a Lab, outline: &'a Outline) -> Self {
        Self { lab, outline, settings: vec![], inputs: HashMap::new() }
    }

    /// The chapter's flags.
    pub fn flags(&self) -> &Flags {
        &self.lab.flags
    }

    /// Name of the task that is similar to the pretraining.
    ///
    /// # Errors
    /// If weights or data are missing or broken.
    pub fn similar(&self) -> Result<String> {
        Ok(self.lab.track()?.similar.name.clone())
    }

    /// Name of the task that is different from it; an error if the flags' network has none.
    ///
    /// # Errors
    /// If weights or data are missing or broken.
    pub fn different(&self) -> Result<String> {
        Ok(self.lab.track()?.different()?.name.clone())
    }

    /// Adds a cell for each of `conditions` at the flags' rate.
    ///
    /// # Errors
    /// As [`Plan::add`].
    pub fn add_all(&mut self, task: &str, conditions: &[impl AsRef<str>], images: usize) -> Result<()> {
        conditions.iter().try_for_each(|condition| self.add(task, condition.as_ref(), images))
    }

    /// Adds a cell at the flags' rate.
    ///
    /// # Errors
    /// If the task has fewer images, or cannot be read.
    pub fn add(&mut self, task: &str, condition: impl Into<String>, images: usize) -> Result<()> {
        self.add_at(task, condition, images, self.flags().lr)
    }

    /// Adds a cell of networks from scratch, which need a higher rate than pretrained ones: 2.5 times the flags'.
    ///
    /// # Errors
    /// As [`Plan::add`].
    pub fn add_scratch(&mut self, task: &str, condition: impl Into<String>, images: usize) -> Result<()> {
        self.add_at(task, condition, images, self.flags().lr * SCRATCH_RATE)
    }

    /// Adds a cell of heads on standardised features, which need a higher rate than networks: 5 times the flags'.
    ///
    /// # Errors
    /// As [`Plan::add`].
    pub fn add_head(&mut self, task: &str, condition: impl Into<String>, images: usize) -> Result<()> {
        self.add_at(task, condition, images, self.flags().lr * HEAD_RATE)
    }

    /// Adds a cell at `lr`: the runs of `condition` on `images` images of `task`, for every seed. From 1,000
    /// images on they have 500 steps where the others have 150, unless `--steps` was given.
    ///
    /// # Errors
    /// If the task has fewer images, or cannot be read.
    pub fn add_at(&mut self, task: &str, condition: impl Into<String>, images: usize, lr: f32) -> Result<()> {
        self.check(task, images)?;
        let condition = condition.into();
        let lr = rounded(lr);
        if !self.inputs.contains_key(task) {
            self.inputs.insert(task.to_owned(), self.lab.inputs(task)?);
        }
        let inputs = &self.inputs[task];
        let flags = self.flags();
        let batch = flags.batch.min(images);
        let steps = match flags.epochs {
            // Number of steps with which every image is used equally often, even if the last batch of a pass
            // is incomplete.
            Some(epochs) => epochs.saturating_mul(images as u64).div_ceil(batch as u64),
            None if images >= MANY_IMAGES && !flags.steps_given => flags.steps * LONGER.0 / LONGER.1,
            None => flags.steps,
        };
        let setting = |seed| Setting {
            study: format!("ch{}", self.outline.number),
            version: if self.outline.is_rehearsal(flags) { REHEARSAL } else { self.outline.version },
            task: task.to_owned(),
            condition: condition.clone(),
            images,
            seed,
            steps,
            batch,
            lr,
            inputs: inputs.clone(),
        };
        if !self.settings.contains(&setting(0)) {
            let new: Vec<Setting> = (0..flags.seeds).map(setting).collect();
            self.settings.extend(new);
        }
        Ok(())
    }

    /// Checks that `images` of `task` are enough for its classes, and at most the number available.
    fn check(&self, task: &str, images: usize) -> Result<()> {
        let task = self.lab.task(task)?.1;
        let (name, most, classes) = (&task.name, task.most(), task.pool.classes.len());
        let wanted = if self.flags().images.contains(&images) {
            format!("--images {images}")
        } else {
            format!("this chapter trains on {images} images of {name}")
        };
        if images > most {
            let words = format!(
                "{wanted}: {name} has {most} for training, the others are for validation \
                                 and test"
            );
            return Err(Error::Flags(words));
        }
        if images < classes {
            let words = format!("{wanted}: {name} has {classes} classes, and each needs a training image");
            return Err(Error::Flags(words));
        }
        Ok(())
    }

    /// Adds a cell for each of `factors` times the flags' rate, named as by [`Plan::at`].
    ///
    /// # Errors
    /// As [`Plan::add_at`].
    pub fn add_rates(&mut self, task: &str, condition: &str, images: usize, factors: &[f32]) -> Result<()> {
        let lr = self.flags().lr;
        factors
            .iter()
            .try_for_each(|factor| self.add_at(task, self.at(condition, *factor), images, lr * factor))
    }

    /// The name of `condition` at `factor` times the flags' rate: `full at 0.03`.
    pub fn at(&self, condition: &str, factor: f32) -> String {
        self.flags().at(condition, factor)
    }

    /// The cell of [`Plan::add_rates`] that is best on validation images.
    pub fn best(&self, task: &str, condition: &str, images: usize, factors: &[f32]) -> Side {
        Side::Best(
            factors.iter().map(|&factor| Cell::new(task, self.at(condition, factor), images)).collect(),
        )
    }

    /// All runs, cell by cell.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The numbers of images of `task` so far, from few to many.
    pub fn sizes(&self, task: &str) -> Vec<usize> {
        sizes(&self.cells(), task)
    }

    /// The cells, in the order in which they were added.
    pub fn cells(&self) -> Vec<Cell> {
        unique(self.settings.iter().map(Setting::cell))
    }
}

/// Without duplicates, in order.
pub(super) fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = vec![];
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

/// The numbers of images of `task` among `cells`, from few to many.
pub(super) fn sizes(cells: &[Cell], task: &str) -> Vec<usize> {
    let mut sizes = unique(cells.iter().filter(|cell| cell.task == task).map(|cell| cell.images));
    sizes.sort_unstable();
    sizes
}
