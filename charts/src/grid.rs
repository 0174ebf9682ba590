//! Pictures in rows, each with its label: filters, activation maps, contact sheets.

use crate::canvas::{At, Canvas, Level, Side, Style};
use crate::color::{BLACK, Color, GREY, viridis};
use crate::error::{Error, Result};
use crate::font::{self, LINE};
use crate::output::{self, Files};
use image::Rgb;
pub use image::RgbImage;
use image::imageops::{FilterType, resize};
use std::path::Path;

/// A picture with its label.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Text below the picture; may be empty.
    pub label: String,
    /// Any size: it is fitted into [`Grid::side`].
    pub image: RgbImage,
}

/// A group of pictures.
#[derive(Clone, Debug)]
pub struct Row {
    /// Text to the left, possibly of several lines; may be empty.
    pub label: String,
    /// From left to right.
    pub tiles: Vec<Tile>,
}

/// Rows of pictures.
#[derive(Clone, Debug)]
pub struct Grid {
    /// What it shows.
    pub title: String,
    /// Lines below the title.
    pub note: String,
    /// Side in pixels of the square that each picture is fitted into.
    pub side: u32,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// What the ends of [`heat`]'s colours mean, where pictures are maps: a colour bar is drawn.
    pub scale: Option<[String; 2]>,
}

const MARGIN: f64 = 14.0;
const GAP: f64 = 8.0;
const TITLE: f64 = 18.0;
const NOTE: f64 = 13.0;
const LABEL: f64 = 13.0;
/// Size of the words below a picture, and the space for them.
const BELOW: (f64, f64) = (11.0, 18.0);
/// The colours' bar.
const BAR: (u32, u32) = (160, 12);

impl Tile {
    /// A tile.
    pub fn new(label: impl Into<String>, image: RgbImage) -> Self {
        Self { label: label.into(), image }
    }
}

/// A picture of `bytes`, rows of `width` pixels of `channels` values; other than three are shown as grey.
pub fn picture(bytes: &[u8], width: usize, channels: usize) -> RgbImage {
    let height = bytes.len() / (width * channels).max(1);
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let pixel = &bytes[(y as usize * width + x as usize) * channels..][..channels];
        if channels == 3 { Rgb([pixel[0], pixel[1], pixel[2]]) } else { Rgb([pixel[0]; 3]) }
    })
}

/// The map `values`, rows of `width`, in colours: dark blue at `low` and below, yellow at `high` and
/// above (viridis).
pub fn heat(values: &[f32], width: usize, [low, high]: [f32; 2]) -> RgbImage {
    let height = values.len() / width.max(1);
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let value = values[y as usize * width + x as usize];
        color((value - low) / (high - low).max(f32::MIN_POSITIVE))
    })
}

fn color(share: f32) -> Rgb<u8> {
    let Color(r, g, b) = viridis(f64::from(share));
    Rgb([r, g, b])
}

/// Draws `grid` as the figure `path`.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, grid: &Grid) -> Result<Files> {
    let canvas =
        paint(grid).map_err(|error| Error::Output { path: path.to_owned(), reason: error.to_string() })?;
    output::write(path, &canvas)
}

fn paint(grid: &Grid) -> image::ImageResult<Canvas> {
    let side = f64::from(grid.side);
    let labels = font::widest(grid.rows.iter().flat_map(|row| row.label.lines()), LABEL);
    let left = MARGIN + if labels > 0.0 { labels + GAP } else { 0.0 };
    let columns = grid.rows.iter().map(|row| row.tiles.len()).max().unwrap_or(0) as f64;
    let width = (left + columns * (side + GAP) - GAP + MARGIN).max(420.0);
    let room = width - 2.0 * MARGIN;
    let lines = |text: &str, size: f64| font::wrap(text, size, room).len() as f64 * LINE * size;
    let scale = if grid.scale.is_some() { 22.0 } else { 0.0 };
    let top = MARGIN + lines(&grid.title, TITLE) + lines(&grid.note, NOTE) + scale + 8.0;
    let labelled = grid.rows.iter().flat_map(|row| &row.tiles).any(|tile| !tile.label.is_empty());
    let row_height = side + GAP + if labelled { BELOW.1 } else { 0.0 };
    let mut canvas = Canvas::new(width, top + row_height * grid.rows.len() as f64 - GAP + MARGIN);

    let y = canvas.paragraph(&grid.title, (MARGIN, MARGIN), room, Style::new(TITLE));
    let y = canvas.paragraph(&grid.note, (MARGIN, y), room, Style::new(NOTE).color(GREY));
    if let Some(ends) = &grid.scale {
        colours(&mut canvas, (MARGIN, y + 4.0), ends)?;
    }
    for (row, y) in grid.rows.iter().zip((0..).map(|i| top + row_height * f64::from(i))) {
        let lines = row.label.lines().count() as f64;
        for (i, line) in row.label.lines().enumerate() {
            let middle = y + side / 2.0 + LINE * LABEL * (i as f64 + 0.5 - lines / 2.0);
            canvas.text(line, (left - GAP, middle), Style::new(LABEL).at(Side::Right, Level::Middle));
        }
        for (tile, x) in row.tiles.iter().zip((0..).map(|i| left + (side + GAP) * f64::from(i))) {
            let (w, h) = fit(tile.image.dimensions(), grid.side);
            let (w, h) = (f64::from(w), f64::from(h));
            canvas.image(
                (x + (side - w) / 2.0, y + (side - h) / 2.0),
                (w, h),
                &reduced(&tile.image, 2 * grid.side),
            )?;
            let style = Style::new(BELOW.0).at(Side::Center, Level::Top);
            canvas.text(&cut(&tile.label, side + GAP - 2.0), (x + side / 2.0, y + side + 3.0), style);
        }
    }
    Ok(canvas)
}

/// The colours of maps between the words for both ends.
fn colours(canvas: &mut Canvas, (x, y): At, [low, high]: &[String; 2]) -> image::ImageResult<()> {
    let (width, height) = (f64::from(BAR.0), f64::from(BAR.1));
    let from = x + font::width(low, 12.0) + GAP;
    let style = Style::new(12.0).color(BLACK);
    canvas.text(low, (x, y + height / 2.0), style.at(Side::Left, Level::Middle));
    let bar = RgbImage::from_fn(64, 1, |x, _| color(x as f32 / 63.0));
    canvas.image((from, y), (width, height), &bar)?;
    canvas.text(high, (from + width + GAP, y + height / 2.0), style.at(Side::Left, Level::Middle));
    Ok(())
}

/// `label`, cut until it is at most `most` pixels wide.
fn cut(label: &str, most: f64) -> String {
    let mut length = label.chars().count();
    let mut text = label.to_owned();
    while length > 1 && font::width(&text, BELOW.0) > most {
        length -= 1;
        text = font::short(label, length);
    }
    text
}

/// The size of a picture that is as large as fits into a square of `side` pixels.
fn fit((w, h): (u32, u32), side: u32) -> (u32, u32) {
    let longest = u64::from(w.max(h).max(1));
    let scaled = |length: u32| (u64::from(length) * u64::from(side) / longest).max(1) as u32;
    (scaled(w), scaled(h))
}

/// `image`, averaged if a side is longer than `most` pixels, because more would not be visible.
fn reduced(image: &RgbImage, most: u32) -> RgbImage {
    if image.width().max(image.height()) <= most {
        return image.clone();
    }
    let (w, h) = fit(image.dimensions(), most);
    resize(image, w, h, FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_fitted_and_keeps_its_form() {
        assert_eq!((fit((3, 3), 48), fit((200, 100), 50)), ((48, 48), (50, 25)));
        assert_eq!(reduced(&RgbImage::new(200, 100), 50).dimensions(), (50, 25));
        assert_eq!(reduced(&RgbImage::new(20, 10), 50).dimensions(), (20, 10));
        assert_eq!(picture(&[1, 2, 3, 4], 2, 1).get_pixel(1, 1).0, [4; 3]);
        assert_eq!(picture(&[1, 2, 3, 4, 5, 6], 1, 3).get_pixel(0, 1).0, [4, 5, 6]);
    }

    #[test]
    fn a_map_runs_from_blue_to_yellow() {
        let map = heat(&[-1.0, 0.0, 2.0, 3.0], 2, [0.0, 2.0]);
        assert_eq!(map.dimensions(), (2, 2));
        assert_eq!(map.get_pixel(0, 0), map.get_pixel(1, 0), "lower values count as the lowest");
        assert!(
            map.get_pixel(0, 0).0[2] > map.get_pixel(0, 0).0[0]
                && map.get_pixel(1, 1).0[0] > map.get_pixel(1, 1).0[2]
        );
    }

    #[test]
    fn a_grid_lies_on_disk_with_its_tiles() {
        let folder = tempfile::tempdir().unwrap();
        let tile = |shade: u8| Tile::new("tile", RgbImage::from_pixel(4, 4, Rgb([shade, 0, 0])));
        let rows = vec![
            Row { label: "row".into(), tiles: vec![tile(200)] },
            Row { label: String::new(), tiles: vec![tile(90), tile(10)] },
        ];
        let grid = Grid {
            title: "title".into(),
            note: "note".into(),
            side: 40,
            rows,
            scale: Some(["0".into(), "1".into()]),
        };
        let files = draw(&folder.path().join("grid.png"), &grid).unwrap();
        let drawn = image::open(&files.png).unwrap().to_rgb8();
        let count = |shade: u8| drawn.pixels().filter(|p| p.0 == [shade, 0, 0]).count();
        // Two pixels for one; edges may fall between pixels.
        assert!(
            [200, 90, 10].map(count).iter().all(|count| (78 * 78..=80 * 80).contains(count)),
            "{:?}",
            [200, 90, 10].map(count)
        );
    }
}
