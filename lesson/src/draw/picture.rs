//! Images of a set as pictures.

use frostline_charts::grid::{self, RgbImage};
use frostline_loader::ImageSet;

/// Image `index` of `set`, grey ones as grey RGB.
///
/// # Panics
/// If there is no such image, as indexing does.
pub fn picture(set: &ImageSet, index: usize) -> RgbImage {
    grid::picture(set.image(index), set.width, set.channels)
}
