//! A step as bars over time, one per kernel: which part of the network ran when, and which kernels were left
//! out.

use crate::axes::Axis;
use crate::canvas::{At, Canvas, Level, Paint, Side, Style};
use crate::color::{BLACK, COLORS, Color, FAINT, GREY, WHITE, of_series};
use crate::error::Result;
use crate::font::{self, LINE};
use crate::legend;
use crate::output::{self, Files};
use std::path::Path;

/// One kernel.
#[derive(Clone, Debug)]
pub struct Span {
    /// Which of [`Timeline::rows`].
    pub row: usize,
    /// Which of [`Timeline::series`].
    pub series: usize,
    /// Which of [`Timeline::parts`].
    pub part: usize,
    /// Its duration, or the duration that it would have had.
    pub milliseconds: f64,
    /// It did not run: drawn as an outline.
    pub ghost: bool,
}

/// Kernels in the order they run, each starting where the one before ends.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// What it shows.
    pub title: String,
    /// A line below the title.
    pub note: String,
    /// From top to bottom.
    pub rows: Vec<String>,
    /// How many of the first rows are frozen: a line is drawn below them.
    pub frozen: usize,
    /// Names of the colours.
    pub series: Vec<String>,
    /// Sections of the time axis, in order.
    pub parts: Vec<String>,
    /// In the order they run.
    pub spans: Vec<Span>,
}

const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 14.0;
const RIGHT: f64 = WIDTH - 24.0;
const BOTTOM: f64 = 56.0;
const ROW: f64 = 30.0;
const TITLE: f64 = 18.0;
const NOTE: f64 = 13.0;
const LABEL: f64 = 13.0;
/// Light blue behind frozen rows.
const ICE: Color = Color(226, 240, 250);
/// The text at the line below frozen rows, and its size.
const LINE_NAME: &str = "frostline";
const SMALL: f64 = 11.0;
const GHOST: &str = "ghost: skipped, its layer is frozen";

/// Draws `timeline` as the figure `path`.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, timeline: &Timeline) -> Result<Files> {
    output::write(path, &paint(timeline))
}

/// Where things stand.
struct Scale {
    left: f64,
    top: f64,
    bottom: f64,
    axis: Axis,
}

impl Scale {
    /// Milliseconds to pixels.
    fn x(&self, milliseconds: f64) -> f64 {
        self.left + (RIGHT - self.left) * self.axis.share(milliseconds)
    }

    /// The upper end of a row.
    fn y(&self, row: usize) -> f64 {
        self.top + ROW * row as f64
    }
}

fn paint(timeline: &Timeline) -> Canvas {
    let room = WIDTH - 2.0 * MARGIN;
    let names: Vec<&str> = timeline.series.iter().map(String::as_str).chain([GHOST]).collect();
    let lines = |text: &str, size: f64| font::wrap(text, size, room).len() as f64 * LINE * size;
    let head = MARGIN
        + lines(&timeline.title, TITLE)
        + lines(&timeline.note, NOTE)
        + legend::height(names.iter().copied(), room);
    let total: f64 = timeline.spans.iter().map(|span| span.milliseconds).sum();
    let left = 2.0 * MARGIN
        + 10.0
        + font::width(LINE_NAME, SMALL)
        + font::widest(timeline.rows.iter().map(String::as_str), LABEL);
    let top = head + 46.0;
    let bottom = top + ROW * timeline.rows.len() as f64;
    let scale = Scale { left, top, bottom, axis: Axis::from(0.0, total.max(1e-6)) };
    let mut canvas = Canvas::new(WIDTH, bottom + BOTTOM);

    let y = canvas.paragraph(&timeline.title, (MARGIN, MARGIN), room, Style::new(TITLE));
    let y = canvas.paragraph(&timeline.note, (MARGIN, y), room, Style::new(NOTE).color(GREY));
    legend::draw(&mut canvas, (MARGIN, y + 2.0), room, &names, |canvas, i, (x, y)| {
        let (at, size) = ((x - 9.0, y - 6.0), (16.0, 12.0));
        match i < timeline.series.len() {
            true => canvas.rect(at, size, Paint::fill(of_series(i))),
            false => ghost(canvas, at, size, GREY),
        }
    });
    for (row, name) in timeline.rows.iter().enumerate() {
        let y = scale.y(row);
        if row < timeline.frozen {
            canvas.rect((left, y), (RIGHT - left, ROW), Paint::fill(ICE));
        }
        canvas.line((left, y), (RIGHT, y), FAINT, 1.0);
        canvas.text(name, (left - 8.0, y + ROW / 2.0), Style::new(LABEL).at(Side::Right, Level::Middle));
    }
    for (value, label) in scale.axis.ticks(12, 0.0) {
        let x = scale.x(value);
        canvas.line((x, bottom), (x, bottom + 5.0), BLACK, 1.0);
        canvas.text(&label, (x, bottom + 8.0), Style::new(12.0).at(Side::Center, Level::Top));
    }
    canvas.line((left, bottom), (RIGHT, bottom), BLACK, 1.0);
    let axis = "milliseconds of the step with nothing frozen: full bars ran, ghosts did not";
    let style = Style::new(NOTE).color(GREY).at(Side::Center, Level::Top);
    canvas.text(axis, ((left + RIGHT) / 2.0, bottom + 30.0), style);

    draw_spans(&mut canvas, timeline, &scale);
    draw_parts(&mut canvas, timeline, &scale);
    if timeline.frozen > 0 {
        let y = scale.y(timeline.frozen);
        canvas.line((MARGIN, y), (RIGHT, y), COLORS[1], 2.0);
        canvas.text(
            LINE_NAME,
            (MARGIN, y - 1.0),
            Style::new(SMALL).color(COLORS[1]).at(Side::Left, Level::Bottom),
        );
    }
    canvas
}

fn draw_spans(canvas: &mut Canvas, timeline: &Timeline, scale: &Scale) {
    let mut at = 0.0;
    for span in &timeline.spans {
        let (left, right) = (scale.x(at), scale.x(at + span.milliseconds));
        at += span.milliseconds;
        let y = scale.y(span.row) + 4.0;
        // At least a pixel, so that short kernels are visible.
        let (width, height) = ((right - left).max(1.0), ROW - 8.0);
        let color = of_series(span.series);
        if span.ghost {
            ghost(canvas, (left, y), (width, height), color);
        } else {
            // A white left edge separates neighbours.
            let edge = if width > 3.0 { 0.8 } else { 0.0 };
            canvas.rect((left + edge, y), (width - edge, height), Paint::fill(color));
        }
    }
}

/// An outline, hatched.
fn ghost(canvas: &mut Canvas, (x, y): At, (width, height): (f64, f64), color: Color) {
    canvas.rect(
        (x, y),
        (width, height),
        Paint::fill(WHITE).edge(color.towards(WHITE, 0.3), if width > 3.0 { 1.0 } else { 0.5 }),
    );
    // x + y is constant along a line; multiples of 6 line up from bar to bar.
    let mut sum = ((x + y) / 6.0).ceil() * 6.0;
    while sum < x + width + y + height {
        let (from, to) = ((sum - y - height).max(x), (sum - y).min(x + width));
        if to > from {
            canvas.line((from, sum - from), (to, sum - to), color.towards(WHITE, 0.65), 1.0);
        }
        sum += 6.0;
    }
}

/// A line at the start of every section, with its name and the share that ran.
fn draw_parts(canvas: &mut Canvas, timeline: &Timeline, scale: &Scale) {
    let mut at = 0.0;
    for (part, name) in timeline.parts.iter().enumerate() {
        let sum = |ghosts: bool| {
            let spans = timeline.spans.iter().filter(|span| span.part == part && (ghosts || !span.ghost));
            // The sum of no numbers is −0.
            spans.map(|span| span.milliseconds).sum::<f64>() + 0.0
        };
        let (ran, whole) = (sum(false), sum(true));
        let (left, right) = (scale.x(at), scale.x(at + whole));
        at += whole;
        canvas.line((left, scale.top - 14.0), (left, scale.bottom), BLACK.towards(WHITE, 0.6), 1.0);
        let label = if ran < whole {
            format!("{name}: {ran:.1} of {whole:.1} ms")
        } else {
            format!("{name}: {ran:.1} ms")
        };
        // In a section that is too short for its text, the text is above, to the left of its end.
        if right - left > font::width(&label, LABEL) + 12.0 {
            canvas.text(
                &label,
                (left + 6.0, scale.top - 6.0),
                Style::new(LABEL).at(Side::Left, Level::Bottom),
            );
        } else {
            canvas.text(&label, (right, scale.top - 24.0), Style::new(LABEL).at(Side::Right, Level::Bottom));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_an_outline_and_a_kernel_is_full() {
        let timeline = |ghost| Timeline {
            title: "title".to_owned(),
            note: "note".to_owned(),
            rows: vec!["row".to_owned()],
            frozen: 0,
            series: vec!["series".to_owned()],
            parts: vec!["forward".to_owned()],
            spans: vec![Span { row: 0, series: 0, part: 0, milliseconds: 2.0, ghost }],
        };
        let full = |svg: String| svg.matches(&format!("fill=\"{}\"", COLORS[0])).count();
        // One more is in the legend.
        assert_eq!((full(paint(&timeline(false)).svg()), full(paint(&timeline(true)).svg())), (2, 1));
        assert!(paint(&timeline(true)).svg().contains("forward: 0.0 of 2.0 ms"));
    }
}
