//! A confusion matrix as one PNG: which class was taken for which.

use crate::error::Result;
use crate::figure::{Area, COLORS, DrawResult, text, write_png};
use crate::heatmap::colour;
use frostline_trainer::Confusion;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const TOP: i32 = 64;
const RIGHT: i32 = 150;
const MARGIN: i32 = 14;
/// Longest name that is written in full, in characters.
const LONGEST: usize = 24;

/// Where things stand, in pixels.
struct Places {
    cell: i32,
    font: i32,
    left: i32,
    bottom: i32,
    side: i32,
}

impl Places {
    fn of(classes: &[String]) -> Self {
        let count = classes.len().max(1) as i32;
        // Few classes get cells that are easy to read, many a figure that still fits a screen.
        let cell = (720 / count).clamp(8, 56);
        let font = (cell - 2).clamp(7, 14);
        let longest = classes.iter().map(|name| name.chars().count().min(LONGEST) as i32).max().unwrap_or(0);
        let names = longest * font * 62 / 100 + 12;
        let left = MARGIN + 22 + names;
        Self { cell, font, left, bottom: names + 30, side: cell * count }
    }
}

/// Draws `confusion` into the PNG at `path`, with the true classes in rows. A place's colour is its share
/// of the true class's images, its number the count.
///
/// # Errors
/// If the file cannot be written.
pub fn confusion_matrix(path: &Path, title: &str, classes: &[String], confusion: &Confusion) -> Result<()> {
    let places = Places::of(classes);
    let size = (places.left + places.side + RIGHT, TOP + places.side + places.bottom);
    write_png(path, (size.0.max(560) as u32, size.1.max(TOP + 230) as u32), |area| fill(area, title, classes, confusion, &places))
}

fn fill(area: &Area<'_>, title: &str, classes: &[String], confusion: &Confusion, places: &Places) -> DrawResult {
    let Places { cell, font, left, side, .. } = *places;
    area.draw(&text(title, (MARGIN, 12), 20, BLACK, HPos::Left, VPos::Top))?;
    let upright =
        |size: i32, h| ("sans-serif", size).into_font().transform(FontTransform::Rotate270).color(&BLACK).pos(Pos::new(h, VPos::Center));
    area.draw(&Text::new("true class", (MARGIN + 6, TOP + side / 2), upright(14, HPos::Center)))?;
    area.draw(&text("predicted class", (left + side / 2, TOP + side + places.bottom - 8), 14, BLACK, HPos::Center, VPos::Bottom))?;
    for (place, name) in classes.iter().enumerate() {
        let name = short(name);
        let middle = place as i32 * cell + cell / 2;
        area.draw(&text(&name, (left - 6, TOP + middle), font as u32, BLACK, HPos::Right, VPos::Center))?;
        area.draw(&Text::new(name.as_str(), (left + middle, TOP + side + 6), upright(font, HPos::Right)))?;
    }
    for truth in 0..classes.len() {
        let images = confusion.row(truth).iter().sum::<u64>().max(1);
        for (predicted, &count) in confusion.row(truth).iter().enumerate() {
            let (x, y) = (left + cell * predicted as i32, TOP + cell * truth as i32);
            let share = count as f64 / images as f64;
            area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], colour(share).filled()))?;
            area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], WHITE.stroke_width(1)))?;
            if count > 0 && cell >= 16 {
                let ink = if share > 0.6 { WHITE } else { BLACK };
                area.draw(&text(&count.to_string(), (x + cell / 2, y + cell / 2), font as u32, ink, HPos::Center, VPos::Center))?;
            }
        }
    }
    scale(area, left + side + 24)
}

/// What the colours mean.
fn scale(area: &Area<'_>, x: i32) -> DrawResult {
    let height = 140;
    area.draw(&text("share of the true", (x, TOP), 13, COLORS[4], HPos::Left, VPos::Top))?;
    area.draw(&text("class's images, %", (x, TOP + 16), 13, COLORS[4], HPos::Left, VPos::Top))?;
    let top = TOP + 44;
    for y in 0..height {
        let share = 1.0 - f64::from(y) / f64::from(height);
        area.draw(&Rectangle::new([(x, top + y), (x + 16, top + y + 1)], colour(share).filled()))?;
    }
    for percent in [0, 50, 100] {
        let y = top + height - height * percent / 100;
        area.draw(&text(&percent.to_string(), (x + 22, y), 13, BLACK, HPos::Left, VPos::Center))?;
    }
    Ok(())
}

fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST - 1) {
        Some((at, _)) if name.chars().count() > LONGEST => format!("{}…", &name[..at]),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_darkest_place_is_the_commonest_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("confusion.png");
        let classes = ["cat", "dog"].map(str::to_owned);
        let confusion = Confusion::new(2, [(0, 1), (0, 1), (1, 1), (1, 1)]);
        confusion_matrix(&path, "title", &classes, &confusion).unwrap();
        let drawn = image::open(&path).unwrap().to_rgb8();
        let places = Places::of(&classes);
        // A corner of each place, off its number.
        let at = |row: i32, column: i32| {
            drawn.get_pixel((places.left + places.cell * column + 4) as u32, (TOP + places.cell * row + 4) as u32).0
        };
        assert_eq!(at(0, 1), at(1, 1));
        assert_eq!(at(0, 0), at(1, 0));
        assert!(at(0, 1)[0] < at(0, 0)[0]);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short("ä".repeat(40).as_str()).chars().count(), LONGEST);
        assert_eq!(short("cat"), "cat");
    }
}
