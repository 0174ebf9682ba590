//! What a run's model is in the end. First, whether fine-tuning paid: its best weights beside the linear probe that it began with, on the validation
//! photos.
//!
//! The best of many epochs is ahead of the probe by chance alone, and 30 photos cannot tell 96.7% from 90%.
//! So the fine-tuned model is kept only if a sign test on the photos that one of the two recognises and the
//! other does not says so (McNemar 1947, exact and one-sided).

use std::fs::File;
use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_loader::atomic::write_atomically;
use frostline_loader::{Checkpoint, ImageStream};
use frostline_models::POOLED;
use frostline_trainer::cross_validate;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::train::folder::{Run, RunFolder};
use crate::train::job::Job;

/// How likely a model that is no better may be kept.
const LEVEL: f64 = 0.1;

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
    /// Photos that it recognises and the probe does not.
    pub gained: usize,
    /// Photos that the probe recognises and it does not.
    pub lost: usize,
    /// How likely so much is gained where nothing is better.
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
}

impl Settled {
    /// What was kept and why.
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
    /// Puts the linear probe in the place of the run's best weights, unless these are better.
    ///
    /// # Errors
    /// What reading, evaluating and writing the checkpoints give.
    pub fn settle(&mut self, gpu: &Arc<Gpu>, folder: &RunFolder, run: &Run) -> Result<Option<Settled>> {
        if !folder.probe().exists() {
            return Ok(None);
        }
        let photos = &self.data.validation;
        let step = Checkpoint::load(folder.best())?.step;
        if step == 0 {
            return Ok(None);
        }
        let mut best = folder.learner(gpu, &folder.best(), run)?;
        let mut probe = folder.learner(gpu, &folder.probe(), run)?;
        let [best, probe] = [&mut best, &mut probe].map(|learner| {
            learner.evaluation_batch(self.chosen.batch);
            learner.evaluate(photos).map(|found| found.predictions)
        });
        let settled = Settled::of(step, photos.labels(), &probe?, &best?);
        if !settled.kept {
            let mut probe =
                File::open(folder.probe()).map_err(|source| Error::Write { path: folder.probe(), source })?;
            write_atomically(&folder.best(), |file| std::io::copy(&mut probe, file).map(|_| ()))?;
        }
        Ok(Some(settled))
    }
}

impl Job {
    /// Where the linear probe is the run's model, trains its head on all photos, those to validate with
    /// included: ten photos a class are worth more than eight. Photos that came in a folder of their own
    /// stay what they are for. What is reported are figures of the head before, on photos that it had not
    /// seen.
    ///
    /// # Errors
    /// What reading, training and writing the checkpoints give.
    pub fn refit(&mut self, gpu: &Arc<Gpu>, folder: &RunFolder, run: &Run) -> Result<()> {
        if self.data.apart || !folder.probe().exists() || Checkpoint::load(folder.best())?.step > 0 {
            return Ok(());
        }
        let mut probe = folder.learner(gpu, &folder.probe(), run)?;
        let features = match self.features.take() {
            Some(features) => features,
            None => {
                probe.evaluation_batch(self.chosen.batch);
                let mut of = |photos: &ImageStream| probe.features(photos, POOLED, 1);
                of(&self.data.train)?.followed_by(&of(&self.data.validation)?)
            }
        };
        probe.set_head(&cross_validate(&features, self.recipe.seed)?.regression.head)?;
        probe.save(folder.best())?;
        self.refitted = Some(features.labels.len());
        Ok(())
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
