//! Figures: panels of curves with their spread, as one PNG.

use crate::error::{Error, Result};
use frostline_trainer::Spread;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;
use std::sync::Once;

/// A curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Which of the colours; runs that belong together share one.
    pub color: usize,
    /// x, y and the standard deviation of y (0 draws no error bar).
    pub points: Vec<(f64, f64, f64)>,
}

impl Curve {
    /// The curve through the means of the values at each x; places without values are left out.
    pub fn of_spreads(name: impl Into<String>, color: usize, values: impl IntoIterator<Item = (f64, Vec<f64>)>) -> Self {
        let point = |(x, values): (f64, Vec<f64>)| Spread::of(&values).map(|spread| (x, spread.mean, spread.deviation));
        Self { name: name.into(), color, points: values.into_iter().filter_map(point).collect() }
    }
}

/// A coordinate system with curves.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What the panel shows.
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

const SIZE: (u32, u32) = (560, 420);
/// Distinct in print and for colour-blind readers (Okabe and Ito 2008).
pub(crate) const COLORS: [RGBColor; 5] =
    [RGBColor(213, 94, 0), RGBColor(0, 114, 178), RGBColor(0, 158, 115), RGBColor(204, 121, 167), RGBColor(86, 86, 86)];

/// Draws `panels`, `columns` to a row, into the PNG at `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, columns: usize, panels: &[Panel]) -> Result<()> {
    let rows = panels.len().div_ceil(columns);
    write_png(path, (SIZE.0 * columns as u32, SIZE.1 * rows as u32), |root| {
        for (area, panel) in root.split_evenly((rows, columns)).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        Ok(())
    })
}

/// What `paint` draws on white, as the PNG at `path`.
pub(crate) fn write_png(path: &Path, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> DrawResult) -> Result<()> {
    let fail = |error: &dyn std::fmt::Display| Error::Output { path: path.to_owned(), reason: error.to_string() };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| fail(&error))?;
    }
    register_font();
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE).map_err(|error| fail(&error))?;
    paint(&root).map_err(|error| fail(&error))?;
    root.present().map_err(|error| fail(&error))
}

/// Words at a place in pixels.
pub(crate) fn text<'a>(words: &'a str, at: (i32, i32), size: u32, color: RGBColor, h: HPos, v: VPos) -> Text<'a, (i32, i32), &'a str> {
    Text::new(words, at, ("sans-serif", size).into_font().color(&color).pos(Pos::new(h, v)))
}

fn register_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It is a font that we ship, so it can be read.
        let _ = plotters::style::register_font("sans-serif", FontStyle::Normal, include_bytes!("../fonts/DejaVuSans.ttf"));
    });
}

pub(crate) type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
pub(crate) type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// `200` or `0.003`: two digits where there is something behind the point.
fn number(value: f64) -> String {
    let digits = if value >= 10.0 || value <= 0.0 { 0 } else { 1 - value.log10().floor() as i32 };
    let text = format!("{value:.*}", digits.max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> DrawResult {
    let xs = || panel.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0));
    let (low, high) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
    // Logarithmic axes are drawn on log10(x), so that one code path serves both.
    let scale = |x: f64| if panel.log_x { x.max(1e-12).log10() } else { x };
    let (low, high) = (scale(low), scale(high));
    let margin = (0.05 * (high - low)).max(1e-9);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(low - margin..high + margin, panel.range.0..panel.range.1)?;
    let ticks: Vec<f64> =
        if panel.log_x { panel.curves.first().map_or(vec![], |c| c.points.iter().map(|p| p.0).collect()) } else { vec![] };
    let x_label = |x: &f64| {
        let tick = ticks.iter().find(|tick| (scale(**tick) - x).abs() < 1e-6);
        // Steps and stages are whole numbers: a tick between them has no name.
        let whole = !panel.log_x && (x - x.round()).abs() < 1e-6;
        tick.map_or(if whole { format!("{x:.0}") } else { String::new() }, |tick| number(*tick))
    };
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.08))
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .x_labels(if panel.log_x { 0 } else { 8 })
        .x_label_formatter(&x_label)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;
    for curve in &panel.curves {
        let color = COLORS[curve.color % COLORS.len()];
        let line = curve.points.iter().map(|&(x, y, _)| (scale(x), y));
        chart
            .draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?
            .label(curve.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        if curve.points.len() <= 12 {
            chart.draw_series(line.map(|point| Circle::new(point, 3, color.filled())))?;
        }
        let spread = curve.points.iter().filter(|point| point.2 > 0.0);
        chart.draw_series(spread.map(|&(x, y, deviation)| {
            let clamp = |y: f64| y.clamp(panel.range.0, panel.range.1);
            PathElement::new([(scale(x), clamp(y - deviation)), (scale(x), clamp(y + deviation))], color.stroke_width(1))
        }))?;
    }
    for tick in &ticks {
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        let (x, y) = chart.backend_coord(&(scale(*tick), panel.range.0));
        area.draw_text(&number(*tick), &style, (x - area.get_base_pixel().0, y - area.get_base_pixel().1 + 6))?;
    }
    chart
        .configure_series_labels()
        .position(emptiest_corner(panel, scale, (low, high)))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

/// The corner for the legend: the one that fewest points of curves lie in, and of equals the lower
/// right, where curves that rise leave room.
fn emptiest_corner(panel: &Panel, scale: impl Fn(f64) -> f64, (low, high): (f64, f64)) -> SeriesLabelPosition {
    let (bottom, top) = panel.range;
    let points = || panel.curves.iter().flat_map(|curve| &curve.points);
    let count = |right: bool, upper: bool| {
        let inside = |&&(x, y, _): &&(f64, f64, f64)| {
            let (x, y) = ((scale(x) - low) / (high - low).max(1e-9), (y - bottom) / (top - bottom).max(1e-9));
            (if right { 1.0 - x } else { x }) < 0.45 && (if upper { 1.0 - y } else { y }) < 0.4
        };
        points().filter(inside).count()
    };
    let corners = [
        (count(true, false), SeriesLabelPosition::LowerRight),
        (count(false, false), SeriesLabelPosition::LowerLeft),
        (count(true, true), SeriesLabelPosition::UpperRight),
        (count(false, true), SeriesLabelPosition::UpperLeft),
    ];
    let emptiest = corners.into_iter().min_by_key(|(count, _)| *count);
    emptiest.map_or(SeriesLabelPosition::LowerRight, |(_, corner)| corner)
}

#[cfg(test)]
mod tests {
    use super::{Curve, Panel, SeriesLabelPosition, emptiest_corner, number};

    #[test]
    fn a_legend_keeps_off_the_curves() {
        let corner = |points: &[(f64, f64)]| {
            let points = points.iter().map(|&(x, y)| (x, y, 0.0)).collect();
            let curves = vec![Curve { name: "curve".to_owned(), color: 0, points }];
            let text = String::new;
            let panel = Panel { title: text(), x: text(), y: text(), log_x: false, range: (0.0, 10.0), curves };
            emptiest_corner(&panel, |x| x, (0.0, 10.0))
        };
        assert!(matches!(corner(&[(0.0, 1.0), (10.0, 9.0)]), SeriesLabelPosition::LowerRight));
        assert!(matches!(corner(&[(0.0, 9.0), (10.0, 1.0)]), SeriesLabelPosition::LowerLeft));
        assert!(matches!(corner(&[(0.0, 1.0), (10.0, 1.0)]), SeriesLabelPosition::UpperRight));
    }

    #[test]
    fn sizes_and_rates_are_short() {
        assert_eq!([1500.0, 50.0, 1.0, 0.3, 0.0033, 0.0010000000474974513].map(number), ["1500", "50", "1", "0.3", "0.0033", "0.001"]);
    }
}
