//! The choice of a run's model: the fine-tuned weights, or the linear probe that they began with.
//!
//! The best of many epochs is ahead of the probe by chance alone, and 30 photos cannot distinguish 96.7% from
//! 90%. So the fine-tuned model is kept only if a sign test shows that it is better (McNemar 1947, exact and
//! one-sided). The test uses the photos that only one of the two recognises.

use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_loader::Checkpoint;
use frostline_models::POOLED;
use frostline_trainer::{Features, Learner, Source, cross_validate};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::train::folder::{Run, RunFolder};
use crate::train::job::Job;

/// Highest probability with which a model that is not better may be kept.
const LEVEL: f64 = 0.1;
/// The fewest photos that a fine-tuned model has to correct: with fewer, no result of the test is below
/// [`LEVEL`].
pub const LEAST_GAIN: usize = 4;

/// The linear probe beside the best fine-tuned weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// The step of the best fine-tuned weights.
    pub step: u64,
    /// Validation photos.
    pub images: usize,
    /// How many of them the probe recognises.
    pub probe: usize,
    /// How many the fine-tuned model recognises.
    pub tuned: usize,
    /// Photos that the fine-tuned model recognises and the probe does not.
    pub gained: usize,
    /// Photos that the probe recognises and the fine-tuned model does not.
    pub lost: usize,
    /// The probability of such a gain if neither model is better.
    pub p: f64,
    /// Whether the fine-tuned model is the run's.
    pub kept: bool,
}

impl Settled {
    fn of(step: u64, labels: &[u32], probe: &[u32], tuned: &[u32]) -> Self {
        let pairs = || {
            labels
                .iter()
                .zip(probe)
                .zip(tuned)
                .map(|((label, probe), tuned)| (label == probe, label == tuned))
        };
        let count = |wanted: fn(&(bool, bool)) -> bool| pairs().filter(wanted).count();
        let (gained, lost) = (count(|pair| !pair.0 && pair.1), count(|pair| pair.0 && !pair.1));
        let p = sign_test(gained, lost);
        Self {
            step,
            images: labels.len(),
            probe: count(|pair| pair.0),
            tuned: count(|pair| pair.1),
            gained,
            lost,
            p,
            kept: p <= LEVEL,
        }
    }

    /// Which model was kept, and why.
    pub fn sentence(&self) -> String {
        let Self { step, images, probe, tuned, gained, lost, p, kept } = self;
        let (model, why) = match kept {
            true => ("fine-tuned model", ""),
            false => ("linear probe", ", which may well be chance"),
        };
        format!(
            "The {model} is kept: of {images} validation photos the probe recognises {probe} and the fine-tuned model \
             of step {step} {tuned}, {gained} gained and {lost} lost{why} (sign test, p = {p:.2})."
        )
    }
}

impl Job {
    /// Decides what the run's best weights are: the fine-tuned ones if they are better than the linear probe,
    /// else the probe. The probe's head is then trained on all photos, including the validation photos,
    /// because more training photos give a better head. Validation photos from a separate folder are not used
    /// for training. The reported figures are those of the earlier head, on photos that it was not trained
    /// on.
    ///
    /// # Errors
    /// The errors of reading, evaluating, training and writing the checkpoints.
    pub fn settle(&mut self, gpu: &Arc<Gpu>, folder: &RunFolder, run: &Run) -> Result<()> {
        if !folder.probe().exists() {
            return Ok(());
        }
        let mut probe = folder.learner(gpu, &folder.probe(), run)?;
        probe.set_evaluation_batch(self.chosen.batch);
        let step = Checkpoint::load(folder.best())?.step;
        if step > 0 {
            let photos = self.data.to_validate_with();
            let mut best = folder.learner(gpu, &folder.best(), run)?;
            best.set_evaluation_batch(self.chosen.batch);
            let (of_probe, of_best) = (probe.evaluate(photos)?, best.evaluate(photos)?);
            let settled = Settled::of(step, photos.labels(), &of_probe.predictions, &of_best.predictions);
            let kept = settled.kept;
            self.settled = Some(settled);
            if kept {
                return Ok(());
            }
        }
        if !self.data.apart {
            self.refit(&mut probe)?;
        }
        if step > 0 {
            folder.put_tuned_aside()?;
        }
        Ok(probe.save(folder.best())?)
    }

    /// Trains the head of `probe` on all photos.
    fn refit(&mut self, probe: &mut Learner) -> Result<()> {
        let seed = self.recipe.seed;
        let features = self.all_features(probe)?;
        let (found, photos) = (cross_validate(features, seed)?.regression, features.labels.len());
        probe.set_head(&found.head)?;
        self.strength = Some(found.c);
        self.refitted = Some(photos);
        Ok(())
    }

    /// The features of all photos from the frozen network in `probe`; computed if they are missing.
    pub fn all_features(&mut self, probe: &mut Learner) -> Result<&Features> {
        let features = match self.features.take() {
            Some(features) => features,
            None => {
                let mut of = |photos: &dyn Source| probe.features(photos, POOLED, 1);
                of(self.data.to_train_on())?.followed_by(&of(self.data.to_validate_with())?)
            }
        };
        Ok(self.features.insert(features))
    }
}

/// The probability that a fair coin gives `gained` heads or more in `gained + lost` throws.
fn sign_test(gained: usize, lost: usize) -> f64 {
    let throws = gained + lost;
    // Each term from the one before it: C(n, k) / 2ⁿ, in logarithms, as 2ⁿ may overflow.
    let mut term = -(throws as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for heads in 0..=throws {
        if heads >= gained {
            sum += term.exp();
        }
        term += ((throws - heads) as f64 / (heads + 1) as f64).ln();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(gained, gained + lost, alternative="greater").pvalue`
    #[test]
    fn the_sign_test_is_scipys() {
        let cases = [
            (0, 0, 1.0),
            (1, 0, 0.5),
            (4, 0, 0.0625),
            (5, 2, 0.2265625),
            (30, 12, 0.003957949),
            (2, 5, 0.9375),
        ];
        for (gained, lost, p) in cases {
            assert!(
                (sign_test(gained, lost) - p).abs() < 1e-6,
                "{gained} {lost}: {}",
                sign_test(gained, lost)
            );
        }
        let enough = |gained| sign_test(gained, 0) <= LEVEL;
        assert!(enough(LEAST_GAIN) && !enough(LEAST_GAIN - 1));
        assert!(sign_test(2100, 1900) < 0.001 && sign_test(2000, 2000) > 0.5);
    }

    #[test]
    fn a_photo_or_two_more_are_not_enough() {
        let labels = [0; 30];
        let with_wrong =
            |wrong: &[usize]| -> Vec<u32> { (0..30).map(|i| u32::from(wrong.contains(&i))).collect() };
        let settled = Settled::of(7, &labels, &with_wrong(&[0, 1, 2]), &with_wrong(&[0]));
        assert_eq!((settled.probe, settled.tuned, settled.gained, settled.lost), (27, 29, 2, 0));
        assert!(!settled.kept, "{}", settled.sentence());
        let settled = Settled::of(7, &labels, &with_wrong(&[0, 1, 2, 3, 4, 5]), &with_wrong(&[9]));
        assert!(settled.kept && settled.lost == 1, "{}", settled.sentence());
        let worse = Settled::of(7, &labels, &with_wrong(&[]), &with_wrong(&[0, 1, 2, 3, 4]));
        assert!(!worse.kept, "{}", worse.sentence());
    }
}
