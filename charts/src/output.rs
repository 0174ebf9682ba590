//! Figures on disk: an SVG, and the same as a PNG.

use crate::canvas::Canvas;
use crate::error::{Error, Result};
use crate::font;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Pixels of the PNG per pixel of the SVG.
const SCALE: f32 = 2.0;

/// The files of a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// For pages and print: sharp at any size.
    pub svg: PathBuf,
    /// For programs that cannot show an SVG; twice as large.
    pub png: PathBuf,
}

impl Files {
    /// The files of the figure `path`: `curves`, `curves.png` and `curves.svg` are the same figure.
    pub fn of(path: &Path) -> Self {
        let known = path.extension().is_some_and(|extension| extension == "png" || extension == "svg");
        let stem = if known { path.with_extension("") } else { path.to_owned() };
        let with = |extension: &str| {
            let mut name = stem.clone().into_os_string();
            name.push(extension);
            PathBuf::from(name)
        };
        Self { svg: with(".svg"), png: with(".png") }
    }
}

/// Writes `canvas` as the figure `path`, creating the folder if needed.
pub(crate) fn write(path: &Path, canvas: &Canvas) -> Result<Files> {
    let files = Files::of(path);
    let failed =
        |path: &Path, error: &dyn Display| Error::Output { path: path.to_owned(), reason: error.to_string() };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(path, &error))?;
    }
    let svg = canvas.svg();
    let png = pixels(&svg).map_err(|reason| failed(&files.png, &reason))?;
    std::fs::write(&files.svg, svg).map_err(|error| failed(&files.svg, &error))?;
    std::fs::write(&files.png, png).map_err(|error| failed(&files.png, &error))?;
    Ok(files)
}

/// A PNG of `svg`.
fn pixels(svg: &str) -> Result<Vec<u8>, String> {
    let options = Options { fontdb: font::database(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let size = tree.size().to_int_size().scale_by(SCALE).ok_or("it has no pixels")?;
    let mut map = Pixmap::new(size.width(), size.height()).ok_or("it is too large")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut map.as_mut());
    // The background is white and opaque, so only red, green and blue are kept.
    let rgb: Vec<u8> = map.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let mut bytes = vec![];
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
    encoder
        .write_image(&rgb, size.width(), size.height(), ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::Style;

    #[test]
    fn a_figure_has_two_files_of_its_name() {
        for name in ["out/a.b", "out/a.b.png", "out/a.b.svg"] {
            let Files { svg, png } = Files::of(Path::new(name));
            assert_eq!((svg, png), ("out/a.b.svg".into(), "out/a.b.png".into()), "{name}");
        }
    }

    #[test]
    fn equal_letters_have_equal_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let mut canvas = Canvas::new(120.0, 30.0);
        // With a letter width of 1.25 pixels, the fractions repeat after four letters.
        canvas.text("llllllllllllllll", (5.0, 5.0), Style::new(14.0));
        let files = write(&folder.path().join("letters"), &canvas).unwrap();
        let drawn = image::open(files.png).unwrap().to_luma8();
        let dark: Vec<u32> = (0..drawn.width())
            .map(|x| (0..drawn.height()).map(|y| 255 - u32::from(drawn.get_pixel(x, y).0[0])).sum())
            .collect();
        let mut letters: Vec<u32> = vec![];
        let mut before = 0;
        for ink in dark {
            match (before, ink) {
                (0, 0) => {}
                (0, ink) => letters.push(ink),
                (_, ink) => *letters.last_mut().unwrap() += ink,
            }
            before = ink;
        }
        let (least, most) = (letters.iter().min().unwrap(), letters.iter().max().unwrap());
        assert_eq!(letters.len(), 16);
        assert!(10 * (most - least) < *most, "{letters:?}");
    }
}
