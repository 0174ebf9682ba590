//! One body with several heads: the accuracy with the old head shows how much was forgotten.

use crate::error::Result;
use frostline_loader::ImageSet;
use frostline_trainer::{Evaluation, Learner};

/// Copies weights and running statistics of `from`'s body to `to`, a network of the same kind.
/// Both keep their heads.
///
/// # Errors
/// If the networks differ.
pub fn transplant(from: &Learner, to: &Learner) -> Result<()> {
    let head = from.members("fc").unwrap_or_default();
    for (name, _, values) in from.params().to_host()?.iter().filter(|(name, ..)| !head.contains(name)) {
        to.params().set(name, values)?;
    }
    Ok(())
}

/// A learner with `body`'s weights and a new head for `classes`, drawn from `seed`.
///
/// # Errors
/// If the device has too little memory.
pub fn new_head(body: &Learner, classes: usize, seed: u64) -> Result<Learner> {
    let mut learner = Learner::new(body.gpu(), body.model().clone().classes(classes), body.size(), seed)?;
    learner.set_preprocessing(body.preprocessing().clone())?;
    // As in `photo_body`: a few dozen photos should not be padded to 64 or 128.
    learner.set_evaluation_batch(21);
    transplant(body, &learner)?;
    Ok(learner)
}

/// The predictions of `old`'s head for `images` with `tuned`'s body; `old` keeps that body.
///
/// # Errors
/// If the networks differ, or the images have other classes than the old head.
pub fn with_old_head(old: &mut Learner, tuned: &Learner, images: &ImageSet) -> Result<Evaluation> {
    transplant(tuned, old)?;
    Ok(old.evaluate(images)?)
}
