//! Figures of points by class, side by side, as one PNG.

use crate::error::Result;
use crate::figure::{self, Area, DrawResult, write_png};
use plotters::prelude::*;
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

const SIZE: (u32, u32) = (560, 470);
/// Those of curves, and two more of the same palette: photos come in six classes.
const COLORS: [RGBColor; 7] = {
    let [a, b, c, d, e] = figure::COLORS;
    [a, b, c, d, e, RGBColor(86, 180, 233), RGBColor(230, 159, 0)]
};

/// Draws `panels` side by side into the PNG at `path`. A class has a colour and a shape: one of
/// the two is left to those who cannot see the other.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, panels: &[Scatter]) -> Result<()> {
    write_png(path, (SIZE.0 * panels.len() as u32, SIZE.1), |root| {
        for (area, panel) in root.split_evenly((1, panels.len().max(1))).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, panel: &Scatter) -> DrawResult {
    let range = |of: &dyn Fn(&(f64, f64, usize)) -> f64| {
        let (low, high) = panel.points.iter().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let margin = (0.06 * (high - low)).max(1e-9);
        low - margin..high + margin
    };
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(range(&|point| point.0), range(&|point| point.1))?;
    let number = |value: &f64| format!("{value:.0}");
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.08))
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;
    for (class, name) in panel.classes.iter().enumerate() {
        let color = COLORS[class % COLORS.len()];
        let points = panel.points.iter().filter(|point| point.2 == class).map(|point| (point.0, point.1));
        // Neither 3 nor 7 divides the other: 21 classes differ.
        let series = match class % 3 {
            0 => chart.draw_series(points.map(|at| Circle::new(at, 4, color.mix(0.85).filled()).into_dyn()))?,
            1 => chart.draw_series(points.map(|at| TriangleMarker::new(at, 6, color.mix(0.85).filled()).into_dyn()))?,
            _ => chart.draw_series(points.map(|at| Cross::new(at, 4, color.stroke_width(2)).into_dyn()))?,
        };
        let series = series.label(name.as_str());
        match class % 3 {
            0 => series.legend(move |(x, y)| Circle::new((x + 9, y), 4, color.filled()).into_dyn()),
            1 => series.legend(move |(x, y)| TriangleMarker::new((x + 9, y), 6, color.filled()).into_dyn()),
            _ => series.legend(move |(x, y)| Cross::new((x + 9, y), 4, color.stroke_width(2)).into_dyn()),
        };
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}
