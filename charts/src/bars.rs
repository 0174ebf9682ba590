//! Horizontal bars in groups: distances of many values from a limit.

use crate::axes::{Axis, round_step};
use crate::canvas::{Canvas, Level, Paint, Side, Style};
use crate::color::{FAINT, GREY, of_series};
use crate::error::Result;
use crate::font::{self, LINE};
use crate::legend;
use crate::output::{self, Files};
use serde::Serialize;
use std::path::Path;

/// A bar.
#[derive(Clone, Debug, Serialize)]
pub struct Bar {
    /// Which of [`Bars::series`].
    pub series: usize,
    /// Its length, at least 0.
    pub value: f64,
    /// The text after it.
    pub text: String,
}

/// A group of bars.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the group.
    pub label: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// A chart of bars.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// A line below the title.
    pub note: String,
    /// Name and unit of the lengths.
    pub axis: String,
    /// Names of the colours.
    pub series: Vec<String>,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 14.0;
const TITLE: f64 = 18.0;
const NOTE: f64 = 13.0;
/// Size of labels, and of the texts after bars.
const LABEL: f64 = 13.0;
const TEXT: f64 = 10.5;
/// The axis below.
const BOTTOM: f64 = 52.0;
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;

/// Draws `chart` as the figure `path`.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, chart: &Bars) -> Result<Files> {
    output::write(path, &paint(chart))
}

fn paint(chart: &Bars) -> Canvas {
    let room = WIDTH - 2.0 * MARGIN;
    let named: Vec<usize> =
        (0..chart.series.len()).filter(|series| bars(chart).any(|bar| bar.series == *series)).collect();
    let names: Vec<&str> = named.iter().map(|series| chart.series[*series].as_str()).collect();
    let lines = |text: &str, size: f64| font::wrap(text, size, room).len() as f64 * LINE * size;
    let top = MARGIN
        + lines(&chart.title, TITLE)
        + lines(&chart.note, NOTE)
        + legend::height(names.iter().copied(), room)
        + 14.0;
    let height = |row: &Row| BAR * row.bars.len() as f64 + GAP;
    let bottom = top + chart.rows.iter().map(height).sum::<f64>();
    let mut canvas = Canvas::new(WIDTH, bottom + BOTTOM);

    let y = canvas.paragraph(&chart.title, (MARGIN, MARGIN), room, Style::new(TITLE));
    let y = canvas.paragraph(&chart.note, (MARGIN, y), room, Style::new(NOTE).color(GREY));
    legend::draw(&mut canvas, (MARGIN, y + 2.0), room, &names, |canvas, i, (x, y)| {
        canvas.rect((x - 9.0, y - 6.0), (16.0, 12.0), Paint::fill(of_series(named[i])));
    });

    let left = MARGIN + 10.0 + font::widest(chart.rows.iter().map(|row| row.label.as_str()), LABEL);
    let right = WIDTH - MARGIN - 6.0 - font::widest(bars(chart).map(|bar| bar.text.as_str()), TEXT).max(20.0);
    let longest = bars(chart).map(|bar| bar.value).filter(|value| value.is_finite()).fold(1e-9, f64::max);
    let step = round_step(longest / 12.0);
    let axis = Axis::from(0.0, (longest / step - 1e-9).ceil() * step);
    let x = |value: f64| left + (right - left) * axis.share(value).clamp(0.0, 1.0);
    for (value, label) in axis.ticks(12, step) {
        canvas.line((x(value), top - 4.0), (x(value), bottom), FAINT, 1.0);
        canvas.text(&label, (x(value), bottom + 5.0), Style::new(12.0).at(Side::Center, Level::Top));
    }
    let name = Style::new(NOTE).color(GREY).at(Side::Center, Level::Top);
    canvas.text(&chart.axis, ((left + right) / 2.0, bottom + 26.0), name);

    let mut y = top;
    for row in &chart.rows {
        let middle = y + (BAR * row.bars.len() as f64 - 2.0) / 2.0;
        canvas.text(&row.label, (left - 8.0, middle), Style::new(LABEL).at(Side::Right, Level::Middle));
        for bar in &row.bars {
            let end = if bar.value.is_finite() { x(bar.value) } else { left };
            canvas.rect((left, y), (end - left, BAR - 2.0), Paint::fill(of_series(bar.series)));
            canvas.text(
                &bar.text,
                (end + 5.0, y + BAR / 2.0 - 1.0),
                Style::new(TEXT).at(Side::Left, Level::Middle),
            );
            y += BAR;
        }
        y += GAP;
    }
    canvas.line((left, top - 4.0), (left, bottom), GREY, 1.0);
    canvas
}

fn bars(chart: &Bars) -> impl Iterator<Item = &Bar> {
    chart.rows.iter().flat_map(|row| &row.bars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_none_has_no_length() {
        let bar = |value| Bar { series: 0, value, text: "text".to_owned() };
        let rows = vec![Row { label: "row".to_owned(), bars: vec![bar(2.0), bar(f64::NAN)] }];
        let text = String::new;
        let svg =
            paint(&Bars { title: text(), note: text(), axis: text(), series: vec!["s".to_owned()], rows })
                .svg();
        assert!(!svg.contains("NaN") && svg.contains("width=\"0\""), "{svg}");
    }
}
