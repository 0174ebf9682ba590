//! A step as bars over time, one a kernel, as one PNG: which part of the network worked when, and
//! what was left out.

use crate::bars::tick;
use crate::error::Result;
use crate::figure::{Area, COLORS, DrawResult, text, write_png};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
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
    /// How long it took, or would have taken.
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
    /// Stretches of the time axis, in order.
    pub parts: Vec<String>,
    /// In the order they run.
    pub spans: Vec<Span>,
}

const WIDTH: i32 = 1600;
const LEFT: i32 = 150;
const RIGHT: i32 = WIDTH - 24;
const TOP: i32 = 128;
const BOTTOM: i32 = 62;
const ROW: i32 = 30;
/// Light blue behind frozen rows.
const ICE: RGBColor = RGBColor(226, 240, 250);

/// Draws `timeline` into the PNG at `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, timeline: &Timeline) -> Result<()> {
    let height = TOP + ROW * timeline.rows.len() as i32 + BOTTOM;
    write_png(path, (WIDTH as u32, height as u32), |area| fill(area, timeline))
}

/// Milliseconds to pixels.
struct Scale {
    end: f64,
}

impl Scale {
    fn x(&self, milliseconds: f64) -> i32 {
        LEFT + (f64::from(RIGHT - LEFT) * milliseconds / self.end).round() as i32
    }
}

fn fill(area: &Area<'_>, timeline: &Timeline) -> DrawResult {
    let total: f64 = timeline.spans.iter().map(|span| span.milliseconds).sum();
    let scale = Scale { end: total.max(1e-6) };
    let bottom = TOP + ROW * timeline.rows.len() as i32;

    area.draw(&text(&timeline.title, (14, 12), 20, BLACK, HPos::Left, VPos::Top))?;
    area.draw(&text(&timeline.note, (14, 40), 14, COLORS[4], HPos::Left, VPos::Top))?;
    draw_legend(area, timeline)?;

    for (row, name) in timeline.rows.iter().enumerate() {
        let y = TOP + ROW * row as i32;
        if row < timeline.frozen {
            area.draw(&Rectangle::new([(LEFT, y), (RIGHT, y + ROW)], ICE.filled()))?;
        }
        area.draw(&PathElement::new([(LEFT, y), (RIGHT, y)], BLACK.mix(0.08)))?;
        area.draw(&text(name, (LEFT - 10, y + ROW / 2), 14, BLACK, HPos::Right, VPos::Center))?;
    }
    let step = tick(scale.end);
    for number in 0..=(scale.end / step) as i32 {
        let x = scale.x(step * f64::from(number));
        area.draw(&PathElement::new([(x, bottom), (x, bottom + 5)], BLACK))?;
        area.draw(&text(&format!("{}", step * f64::from(number)), (x, bottom + 8), 13, BLACK, HPos::Center, VPos::Top))?;
    }
    area.draw(&PathElement::new([(LEFT, bottom), (RIGHT, bottom)], BLACK))?;
    let axis = "milliseconds of the step with nothing frozen: full bars ran, ghosts did not";
    area.draw(&text(axis, ((LEFT + RIGHT) / 2, bottom + 32), 14, BLACK, HPos::Center, VPos::Top))?;

    draw_spans(area, timeline, &scale)?;
    draw_parts(area, timeline, &scale, bottom)?;
    if timeline.frozen > 0 {
        let y = TOP + ROW * timeline.frozen as i32;
        area.draw(&PathElement::new([(14, y), (RIGHT, y)], COLORS[1].stroke_width(2)))?;
        area.draw(&text("frostline", (14, y - 3), 12, COLORS[1], HPos::Left, VPos::Bottom))?;
    }
    Ok(())
}

fn draw_spans(area: &Area<'_>, timeline: &Timeline, scale: &Scale) -> DrawResult {
    let mut at = 0.0;
    for span in &timeline.spans {
        let (left, right) = (scale.x(at), scale.x(at + span.milliseconds));
        at += span.milliseconds;
        let y = TOP + ROW * span.row as i32;
        // At least a pixel, so that short kernels are seen.
        let corners = [(left, y + 4), (right.max(left + 1), y + ROW - 4)];
        let color = COLORS[span.series % COLORS.len()];
        if span.ghost {
            area.draw(&Rectangle::new(corners, WHITE.filled()))?;
            hatch(area, corners, color)?;
            area.draw(&Rectangle::new(corners, color.mix(0.7)))?;
        } else {
            area.draw(&Rectangle::new(corners, color.filled()))?;
            // A pale left edge keeps neighbours apart.
            if right > left + 3 {
                area.draw(&PathElement::new([corners[0], (left, y + ROW - 4)], WHITE.mix(0.8)))?;
            }
        }
    }
    Ok(())
}

/// Diagonal lines, every 6 pixels, cut at the corners.
fn hatch(area: &Area<'_>, [(left, top), (right, bottom)]: [(i32, i32); 2], color: RGBColor) -> DrawResult {
    let height = bottom - top;
    // x + y is constant along a line; multiples of 6 line up from bar to bar.
    for sum in (left + top..=right + bottom).filter(|sum| sum % 6 == 0) {
        let from = (sum - bottom).max(left);
        let to = (sum - top).min(right);
        if from <= to && height > 0 {
            area.draw(&PathElement::new([(from, sum - from), (to, sum - to)], color.mix(0.35)))?;
        }
    }
    Ok(())
}

/// A bracket over every stretch, with its name and what of it ran.
fn draw_parts(area: &Area<'_>, timeline: &Timeline, scale: &Scale, bottom: i32) -> DrawResult {
    let mut at = 0.0;
    for (part, name) in timeline.parts.iter().enumerate() {
        let sum = |ghosts: bool| {
            let spans = timeline.spans.iter().filter(|span| span.part == part && (ghosts || !span.ghost));
            spans.map(|span| span.milliseconds).sum::<f64>()
        };
        let (ran, whole) = (sum(false), sum(true));
        let (left, right) = (scale.x(at), scale.x(at + whole));
        at += whole;
        area.draw(&PathElement::new([(left, TOP - 12), (left, bottom)], BLACK.mix(0.4)))?;
        let label = if ran < whole { format!("{name}: {ran:.1} of {whole:.1} ms") } else { format!("{name}: {ran:.1} ms") };
        // A stretch too short for its words writes them to the left of its end.
        let wide = right - left > 9 * label.chars().count() as i32;
        let (x, anchor) = if wide { (left + 6, HPos::Left) } else { (right, HPos::Right) };
        let y = if wide { TOP - 12 } else { TOP - 30 };
        area.draw(&text(&label, (x, y), 14, BLACK, anchor, VPos::Top))?;
    }
    Ok(())
}

fn draw_legend(area: &Area<'_>, timeline: &Timeline) -> DrawResult {
    let mut at = 14;
    for (series, name) in timeline.series.iter().enumerate() {
        area.draw(&Rectangle::new([(at, 66), (at + 16, 80)], COLORS[series % COLORS.len()].filled()))?;
        area.draw(&text(name, (at + 22, 73), 14, BLACK, HPos::Left, VPos::Center))?;
        at += 52 + 8 * name.chars().count() as i32;
    }
    let corners = [(at, 66), (at + 16, 80)];
    hatch(area, corners, COLORS[4])?;
    area.draw(&Rectangle::new(corners, COLORS[4].mix(0.7)))?;
    area.draw(&text("ghost: skipped, its layer is frozen", (at + 22, 73), 14, BLACK, HPos::Left, VPos::Center))?;
    Ok(())
}
