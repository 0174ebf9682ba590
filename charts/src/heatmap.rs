//! A table as colours, with marks, such as the best combination of two settings.

use crate::axes::with_minus;
use crate::canvas::{At, Canvas, Level, Paint, Side, Style};
use crate::color::{BLACK, COLORS, Color, GREY, WHITE, blue};
use crate::error::Result;
use crate::font::{self, LINE};
use crate::output::{self, Files};
use std::path::Path;

/// A cell of the table.
#[derive(Clone, Debug)]
pub struct Place {
    /// The value of its colour; if it is not finite, nothing was measured, and the cell stays white.
    pub value: f64,
    /// The text in it.
    pub text: String,
    /// It is framed.
    pub framed: bool,
    /// It has a dot.
    pub dotted: bool,
}

/// A table as colours.
#[derive(Clone, Debug)]
pub struct HeatMap {
    /// What it shows.
    pub title: String,
    /// A line below the title.
    pub note: String,
    /// What the rows are.
    pub row_axis: String,
    /// What the columns are.
    pub column_axis: String,
    /// From top to bottom.
    pub rows: Vec<String>,
    /// From left to right: a name, and a line below it.
    pub columns: Vec<(String, String)>,
    /// Row by row, a cell for each column.
    pub places: Vec<Vec<Place>>,
    /// Name and unit of the colours.
    pub scale: String,
    /// Values of the palest and of the darkest colour.
    pub range: (f64, f64),
    /// The meaning of a frame and of a dot, for the legend.
    pub marks: (String, String),
}

/// Least width of a column.
const COLUMN: f64 = 120.0;
const ROW: f64 = 44.0;
const MARGIN: f64 = 14.0;
const TITLE: f64 = 18.0;
const NOTE: f64 = 13.0;
const LABEL: f64 = 13.0;
const SMALL: f64 = 12.0;
const INSIDE: f64 = 15.0;
/// Width of the colours' scale.
const SCALE: f64 = 16.0;

/// Where things stand.
struct Places {
    width: f64,
    left: f64,
    top: f64,
    column: f64,
}

impl Places {
    fn of(map: &HeatMap) -> Self {
        let words = map.columns.iter().flat_map(|(name, below)| [(name, LABEL), (below, SMALL)]);
        let inside = map.places.iter().flatten().map(|place| (&place.text, INSIDE + 3.0));
        let widest = words.chain(inside).map(|(text, size)| font::width(text, size)).fold(0.0, f64::max);
        let column = COLUMN.max(widest + 24.0);
        let names =
            font::widest(map.rows.iter().map(String::as_str), LABEL).max(font::width(&map.row_axis, SMALL));
        let left = MARGIN + names + 10.0;
        let scale = 26.0 + (SCALE + 44.0).max(font::width(&map.scale, SMALL)) + MARGIN;
        let width = (left + column * map.columns.len() as f64 + scale).max(620.0);
        let lines =
            |text: &str, size: f64| font::wrap(text, size, width - 2.0 * MARGIN).len() as f64 * LINE * size;
        Self {
            width,
            left,
            top: MARGIN + lines(&map.title, TITLE) + lines(&map.note, NOTE) + 28.0 + 50.0,
            column,
        }
    }

    fn corner(&self, row: usize, column: usize) -> At {
        (self.left + self.column * column as f64, self.top + ROW * row as f64)
    }
}

/// Draws `map` as the figure `path`.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, map: &HeatMap) -> Result<Files> {
    output::write(path, &paint(map))
}

fn paint(map: &HeatMap) -> Canvas {
    let places = Places::of(map);
    let (right, bottom) = places.corner(map.rows.len(), map.columns.len());
    let mut canvas = Canvas::new(places.width, bottom + 44.0);
    let room = places.width - 2.0 * MARGIN;
    let y = canvas.paragraph(&map.title, (MARGIN, MARGIN), room, Style::new(TITLE));
    let y = canvas.paragraph(&map.note, (MARGIN, y), room, Style::new(NOTE).color(GREY));
    marks(&mut canvas, map, y + 12.0);

    for (column, (name, below)) in map.columns.iter().enumerate() {
        let x = places.corner(0, column).0 + places.column / 2.0;
        canvas.text(name, (x, places.top - 42.0), Style::new(LABEL).at(Side::Center, Level::Top));
        canvas.text(
            below,
            (x, places.top - 22.0),
            Style::new(SMALL).color(GREY).at(Side::Center, Level::Top),
        );
    }
    let small = Style::new(SMALL).color(GREY);
    canvas.text(&map.row_axis, (places.left - 10.0, places.top - 22.0), small.at(Side::Right, Level::Top));
    let name = Style::new(NOTE).color(GREY).at(Side::Center, Level::Top);
    canvas.text(&map.column_axis, ((places.left + right) / 2.0, bottom + 12.0), name);

    for (row, (name, cells)) in map.rows.iter().zip(&map.places).enumerate() {
        let middle = places.corner(row, 0).1 + ROW / 2.0;
        canvas.text(name, (places.left - 10.0, middle), Style::new(LABEL).at(Side::Right, Level::Middle));
        for (column, place) in cells.iter().enumerate() {
            draw_place(&mut canvas, map, place, (places.corner(row, column), places.column));
        }
    }
    // Frames are drawn after all cells, because neighbours would cover them otherwise.
    for (row, cells) in map.places.iter().enumerate() {
        for (column, _) in cells.iter().enumerate().filter(|(_, place)| place.framed) {
            let (x, y) = places.corner(row, column);
            canvas.rect((x + 2.0, y + 2.0), (places.column - 4.0, ROW - 4.0), Paint::stroke(COLORS[0], 3.0));
        }
    }
    let (low, high) = map.range;
    let labels = (0..=4).map(|part| {
        let share = f64::from(part) / 4.0;
        (share, with_minus(&format!("{:.0}", low + (high - low) * share)))
    });
    canvas.text(&map.scale, (right + 26.0, places.top - 22.0), small);
    scale(&mut canvas, (right + 26.0, places.top), bottom - places.top, labels);
    canvas
}

/// The meaning of a frame and a dot.
fn marks(canvas: &mut Canvas, map: &HeatMap, y: f64) {
    let style = Style::new(NOTE).at(Side::Left, Level::Middle);
    let mut x = MARGIN;
    if !map.marks.0.is_empty() {
        canvas.rect((x + 1.5, y - 7.0), (22.0, 14.0), Paint::stroke(COLORS[0], 3.0));
        canvas.text(&map.marks.0, (x + 32.0, y), style);
        x += 32.0 + font::width(&map.marks.0, NOTE) + 24.0;
    }
    if !map.marks.1.is_empty() {
        dot(canvas, (x + 6.0, y));
        canvas.text(&map.marks.1, (x + 18.0, y), style);
    }
}

fn draw_place(canvas: &mut Canvas, map: &HeatMap, place: &Place, ((x, y), width): (At, f64)) {
    let shade = shade(place.value, map.range);
    if let Some(shade) = shade {
        canvas.rect((x, y), (width, ROW), Paint::fill(blue(shade)).edge(WHITE, 2.0));
    }
    let middle = (x + width / 2.0, y + ROW / 2.0);
    canvas.text(
        &place.text,
        middle,
        Style::new(INSIDE).color(ink(shade.unwrap_or(0.0))).at(Side::Center, Level::Middle),
    );
    if place.dotted {
        dot(canvas, (x + 14.0, y + ROW / 2.0));
    }
}

fn dot(canvas: &mut Canvas, at: At) {
    canvas.circle(at, 5.5, Paint::fill(BLACK).edge(WHITE, 1.0));
}

/// The scale of the blue colours, `height` pixels from `at` down, with labels at their shares.
pub(crate) fn scale(
    canvas: &mut Canvas,
    (x, top): At,
    height: f64,
    labels: impl IntoIterator<Item = (f64, String)>,
) {
    const STEPS: usize = 40;
    let step = height / STEPS as f64;
    for i in 0..STEPS {
        // Each step overlaps the next one, so that no gap is visible between them.
        let y = top + step * i as f64;
        let share = 1.0 - (i as f64 + 0.5) / STEPS as f64;
        canvas.rect((x, y), (SCALE, (step + 0.5).min(top + height - y)), Paint::fill(blue(share)));
    }
    for (share, label) in labels {
        let y = top + height * (1.0 - share);
        canvas.text(&label, (x + SCALE + 6.0, y), Style::new(SMALL).at(Side::Left, Level::Middle));
    }
}

/// White words on dark colours.
pub(crate) fn ink(shade: f64) -> Color {
    if shade > 0.6 { WHITE } else { BLACK }
}

/// 0 at the palest and 1 at the darkest end; `None` if it was not measured.
fn shade(value: f64, (low, high): (f64, f64)) -> Option<f64> {
    value.is_finite().then(|| ((value - low) / (high - low).max(1e-9)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_has_no_colour() {
        let shades = [-30.0, -20.0, -10.0, 0.0, 5.0].map(|value| shade(value, (-20.0, 0.0)));
        assert_eq!(shades, [Some(0.0), Some(0.0), Some(0.5), Some(1.0), Some(1.0)]);
        assert_eq!(shade(f64::NAN, (-20.0, 0.0)), None);
    }

    #[test]
    fn a_frame_and_a_dot_can_be_seen() {
        let place = |framed, dotted| Place { value: 0.0, text: String::new(), framed, dotted };
        let map = |framed, dotted| HeatMap {
            title: "title".to_owned(),
            note: String::new(),
            row_axis: "row".to_owned(),
            column_axis: "column".to_owned(),
            rows: vec!["a".to_owned()],
            columns: vec![("b".to_owned(), String::new())],
            places: vec![vec![place(framed, dotted)]],
            scale: String::new(),
            range: (-1.0, 0.0),
            marks: (String::new(), String::new()),
        };
        let svg = |framed, dotted| paint(&map(framed, dotted)).svg();
        let count = |svg: &str| (svg.matches("stroke-width=\"3\"").count(), svg.matches("<circle").count());
        assert_eq!(
            [svg(false, false), svg(true, false), svg(false, true)].map(|svg| count(&svg)),
            [(0, 0), (1, 0), (0, 1)]
        );
    }
}
