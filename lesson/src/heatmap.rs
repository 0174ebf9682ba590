//! A table as colours, with marks: where of two settings the best lies, as one PNG.

use crate::error::Result;
use crate::figure::{Area, COLORS, DrawResult, text, write_png};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::path::Path;

/// A place of the table.
#[derive(Clone, Debug)]
pub struct Place {
    /// What its colour stands for; not finite: nothing was measured, and it stays white.
    pub value: f64,
    /// What is written in it.
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
    /// Row by row, a place for each column.
    pub places: Vec<Vec<Place>>,
    /// Name and unit of the colours.
    pub scale: String,
    /// Values of the palest and of the darkest colour.
    pub range: (f64, f64),
    /// What a frame and what a dot says, for the legend.
    pub marks: (String, String),
}

const CELL: (i32, i32) = (176, 44);
const LEFT: i32 = 130;
const TOP: i32 = 150;
const BOTTOM: i32 = 44;
/// For the colours' scale.
const RIGHT: i32 = 120;

/// Draws `map` into the PNG at `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, map: &HeatMap) -> Result<()> {
    let size = (LEFT + CELL.0 * map.columns.len() as i32 + RIGHT, TOP + CELL.1 * map.rows.len() as i32 + BOTTOM);
    write_png(path, (size.0.max(760) as u32, size.1 as u32), |area| fill(area, map))
}

fn fill(area: &Area<'_>, map: &HeatMap) -> DrawResult {
    let (right, bottom) = (LEFT + CELL.0 * map.columns.len() as i32, TOP + CELL.1 * map.rows.len() as i32);
    area.draw(&text(&map.title, (14, 12), 20, BLACK, HPos::Left, VPos::Top))?;
    area.draw(&text(&map.note, (14, 40), 14, COLORS[4], HPos::Left, VPos::Top))?;
    let frame = [(14, 66), (38, 82)];
    area.draw(&Rectangle::new(frame, COLORS[0].stroke_width(3)))?;
    area.draw(&text(&map.marks.0, (46, 74), 14, BLACK, HPos::Left, VPos::Center))?;
    let at = 76 + 8 * map.marks.0.chars().count() as i32;
    dot(area, (at, 74))?;
    area.draw(&text(&map.marks.1, (at + 12, 74), 14, BLACK, HPos::Left, VPos::Center))?;

    for (column, (name, below)) in map.columns.iter().enumerate() {
        let x = LEFT + CELL.0 * column as i32 + CELL.0 / 2;
        area.draw(&text(name, (x, TOP - 46), 15, BLACK, HPos::Center, VPos::Top))?;
        area.draw(&text(below, (x, TOP - 25), 13, COLORS[4], HPos::Center, VPos::Top))?;
    }
    area.draw(&text(&map.row_axis, (LEFT - 10, TOP - 25), 13, COLORS[4], HPos::Right, VPos::Top))?;
    area.draw(&text(&map.column_axis, ((LEFT + right) / 2, bottom + 14), 14, BLACK, HPos::Center, VPos::Top))?;

    for (row, (name, places)) in map.rows.iter().zip(&map.places).enumerate() {
        let y = TOP + CELL.1 * row as i32;
        area.draw(&text(name, (LEFT - 10, y + CELL.1 / 2), 14, BLACK, HPos::Right, VPos::Center))?;
        for (column, place) in places.iter().enumerate() {
            draw_place(area, map, place, (LEFT + CELL.0 * column as i32, y))?;
        }
    }
    // Frames lie over all places, or neighbours would cut them.
    for (row, places) in map.places.iter().enumerate() {
        for (column, _) in places.iter().enumerate().filter(|(_, place)| place.framed) {
            let (x, y) = (LEFT + CELL.0 * column as i32, TOP + CELL.1 * row as i32);
            area.draw(&Rectangle::new([(x + 2, y + 2), (x + CELL.0 - 2, y + CELL.1 - 2)], COLORS[0].stroke_width(3)))?;
        }
    }
    draw_scale(area, map, (right + 26, TOP, bottom))
}

fn draw_place(area: &Area<'_>, map: &HeatMap, place: &Place, (x, y): (i32, i32)) -> DrawResult {
    let shade = shade(place.value, map.range);
    let corners = [(x, y), (x + CELL.0, y + CELL.1)];
    if let Some(shade) = shade {
        area.draw(&Rectangle::new(corners, colour(shade).filled()))?;
    }
    area.draw(&Rectangle::new(corners, WHITE.stroke_width(2)))?;
    // White words on dark colours.
    let ink = if shade.is_some_and(|shade| shade > 0.6) { WHITE } else { BLACK };
    area.draw(&text(&place.text, (x + CELL.0 / 2, y + CELL.1 / 2), 16, ink, HPos::Center, VPos::Center))?;
    if place.dotted {
        dot(area, (x + 20, y + CELL.1 / 2))?;
    }
    Ok(())
}

fn dot(area: &Area<'_>, at: (i32, i32)) -> DrawResult {
    area.draw(&Circle::new(at, 6, WHITE.filled()))?;
    area.draw(&Circle::new(at, 5, BLACK.filled()))?;
    Ok(())
}

fn draw_scale(area: &Area<'_>, map: &HeatMap, (x, top, bottom): (i32, i32, i32)) -> DrawResult {
    let (low, high) = map.range;
    for y in top..bottom {
        let shade = f64::from(bottom - y) / f64::from(bottom - top);
        area.draw(&Rectangle::new([(x, y), (x + 16, y + 1)], colour(shade).filled()))?;
    }
    for part in 0..=4 {
        let y = bottom - (bottom - top) * part / 4;
        let value = format!("{:.0}", low + (high - low) * f64::from(part) / 4.0);
        area.draw(&text(&value, (x + 22, y), 13, BLACK, HPos::Left, VPos::Center))?;
    }
    area.draw(&text(&map.scale, (x + 90, top - 25), 13, COLORS[4], HPos::Right, VPos::Top))?;
    Ok(())
}

/// 0 at the palest and 1 at the darkest end; nothing for what was not measured.
fn shade(value: f64, (low, high): (f64, f64)) -> Option<f64> {
    value.is_finite().then(|| ((value - low) / (high - low).max(1e-9)).clamp(0.0, 1.0))
}

/// From nearly white to the blue of all figures.
pub(crate) fn colour(shade: f64) -> RGBColor {
    let (pale, dark) = (RGBColor(243, 247, 251), COLORS[1]);
    let mix = |from: u8, to: u8| (f64::from(from) + shade * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(mix(pale.0, dark.0), mix(pale.1, dark.1), mix(pale.2, dark.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_from_pale_to_dark_and_leave_out_what_was_not_measured() {
        let shades = [-30.0, -20.0, -10.0, 0.0, 5.0].map(|value| shade(value, (-20.0, 0.0)));
        assert_eq!(shades, [Some(0.0), Some(0.0), Some(0.5), Some(1.0), Some(1.0)]);
        assert_eq!(shade(f64::NAN, (-20.0, 0.0)), None);
        assert_eq!((colour(0.0), colour(1.0)), (RGBColor(243, 247, 251), COLORS[1]));
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
        let folder = std::env::temp_dir().join(format!("frostline-heatmap-{}", std::process::id()));
        let bytes = |framed, dotted| {
            let path = folder.join(format!("{framed}{dotted}.png"));
            draw(&path, &map(framed, dotted)).unwrap();
            std::fs::read(path).unwrap()
        };
        let (plain, framed, dotted) = (bytes(false, false), bytes(true, false), bytes(false, true));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(plain != framed && plain != dotted && framed != dotted);
    }
}
