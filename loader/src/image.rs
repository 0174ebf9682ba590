//! Decoding photos: PNG, JPEG or WebP in, 8-bit RGB out.
//!
//! Grey becomes three equal channels, a palette its colours, 16 bits are rounded to 8, and transparent pixels
//! are blended over white. A camera's EXIF orientation is applied. A small compressed file may unpack to an
//! enormous image, so the size in the header is checked before a pixel is decoded, and the decoder gets a
//! memory limit as well. PNG and WebP are decoded by the `image` crate, JPEG as libjpeg does it (`jpeg.rs`).
//! `frostline-fuzz` tests hundreds of thousands of damaged files. A remaining panic in a decoder makes one
//! photo unreadable and does not end the run.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, metadata::Orientation};

use crate::error::clip;
use crate::{Error, file, jpeg, png, webp};

/// An image with three bytes per pixel: red, green, blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage8 {
    /// Pixels in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// height x width x 3 bytes, row by row from the top left.
    pub data: Vec<u8>,
}

/// The maximum size of an image, checked in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest width x height. Default 89,478,485, Pillow's `MAX_IMAGE_PIXELS`: wide panoramas fit.
    pub max_pixels: u64,
    /// Largest width or height. Default 65,535, as for JPEG.
    pub max_side: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 89_478_485, max_side: 65_535 }
    }
}

impl Limits {
    /// Fails for an image that is too large.
    pub(crate) fn check(self, width: u32, height: u32, label: &Path) -> Result<(), Error> {
        let Self { max_pixels, max_side } = self;
        if u64::from(width) * u64::from(height) <= max_pixels && width.max(height) <= max_side {
            return Ok(());
        }
        Err(Error::ImageTooLarge { path: label.to_owned(), width, height, max_pixels, max_side })
    }
}

impl RgbImage8 {
    /// An image of these pixels.
    ///
    /// # Errors
    /// [`Error::PixelCount`] unless `data` holds `width` x `height` x 3 bytes.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self, Error> {
        check_pixels(&data, 3, width, height)?;
        Ok(Self { width, height, data })
    }
}

/// Reads an image file with any name: the format is recognised from the content.
///
/// # Errors
/// [`Error::Io`], [`Error::NotAFile`], [`Error::FileTooLarge`] (over 256 MiB) on reading;
/// [`Error::UnknownImageFormat`], [`Error::ImageTooLarge`], [`Error::CorruptImage`] on decoding.
pub fn decode(path: impl AsRef<Path>) -> Result<RgbImage8, Error> {
    let path = path.as_ref();
    decode_bytes(&file::read_all(path, MAX_FILE)?, path)
}

/// More pixels than the images of most cameras have.
const LARGE: u64 = 25_000_000;
/// The reason of [`Error::CorruptImage`] for a bug in a decoder, which makes one photo unreadable and does
/// not end the run.
pub const PANICKED: &str = "its decoder panicked";
/// Held while a large image is in memory.
static ONE_LARGE: Mutex<()> = Mutex::new(());

/// Decodes an image file and gives it to `then`. Of images above 25 million pixels, which take up to 0.8
/// GB while they are decoded, only one is in memory at a time, however many threads read.
///
/// # Errors
/// Those of [`decode`] and of `then`.
pub fn read<T>(
    path: impl AsRef<Path>,
    then: impl FnOnce(&RgbImage8) -> Result<T, Error>,
) -> Result<T, Error> {
    let path = path.as_ref();
    read_bytes(&file::read_all(path, MAX_FILE)?, path, then)
}

/// [`read`] for an image file in memory; `label` replaces the path in errors.
///
/// # Errors
/// Those of [`decode_bytes`] and of `then`.
pub fn read_bytes<T>(
    bytes: &[u8],
    label: &Path,
    then: impl FnOnce(&RgbImage8) -> Result<T, Error>,
) -> Result<T, Error> {
    match decode_with(bytes, label, Limits { max_pixels: LARGE, ..Limits::default() }) {
        Err(Error::ImageTooLarge { .. }) => {
            let _one = ONE_LARGE.lock().unwrap_or_else(PoisonError::into_inner);
            then(&decode_bytes(bytes, label)?)
        }
        image => then(&image?),
    }
}

/// Decodes an image in memory; `label` replaces the path in errors.
///
/// # Errors
/// As [`decode`].
pub fn decode_bytes(bytes: &[u8], label: &Path) -> Result<RgbImage8, Error> {
    decode_with(bytes, label, Limits::default())
}

/// [`decode_bytes`], with other limits.
///
/// # Errors
/// As [`decode`].
pub fn decode_with(bytes: &[u8], label: &Path, limits: Limits) -> Result<RgbImage8, Error> {
    let image = decode_dynamic(bytes, label, limits)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let data = match image.color().has_alpha() {
        false => image.into_rgb8().into_raw(),
        true => over_white(image.into_rgba8().as_raw()),
    };
    Ok(RgbImage8 { width, height, data })
}

/// The limit of the encoded file, which is held in memory completely; no photo is larger.
pub(crate) const MAX_FILE: u64 = 256 << 20;

/// Decodes to the colour type of the file, with the orientation applied.
pub(crate) fn decode_dynamic(bytes: &[u8], label: &Path, limits: Limits) -> Result<DynamicImage, Error> {
    let decode = || {
        if jpeg::is_jpeg(bytes) { jpeg::decode(bytes, label, limits) } else { other(bytes, label, limits) }
    };
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(Error::CorruptImage { path: label.to_owned(), reason: PANICKED.to_owned() }))
}

/// Decodes PNG and WebP.
fn other(bytes: &[u8], label: &Path, limits: Limits) -> Result<DynamicImage, Error> {
    let corrupt = |reason| Error::CorruptImage { path: label.to_owned(), reason };
    let bytes = png::checked(webp::checked(bytes).map_err(corrupt)?).map_err(corrupt)?;
    let mut reader =
        ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(Error::io(label, "read"))?;
    let Some(format @ (ImageFormat::Png | ImageFormat::WebP)) = reader.format() else {
        return Err(Error::UnknownImageFormat { path: label.to_owned() });
    };
    let undecodable = |error: ::image::ImageError| corrupt(clip(error));
    let mut allocation = ::image::Limits::default();
    // The widest pixel takes 8 bytes (RGBA, 16 bits); the decoder gets the same amount again.
    allocation.max_alloc = Some(limits.max_pixels.saturating_mul(16));
    reader.limits(allocation);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;

    let (width, height) = decoder.dimensions();
    limits.check(width, height, label)?;
    // A good picture with damaged camera data is still accepted.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    if format == ImageFormat::Png {
        image = png::in_full_range(image);
    }
    image.apply_orientation(orientation);
    Ok(image)
}

/// Blends RGBA over white: c·a + 255·(1 - a), rounded.
fn over_white(rgba: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for &[r, g, b, a] in rgba.as_chunks().0 {
        let a = u32::from(a);
        let blend = |c: u8| ((u32::from(c) * a + 255 * (255 - a) + 127) / 255) as u8;
        rgb.extend([blend(r), blend(g), blend(b)]);
    }
    rgb
}

/// Fails unless interleaved pixel data has the length that its sizes require.
pub(crate) fn check_pixels(data: &[u8], channels: usize, width: usize, height: usize) -> Result<(), Error> {
    if width as u128 * height as u128 * channels as u128 == data.len() as u128 {
        return Ok(());
    }
    Err(Error::PixelCount { width, height, channels, actual: data.len() })
}
