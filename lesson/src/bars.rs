//! Horizontal bars in groups, as one PNG: how far many things are from a limit.

use crate::error::Result;
use crate::figure::{Area, COLORS, DrawResult, text, write_png};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use serde::Serialize;
use std::path::Path;

/// A bar.
#[derive(Clone, Debug, Serialize)]
pub struct Bar {
    /// Which of [`Bars::series`].
    pub series: usize,
    /// Its length, at least 0.
    pub value: f64,
    /// What stands behind it.
    pub text: String,
}

/// Bars that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What they are of.
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

const WIDTH: i32 = 1200;
/// Where bars begin at most, and where the longest ends; the rest is for labels and texts.
const LEFT: i32 = 420;
const RIGHT: i32 = WIDTH - 190;
/// Title, note and legend above; axis below.
const TOP: i32 = 92;
const BOTTOM: i32 = 56;
const BAR: i32 = 13;
const GAP: i32 = 9;

/// Draws `chart` into the PNG at `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, chart: &Bars) -> Result<()> {
    let height = |row: &Row| BAR * row.bars.len() as i32 + GAP;
    let size = (WIDTH as u32, (TOP + chart.rows.iter().map(height).sum::<i32>() + BOTTOM) as u32);
    write_png(path, size, |area| fill(area, chart))
}

fn fill(area: &Area<'_>, chart: &Bars) -> DrawResult {
    let longest = chart.rows.iter().flat_map(|row| &row.bars).map(|bar| bar.value).filter(|value| value.is_finite()).fold(1e-9, f64::max);
    let step = tick(longest);
    let end = (longest / step).ceil() * step;
    let letters = chart.rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let left = LEFT.min(40 + 9 * letters as i32);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let x = |value: f64| left + (f64::from(RIGHT - left) * (value / end).clamp(0.0, 1.0)).round() as i32;
    let bottom = area.dim_in_pixel().1 as i32 - BOTTOM;

    area.draw(&text(&chart.title, (14, 12), 20, BLACK, HPos::Left, VPos::Top))?;
    area.draw(&text(&chart.note, (14, 38), 13, COLORS[4], HPos::Left, VPos::Top))?;
    let shown = |series: usize| chart.rows.iter().flat_map(|row| &row.bars).any(|bar| bar.series == series);
    let mut at = 14;
    for (series, name) in chart.series.iter().enumerate().filter(|(series, _)| shown(*series)) {
        area.draw(&Rectangle::new([(at, 62), (at + 14, 76)], COLORS[series % COLORS.len()].filled()))?;
        area.draw(&text(name, (at + 20, 69), 14, BLACK, HPos::Left, VPos::Center))?;
        at += 44 + 9 * name.len() as i32;
    }

    for number in 0..=(end / step).round() as i32 {
        let value = step * f64::from(number);
        area.draw(&PathElement::new([(x(value), TOP - 4), (x(value), bottom)], BLACK.mix(0.12)))?;
        area.draw(&text(&format!("{value:.decimals$}"), (x(value), bottom + 6), 13, BLACK, HPos::Center, VPos::Top))?;
    }
    area.draw(&text(&chart.axis, ((left + RIGHT) / 2, bottom + 26), 14, BLACK, HPos::Center, VPos::Top))?;

    let mut y = TOP;
    for row in &chart.rows {
        let middle = y + BAR * row.bars.len() as i32 / 2;
        area.draw(&text(&row.label, (left - 10, middle), 14, BLACK, HPos::Right, VPos::Center))?;
        for bar in &row.bars {
            let color = COLORS[bar.series % COLORS.len()];
            area.draw(&Rectangle::new([(left, y), (x(bar.value), y + BAR - 2)], color.filled()))?;
            area.draw(&text(&bar.text, (x(bar.value) + 5, y + BAR / 2), 11, BLACK, HPos::Left, VPos::Center))?;
            y += BAR;
        }
        y += GAP;
    }
    Ok(())
}

/// The distance of ticks that gives between 5 and 12 of them: 1, 2 or 5 times a power of ten.
pub(crate) fn tick(longest: f64) -> f64 {
    let power = 10f64.powf((longest / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| longest / step <= 12.0).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::tick;

    #[test]
    fn an_axis_has_some_ticks_and_not_too_many() {
        for longest in [0.003, 0.9, 1.0, 7.0, 12.0, 12.1, 39.0, 100.0, 119.0, 12345.0] {
            let count = longest / tick(longest);
            assert!((4.0..=12.0).contains(&count), "{count} ticks for {longest}");
        }
    }
}
