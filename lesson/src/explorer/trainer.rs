//! The trainer: one thread that owns the GPU and executes the requests of the board, one run at a time.

use super::board::{Board, Loss, Point, Record, Status};
use super::menu::Menu;
use super::request::Request;
use crate::data::track::{Start, Task, Track};
use crate::error::{Error, Result};
use crate::outline::Flags;
use frostline_engine::freeze::in_group;
use frostline_engine::{Gpu, Ledger, Plan};
use frostline_loader::ImageSet;
use frostline_trainer::{FitOptions, Learner, Length, Progress};
use serde::Serialize;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Number of test images at the end of a run: enough to distinguish accuracies to 2 points.
const TESTED: usize = 600;
/// Number of test images during a run: fewer, because otherwise evaluations would take longer than the
/// training of a short run.
const WATCHED: usize = 100;
/// Number of evaluations of a run.
const EVALUATIONS: u64 = 5;
/// How often the loss of a short run is reported; otherwise every [`SOON`] steps, so that a page shows
/// progress, and a stopped run has at most this many submitted steps.
const BUNCHES: u64 = 20;
const SOON: u64 = 10;
/// Maximum number of points of a curve; beyond it, neighbours are merged.
const MOST_POINTS: usize = 100;

/// The cost of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StepCost {
    /// Kernels dispatched.
    pub kernels: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of activations kept for the backward pass.
    pub kept_bytes: u64,
}

/// A group of layers in a training step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupCost {
    /// Its name in the menu.
    pub name: String,
    /// Forward and backward kernels dispatched.
    pub kernels: u64,
    /// Kernels that are dispatched if nothing is frozen, but not here.
    pub skipped: u64,
    /// Bytes of its activations that are kept for the backward pass.
    pub kept_bytes: u64,
}

/// The cost of a run, from its plan's ledger: known before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunCost {
    /// Its steps.
    pub steps: u64,
    /// Images in one.
    pub batch: usize,
    /// A step of it.
    pub step: StepCost,
    /// A step with nothing frozen.
    pub unfrozen: StepCost,
    /// The groups of layers.
    pub groups: Vec<GroupCost>,
}

impl From<&Ledger> for StepCost {
    fn from(ledger: &Ledger) -> Self {
        Self { kernels: ledger.step.dispatches, macs: ledger.step.macs, kept_bytes: ledger.kept_bytes }
    }
}

impl RunCost {
    /// Multiply-accumulates of all steps.
    pub fn macs(&self) -> u64 {
        self.steps * self.step.macs
    }

    /// `groups` are names with the parameter groups that they stand for.
    fn new(plan: &Plan, groups: &[(String, Vec<String>)], steps: u64, batch: usize) -> Self {
        let mine = plan.ledger();
        let unfrozen = plan.unfrozen_ledger().unwrap_or(mine);
        let sum = |ledger: &Ledger, members: &[String]| {
            let layers = ledger
                .layers
                .iter()
                .filter(|(layer, _)| members.iter().any(|member| in_group(layer, member)));
            layers.fold((0, 0), |(kernels, kept), (_, layer)| {
                (kernels + layer.forward.dispatches + layer.backward.dispatches, kept + layer.kept_bytes)
            })
        };
        let group = |(name, members): &(String, Vec<String>)| {
            let ((kernels, kept_bytes), (full, _)) = (sum(mine, members), sum(unfrozen, members));
            GroupCost { name: name.clone(), kernels, skipped: full.saturating_sub(kernels), kept_bytes }
        };
        Self {
            steps,
            batch,
            step: mine.into(),
            unfrozen: unfrozen.into(),
            groups: groups.iter().map(group).collect(),
        }
    }
}

/// Everything that a run needs.
pub(super) struct Trainer {
    gpu: Arc<Gpu>,
    track: Track,
    flags: Flags,
    /// Groups of layers, with the parameter groups that each stands for.
    groups: Vec<(String, Vec<String>)>,
    /// Test images of the similar and of the different task: all, and those used during a run.
    tests: [[ImageSet; 2]; 2],
    /// Plans that ran before, so that the driver has compiled their kernels.
    warm: HashSet<(String, Vec<String>, usize)>,
}

impl Trainer {
    pub fn new(gpu: Arc<Gpu>, track: Track, flags: Flags, menu: &Menu) -> Result<Self> {
        let members = |name: &String| -> Result<_> {
            let stages: Result<Vec<_>, _> =
                Menu::stages(name).map(|stage| track.model().members(stage)).collect();
            Ok((name.clone(), stages?.concat()))
        };
        let groups = menu.groups.iter().map(members).collect::<Result<_>>()?;
        let tests = |task: &Task| -> Result<_> { Ok([task.some_tests(TESTED)?, task.some_tests(WATCHED)?]) };
        let tests = [tests(&track.similar)?, tests(track.different()?)?];
        Ok(Self { gpu, track, flags, groups, tests, warm: HashSet::new() })
    }

    /// Executes the requests of `board` until it is closed.
    pub fn work(&mut self, board: &Board) {
        while let Some((id, request)) = board.next() {
            let outcome = self.train(board, id, &request);
            // `Break` means that the run was stopped; nothing is left to do.
            let _ = board.update(id, |record| match outcome {
                Ok(accuracy) => (record.status, record.accuracy) = (Status::Finished, accuracy),
                Err(error) => (record.status, record.error) = (Status::Failed, Some(error.to_string())),
            });
        }
    }

    /// Executes run `id`; returns its accuracy, if it was not stopped.
    fn train(&mut self, board: &Board, id: u64, request: &Request) -> Result<Option<f64>> {
        let (task, [test, watched]) = match request.domain.as_str() {
            "similar" => (&self.track.similar, &self.tests[0]),
            _ => (self.track.different()?, &self.tests[1]),
        };
        let train = task.draw(request.images, request.seed)?.train;
        let mut learner = self.learner(task, request)?;
        let options = self.flags.fit_options(request.images, request.seed).lr(request.lr);
        let steps = match options.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs.saturating_mul((request.images / options.batch) as u64),
        };
        let cost = RunCost::new(&learner.training_plan(&options)?, &self.groups, steps, options.batch);
        if board.update(id, |record| record.cost = Some(cost)).is_break() {
            return Ok(None);
        }
        // A driver compiles kernels when they first run, which is not counted as training.
        if !self.warm.contains(&(request.domain.clone(), request.trainable.clone(), options.batch)) {
            let one = FitOptions { length: Length::Steps(1), ..options.clone() };
            self.learner(task, request)?.fit(&train, &one, |_| ControlFlow::Continue(()))?;
            self.warm.insert((request.domain.clone(), request.trainable.clone(), options.batch));
        }
        let options = options
            .validate(watched, (steps / EVALUATIONS).max(1))
            .read_every((steps / BUNCHES).clamp(1, SOON));
        learner.fit(&train, &options, |progress| tell(board, id, progress))?;
        if !board.is_running(id) {
            return Ok(None);
        }
        Ok(Some(learner.evaluate(test)?.accuracy))
    }

    /// A pretrained learner for `task`, frozen as in `request`.
    fn learner(&self, task: &Task, request: &Request) -> Result<Learner> {
        let mut learner = self.track.learner(&self.gpu, task, Start::Pretrained, request.seed)?;
        for group in self.groups.iter().map(|(name, _)| name).filter(|name| !request.trainable.contains(name))
        {
            Menu::stages(group).try_for_each(|stage| learner.freeze(stage)).map_err(Error::from)?;
        }
        Ok(learner)
    }
}

/// Sends changes to the board; stops if the run was stopped.
fn tell(board: &Board, id: u64, progress: &Progress<'_>) -> ControlFlow<()> {
    if progress.read.is_empty() && progress.evaluation.is_none() {
        return if board.is_running(id) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    }
    let seconds = progress.elapsed.as_secs_f64();
    board.update(id, |record: &mut Record| {
        (record.step, record.seconds) = (progress.step, seconds);
        if let Some(last) = progress.read.last() {
            let sum: f64 = progress.read.iter().map(|record| f64::from(record.loss)).sum();
            record.losses.push(Loss { step: last.step, loss: sum / progress.read.len() as f64 });
            if record.losses.len() >= MOST_POINTS {
                record.losses = halved(&record.losses);
            }
        }
        let point = |found: &frostline_trainer::Evaluation| Point {
            step: progress.step,
            seconds,
            accuracy: found.accuracy,
            loss: found.loss,
        };
        record.validation.extend(progress.evaluation.map(point));
    })
}

/// Merges each two neighbours into one, at the position of the second.
fn halved(losses: &[Loss]) -> Vec<Loss> {
    let mean = |pair: &[Loss]| {
        Some(Loss { loss: pair.iter().map(|one| one.loss).sum::<f64>() / pair.len() as f64, ..*pair.last()? })
    };
    losses.chunks(2).filter_map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_that_is_halved_keeps_its_end_and_its_mean() {
        let losses: Vec<Loss> =
            [4.0, 2.0, 1.0, 3.0, 5.0].iter().zip(1..).map(|(&loss, step)| Loss { step, loss }).collect();
        let expected = [(2, 3.0), (4, 2.0), (5, 5.0)].map(|(step, loss)| Loss { step, loss });
        assert_eq!(halved(&losses), expected);
    }
}
