//! The picture of a learning-rate range test.

use crate::data::track::Start;
use crate::error::Result;
use crate::study::Lab;
use frostline_bench::range_test;
use frostline_charts::figure;
use frostline_trainer::LrRange;
use std::path::Path;

/// Draws the range test of the flags' network on `n` images of its similar task.
///
/// # Errors
/// The errors of training; if the figure cannot be written.
pub fn draw_range_test(lab: &Lab, n: usize, path: &Path) -> Result<()> {
    let (track, options) = (lab.track()?, lab.flags.fit_options(n, 0));
    let mut learner = track.learner(lab.gpu()?, &track.similar, Start::Pretrained, 0)?;
    let curve = learner.find_lr(&track.similar.draw(n, 0)?.train, &options, LrRange::default())?;
    figure::draw(path, 1, &[range_test(&curve)])?;
    Ok(())
}
