//! The picture of a learning-rate range test.

use crate::error::Result;
use crate::study::Lab;
use crate::track::Start;
use frostline_charts::RangeStep;
use frostline_charts::figure::{self, Panel};
use frostline_trainer::{LrCurve, LrRange};
use std::path::Path;

/// The losses of a range test over the rate, with a line at each suggestion.
pub fn range_test(curve: &LrCurve) -> Panel {
    let steps: Vec<RangeStep> = curve
        .points
        .iter()
        .map(|point| RangeStep {
            rate: point.lr.into(),
            loss: point.loss.into(),
            smoothed: point.smoothed.into(),
        })
        .collect();
    let named = curve.suggestions().into_iter().flat_map(|found| found.named());
    let marks: Vec<(&str, f64)> = named.map(|(name, rate)| (name, rate.into())).collect();
    frostline_charts::range_test(&steps, curve.steps, &marks)
}

/// Draws the range test of the flags' network on `n` images of its similar task.
///
/// # Errors
/// What training gives; if the figure cannot be written.
pub fn draw_range_test(lab: &Lab, n: usize, path: &Path) -> Result<()> {
    let (track, options) = (lab.track()?, lab.flags.fit_options(n, 0));
    let mut learner = track.learner(lab.gpu()?, &track.similar, Start::Pretrained, 0)?;
    let curve = learner.find_lr(&track.similar.draw(n, 0)?.train, &options, LrRange::default())?;
    figure::draw(path, 1, &[range_test(&curve)])?;
    Ok(())
}
