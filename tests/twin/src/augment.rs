//! augment: y = (jitter(rotate(flip(crop(x)))) − mean) / std, image by image, step by step: every step
//! computes a whole image, while the kernel computes each pixel in one pass.
//!
//! There is no backward, because nothing below needs a gradient.

use crate::{Array, Tracked, Value, exact};

/// A change of colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// f·v.
    Brightness(f64),
    /// f·v + (1 − f)·mean grey of the image.
    Contrast(f64),
    /// f·v + (1 − f)·grey.
    Saturation(f64),
    /// The hue, plus this many turns.
    Hue(f64),
}

/// The changes of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Top, left, height and width of the crop.
    pub window: [usize; 4],
    /// Columns in reverse order.
    pub flip_horizontal: bool,
    /// Rows in reverse order.
    pub flip_vertical: bool,
    /// Degrees, counter-clockwise.
    pub angle: f64,
    /// Right and down, in pixels.
    pub shift: [f64; 2],
    /// In order.
    pub jitter: Vec<Jitter>,
}

/// The settings of all images.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Height and width of the output.
    pub size: [usize; 2],
    /// Interpolate rotated images from four pixels, not from the nearest.
    pub bilinear: bool,
    /// Value outside of a rotated image.
    pub fill: f64,
    /// Subtracted from each channel.
    pub mean: Vec<f64>,
    /// Divides each channel.
    pub std: Vec<f64>,
}

/// Pixels in rows, each with one value per channel.
type Image = Vec<Vec<Vec<Tracked>>>;

/// `augment.forward`: x (N, C, H, W) in 0..=1, and one transform per image -> (N, C, H', W').
///
/// # Panics
/// If there is not one transform per image, or a window exceeds it.
pub fn forward(x: &Array, transforms: &[Transform], settings: &Settings) -> Value {
    let [n, c, _, _] = x.dims();
    assert_eq!(n, transforms.len(), "a transform for every image");
    let [h, w] = settings.size;
    let mut y = Value::zeros(&[n, c, h, w]);
    for (n, transform) in transforms.iter().enumerate() {
        let mut image = resized_crop(x, n, transform.window, settings.size);
        if transform.flip_horizontal {
            image.iter_mut().for_each(|row| row.reverse());
        }
        if transform.flip_vertical {
            image.reverse();
        }
        if transform.angle != 0.0 || transform.shift != [0.0; 2] {
            image = rotate(&image, transform, settings);
        }
        for jitter in &transform.jitter {
            change_colours(&mut image, *jitter);
        }
        for (row, pixels) in image.iter().enumerate() {
            for (column, pixel) in pixels.iter().enumerate() {
                for (channel, &value) in pixel.iter().enumerate() {
                    let normalised = (value - exact(settings.mean[channel])) / exact(settings.std[channel]);
                    y.set([n, channel, row, column], normalised);
                }
            }
        }
    }
    y
}

/// A value that is rounded to f32 before it is used.
fn rounded(value: f64) -> Tracked {
    Tracked { value, terms: 2.0 * value.abs() }
}

fn absolute(a: Tracked) -> Tracked {
    Tracked { value: a.value.abs(), ..a }
}

/// The pixels of `from` that contribute to pixel `at` of `to`, with weights that add up to one: a triangle as
/// wide as an output pixel if the image shrinks, or as an input pixel if it grows.
fn taps(at: usize, from: usize, to: usize) -> Vec<(usize, Tracked)> {
    let scale = exact(from as f64) / exact(to as f64);
    let center = exact(at as f64 + 0.5) * scale;
    let support = if scale.value > 1.0 { scale } else { exact(1.0) };
    let weight = |j: usize| {
        let distance = absolute(exact(j as f64 + 0.5) - center) / support;
        (j, (exact(1.0) - distance).clamp(0.0, 1.0))
    };
    let weights: Vec<_> = (0..from).map(weight).filter(|(_, weight)| weight.value > 0.0).collect();
    let total: Tracked = weights.iter().map(|(_, weight)| *weight).sum();
    weights.into_iter().map(|(j, weight)| (j, weight / total)).collect()
}

fn resized_crop(x: &Array, n: usize, [top, left, height, width]: [usize; 4], [h, w]: [usize; 2]) -> Image {
    let [_, channels, _, _] = x.dims();
    let pixel = |i: usize, j: usize, c: usize| {
        let rows = taps(i, height, h).into_iter();
        rows.flat_map(|(row, wy)| {
            taps(j, width, w).into_iter().map(move |(column, wx)| (row, column, wy * wx))
        })
        .map(|(row, column, weight)| weight * exact(x[[n, c, top + row, left + column]]))
        .sum()
    };
    (0..h).map(|i| (0..w).map(|j| (0..channels).map(|c| pixel(i, j, c)).collect()).collect()).collect()
}

fn rotate(image: &Image, transform: &Transform, settings: &Settings) -> Image {
    let (h, w) = (image.len(), image[0].len());
    let (sin, cos) = transform.angle.to_radians().sin_cos();
    let [right, down] = transform.shift;
    let center = [h, w].map(|side| exact((side as f64 - 1.0) / 2.0));
    let source = |row: usize, column: usize| {
        let (x, y) = (exact(column as f64) - center[1], exact(row as f64) - center[0]);
        [
            rounded(sin) * x + rounded(cos) * y + rounded(-sin * right - cos * down) + center[0],
            rounded(cos) * x + rounded(-sin) * y + rounded(sin * down - cos * right) + center[1],
        ]
    };
    let at = |row: f64, column: f64| -> Option<&Vec<Tracked>> {
        let inside = row >= 0.0 && column >= 0.0 && row < h as f64 && column < w as f64;
        inside.then(|| &image[row as usize][column as usize])
    };
    let channels = image[0][0].len();
    let pixel = |i: usize, j: usize| -> Vec<Tracked> {
        let [row, column] = source(i, j);
        if !settings.bilinear {
            let nearest = at(row.value.round_ties_even(), column.value.round_ties_even());
            return nearest.cloned().unwrap_or_else(|| vec![exact(settings.fill); channels]);
        }
        let (top, left) = (row.value.floor(), column.value.floor());
        let (down, right) = (row - exact(top), column - exact(left));
        let (mut sum, mut covered) = (vec![Tracked::ZERO; channels], Tracked::ZERO);
        for (dy, wy) in [(0.0, exact(1.0) - down), (1.0, down)] {
            for (dx, wx) in [(0.0, exact(1.0) - right), (1.0, right)] {
                let Some(values) = at(top + dy, left + dx) else { continue };
                covered += wy * wx;
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += wy * wx * *value);
            }
        }
        sum.into_iter().map(|sum| sum * covered + (exact(1.0) - covered) * exact(settings.fill)).collect()
    };
    (0..h).map(|i| (0..w).map(|j| pixel(i, j)).collect()).collect()
}

fn grey(pixel: &[Tracked]) -> Tracked {
    match pixel {
        [r, g, b] => rounded(0.2989) * *r + rounded(0.587) * *g + rounded(0.114) * *b,
        _ => pixel[0],
    }
}

fn change_colours(image: &mut Image, jitter: Jitter) {
    let count = image.len() * image[0].len();
    let mean = image.iter().flatten().map(|pixel| grey(pixel)).sum::<Tracked>() / exact(count as f64);
    let blend = |f: f64, value: Tracked, with: Tracked| {
        (exact(f) * value + (exact(1.0) - exact(f)) * with).clamp(0.0, 1.0)
    };
    for pixel in image.iter_mut().flatten() {
        let (colour, own) = (pixel.len() == 3, grey(pixel));
        match jitter {
            Jitter::Brightness(f) => pixel.iter_mut().for_each(|v| *v = blend(f, *v, Tracked::ZERO)),
            Jitter::Contrast(f) => pixel.iter_mut().for_each(|v| *v = blend(f, *v, mean)),
            Jitter::Saturation(f) if colour => pixel.iter_mut().for_each(|v| *v = blend(f, *v, own)),
            Jitter::Hue(turns) if colour => *pixel = turned(pixel, turns),
            Jitter::Saturation(_) | Jitter::Hue(_) => {}
        }
    }
}

/// RGB to hue, saturation and value, the hue turned, and back. Continuous everywhere: if two channels are
/// equal, or all, either choice of the largest gives the same colour.
fn turned(pixel: &[Tracked], turns: f64) -> Vec<Tracked> {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]];
    let by = |a: &&Tracked, b: &&Tracked| a.value.total_cmp(&b.value);
    let (high, low) = (
        *pixel.iter().max_by(by).expect("three channels"),
        *pixel.iter().min_by(by).expect("three channels"),
    );
    let range = high - low;
    if range.value == 0.0 {
        return pixel.to_vec();
    }
    let [rc, gc, bc] = [r, g, b].map(|channel| (high - channel) / range);
    let sextants = match high.value {
        value if value == r.value => bc - gc,
        value if value == g.value => exact(2.0) + rc - bc,
        _ => exact(4.0) + gc - rc,
    };
    let hue = sextants / exact(6.0) + exact(turns);
    let hue = (hue - exact(hue.value.floor())) * exact(6.0);
    let part = hue - exact(hue.value.floor());
    let saturation = range / high;
    let limit = |value: Tracked| value.clamp(0.0, 1.0);
    let p = limit(high * (exact(1.0) - saturation));
    let q = limit(high * (exact(1.0) - saturation * part));
    let t = limit(high * (exact(1.0) - saturation * (exact(1.0) - part)));
    match hue.value as usize % 6 {
        0 => vec![high, t, p],
        1 => vec![q, high, p],
        2 => vec![p, high, t],
        3 => vec![p, q, high],
        4 => vec![t, p, high],
        _ => vec![high, p, q],
    }
}
