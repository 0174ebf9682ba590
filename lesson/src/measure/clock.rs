//! The time saved by kept features: head steps on them, compared with head steps that run the frozen body on
//! every batch.

use crate::error::Result;
use crate::measure::transplant::new_head;
use crate::study::Trial;
use frostline_loader::ImageSet;
use frostline_trainer::{Features, FitOptions, Learner, Length, ProbeOptions};
use std::time::Instant;

/// The numbers that [`clock`] stores of a run.
pub const RATES: [&str; 2] = ["images a second, body in every step", "images a second, features kept"];
/// Steps with the body that are timed, after one that is not: a driver compiles kernels when they first run.
const TIMED: u64 = 3;

/// Times both on this machine; `features` are `body`'s features of `images`.
///
/// # Errors
/// The errors of training.
pub fn clock(
    trial: &mut Trial<'_>,
    body: &Learner,
    images: &ImageSet,
    features: &Features,
    options: &ProbeOptions,
) -> Result<()> {
    let mut head = new_head(body, features.classes.len(), 0)?;
    head.freeze_below("fc")?;
    let batch = trial.setting.batch as f64;
    let steps = |steps| FitOptions { length: Length::Steps(steps), ..FitOptions::steps(0) };
    for (length, timed) in [(1, false), (TIMED, true)] {
        let options = steps(length).batch(trial.setting.batch);
        let start = Instant::now();
        trial.fit(&mut head, images, &options)?;
        if timed {
            trial.number(RATES[0], length as f64 * batch / start.elapsed().as_secs_f64())?;
        }
    }
    let start = Instant::now();
    trial.probe(features, &[("training photos", features)], options)?;
    trial.number(RATES[1], trial.setting.steps as f64 * batch / start.elapsed().as_secs_f64())
}
