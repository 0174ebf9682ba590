//! The cost of missing normalisation.

use crate::data::track::Start;
use crate::error::Result;
use crate::study::Trial;

/// Trains a head on features of the frozen network. If `train` or `test` is true, those images are not
/// normalised, although the weights need it: their values are from 0 to 1.
///
/// # Errors
/// The errors of computing features and training.
pub fn head_without_normalisation(trial: &mut Trial<'_>, train: bool, test: bool) -> Result<()> {
    let (draw, mut learner) = (trial.draw()?, trial.learner(Start::Pretrained)?);
    let (input, channels) = (learner.preprocessing().clone(), learner.preprocessing().channels);
    let mut sets = vec![];
    for (images, forgotten) in [(&draw.train, train), (&draw.test, test)] {
        if forgotten {
            learner.set_normalization(&vec![0.0; channels], &vec![1.0; channels])?;
        } else {
            learner.set_normalization(&input.mean, &input.std)?;
        }
        sets.push(learner.features(images, "avgpool", 1)?);
    }
    trial.probe(&sets[0], &[("test", &sets[1])], &trial.probe_options())?;
    Ok(())
}
