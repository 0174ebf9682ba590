//! A training step as a picture.

use crate::error::Result;
use crate::study::Lab;
use frostline_bench::profile;
use frostline_charts::timeline;
use frostline_models::Model;
use std::path::Path;

/// Draws a step of the flags' network, frozen below the stage `below`, for images of `size` × `size` pixels.
///
/// # Errors
/// As [`profile::picture`]; if a file cannot be written.
pub fn draw_step(lab: &Lab, below: &str, size: usize, path: &Path) -> Result<()> {
    let picture =
        profile::picture(lab.gpu()?, &Model::new(&lab.flags.model)?, below, (lab.flags.batch, size), 3)?;
    timeline::draw(path, &picture)?;
    Ok(())
}
