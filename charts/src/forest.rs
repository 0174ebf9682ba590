//! A forest plot: the results of several claims, each as a mean with its interval, against a margin that is
//! too small to matter.

use crate::axes::{Axis, with_minus};
use crate::canvas::{Canvas, Level, Paint, Side, Style};
use crate::color::{BLACK, Color, FAINT, GREY, of_series};
use crate::error::Result;
use crate::font::{self, LINE};
use crate::output::{self, Files};
use std::path::Path;

/// The result of a claim.
#[derive(Clone, Debug)]
pub struct Row {
    /// The claim.
    pub label: String,
    /// The mean effect; not finite if it was not measured.
    pub mean: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// The verdict in a few words.
    pub verdict: String,
    /// Index of the verdict's colour, as for curves: equal verdicts have equal colours.
    pub color: usize,
}

/// Claims with their effects.
#[derive(Clone, Debug)]
pub struct Forest {
    /// What it shows.
    pub title: String,
    /// Lines below the title, such as what the intervals are.
    pub note: String,
    /// Name and unit of the effects.
    pub axis: String,
    /// Effects from −margin to margin count as no effect; 0 draws no band.
    pub margin: f64,
    /// Number of decimals.
    pub digits: usize,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

const WIDTH: f64 = 1120.0;
const MARGIN: f64 = 14.0;
const TITLE: f64 = 18.0;
const NOTE: f64 = 13.0;
const LABEL: f64 = 13.0;
const NUMBERS: f64 = 12.0;
/// Claims are broken into lines of this width.
const CLAIM: f64 = 380.0;
/// Verdicts into lines of this one.
const VERDICT: f64 = 150.0;
const GAP: f64 = 16.0;
const BOTTOM: f64 = 52.0;
/// The margin's band.
const BAND: Color = Color(238, 240, 243);

/// Draws `forest` as the figure `path`.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, forest: &Forest) -> Result<Files> {
    output::write(path, &paint(forest))
}

fn paint(forest: &Forest) -> Canvas {
    let claims: Vec<Vec<String>> =
        forest.rows.iter().map(|row| font::wrap(&row.label, LABEL, CLAIM)).collect();
    let verdicts: Vec<Vec<String>> =
        forest.rows.iter().map(|row| font::wrap(&row.verdict, LABEL, VERDICT)).collect();
    let numbers: Vec<String> = forest.rows.iter().map(|row| numbers(row, forest.digits)).collect();
    let widest = |all: &[Vec<String>]| font::widest(all.iter().flatten().map(String::as_str), LABEL);
    let left = MARGIN + widest(&claims) + GAP;
    let behind = font::widest(numbers.iter().map(String::as_str), NUMBERS);
    let verdict = WIDTH - MARGIN - widest(&verdicts);
    let right = verdict - GAP - behind - GAP;

    let room = WIDTH - 2.0 * MARGIN;
    let lines = |text: &str, size: f64| font::wrap(text, size, room).len() as f64 * LINE * size;
    let top = MARGIN + lines(&forest.title, TITLE) + lines(&forest.note, NOTE) + 12.0;
    let heights: Vec<f64> = claims
        .iter()
        .zip(&verdicts)
        .map(|(a, b)| a.len().max(b.len()).max(1) as f64 * LINE * LABEL + 14.0)
        .collect();
    let bottom = top + heights.iter().sum::<f64>();
    let mut canvas = Canvas::new(WIDTH, bottom + BOTTOM);
    let y = canvas.paragraph(&forest.title, (MARGIN, MARGIN), room, Style::new(TITLE));
    canvas.paragraph(&forest.note, (MARGIN, y), room, Style::new(NOTE).color(GREY));

    let ends = forest.rows.iter().flat_map(|row| [row.mean, row.low, row.high]).chain([
        0.0,
        -forest.margin,
        forest.margin,
    ]);
    let axis = Axis::around(ends, false);
    let x = |value: f64| left + (right - left) * axis.share(value);
    if forest.margin > 0.0 {
        canvas.rect(
            (x(-forest.margin), top),
            (x(forest.margin) - x(-forest.margin), bottom - top),
            Paint::fill(BAND),
        );
    }
    for (value, label) in axis.ticks(8, 0.0) {
        canvas.line((x(value), bottom), (x(value), bottom + 4.0), BLACK, 1.0);
        canvas.text(&label, (x(value), bottom + 7.0), Style::new(12.0).at(Side::Center, Level::Top));
    }
    canvas.line((left, bottom), (right, bottom), BLACK, 1.0);
    canvas.line((x(0.0), top), (x(0.0), bottom), GREY, 1.0);
    let name = Style::new(NOTE).color(GREY).at(Side::Center, Level::Top);
    canvas.text(&forest.axis, ((left + right) / 2.0, bottom + 27.0), name);

    let mut y = top;
    for (i, row) in forest.rows.iter().enumerate() {
        let middle = y + heights[i] / 2.0;
        y += heights[i];
        if i + 1 < forest.rows.len() {
            canvas.line((MARGIN, y), (WIDTH - MARGIN, y), FAINT, 1.0);
        }
        let color = of_series(row.color);
        let words = Style::new(LABEL).at(Side::Left, Level::Middle);
        block(&mut canvas, &claims[i], (MARGIN, middle), words);
        canvas.text(&numbers[i], (right + GAP, middle), Style::new(NUMBERS).at(Side::Left, Level::Middle));
        block(&mut canvas, &verdicts[i], (verdict, middle), words.color(color));
        if row.mean.is_finite() {
            if row.low.is_finite() && row.high.is_finite() {
                let (low, high) = (x(row.low), x(row.high));
                canvas.line((low, middle), (high, middle), color, 2.0);
                [low, high]
                    .into_iter()
                    .for_each(|end| canvas.line((end, middle - 4.0), (end, middle + 4.0), color, 1.5));
            }
            canvas.rect((x(row.mean) - 4.5, middle - 4.5), (9.0, 9.0), Paint::fill(color));
        }
    }
    canvas
}

/// Lines around the height of `y`.
fn block(canvas: &mut Canvas, lines: &[String], (x, y): (f64, f64), style: Style) {
    for (i, line) in lines.iter().enumerate() {
        canvas.text(line, (x, y + LINE * LABEL * (i as f64 + 0.5 - lines.len() as f64 / 2.0)), style);
    }
}

/// `+1.2 [0.4, 2.0]`.
fn numbers(row: &Row, digits: usize) -> String {
    if !row.mean.is_finite() {
        return "–".to_owned();
    }
    let signed = |value: f64| with_minus(&format!("{value:+.digits$}"));
    if row.low.is_finite() && row.high.is_finite() {
        format!("{} [{}, {}]", signed(row.mean), signed(row.low), signed(row.high))
    } else {
        signed(row.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mean: f64, low: f64, high: f64) -> Row {
        Row { label: "claim".to_owned(), mean, low, high, verdict: "holds".to_owned(), color: 2 }
    }

    #[test]
    fn numbers_have_signs_and_ends() {
        assert_eq!(numbers(&row(1.25, -0.5, 3.0), 1), "+1.2 [−0.5, +3.0]");
        assert_eq!(numbers(&row(1.0, f64::NAN, f64::NAN), 0), "+1");
        assert_eq!(numbers(&row(f64::NAN, 0.0, 1.0), 1), "–");
    }

    #[test]
    fn what_was_not_measured_has_no_mark() {
        let forest = |rows| Forest {
            title: "t".into(),
            note: "n".into(),
            axis: "points".into(),
            margin: 1.0,
            digits: 1,
            rows,
        };
        let marks = |rows| paint(&forest(rows)).svg().matches("width=\"9\" height=\"9\"").count();
        assert_eq!((marks(vec![row(1.0, 0.5, 1.5), row(f64::NAN, 0.0, 0.0)]), marks(vec![])), (1, 0));
    }
}
