//! A confusion matrix: which class was predicted as which.

use crate::canvas::{Canvas, Level, Paint, Side, Style};
use crate::color::{GREY, WHITE, blue};
use crate::error::Result;
use crate::font::{self, LINE};
use crate::heatmap::{ink, scale};
use crate::output::{self, Files};
use std::path::Path;

/// Counts of predictions by true and by predicted class.
#[derive(Clone, Debug)]
pub struct ConfusionMatrix<'a> {
    /// What it shows.
    pub title: String,
    /// Names of the classes.
    pub classes: &'a [String],
    /// For each true class, how often it was predicted as each class.
    pub rows: Vec<&'a [u64]>,
}

const RIGHT: f64 = 150.0;
const MARGIN: f64 = 14.0;
const TITLE: f64 = 18.0;
const NAME: f64 = 13.0;
/// Longest name that is written in full, in characters.
const LONGEST: usize = 24;
/// Height of the colours' scale.
const SCALE: f64 = 140.0;

/// Draws `matrix` as the figure `path`, with the true classes in rows. A cell's colour is its share of the
/// true class's images, its number is the count.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, matrix: &ConfusionMatrix<'_>) -> Result<Files> {
    output::write(path, &paint(matrix))
}

fn paint(matrix: &ConfusionMatrix<'_>) -> Canvas {
    let count = matrix.classes.len().max(1) as f64;
    // Cells are large for few classes, and small enough for a screen for many.
    let cell = (720.0 / count).floor().clamp(8.0, 56.0);
    let size = (cell - 2.0).clamp(7.0, 13.0);
    let names: Vec<String> = matrix.classes.iter().map(|name| font::short(name, LONGEST)).collect();
    let room = font::widest(names.iter().map(String::as_str), size) + 12.0;
    let (left, side) = (MARGIN + 22.0 + room, cell * count);
    let width = (left + side + RIGHT).max(560.0);
    let lines = font::wrap(&matrix.title, TITLE, width - 2.0 * MARGIN).len() as f64;
    let top = MARGIN + lines * LINE * TITLE + 14.0;
    let mut canvas = Canvas::new(width, (top + side + room + 30.0).max(top + SCALE + 60.0));

    canvas.paragraph(&matrix.title, (MARGIN, MARGIN), width - 2.0 * MARGIN, Style::new(TITLE));
    let axis = Style::new(NAME).color(GREY).at(Side::Center, Level::Top);
    canvas.text("true class", (MARGIN, top + side / 2.0), axis.upright());
    canvas.text("predicted class", (left + side / 2.0, top + side + room + 8.0), axis);
    for (place, name) in names.iter().enumerate() {
        let middle = cell * (place as f64 + 0.5);
        let style = Style::new(size).at(Side::Right, Level::Middle);
        canvas.text(name, (left - 6.0, top + middle), style);
        canvas.text(name, (left + middle, top + side + 6.0), style.upright());
    }
    // Most cells of many classes are empty: they are drawn as one rectangle.
    canvas.rect((left, top), (side, side), Paint::fill(blue(0.0)));
    for (truth, row) in matrix.rows.iter().enumerate() {
        let images = row.iter().sum::<u64>().max(1);
        for (predicted, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (x, y) = (left + cell * predicted as f64, top + cell * truth as f64);
            let share = count as f64 / images as f64;
            canvas.rect((x, y), (cell, cell), Paint::fill(blue(share)));
            if cell >= 16.0 {
                let style = Style::new(size).color(ink(share)).at(Side::Center, Level::Middle);
                canvas.text(&count.to_string(), (x + cell / 2.0, y + cell / 2.0), style);
            }
        }
    }
    for between in (1..matrix.classes.len()).map(|place| cell * place as f64) {
        canvas.line((left + between, top), (left + between, top + side), WHITE, 1.0);
        canvas.line((left, top + between), (left + side, top + between), WHITE, 1.0);
    }
    let x = left + side + 24.0;
    let words = Style::new(12.0).color(GREY);
    canvas.text("share of the true", (x, top), words);
    canvas.text("class's images, %", (x, top + 16.0), words);
    scale(
        &mut canvas,
        (x, top + 44.0),
        SCALE,
        [0, 50, 100].map(|percent| (f64::from(percent) / 100.0, percent.to_string())),
    );
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_darkest_place_is_the_commonest_answer() {
        let classes = ["cat", "dog"].map(str::to_owned);
        let matrix =
            ConfusionMatrix { title: "title".to_owned(), classes: &classes, rows: vec![&[0, 2], &[1, 2]] };
        let svg = paint(&matrix).svg();
        // The colour scale has no end labels.
        let places = |share: f64| svg.matches(&format!("fill=\"{}\"", blue(share))).count();
        assert_eq!((places(0.0), places(1.0), places(1.0 / 3.0), places(2.0 / 3.0)), (1, 1, 1, 1), "{svg}");
    }
}
