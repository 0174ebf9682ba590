//! Freeze depths: how far down from the head a network trains, what that costs, and data that the
//! frozen stages have already seen.

use crate::error::Result;
use crate::track::{Task, Track};
use frostline_charts::{Cell, Table};
use frostline_loader::{ImageSet, stratified_subset};
use frostline_trainer::{Activations, FitOptions, Learner, Source};

/// All from one stage on trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeDepth {
    /// That stage.
    pub from: String,
    /// The last stage below it, if there is one.
    pub below: Option<String>,
    /// In words: `head only`, `layer4 on`, `everything`.
    pub label: String,
}

impl FreezeDepth {
    /// All depths of the track's network, from the head down to the image.
    pub fn all(track: &Track) -> Vec<Self> {
        let body = track.body();
        let mut depths = vec![Self { from: "fc".to_owned(), below: Some("avgpool".to_owned()), label: "head only".to_owned() }];
        for (place, from) in body.iter().enumerate().rev() {
            let below = place.checked_sub(1).map(|below| body[below].clone());
            let label = if below.is_some() { format!("{from} on") } else { "everything".to_owned() };
            depths.push(Self { from: from.clone(), below, label });
        }
        depths
    }
}

/// A task's images, or what the frozen stages made of them.
#[derive(Clone, Debug)]
pub enum Seen {
    /// As they are.
    Images(ImageSet),
    /// The outputs of a stage.
    Outputs(Activations),
}

impl Seen {
    /// As a source to train or test on.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Images(images) => images,
            Self::Outputs(outputs) => outputs,
        }
    }

    /// As `stage` of `learner` sees them; goes on from the stage that they have passed.
    ///
    /// # Errors
    /// As [`Learner::activations`].
    pub fn through(&self, learner: &mut Learner, stage: &str) -> Result<Self> {
        Ok(Self::Outputs(learner.activations(self.source(), stage)?))
    }

    /// The `n` of these that [`Task::draw`] draws with the same seed from the whole pool.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn draw(&self, task: &Task, n: usize, seed: u64) -> Result<Self> {
        let indices = stratified_subset(&task.pool.label_indices(), n, task.pool.classes.len(), seed)?;
        Ok(match self {
            Self::Images(images) => Self::Images(images.subset(&indices)?),
            Self::Outputs(outputs) => Self::Outputs(outputs.subset(&indices)?),
        })
    }
}

/// What a step costs at each depth, on images and on stored outputs of the frozen stages, beside the
/// measured milliseconds of the latter.
///
/// # Errors
/// What planning gives.
pub fn ledger(learner: &mut Learner, depths: &[FreezeDepth], options: &FitOptions<'_>, milliseconds: &[Vec<f64>]) -> Result<Table> {
    let columns = ["kernels", "million MACs", "kept, KiB", "cached: kernels", "cached: million MACs", "cached: ms"];
    let mut table = Table::new(format!("what a training step of {} images costs", options.batch), &columns);
    for (depth, times) in depths.iter().zip(milliseconds) {
        learner.freeze_below(&depth.from)?;
        let whole = learner.training_plan(options)?;
        let cached = depth.below.as_ref().map(|stage| learner.cached_plan(stage, options)).transpose()?;
        let (step, short) = (whole.ledger(), cached.as_ref().unwrap_or(&whole).ledger());
        let count = |count: u64| Cell::Number(count as f64, 0);
        let macs = |macs: u64| Cell::Number(macs as f64 / 1e6, 1);
        let kept = Cell::Number(step.kept_bytes as f64 / 1024.0, 0);
        let cells = [count(step.step.dispatches), macs(step.step.macs), kept, count(short.step.dispatches), macs(short.step.macs)];
        table.row(&depth.label, cells.into_iter().chain([Cell::spread(times)]));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_draws_the_same_images_as_its_task() {
        let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let pool = ImageSet { height: 1, width: 1, channels: 1, images: (0..40).collect(), labels, classes };
        let task = Task { name: "numbers".to_owned(), test: pool.clone(), pool };
        let Seen::Images(drawn) = Seen::Images(task.pool.clone()).draw(&task, 12, 3).unwrap() else { panic!("images stay images") };
        let expected = task.draw(12, 3).unwrap();
        assert_eq!((drawn.images, drawn.labels), (expected.images, expected.labels));
    }
}
