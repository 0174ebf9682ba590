//! Panels of curves with their intervals.

use crate::axes::{Axis, Plot, Tick, number};
use crate::canvas::{At, Canvas, Level, Paint, Side, Style};
use crate::color::of_series;
use crate::error::Result;
use crate::font::{self, LINE};
use crate::legend;
use crate::output::{self, Files};
use crate::spread::Spread;
use std::path::Path;

/// A point of a curve: x, y, and the interval of y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The place.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end; equal ends draw no bar.
    pub high: f64,
}

impl From<(f64, f64)> for Point {
    /// A value without an interval.
    fn from((x, y): (f64, f64)) -> Self {
        Self { x, y, low: y, high: y }
    }
}

impl From<(f64, f64, f64)> for Point {
    /// Mean ± deviation.
    fn from((x, y, deviation): (f64, f64, f64)) -> Self {
        Self { x, y, low: y - deviation, high: y + deviation }
    }
}

impl From<(f64, f64, f64, f64)> for Point {
    /// A value and both ends of its interval.
    fn from((x, y, low, high): (f64, f64, f64, f64)) -> Self {
        Self { x, y, low, high }
    }
}

/// A curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Index of the colour; related runs share one.
    pub color: usize,
    /// Its points, from left to right.
    pub points: Vec<Point>,
    /// A dashed line without dots: a limit or a mark, not a measurement.
    pub dashed: bool,
}

impl Curve {
    /// A curve through `points`: (x, y), (x, mean, deviation) or (x, y, low, high).
    pub fn new<P: Into<Point>>(
        name: impl Into<String>,
        color: usize,
        points: impl IntoIterator<Item = P>,
    ) -> Self {
        Self { name: name.into(), color, points: points.into_iter().map(Into::into).collect(), dashed: false }
    }

    /// The same, dashed and without dots.
    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }

    /// The curve through the means of the values at each x, with their deviations; positions without values
    /// are left out.
    pub fn of_spreads(
        name: impl Into<String>,
        color: usize,
        values: impl IntoIterator<Item = (f64, Vec<f64>)>,
    ) -> Self {
        let point = |(x, values): (f64, Vec<f64>)| {
            Spread::of(&values).map(|spread| (x, spread.mean, spread.deviation))
        };
        Self::new(name, color, values.into_iter().filter_map(point))
    }
}

/// A coordinate system with curves.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Title of the panel.
    pub title: String,
    /// Name and unit of x.
    pub x: String,
    /// Name and unit of y.
    pub y: String,
    /// Logarithmic x.
    pub log_x: bool,
    /// Lowest and highest y.
    pub range: (f64, f64),
    /// The curves.
    pub curves: Vec<Curve>,
}

const WIDTH: f64 = 560.0;
/// Size of the plot with its axes.
const PLOT: f64 = 360.0;
const MARGIN: f64 = 14.0;
const TITLE: f64 = 15.0;
/// Curves of more points have no dots.
const DOTS: usize = 12;
/// Curves with more points are thin, because they are noisy.
const MANY: usize = 100;

/// Draws `panels`, `columns` to a row, as the figure `path`: an SVG and a PNG side by side.
///
/// # Errors
/// If a file cannot be written.
pub fn draw(path: &Path, columns: usize, panels: &[Panel]) -> Result<Files> {
    output::write(path, &paint(columns, panels))
}

fn paint(columns: usize, panels: &[Panel]) -> Canvas {
    let columns = columns.clamp(1, panels.len().max(1));
    let rows: Vec<&[Panel]> = panels.chunks(columns).collect();
    // Plots in a row begin at the same height.
    let heads: Vec<f64> = rows.iter().map(|row| row.iter().map(head).fold(0.0, f64::max)).collect();
    let mut canvas = Canvas::new(WIDTH * columns as f64, heads.iter().map(|head| MARGIN + head + PLOT).sum());
    let mut top = 0.0;
    for (row, head) in rows.iter().zip(heads) {
        for (column, panel) in row.iter().enumerate() {
            draw_panel(&mut canvas, panel, (WIDTH * column as f64, top + MARGIN), head);
        }
        top += MARGIN + head + PLOT;
    }
    canvas
}

/// Height of a panel's title and legend.
fn head(panel: &Panel) -> f64 {
    let room = WIDTH - 2.0 * MARGIN;
    let lines = font::wrap(&panel.title, TITLE, room).len() as f64;
    lines * LINE * TITLE
        + legend::height(named(panel).into_iter().map(|curve| curve.name.as_str()), room)
        + 10.0
}

/// The curves that the legend names.
fn named(panel: &Panel) -> Vec<&Curve> {
    panel.curves.iter().filter(|curve| !curve.name.is_empty() && !curve.points.is_empty()).collect()
}

fn draw_panel(canvas: &mut Canvas, panel: &Panel, (left, top): At, head: f64) {
    let room = WIDTH - 2.0 * MARGIN;
    let title = Style::new(TITLE).at(Side::Center, Level::Top);
    let below = canvas.paragraph(&panel.title, (left + WIDTH / 2.0, top), room, title);
    let named = named(panel);
    let names: Vec<&str> = named.iter().map(|curve| curve.name.as_str()).collect();
    legend::draw(canvas, (left + MARGIN, below + 2.0), room, &names, |canvas, i, (x, y)| {
        let color = of_series(named[i].color);
        canvas.path(&[(x - 9.0, y), (x + 9.0, y)], Paint::stroke(color, 2.0).dashed(named[i].dashed));
        if has_dots(named[i]) {
            canvas.circle((x, y), 3.0, Paint::fill(color));
        }
    });

    let x = Axis::around(
        panel.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.x)),
        panel.log_x,
    );
    let y = Axis::from(panel.range.0, panel.range.1);
    let plot = Plot::new((left, top + head), (WIDTH, PLOT), (x, x_ticks(panel, &x)), (y, y.ticks(8, 0.0)));
    plot.draw(canvas, &panel.x, &panel.y);
    for curve in &panel.curves {
        draw_curve(canvas, &plot, curve, panel.range);
    }
}

fn has_dots(curve: &Curve) -> bool {
    !curve.dashed && curve.points.len() <= DOTS
}

/// A logarithmic axis with few values of x has its ticks at these values; steps and stages are whole numbers,
/// with no values between them.
fn x_ticks(panel: &Panel, axis: &Axis) -> Vec<Tick> {
    let mut xs: Vec<f64> =
        panel.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.x)).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    if panel.log_x && xs.len() <= 8 {
        return xs.into_iter().map(|x| (x, number(x))).collect();
    }
    let whole = xs.iter().all(|x| x.fract() == 0.0);
    axis.ticks(8, if whole { 1.0 } else { 0.0 })
}

fn draw_curve(canvas: &mut Canvas, plot: &Plot, curve: &Curve, (bottom, top): (f64, f64)) {
    let color = of_series(curve.color);
    let clamp = |y: f64| y.clamp(bottom, top.max(bottom));
    for Point { x, low, high, .. } in curve.points.iter().filter(|point| point.high > point.low) {
        let (x, low, high) = (plot.x(*x), plot.y(clamp(*low)), plot.y(clamp(*high)));
        let bar = [(x - 4.0, low), (x + 4.0, low), (x, low), (x, high), (x - 4.0, high), (x + 4.0, high)];
        canvas.path(&bar, Paint::stroke(color, 1.2).opacity(0.75));
    }
    let places: Vec<At> =
        curve.points.iter().filter(|point| point.y.is_finite()).map(|p| (plot.x(p.x), plot.y(p.y))).collect();
    canvas.clipped((plot.left, plot.top - 1.0), (plot.width, plot.height + 2.0), |canvas| {
        let width = if places.len() > MANY { 1.3 } else { 2.0 };
        canvas.path(&thinned(&places), Paint::stroke(color, width).dashed(curve.dashed));
    });
    if has_dots(curve) {
        let inside = places.iter().filter(|place| (plot.top - 1.0..=plot.bottom() + 1.0).contains(&place.1));
        inside.for_each(|place| canvas.circle(*place, 3.0, Paint::fill(color)));
    }
}

/// For the points within two pixels of a line: the first, the lowest, the highest and the last, because more
/// would not be visible.
fn thinned(places: &[At]) -> Vec<At> {
    let mut kept: Vec<At> = vec![];
    for bunch in places.chunk_by(|a, b| (a.0 / 2.0).floor() == (b.0 / 2.0).floor()) {
        if bunch.len() <= 4 {
            kept.extend(bunch);
            continue;
        }
        let by_height = |a: &&At, b: &&At| a.1.total_cmp(&b.1);
        let ends =
            [bunch.first(), bunch.iter().min_by(by_height), bunch.iter().max_by(by_height), bunch.last()];
        let mut chosen: Vec<At> = ends.into_iter().flatten().copied().collect();
        chosen.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.extend(chosen);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(curves: Vec<Curve>) -> Panel {
        let (title, x, y) = ("title".to_owned(), "x".to_owned(), "y".to_owned());
        Panel { title, x, y, log_x: false, range: (0.0, 10.0), curves }
    }

    #[test]
    fn points_say_what_interval_they_have() {
        assert_eq!(Point::from((1.0, 5.0)), Point { x: 1.0, y: 5.0, low: 5.0, high: 5.0 });
        assert_eq!(Point::from((1.0, 5.0, 2.0)), Point::from((1.0, 5.0, 3.0, 7.0)));
        let curve = Curve::of_spreads("c", 0, [(1.0, vec![]), (2.0, vec![3.0]), (3.0, vec![1.0, 3.0])]);
        assert_eq!(curve.points.len(), 2);
        assert_eq!((curve.points[0].high, curve.points[1].y), (3.0, 2.0));
    }

    #[test]
    fn a_curve_of_many_points_is_thinned_and_keeps_its_peaks() {
        let mut places: Vec<At> =
            (0..100_000).map(|i| (f64::from(i) / 250.0, 100.0 + f64::from(i % 7))).collect();
        places[50_000].1 = 5.0;
        let kept = thinned(&places);
        assert!(kept.len() <= 4 * 201, "{}", kept.len());
        assert!(
            kept.contains(&places[50_000]) && kept.first() == places.first() && kept.last() == places.last()
        );
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
        let svg = paint(
            1,
            &[panel(vec![Curve::new(
                "many",
                0,
                (0..100_000).map(|i| (f64::from(i), 5.0 + f64::from(i % 7) / 7.0)),
            )])],
        )
        .svg();
        assert!(svg.len() < 30_000, "{} bytes", svg.len());
    }

    #[test]
    fn a_figure_is_the_same_every_time() {
        let panels =
            || vec![panel(vec![Curve::new("a", 0, [(0.0, 1.0, 2.0), (1.0, 4.0, 0.5)])]), panel(vec![])];
        assert_eq!(paint(2, &panels()).svg(), paint(2, &panels()).svg());
        assert_eq!(paint(2, &panels()).width, 2.0 * WIDTH);
        assert_eq!(paint(3, &panels()[..1]).width, WIDTH);
    }
}
