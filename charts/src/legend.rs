//! The legend of a figure: entries in rows, never over the data.

use crate::canvas::{At, Canvas, Level, Side, Style};
use crate::font;

const SIZE: f64 = 12.0;
/// Room for an entry's sample.
const SAMPLE: f64 = 22.0;
const GAP: f64 = 18.0;
pub(crate) const ROW: f64 = 19.0;

/// The position of each of `names`, in rows of at most `most` pixels.
fn places<'a>(names: impl IntoIterator<Item = &'a str>, most: f64) -> Vec<At> {
    let (mut x, mut y) = (0.0, 0.0);
    let place = |name: &str| {
        let wide = SAMPLE + font::width(name, SIZE);
        if x > 0.0 && x + wide > most {
            (x, y) = (0.0, y + ROW);
        }
        let at = (x, y);
        x += wide + GAP;
        at
    };
    names.into_iter().map(place).collect()
}

/// Height of a legend of at most `most` pixels in width.
pub(crate) fn height<'a>(names: impl IntoIterator<Item = &'a str>, most: f64) -> f64 {
    places(names, most).last().map_or(0.0, |place| place.1 + ROW)
}

/// Draws the legend with its left upper corner at `at`. `sample` gets the middle of an entry's sample.
pub(crate) fn draw(
    canvas: &mut Canvas,
    at: At,
    most: f64,
    names: &[&str],
    mut sample: impl FnMut(&mut Canvas, usize, At),
) {
    for (i, (name, place)) in names.iter().zip(places(names.iter().copied(), most)).enumerate() {
        let (x, y) = (at.0 + place.0, at.1 + place.1 + ROW / 2.0);
        sample(canvas, i, (x + 9.0, y));
        canvas.text(name, (x + SAMPLE, y), Style::new(SIZE).at(Side::Left, Level::Middle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_do_not_overlap() {
        let names = ["scratch, seed 0", "scratch, seed 1", "pretrained, seed 0", "pretrained, seed 1"];
        let all = places(names, 300.0);
        for (i, (place, name)) in all.iter().zip(names).enumerate() {
            let end = place.0 + SAMPLE + font::width(name, SIZE);
            assert!(
                end <= 300.0 && all[i + 1..].iter().all(|next| next.1 > place.1 || next.0 > end),
                "{all:?}"
            );
        }
        assert_eq!((height(names, 1e4), height([], 300.0)), (ROW, 0.0));
        assert!(height(names, 300.0) > ROW);
    }
}
