//! The font of all figures, and widths of words in it.

use resvg::usvg::fontdb::Database;
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};
use std::sync::{Arc, LazyLock};

const BYTES: &[u8] = include_bytes!("../fonts/DejaVuSans.ttf");
/// Names for the viewer of an SVG: the second is as wide as the first, others are narrower.
pub(crate) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Height of a line, in sizes of the font.
pub(crate) const LINE: f64 = 1.35;

static DATABASE: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut database = Database::new();
    database.load_font_data(BYTES.to_vec());
    Arc::new(database)
});

/// The font for resvg.
pub(crate) fn database() -> Arc<Database> {
    DATABASE.clone()
}

/// Width of `text` in pixels.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    // The font is a part of this crate, so it can be read.
    let Ok(font) = FontRef::new(BYTES) else { return 0.6 * size * text.chars().count() as f64 };
    let glyphs = font.glyph_metrics(Size::new(size as f32), LocationRef::default());
    let map = font.charmap();
    let advance = |c| f64::from(glyphs.advance_width(map.map(c).unwrap_or_default()).unwrap_or(0.0));
    text.chars().map(advance).sum()
}

/// Width of the widest of `texts` in pixels.
pub(crate) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, size: f64) -> f64 {
    texts.into_iter().map(|text| width(text, size)).fold(0.0, f64::max)
}

/// Lines of `text` that are at most `most` pixels wide, broken between words; a word that is wider has its
/// own line. Line breaks in `text` stay.
pub(crate) fn wrap(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if line.is_empty() || width(&longer, size) <= most {
                line = longer;
            } else {
                lines.push(std::mem::replace(&mut line, word.to_owned()));
            }
        }
        lines.push(line);
    }
    lines
}

/// `text`, cut to `most` characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.chars().count() > most => format!("{}…", text[..at].trim_end()),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_grow_with_letters_and_size() {
        assert!(width("ii", 12.0) < width("mm", 12.0));
        assert!((width("mm", 24.0) - 2.0 * width("mm", 12.0)).abs() < 0.1);
        assert!((width("m", 100.0) - 97.4).abs() < 0.5, "DejaVu's m is 0.974 of its size wide");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", 12.0, width("one two", 12.0)), ["one two", "three"]);
        assert_eq!(wrap("one\ntwo", 12.0, 1e3), ["one", "two"]);
        assert_eq!(wrap("unbreakable", 12.0, 5.0), ["unbreakable"]);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short("ä".repeat(40).as_str(), 24).chars().count(), 24);
        assert_eq!(short("cat", 24), "cat");
    }
}
