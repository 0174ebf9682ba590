//! Pictures in rows, each with its label, as one PNG: filters, activation maps, contact sheets.

use crate::error::Result;
use crate::figure::{Area, COLORS, DrawResult, text, write_png};
use frostline_loader::ImageSet;
use image::Rgb;
pub use image::RgbImage;
use image::imageops::{FilterType, resize};
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::path::Path;

/// A picture with its label.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Stands below the picture; may be empty.
    pub label: String,
    /// Any size: it is fitted into [`Grid::side`], enlarged without smoothing.
    pub image: RgbImage,
}

/// Pictures that belong together.
#[derive(Clone, Debug)]
pub struct Row {
    /// Stands to the left, a line for each line of the text; may be empty.
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
    /// Width and height of the place that each picture is fitted into, in pixels.
    pub side: u32,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// What the ends of [`heat`]'s colours mean, where pictures are maps: a colour bar is drawn.
    pub scale: Option<[String; 2]>,
}

const MARGIN: i32 = 14;
const GAP: i32 = 8;
/// Title and notes.
const TITLE: i32 = 44;
const LINE: i32 = 18;
const BAR: (i32, i32) = (160, 12);

impl Tile {
    /// A tile.
    pub fn new(label: impl Into<String>, image: RgbImage) -> Self {
        Self { label: label.into(), image }
    }
}

/// Image `index` of `set`, grey ones as grey RGB.
///
/// # Panics
/// If there is no such image, as indexing does.
pub fn picture(set: &ImageSet, index: usize) -> RgbImage {
    let (bytes, channels) = (set.image(index), set.channels);
    RgbImage::from_fn(set.width as u32, set.height as u32, |x, y| {
        let pixel = &bytes[(y as usize * set.width + x as usize) * channels..][..channels];
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
    let RGBColor(r, g, b) = ViridisRGB::get_color(f64::from(share.clamp(0.0, 1.0)));
    Rgb([r, g, b])
}

/// Draws `grid` into the PNG at `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, grid: &Grid) -> Result<()> {
    let place = Places::of(grid);
    write_png(path, place.size, |area| fill(area, grid, &place))
}

/// Where things stand.
struct Places {
    size: (u32, u32),
    left: i32,
    top: i32,
    row: i32,
}

impl Places {
    fn of(grid: &Grid) -> Self {
        // DejaVu Sans is at most 0.62 of its size wide on average.
        let width = |text: &str, size: i32| text.lines().map(|line| line.chars().count() as i32).max().unwrap_or(0) * size * 62 / 100;
        let side = grid.side as i32;
        let labels = grid.rows.iter().map(|row| width(&row.label, 14)).max().unwrap_or(0);
        let left = MARGIN + if labels > 0 { labels + GAP } else { 0 };
        let columns = grid.rows.iter().map(|row| row.tiles.len() as i32).max().unwrap_or(0);
        let scale = grid.scale.as_ref().map_or(0, |_| LINE + 6);
        let top = TITLE + grid.note.lines().count() as i32 * LINE + scale;
        let labelled = grid.rows.iter().flat_map(|row| &row.tiles).any(|tile| !tile.label.is_empty());
        let row = side + GAP + if labelled { LINE } else { 0 };
        let head = width(&grid.title, 20).max(width(&grid.note, 13)) + 2 * MARGIN;
        let wide = (left + columns * (side + GAP) + MARGIN - GAP).max(head);
        let high = top + grid.rows.len() as i32 * row + MARGIN - GAP;
        Self { size: (wide as u32, high as u32), left, top, row }
    }
}

fn fill(area: &Area<'_>, grid: &Grid, place: &Places) -> DrawResult {
    area.draw(&text(&grid.title, (MARGIN, 12), 20, BLACK, HPos::Left, VPos::Top))?;
    let mut y = 40;
    for line in grid.note.lines() {
        area.draw(&text(line, (MARGIN, y), 13, COLORS[4], HPos::Left, VPos::Top))?;
        y += LINE;
    }
    if let Some([low, high]) = &grid.scale {
        let ((width, height), x) = (BAR, MARGIN + 8 * low.chars().count() as i32 + GAP);
        let bar = RgbImage::from_fn(width as u32, height as u32, |x, _| color(x as f32 / (width - 1) as f32));
        area.draw(&text(low, (x - GAP, y + height / 2), 13, BLACK, HPos::Right, VPos::Center))?;
        put(area, (x, y), &bar)?;
        area.draw(&text(high, (x + width + GAP, y + height / 2), 13, BLACK, HPos::Left, VPos::Center))?;
    }
    let side = grid.side as i32;
    for (row, y) in grid.rows.iter().zip((0..).map(|i| place.top + i * place.row)) {
        let lines = row.label.lines().count() as i32;
        for (i, line) in row.label.lines().enumerate() {
            let middle = y + side / 2 + LINE * (2 * i as i32 + 1 - lines) / 2;
            area.draw(&text(line, (place.left - GAP, middle), 14, BLACK, HPos::Right, VPos::Center))?;
        }
        for (tile, x) in row.tiles.iter().zip((0..).map(|i| place.left + i * (side + GAP))) {
            let fitted = fit(&tile.image, grid.side);
            let inset = |length: u32| (side - length as i32) / 2;
            put(area, (x + inset(fitted.width()), y + inset(fitted.height())), &fitted)?;
            area.draw(&text(&tile.label, (x + side / 2, y + side + 2), 12, BLACK, HPos::Center, VPos::Top))?;
        }
    }
    Ok(())
}

/// `image` as large as fits into a square of `side` pixels: pixels stay squares where it grows, and
/// are averaged where it shrinks.
fn fit(image: &RgbImage, side: u32) -> RgbImage {
    let (w, h) = (image.width().max(1), image.height().max(1));
    let longest = w.max(h);
    let scaled = |length: u32| (u64::from(length) * u64::from(side) / u64::from(longest)).max(1) as u32;
    resize(image, scaled(w), scaled(h), if longest > side { FilterType::Triangle } else { FilterType::Nearest })
}

fn put(area: &Area<'_>, at: (i32, i32), image: &RgbImage) -> DrawResult {
    let bitmap: Option<BitMapElement<'_, _>> = BitMapElement::with_ref(at, image.dimensions(), image.as_raw());
    Ok(area.draw(&bitmap.ok_or("a picture has fewer bytes than pixels")?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_fitted_and_keeps_its_form() {
        assert_eq!(fit(&RgbImage::new(3, 3), 48).dimensions(), (48, 48));
        assert_eq!(fit(&RgbImage::new(200, 100), 50).dimensions(), (50, 25));
        let two = RgbImage::from_fn(2, 1, |x, _| Rgb([255 * x as u8; 3]));
        assert_eq!(fit(&two, 8).pixels().map(|p| p.0[0]).collect::<Vec<_>>()[..8], [0, 0, 0, 0, 255, 255, 255, 255]);
    }

    #[test]
    fn a_map_runs_from_blue_to_yellow() {
        let map = heat(&[-1.0, 0.0, 2.0, 3.0], 2, [0.0, 2.0]);
        assert_eq!(map.dimensions(), (2, 2));
        assert_eq!(map.get_pixel(0, 0), map.get_pixel(1, 0), "what is below counts as the lowest");
        assert!(map.get_pixel(0, 0).0[2] > map.get_pixel(0, 0).0[0] && map.get_pixel(1, 1).0[0] > map.get_pixel(1, 1).0[2]);
    }

    #[test]
    fn a_grid_lies_on_disk_with_its_tiles() {
        let folder = std::env::temp_dir().join(format!("frostline-grid-{}", std::process::id()));
        let path = folder.join("grid.png");
        let tile = |shade: u8| Tile::new("tile", RgbImage::from_pixel(4, 4, Rgb([shade, 0, 0])));
        let rows = vec![Row { label: "row".into(), tiles: vec![tile(200)] }, Row { label: String::new(), tiles: vec![tile(90), tile(10)] }];
        let grid = Grid { title: "title".into(), note: "note".into(), side: 40, rows, scale: Some(["0".into(), "1".into()]) };
        draw(&path, &grid).unwrap();
        let drawn = image::open(&path).unwrap().to_rgb8();
        std::fs::remove_dir_all(&folder).unwrap();
        let count = |shade: u8| drawn.pixels().filter(|p| p.0 == [shade, 0, 0]).count();
        assert_eq!([200, 90, 10].map(count), [1600; 3]);
    }
}
