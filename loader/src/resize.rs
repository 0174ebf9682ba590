//! Scaling and cropping, bit-identical to Pillow and torchvision.
//!
//! A network was trained on images that Pillow shrank. Other resamplers differ by one grey level on a tenth
//! of the pixels. That is harmless, but "same as PyTorch" could then not be tested. This resampler gives the
//! same bits, for both filters that networks were trained with. The method, after Pillow's `Resample.c`
//! (<https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c>): each output pixel is a
//! weighted mean of the input pixels under a filter, which is stretched when shrinking so that no input pixel
//! is skipped (antialiasing). Scaling is along rows first, then along columns, with rounding to bytes in
//! between; weights are integers in units of 2^-22.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::image::{Limits, check_pixels};
use crate::{Error, RgbImage8};

/// 32 bits, less 8 for the byte, less 2 so that a sum of weights a little above one cannot overflow.
const PRECISION: u32 = 32 - 8 - 2;

/// The filter that an image is scaled with. It is a part of a network's preprocessing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A triangle: torchvision's.
    #[default]
    Bilinear,
    /// Keys' cubic with a = -0.5: most of timm's and Hugging Face's networks.
    Bicubic,
}

impl Interpolation {
    /// Half the width of the filter, in pixels of an image that keeps its size.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// The filter at `x`. The order of the operations is Pillow's; otherwise the last bit would differ.
    fn at(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * CUBIC,
            Self::Bicubic => 0.0,
        }
    }
}

/// Keys' a: the slope at 1.
const CUBIC: f64 = -0.5;

/// Scales to `width` x `height`; equal to `Image.resize((width, height), BILINEAR)` of Pillow.
///
/// # Errors
/// [`Error::ResizeSize`] if a side is 0 or the result would exceed 89 million pixels;
/// [`Error::PixelCount`] if the image's fields contradict each other.
pub fn resize_bilinear(image: &RgbImage8, width: usize, height: usize) -> Result<RgbImage8, Error> {
    let from = (image.width, image.height);
    let data = resize_interleaved(&image.data, 3, from, (width, height))?;
    Ok(RgbImage8 { width, height, data })
}

/// [`resize_bilinear`] for any number of interleaved channels: `data` is (height, width, channels),
/// `from` and `to` are (width, height).
///
/// # Errors
/// As [`resize_bilinear`].
pub fn resize_interleaved(
    data: &[u8],
    channels: usize,
    from: (usize, usize),
    to: (usize, usize),
) -> Result<Vec<u8>, Error> {
    resize_by(Interpolation::Bilinear, data, channels, from, to)
}

/// [`resize_interleaved`] with a filter: equal to Pillow's `BILINEAR` or `BICUBIC`.
///
/// # Errors
/// As [`resize_bilinear`].
pub fn resize_by(
    filter: Interpolation,
    data: &[u8],
    channels: usize,
    from: (usize, usize),
    to: (usize, usize),
) -> Result<Vec<u8>, Error> {
    resize_part(filter, data, channels, from, to, &Part::whole(to))
}

/// [`resize_by`], of whose result only `part` is computed: the same bits, without the memory and the time for
/// the rest. An image of 1 x 4000 pixels becomes 224 x 896,000, of which a network uses a quarter of a
/// thousandth.
pub(crate) fn resize_part(
    filter: Interpolation,
    data: &[u8],
    channels: usize,
    from: (usize, usize),
    to: (usize, usize),
    part: &Part,
) -> Result<Vec<u8>, Error> {
    check_pixels(data, channels, from.0, from.1)?;
    let (columns, rows) = (&part.columns, &part.rows);
    if from.0 == 0 || from.1 == 0 || to.0 == 0 || to.1 == 0 || too_many_pixels((columns.len(), rows.len())) {
        return Err(Error::ResizeSize { from, to, max_pixels: Limits::default().max_pixels });
    }
    // A side that keeps its length is copied, not filtered.
    let across = (to.0 != from.0).then(|| windows(filter, from.0, to.0, columns));
    let down = (to.1 != from.1).then(|| windows(filter, from.1, to.1, rows));
    let needed = down.as_ref().map_or(rows.clone(), |down| {
        let ends = down.iter().map(|window| window.begin + window.weights.len());
        down.first().map_or(0, |first| first.begin)..ends.max().unwrap_or(0)
    });
    let source = &data[needed.start * from.0 * channels..needed.end * from.0 * channels];
    let scaled = match &across {
        Some(across) => resize_rows(source, channels, from.0, across),
        None => copy_columns(source, channels, from.0, columns),
    };
    Ok(match &down {
        Some(down) => resize_columns(&scaled, columns.len() * channels, needed.start, down),
        None => scaled,
    })
}

/// Scales so that the shorter side becomes `size`, keeping the proportions; equal to torchvision's
/// `Resize(size)`, which truncates the longer side.
///
/// # Errors
/// As [`resize_bilinear`].
pub fn resize_shorter_side(image: &RgbImage8, size: usize) -> Result<RgbImage8, Error> {
    let (width, height) = shorter_side_size(image.width, image.height, size);
    resize_bilinear(image, width, height)
}

/// Cuts `width` x `height` out of the middle; equal to torchvision's `CenterCrop`, which adds black borders
/// if the image is too small and rounds half of an odd margin to even.
///
/// # Errors
/// [`Error::ResizeSize`] if the result would exceed 89 million pixels; [`Error::PixelCount`] if the image's
/// fields contradict each other.
pub fn center_crop(image: &RgbImage8, width: usize, height: usize) -> Result<RgbImage8, Error> {
    let from = (image.width, image.height);
    let data = center_crop_interleaved(&image.data, 3, from, (width, height))?;
    Ok(RgbImage8 { width, height, data })
}

/// (width, height) after [`resize_shorter_side`].
pub(crate) fn shorter_side_size(width: usize, height: usize, size: usize) -> (usize, usize) {
    let (short, long) = (width.min(height).max(1), width.max(height));
    let long = (size as u128 * long as u128 / short as u128).min(usize::MAX as u128) as usize;
    match width <= height {
        true => (size, long),
        false => (long, size),
    }
}

/// [`center_crop`] for any number of channels.
pub(crate) fn center_crop_interleaved(
    data: &[u8],
    channels: usize,
    from: (usize, usize),
    to: (usize, usize),
) -> Result<Vec<u8>, Error> {
    check_pixels(data, channels, from.0, from.1)?;
    if too_many_pixels(to) {
        return Err(Error::ResizeSize { from, to, max_pixels: Limits::default().max_pixels });
    }
    let part = Part::cut(from, to, (Anchor::Middle, Anchor::Middle));
    let rows = &data[part.rows.start * from.0 * channels..part.rows.end * from.0 * channels];
    Ok(part.framed(copy_columns(rows, channels, from.0, &part.columns), channels, to))
}

/// The position of a crop along a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// The part of an image inside a crop, and its position in the crop.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub columns: Range<usize>,
    pub rows: Range<usize>,
    /// Black columns to the left, and black rows above, if the image is smaller than the crop.
    border: (usize, usize),
}

impl Part {
    /// All of an image.
    pub fn whole((width, height): (usize, usize)) -> Self {
        Self { columns: 0..width, rows: 0..height, border: (0, 0) }
    }

    /// The part of an image of `from` in a crop of `to` (width, height).
    pub fn cut(from: (usize, usize), to: (usize, usize), place: (Anchor, Anchor)) -> Self {
        let (columns, left) = cut(from.0, to.0, place.0);
        let (rows, above) = cut(from.1, to.1, place.1);
        Self { columns, rows, border: (left, above) }
    }

    /// The origin of the crop, across and down, in pixels of the image; negative if the image is smaller.
    pub fn begin(&self) -> (f64, f64) {
        let begin = |shown: &Range<usize>, border: usize| shown.start as f64 - border as f64;
        (begin(&self.columns, self.border.0), begin(&self.rows, self.border.1))
    }

    /// The crop of `to` (width, height), given the pixels of this part; black around them.
    pub fn framed(&self, pixels: Vec<u8>, channels: usize, to: (usize, usize)) -> Vec<u8> {
        if (self.columns.len(), self.rows.len()) == to {
            return pixels;
        }
        let mut out = vec![0; to.0 * to.1 * channels];
        let row = self.columns.len() * channels;
        for y in 0..self.rows.len() {
            let target = ((self.border.1 + y) * to.0 + self.border.0) * channels;
            out[target..target + row].copy_from_slice(&pixels[y * row..][..row]);
        }
        out
    }
}

/// Along one side: which of `from` pixels a crop of `to` contains, and the number of black pixels before
/// them.
fn cut(from: usize, to: usize, place: Anchor) -> (Range<usize>, usize) {
    let Some(margin) = from.checked_sub(to) else { return (0..from, (to - from) / 2) };
    let begin = match place {
        Anchor::Start => 0,
        Anchor::End => margin,
        // Python's round(margin / 2): a half is rounded to even.
        Anchor::Middle => margin / 2 + (margin % 2) * (margin / 2 % 2),
    };
    (begin..begin + to, 0)
}

fn too_many_pixels((width, height): (usize, usize)) -> bool {
    width as u128 * height as u128 > u128::from(Limits::default().max_pixels)
}

/// The input pixels that one output pixel averages, and their weights.
struct Window {
    begin: usize,
    weights: Vec<i32>,
}

/// The windows of the output pixels in `wanted` along one side.
fn windows(filter: Interpolation, from: usize, to: usize, wanted: &Range<usize>) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    // The filter is as wide as an input pixel, or an output pixel when those are larger.
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    // Pillow multiplies by the reciprocal; dividing would round differently.
    let per_stretch = 1.0 / stretch;
    wanted
        .clone()
        .map(|out| {
            let center = (out as f64 + 0.5) * scale;
            // `as` gives 0 below zero and truncates the fraction, like C's conversion to int.
            let begin = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let weigh = |x: usize| filter.at((x as f64 - center + 0.5) * per_stretch);
            let total: f64 = (begin..end).map(weigh).sum();
            let to_fixed = |x| {
                let weight = weigh(x) / total;
                // Half away from zero, as Pillow rounds: a cubic has negative weights.
                (weight * f64::from(1 << PRECISION) + 0.5f64.copysign(weight)) as i32
            };
            let weights = (begin..end).map(to_fixed).collect();
            Window { begin, weights }
        })
        .collect()
}

/// Half a unit, so that truncation rounds.
const HALF: i32 = 1 << (PRECISION - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Cuts columns out of rows of `width` pixels.
fn copy_columns(data: &[u8], channels: usize, width: usize, columns: &Range<usize>) -> Vec<u8> {
    let rows = data.chunks_exact((width * channels).max(1));
    rows.flat_map(|row| &row[columns.start * channels..columns.end * channels]).copied().collect()
}

/// Scales each row of `width` pixels.
fn resize_rows(data: &[u8], channels: usize, width: usize, windows: &[Window]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / width * windows.len());
    for row in data.chunks_exact(width * channels) {
        for window in windows {
            for channel in 0..channels {
                let pixels = row[window.begin * channels + channel..].iter();
                let pixels = pixels.step_by(channels);
                let products = window.weights.iter().zip(pixels).map(|(w, &p)| w * i32::from(p));
                out.push(to_byte(HALF + products.sum::<i32>()));
            }
        }
    }
    out
}

/// Scales each column; a row has `row` bytes, and the first is row `first` of the image. Whole rows are
/// summed at a time, because access along a column would miss the cache at every pixel.
fn resize_columns(data: &[u8], row: usize, first: usize, windows: &[Window]) -> Vec<u8> {
    let mut out = Vec::with_capacity(row * windows.len());
    let mut sums = vec![0; row];
    for window in windows {
        sums.fill(HALF);
        let rows = data[(window.begin - first) * row..].chunks_exact(row);
        for (weight, pixels) in window.weights.iter().zip(rows) {
            for (sum, &pixel) in sums.iter_mut().zip(pixels) {
                *sum += weight * i32::from(pixel);
            }
        }
        out.extend(sums.iter().map(|&sum| to_byte(sum)));
    }
    out
}
