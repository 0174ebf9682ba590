//! From a decoded photo to the input of a network.
//!
//! The steps are torchvision's: shorter side, centre crop, divide by 255, subtract the mean, divide by the
//! standard deviation. The settings are stored in the checkpoint with the weights, because wrong settings
//! cost most of the accuracy without any error.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::image::check_pixels;
use crate::resize::{Anchor, Interpolation, Part, resize_part, shorter_side_size};
use crate::{Error, RgbImage8};

/// The preprocessing of a network's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Scale the shorter side to this many pixels first; `None` leaves the image as it is.
    pub resize: Option<usize>,
    /// The filter of this scaling; bilinear for checkpoints without this entry.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Side of the square cut from the middle, in pixels: the network's input size.
    pub crop: usize,
    /// 3 for RGB, 1 for grey.
    pub channels: usize,
    /// The mean of each channel, which is subtracted from values in 0..1.
    pub mean: Vec<f32>,
    /// The deviation of each channel, by which values are then divided.
    pub std: Vec<f32>,
}

/// The square that a network gets as input, in shares of the photo's width and height. It exceeds 0..1 if the
/// photo is smaller than the crop and gets black borders.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// Its left edge, as a share of the width.
    pub left: f64,
    /// Its top edge, as a share of the height.
    pub top: f64,
    /// Its width, as a share of the photo's.
    pub width: f64,
    /// Its height, as a share of the photo's.
    pub height: f64,
}

/// More than any network's input; a checkpoint with a larger value is damaged.
const MAX_SIDE: usize = 4096;

impl Preprocessing {
    /// The preprocessing of torchvision's ImageNet ResNets: the shorter side 256/224 of the crop, and the
    /// mean and deviation of ImageNet's pixels.
    pub fn imagenet(crop: usize) -> Self {
        Self {
            resize: Some(crop.saturating_mul(256) / 224),
            interpolation: Interpolation::Bilinear,
            crop,
            channels: 3,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }

    /// The preprocessing of EfficientNet-Lite: the shorter side equal to the crop, (255·x - 127) / 128.
    pub fn efficientnet_lite(crop: usize) -> Self {
        Self {
            resize: Some(crop),
            mean: vec![127.0 / 255.0; 3],
            std: vec![128.0 / 255.0; 3],
            ..Self::imagenet(crop)
        }
    }

    /// Fails if these settings are invalid; they may come from a file.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] with the reason.
    pub fn check(&self) -> Result<(), Error> {
        for (name, side) in [("crop", self.crop), ("resize", self.resize.unwrap_or(1))] {
            if side == 0 || side > MAX_SIDE {
                return Err(wrong(format!("{name} is {side}, expected 1 to {MAX_SIDE}")));
            }
        }
        if self.channels != 1 && self.channels != 3 {
            let channels = self.channels;
            return Err(wrong(format!("{channels} channels, expected 1 or 3")));
        }
        check_normalization(self.channels, &self.mean, &self.std)
    }

    /// The network's input: (crop, crop, channels) values, row by row, channels last.
    ///
    /// # Errors
    /// As [`Preprocessing::pixels`].
    pub fn apply(&self, image: &RgbImage8) -> Result<Vec<f32>, Error> {
        normalize(&self.pixels(image)?, self.channels, &self.mean, &self.std)
    }

    /// The steps before normalisation, which give bytes: (crop, crop, channels).
    ///
    /// Conversion to grey is that of Pillow's `convert("L")`, before scaling. Only the part inside the crop
    /// is scaled, so that an image of 1 x 4000 pixels takes no more memory than others.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] for impossible settings, [`Error::PixelCount`] or [`Error::ResizeSize`] for
    /// an image that is incomplete or empty.
    pub fn pixels(&self, image: &RgbImage8) -> Result<Vec<u8>, Error> {
        self.view(&self.source(image)?, image, (Anchor::Middle, Anchor::Middle))
    }

    /// Ten views of the image, each as [`Preprocessing::pixels`]: the four corners and the middle,
    /// and their mirror images (torchvision's `TenCrop`; Krizhevsky et al. 2012). An image that is
    /// smaller than the crop gets black borders first.
    ///
    /// # Errors
    /// As [`Preprocessing::pixels`].
    pub fn ten_crop(&self, image: &RgbImage8) -> Result<Vec<Vec<u8>>, Error> {
        use Anchor::{End, Middle, Start};
        let source = self.source(image)?;
        let places = [(Start, Start), (End, Start), (Start, End), (End, End), (Middle, Middle)];
        let views = places.iter().map(|&place| self.view(&source, image, place));
        let mut views = views.collect::<Result<Vec<Vec<u8>>, Error>>()?;
        let mirrored: Vec<Vec<u8>> =
            views.iter().map(|view| mirror(view, self.crop, self.channels)).collect();
        views.extend(mirrored);
        Ok(views)
    }

    /// The image in the required channels.
    fn source<'a>(&self, image: &'a RgbImage8) -> Result<Cow<'a, [u8]>, Error> {
        self.check()?;
        check_pixels(&image.data, 3, image.width, image.height)?;
        Ok(if self.channels == 1 { to_grey(&image.data).into() } else { (&image.data[..]).into() })
    }

    /// The part of a photo of this size that [`Preprocessing::pixels`] contains.
    pub fn frame(&self, width: usize, height: usize) -> Frame {
        let scaled = self.scaled((width, height));
        let (left, top) = Part::cut(scaled, (self.crop, self.crop), (Anchor::Middle, Anchor::Middle)).begin();
        let of = |pixels: f64, side: usize| pixels / side.max(1) as f64;
        Frame {
            left: of(left, scaled.0),
            top: of(top, scaled.1),
            width: of(self.crop as f64, scaled.0),
            height: of(self.crop as f64, scaled.1),
        }
    }

    /// Width and height after scaling.
    fn scaled(&self, size: (usize, usize)) -> (usize, usize) {
        self.resize.map_or(size, |shorter| shorter_side_size(size.0, size.1, shorter))
    }

    /// The crop at this position of the scaled image, across and down.
    fn view(&self, source: &[u8], image: &RgbImage8, place: (Anchor, Anchor)) -> Result<Vec<u8>, Error> {
        let size = (image.width, image.height);
        let scaled = self.scaled(size);
        let part = Part::cut(scaled, (self.crop, self.crop), place);
        let pixels = resize_part(self.interpolation, source, self.channels, size, scaled, &part)?;
        Ok(part.framed(pixels, self.channels, (self.crop, self.crop)))
    }
}

/// The mirror image of rows of `width` pixels.
fn mirror(pixels: &[u8], width: usize, channels: usize) -> Vec<u8> {
    let rows = pixels.chunks_exact(width * channels);
    rows.flat_map(|row| row.chunks_exact(channels).rev().flatten()).copied().collect()
}

/// Fails unless there is one finite mean and one positive deviation per channel.
pub(crate) fn check_normalization(channels: usize, mean: &[f32], std: &[f32]) -> Result<(), Error> {
    if mean.len() != channels || std.len() != channels {
        return Err(wrong(format!(
            "{channels} channels need as many means and deviations, got {} and {}",
            mean.len(),
            std.len()
        )));
    }
    if let Some(mean) = mean.iter().find(|mean| !mean.is_finite()) {
        return Err(wrong(format!("a mean of {mean}")));
    }
    if let Some(std) = std.iter().find(|std| !std.is_normal() || **std < 0.0) {
        return Err(wrong(format!("a standard deviation of {std}")));
    }
    Ok(())
}

/// (byte/255 - mean) / std for `channels` interleaved channels. The order of the f32 operations is
/// torchvision's, so the results are bit-identical. Batches are normalised on the device, with the same
/// results.
///
/// # Errors
/// [`Error::Preprocessing`] unless there are a finite mean and a positive deviation per channel.
pub fn normalize(bytes: &[u8], channels: usize, mean: &[f32], std: &[f32]) -> Result<Vec<f32>, Error> {
    check_normalization(channels, mean, std)?;
    // A byte has 256 values, so results are looked up instead of dividing twice per pixel.
    let tables: Vec<[f32; 256]> = mean
        .iter()
        .zip(std)
        .map(|(mean, std)| std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std))
        .collect();
    Ok(bytes.iter().zip(tables.iter().cycle()).map(|(&byte, table)| table[usize::from(byte)]).collect())
}

/// ITU-R 601 luma, with Pillow's 16-bit weights.
fn to_grey(rgb: &[u8]) -> Vec<u8> {
    let luma = |&[r, g, b]: &[u8; 3]| {
        let sum = 19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b);
        ((sum + 0x8000) >> 16) as u8
    };
    rgb.as_chunks().0.iter().map(luma).collect()
}

fn wrong(reason: String) -> Error {
    Error::Preprocessing { reason }
}
