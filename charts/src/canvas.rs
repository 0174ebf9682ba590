//! A picture under construction: shapes and words as SVG text.
//!
//! Words stay text, which can be searched and copied, and has a tenth of the size of outlines. Positions are
//! computed from the widths in the included font, and each text is anchored at its fixed side. With another
//! font, texts move by no more than the difference of the widths.

use crate::color::{BLACK, Color, WHITE};
use crate::font::{self, FAMILY, LINE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageResult, RgbImage};
use std::fmt::{self, Write};

/// A position in pixels, from the upper left.
pub(crate) type At = (f64, f64);

/// Pictures with a longer side are kept as JPEG, smaller ones as PNG: they are enlarged, and each of
/// their pixels counts.
const SMALL: u32 = 64;
const QUALITY: u8 = 88;

/// Fill and stroke of a shape.
#[derive(Clone, Copy, Default)]
pub(crate) struct Paint {
    fill: Option<Color>,
    stroke: Option<(Color, f64)>,
    opacity: Option<f64>,
    dashed: bool,
}

impl Paint {
    pub(crate) fn fill(color: Color) -> Self {
        Self { fill: Some(color), ..Self::default() }
    }

    pub(crate) fn stroke(color: Color, width: f64) -> Self {
        Self { stroke: Some((color, width)), ..Self::default() }
    }

    pub(crate) fn edge(self, color: Color, width: f64) -> Self {
        Self { stroke: Some((color, width)), ..self }
    }

    pub(crate) fn opacity(self, opacity: f64) -> Self {
        Self { opacity: Some(opacity), ..self }
    }

    pub(crate) fn dashed(self, dashed: bool) -> Self {
        Self { dashed, ..self }
    }
}

impl fmt::Display for Paint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fill {
            Some(color) => write!(f, " fill=\"{color}\"")?,
            None => f.write_str(" fill=\"none\"")?,
        }
        if let Some((color, width)) = self.stroke {
            write!(f, " stroke=\"{color}\" stroke-width=\"{}\"", Number(width))?;
        }
        if let Some(opacity) = self.opacity {
            write!(f, " opacity=\"{}\"", Number(opacity))?;
        }
        if self.dashed { f.write_str(" stroke-dasharray=\"5 4\"") } else { Ok(()) }
    }
}

/// The side of the words that is at their position.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    Left,
    Center,
    Right,
}

/// The part of a line that is at its position.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Level {
    Top,
    Middle,
    Bottom,
}

/// How words look.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    size: f64,
    color: Color,
    side: Side,
    level: Level,
    upright: bool,
}

impl Style {
    /// Black words whose left upper corner is at their position.
    pub(crate) fn new(size: f64) -> Self {
        Self { size, color: BLACK, side: Side::Left, level: Level::Top, upright: false }
    }

    pub(crate) fn color(self, color: Color) -> Self {
        Self { color, ..self }
    }

    pub(crate) fn at(self, side: Side, level: Level) -> Self {
        Self { side, level, ..self }
    }

    /// Read from below.
    pub(crate) fn upright(self) -> Self {
        Self { upright: true, ..self }
    }
}

/// A picture.
pub(crate) struct Canvas {
    pub(crate) width: f64,
    pub(crate) height: f64,
    body: String,
    clips: usize,
}

impl Canvas {
    /// A white one.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width: width.ceil(), height: height.ceil(), body: String::new(), clips: 0 }
    }

    fn add(&mut self, words: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.body.write_fmt(words);
    }

    pub(crate) fn rect(&mut self, (x, y): At, (width, height): (f64, f64), paint: Paint) {
        let [x, y, width, height] = [x, y, width, height].map(Number);
        self.add(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{paint}/>\n"));
    }

    pub(crate) fn line(&mut self, from: At, to: At, color: Color, width: f64) {
        self.path(&[from, to], Paint::stroke(color, width));
    }

    /// A line through `points`.
    pub(crate) fn path(&mut self, points: &[At], paint: Paint) {
        self.add(format_args!("<path d=\"{}\"{paint} stroke-linejoin=\"round\"/>\n", Points(points)));
    }

    pub(crate) fn circle(&mut self, (x, y): At, radius: f64, paint: Paint) {
        self.add(format_args!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{paint}/>\n",
            Number(x),
            Number(y),
            Number(radius)
        ));
    }

    /// The same shape at many positions, as one path: `shape` begins at a distance from the position and
    /// continues with relative commands.
    pub(crate) fn shapes(&mut self, places: &[At], ((dx, dy), shape): (At, &str), paint: Paint) {
        if places.is_empty() {
            return;
        }
        self.add(format_args!("<path d=\""));
        for (x, y) in places {
            self.add(format_args!("M{:.1} {:.1}{shape}", x + dx, y + dy));
        }
        self.add(format_args!("\"{paint}/>\n"));
    }

    /// Dots at many positions: lines of length zero with round ends.
    pub(crate) fn dots(&mut self, places: &[At], radius: f64, color: Color) {
        self.add(format_args!("<g stroke-linecap=\"round\">"));
        self.shapes(places, ((0.0, 0.0), "h0.01"), Paint::stroke(color, 2.0 * radius));
        self.add(format_args!("</g>\n"));
    }

    /// The drawing of `inside`, clipped to a rectangle.
    pub(crate) fn clipped(
        &mut self,
        (x, y): At,
        (width, height): (f64, f64),
        inside: impl FnOnce(&mut Self),
    ) {
        let [x, y, width, height] = [x, y, width, height].map(Number);
        let id = self.clips;
        self.clips += 1;
        self.add(format_args!(
            "<clipPath id=\"clip{id}\">\
             <rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/></clipPath>\n\
             <g clip-path=\"url(#clip{id})\">\n"
        ));
        inside(self);
        self.add(format_args!("</g>\n"));
    }

    pub(crate) fn text(&mut self, words: &str, (x, y): At, style: Style) {
        if words.is_empty() {
            return;
        }
        // The height of capital letters is 0.73 of the font's size.
        let drop = style.size
            * match style.level {
                Level::Top => 0.83,
                Level::Middle => 0.36,
                Level::Bottom => -0.2,
            };
        let anchor = match style.side {
            Side::Left => "",
            Side::Center => " text-anchor=\"middle\"",
            Side::Right => " text-anchor=\"end\"",
        };
        let (px, py) = if style.upright { (x + drop, y) } else { (x, y + drop) };
        let [size, px, py] = [style.size, px, py].map(Number);
        self.add(format_args!("<text x=\"{px}\" y=\"{py}\" font-size=\"{size}\"{anchor}"));
        if style.color != BLACK {
            self.add(format_args!(" fill=\"{}\"", style.color));
        }
        if style.upright {
            self.add(format_args!(" transform=\"rotate(-90 {px} {py})\""));
        }
        self.add(format_args!(">{}</text>\n", Escaped(words)));
    }

    /// Words in lines of at most `most` pixels, from `at` down; returns the lower end.
    pub(crate) fn paragraph(&mut self, words: &str, (x, mut y): At, most: f64, style: Style) -> f64 {
        for line in font::wrap(words, style.size, most) {
            self.text(&line, (x, y), style);
            y += LINE * style.size;
        }
        y
    }

    /// `image` in a rectangle; when a small image is enlarged, its pixels stay squares.
    ///
    /// # Errors
    /// If the picture cannot be encoded.
    pub(crate) fn image(
        &mut self,
        (x, y): At,
        (width, height): (f64, f64),
        image: &RgbImage,
    ) -> ImageResult<()> {
        let small = image.width().max(image.height()) <= SMALL;
        let mut bytes = vec![];
        let (pixels, w, h) = (image.as_raw(), image.width(), image.height());
        if small {
            let encoder =
                PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
            encoder.write_image(pixels, w, h, ExtendedColorType::Rgb8)?;
        } else {
            JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(
                pixels,
                w,
                h,
                ExtendedColorType::Rgb8,
            )?;
        }
        let (kind, rendering) =
            if small { ("png", " style=\"image-rendering:pixelated\"") } else { ("jpeg", "") };
        let [x, y, width, height] = [x, y, width, height].map(Number);
        self.add(format_args!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             preserveAspectRatio=\"none\"{rendering} href=\"data:image/{kind};base64,{}\"/>\n",
            STANDARD.encode(bytes)
        ));
        Ok(())
    }

    /// The whole text.
    pub(crate) fn svg(&self) -> String {
        let (width, height) = (Number(self.width), Number(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"{WHITE}\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// At most two digits after the point: a fiftieth of a pixel.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

struct Points<'a>(&'a [At]);

impl fmt::Display for Points<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (x, y)) in self.0.iter().enumerate() {
            write!(f, "{}{} {}", if i == 0 { "M" } else { "L" }, Number(*x), Number(*y))?;
        }
        Ok(())
    }
}

/// Words between tags.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                // XML has no other control characters.
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [1.0, -0.001, 0.25, 1.0 / 3.0, 100.0].map(|n| Number(n).to_string()),
            ["1", "0", "0.25", "0.33", "100"]
        );
    }

    #[test]
    fn words_are_escaped() {
        let mut canvas = Canvas::new(10.0, 10.0);
        canvas.text("a < b & \u{7}c", (0.0, 0.0), Style::new(10.0));
        assert!(canvas.svg().contains(">a &lt; b &amp;  c</text>"), "{}", canvas.svg());
    }
}
