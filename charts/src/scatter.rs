//! Figures of points by class, side by side.

use crate::axes::{Axis, Plot};
use crate::canvas::{At, Canvas, Level, Paint, Side, Style};
use crate::color::SERIES;
use crate::error::Result;
use crate::font::{self, LINE};
use crate::legend;
use crate::output::{self, Files};
use std::collections::HashSet;
use std::path::Path;

/// Points with classes.
#[derive(Clone, Debug)]
pub struct Scatter {
    /// What it shows.
    pub title: String,
    /// Name and unit of x.
    pub x: String,
    /// Name and unit of y.
    pub y: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// x, y and class of each point.
    pub points: Vec<(f64, f64, usize)>,
}

const WIDTH: f64 = 560.0;
/// Size of the plot with its axes.
const PLOT: f64 = 400.0;
const MARGIN: f64 = 14.0;
const TITLE: f64 = 15.0;

/// Draws `panels` side by side as the figure `path`. A class has a colour and a shape, so that it can be
/// recognised by either.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, panels: &[Scatter]) -> Result<Files> {
    output::write(path, &paint(panels))
}

fn paint(panels: &[Scatter]) -> Canvas {
    let head = panels.iter().map(head).fold(0.0, f64::max);
    let mut canvas = Canvas::new(WIDTH * panels.len().max(1) as f64, MARGIN + head + PLOT);
    for (column, panel) in panels.iter().enumerate() {
        draw_panel(&mut canvas, panel, WIDTH * column as f64, head);
    }
    canvas
}

/// Height of a panel's title and legend.
fn head(panel: &Scatter) -> f64 {
    let room = WIDTH - 2.0 * MARGIN;
    let lines = font::wrap(&panel.title, TITLE, room).len() as f64;
    lines * LINE * TITLE + legend::height(panel.classes.iter().map(String::as_str), room) + 10.0
}

fn draw_panel(canvas: &mut Canvas, panel: &Scatter, left: f64, head: f64) {
    let room = WIDTH - 2.0 * MARGIN;
    let title = Style::new(TITLE).at(Side::Center, Level::Top);
    let below = canvas.paragraph(&panel.title, (left + WIDTH / 2.0, MARGIN), room, title);
    let names: Vec<&str> = panel.classes.iter().map(String::as_str).collect();
    legend::draw(canvas, (left + MARGIN, below + 2.0), room, &names, |canvas, class, at| {
        marks(canvas, &[at], class)
    });
    let x = Axis::around(panel.points.iter().map(|point| point.0), false);
    let y = Axis::around(panel.points.iter().map(|point| point.1), false);
    let plot = Plot::new((left, MARGIN + head), (WIDTH, PLOT), (x, x.ticks(8, 0.0)), (y, y.ticks(8, 0.0)));
    plot.draw(canvas, &panel.x, &panel.y);
    for class in 0..panel.classes.len() {
        let mut seen = HashSet::new();
        let mut places: Vec<At> = panel
            .points
            .iter()
            .filter(|point| point.2 == class)
            .map(|p| (plot.x(p.0), plot.y(p.1)))
            .collect();
        // Marks of a class within half a pixel cannot be distinguished.
        places.retain(|(x, y)| {
            x.is_finite() && y.is_finite() && seen.insert(((2.0 * x) as i64, (2.0 * y) as i64))
        });
        marks(canvas, &places, class);
    }
}

/// Neither 3 nor 7 divides the other: 21 classes differ.
fn marks(canvas: &mut Canvas, places: &[At], class: usize) {
    let color = SERIES[class % SERIES.len()];
    match class % 3 {
        0 => canvas.dots(places, 3.5, color),
        1 => canvas.shapes(places, ((0.0, -4.5), "l4 7.5h-8z"), Paint::fill(color)),
        _ => canvas.shapes(places, ((-3.2, -3.2), "l6.4 6.4m0 -6.4l-6.4 6.4"), Paint::stroke(color, 1.8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_one_place_are_drawn_once() {
        let scatter = |points: Vec<(f64, f64, usize)>| {
            let text = String::new;
            let classes = vec!["a".to_owned(), "b".to_owned()];
            paint(&[Scatter { title: text(), x: text(), y: text(), classes, points }]).svg()
        };
        let few = vec![(0.0, 0.0, 0), (1.0, 1.0, 1)];
        let many = few.iter().cycle().take(1000).copied().collect();
        assert_eq!(scatter(few), scatter(many));
    }
}
