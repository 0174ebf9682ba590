//! A chapter's training step as a picture.

use crate::chapter::Chapter;
use crate::error::Result;
use frostline_bench::profile;
use frostline_charts::timeline;
use frostline_models::Model;

/// Draws a step of the chapter's network, frozen below the stage `below`, for images of `size` ×
/// `size` pixels, as the figure `timeline.png`.
///
/// # Errors
/// As [`profile::picture`]; if a file cannot be written.
pub fn draw_step(chapter: &mut Chapter, below: &str, size: usize) -> Result<()> {
    let (model, batch) = (Model::new(&chapter.flags.model)?, chapter.flags.batch);
    let picture = profile::picture(&chapter.gpu, &model, below, (batch, size), 3)?;
    let caption = "A training step, with a ghost for every kernel that the freeze left out.";
    timeline::draw(&chapter.figure("timeline.png", caption), &picture)?;
    Ok(())
}
