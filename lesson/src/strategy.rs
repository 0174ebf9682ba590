//! The lesson's four ways to learn a task.

use crate::chapter::Chapter;
use crate::error::Result;
use crate::fit::{Run, fit};
use crate::track::{Start, Task, Track};
use frostline_loader::ImageSet;
use frostline_trainer::{Learner, ProbeOptions, linear_probe};
use std::time::Instant;

/// What a run starts from and what of it trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Random weights; everything trains.
    Scratch,
    /// Pretrained; only the head trains, on features that the frozen body computed once.
    HeadOnly,
    /// Pretrained; `layer4` and the head train.
    Partial,
    /// Pretrained; everything trains.
    Full,
}

impl Strategy {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Scratch, Self::HeadOnly, Self::Partial, Self::Full];

    /// What it is called.
    pub fn name(self) -> &'static str {
        ["scratch", "head only", "partial", "full"][self as usize]
    }

    /// A learner for `task` with the weights that this strategy starts from, frozen where it freezes.
    ///
    /// # Errors
    /// If the weights do not fit the network.
    pub fn learner(self, track: &Track, task: &Task, seed: u64) -> Result<Learner> {
        let start = if self == Self::Scratch { Start::Scratch } else { Start::Pretrained };
        let mut learner = track.learner(task, start, seed)?;
        match self {
            Self::HeadOnly => learner.freeze_below("fc")?,
            Self::Partial => learner.freeze_below("layer4")?,
            Self::Scratch | Self::Full => {}
        }
        Ok(learner)
    }

    /// Learns `n` images of `task`, as `seed` draws them, and evaluates on `test`. Also gives the
    /// network that came out. The seconds of a run on the head alone are those of its features, its
    /// steps and its evaluation; those of the others are their steps'.
    ///
    /// # Errors
    /// What drawing, training and evaluating give.
    pub fn train(self, chapter: &Chapter, track: &Track, task: &Task, n: usize, seed: u64, test: &ImageSet) -> Result<(Run, Learner)> {
        let mut learner = self.learner(track, task, seed)?;
        let train = task.draw(n, seed)?;
        if self != Self::HeadOnly {
            let name = format!("{}, {n} {}, seed {seed}", self.name(), task.name);
            let run = fit(&mut learner, &train, test, &chapter.flags.fit_options(n, seed), &name)?;
            return Ok((run, learner));
        }
        let begin = Instant::now();
        let [train, test] = [learner.features(&train, "avgpool", 1)?, learner.features(test, "avgpool", 1)?];
        let probe = linear_probe(&chapter.gpu, &train, &test, &ProbeOptions { seed, ..ProbeOptions::default() })?;
        let seconds = begin.elapsed().as_secs_f64();
        learner.set_head(&probe)?;
        Ok((Run { accuracy: probe.test.accuracy, records: probe.records, curve: vec![], seconds }, learner))
    }
}
