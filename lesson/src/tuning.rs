//! Ways to fine-tune a pretrained network, and what each comes to.

use crate::chapter::Chapter;
use crate::error::Result;
use crate::fit::{Run, accuracies, fit};
use crate::shift::shifted;
use crate::track::{Start, Track};
use crate::transplant::with_old_head;
use frostline_engine::BatchNormMode;
use frostline_loader::{ImageSet, stratified_subset};
use frostline_trainer::{Learner, ProbeOptions, linear_probe};

/// A way to fine-tune.
#[derive(Clone, Copy, Debug)]
pub struct Approach {
    /// What it is called.
    pub name: &'static str,
    /// The first stage that trains; all below it is frozen.
    pub from: &'static str,
    /// Which statistics batch norms use.
    pub batch_norm: BatchNormMode,
    /// Whether the head is first trained alone, on features, and not drawn at random.
    pub head_first: bool,
    /// Its rate in units of the flags' rate.
    pub rate: f32,
}

/// What the runs of one approach came to, one for each seed.
#[derive(Clone, Debug, Default)]
pub struct Tuned {
    /// The runs, tested on images as they are.
    pub runs: Vec<Run>,
    /// Accuracy in % on the same images moved by a seventh of their side.
    pub moved: Vec<f64>,
    /// Accuracy in % on the classes that the network once knew, with its old head put back; none
    /// where the track has no images of them.
    pub source: Vec<f64>,
}

impl Approach {
    /// A pretrained learner for the track's similar task, frozen as the approach says.
    ///
    /// # Errors
    /// As [`Track::learner`]; for a stage that the network has not.
    pub fn learner(&self, track: &Track, seed: u64) -> Result<Learner> {
        let mut learner = track.learner(&track.similar, Start::Pretrained, seed)?;
        learner.freeze_below(self.from)?;
        learner.batch_norm(self.batch_norm);
        Ok(learner)
    }

    /// Fine-tunes on `n` images, `factor` times the approach's rate, once for each of the flags' seeds.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn tune(&self, chapter: &Chapter, track: &Track, n: usize, factor: f32) -> Result<Tuned> {
        // Runs that share their test images differ by less than so few images alone would tell.
        let count = if chapter.flags.quick { 100 } else { 240 };
        let rate = chapter.flags.lr * self.rate * factor;
        let tests = track.similar.some_tests(count)?;
        let source = track.source.as_ref().map(|source| some(source, count * 2 / 3)).transpose()?;
        let moved = shifted(&tests, tests.width / 7);
        let mut tuned = Tuned::default();
        for seed in 0..chapter.flags.seeds {
            let train = track.similar.draw(n, seed)?;
            let mut learner = self.learner(track, seed)?;
            if self.head_first {
                let features = learner.features(&train, "avgpool", 1)?;
                let options = ProbeOptions { seed, ..ProbeOptions::default() };
                learner.set_head(&linear_probe(&chapter.gpu, &features, &features, &options)?)?;
            }
            let options = chapter.flags.fit_options(n, seed).lr(rate);
            tuned.runs.push(fit(&mut learner, &train, &tests, &options, &format!("{}, {n} images, rate {rate}", self.name))?);
            tuned.moved.push(100.0 * learner.evaluate(&moved)?.accuracy);
            if let Some(source) = &source {
                tuned.source.push(100.0 * with_old_head(&mut track.pretrained()?, &learner, source)?.accuracy);
            }
        }
        Ok(tuned)
    }
}

/// `n` images, with all classes alike.
fn some(images: &ImageSet, n: usize) -> Result<ImageSet> {
    Ok(images.subset(&stratified_subset(&images.label_indices(), n.min(images.len()), images.classes.len(), 0)?)?)
}

impl Tuned {
    /// Test accuracies in %.
    pub fn accuracies(&self) -> Vec<f64> {
        accuracies(&self.runs)
    }

    /// Seconds of training.
    pub fn seconds(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.seconds).collect()
    }
}
