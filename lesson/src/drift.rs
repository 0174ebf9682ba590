//! How far a body's features drift while it is tuned: the head that fitted them is put on again.

use crate::chapter::Chapter;
use crate::error::Result;
use crate::fit::fit;
use crate::transplant::{probed_head, transplant_statistics, with_old_head};
use frostline_charts::bar;
use frostline_engine::BatchNormMode;
use frostline_loader::{ImageSet, stratified_subset};
use frostline_trainer::{Features, FitOptions, Learner, ProbeOptions, linear_probe};

/// What became of a body, in % of the test images, one number for each seed.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// Recognised by the network with the head it was tuned with.
    pub recognised: Vec<f64>,
    /// Of which the head that was trained on the untuned body says the same as before.
    pub same: Vec<f64>,
}

/// Tunes `body` on `n` of `images` for each of the flags' seeds and for each of `modes`, all from
/// one trained head on, and tests it on the rest. `features` are the images', of the untuned body.
///
/// A mode is one of the batch norms, and options whose seed is replaced. Returns what became of the
/// body in each mode; then of the first mode's with the untuned body's running statistics put back;
/// last the untuned network.
///
/// # Errors
/// As [`fit`].
pub fn drift(
    chapter: &Chapter,
    body: &Learner,
    (images, features): (&ImageSet, &Features),
    n: usize,
    modes: &[(BatchNormMode, FitOptions<'_>)],
) -> Result<Vec<Drift>> {
    let mut found = vec![Drift::default(); modes.len() + 2];
    let bar = bar("photos", modes.len() as u64 * chapter.flags.seeds);
    for seed in 0..chapter.flags.seeds {
        let train = stratified_subset(&images.label_indices(), n, images.classes.len(), seed)?;
        let rest: Vec<usize> = (0..images.len()).filter(|i| !train.contains(i)).collect();
        let (few, tests) = (images.subset(&train)?, images.subset(&rest)?);
        let options = ProbeOptions { seed, ..ProbeOptions::default() };
        let probe = linear_probe(&chapter.gpu, &features.subset(&train), &features.subset(&rest), &options)?;
        let mut old = probed_head(body, &probe)?;
        let before = old.evaluate(&tests)?;
        let mut look = |learner: &mut Learner, drift: &mut Drift| -> Result<()> {
            let answers = with_old_head(&mut old, learner, &tests)?.predictions;
            let same = answers.iter().zip(&before.predictions).filter(|(now, before)| now == before).count();
            drift.recognised.push(100.0 * learner.evaluate(&tests)?.accuracy);
            drift.same.push(100.0 * same as f64 / answers.len() as f64);
            Ok(())
        };
        for (i, (mode, options)) in modes.iter().enumerate() {
            let mut learner = probed_head(body, &probe)?;
            learner.batch_norm(*mode);
            fit(&mut learner, &few, &tests.subset(&[0])?, &options.clone().seed(seed), "photos")?;
            look(&mut learner, &mut found[i])?;
            if i == 0 {
                transplant_statistics(body, &learner)?;
                look(&mut learner, &mut found[modes.len()])?;
            }
            bar.inc(1);
        }
        found[modes.len() + 1].recognised.push(100.0 * before.accuracy);
        found[modes.len() + 1].same.push(100.0);
    }
    bar.finish_and_clear();
    Ok(found)
}
