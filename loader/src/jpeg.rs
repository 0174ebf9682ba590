//! JPEG as libjpeg decodes it, bit-identical for the files that cameras and phones write.
//!
//! Networks were trained on photos that libjpeg decoded, and exported models run in programs that use it. Two
//! decoders share the work, because no Rust decoder reads every kind correctly:
//!
//! | kind | decoder | beside Pillow |
//! |---|---|---|
//! | one or three planes, the first the finest; sequential, progressive, arithmetic | `libjpeg-turbo-rs` | equal |
//! | four planes (CMYK); two planes in a scan of several; colours finer than brightness | `jpeg-decoder` | within 4 of 255, 20 at the edges of images of a few pixels |
//! | 12 bits, lossless, hierarchical, height at the end | none | refused as valid, but not read here |
//!
//! A file that ends early is refused: libjpeg fills the rest with grey, and a network would learn that grey.
//! If only the end marker is missing, the picture is complete, and is read.

mod markers;

use std::borrow::Cow;
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, GrayImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use crate::Error;
use crate::error::clip;
use crate::image::Limits;
use markers::{Frame, Markers};

const END: [u8; 2] = [0xff, 0xd9];
/// Enough for a progressive picture of the most pixels: 16-bit coefficients of three planes, the planes
/// and the pixels.
const BYTES_PER_PIXEL: u64 = 16;

/// Whether these are the first bytes of a JPEG file.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Decodes to grey or RGB, with the orientation applied.
///
/// # Errors
/// [`Error::TruncatedImage`], [`Error::UnreadKind`], [`Error::ImageTooLarge`], [`Error::CorruptImage`].
pub(crate) fn decode(bytes: &[u8], label: &Path, limits: Limits) -> Result<DynamicImage, Error> {
    let corrupt = |reason: String| Error::CorruptImage { path: label.to_owned(), reason };
    let truncated =
        |reason: &str| Error::TruncatedImage { path: label.to_owned(), reason: reason.to_owned() };
    let markers = Markers::read(bytes).map_err(corrupt)?;
    let Some(frame) = &markers.frame else {
        return Err(if markers.ended {
            corrupt("it has no frame header".to_owned())
        } else {
            truncated("it ends before its picture begins")
        });
    };
    limits.check(frame.width, frame.height, label)?;
    if let Some(kind) = unread(frame) {
        return Err(Error::UnreadKind { path: label.to_owned(), format: "JPEG", kind });
    }
    let exact = is_exact(&markers, frame);
    // A progressive picture without its last scans is coarse. If the end marker is there, libjpeg shows it
    // smoothed, and so does the first decoder.
    let whole = markers.is_complete() || (markers.ended && frame.is_progressive() && exact);
    if !whole {
        return Err(truncated("scans of its picture are missing"));
    }
    // Neither arithmetic coding nor the second decoder distinguishes the end of the data from an early end.
    if !markers.ended && (frame.is_arithmetic() || !exact) {
        return Err(truncated("its end marker is missing"));
    }
    let bytes = if markers.ended { Cow::Borrowed(bytes) } else { Cow::Owned([bytes, &END].concat()) };
    let mut image = if exact {
        exactly(&bytes, frame, limits).map_err(|error| match error {
            JpegError::UnexpectedEof => truncated("its picture data ends early"),
            error => corrupt(clip(error)),
        })?
    } else {
        other(&bytes, &markers, frame).map_err(corrupt)?
    };
    // A good picture with damaged camera data is still accepted.
    let orientation = markers.exif.and_then(Orientation::from_exif_chunk);
    image.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok(image)
}

/// Kinds in the standard that neither decoder reads.
fn unread(frame: &Frame) -> Option<&'static str> {
    match frame.process {
        0xc3 | 0xcb => return Some("lossless coding"),
        0xc5..=0xc7 | 0xcd..=0xcf => return Some("hierarchical coding"),
        _ => {}
    }
    let planes = frame.components.len();
    if frame.precision != 8 {
        Some("a depth of more than 8 bits")
    } else if frame.height == 0 {
        Some("a height that is given after the picture (DNL)")
    } else if !matches!(planes, 1 | 3 | 4) {
        Some("a picture of two planes, or of more than four,")
    } else if frame.is_arithmetic() && (planes == 4 || !frame.first_is_finest()) {
        Some("arithmetic coding of CMYK, or of colours finer than brightness,")
    } else {
        None
    }
}

/// Whether the first decoder reads this kind.
fn is_exact(markers: &Markers<'_>, frame: &Frame) -> bool {
    let planes = frame.components.len();
    let pairs = |scan: &markers::Scan| scan.components.len() > 1 && scan.components.len() < planes;
    let sequential_pairs = !frame.is_progressive() && markers.scans.iter().any(pairs);
    planes != 4 && frame.first_is_finest() && !sequential_pairs
}

fn exactly(bytes: &[u8], frame: &Frame, limits: Limits) -> Result<DynamicImage, JpegError> {
    let limits = DecodeLimits {
        max_pixels: limits.max_pixels,
        max_memory: Some(limits.max_pixels.saturating_mul(BYTES_PER_PIXEL)),
        ..DecodeLimits::default()
    };
    let grey = frame.components.len() == 1;
    let image = Decoder::new_with_limits(bytes, limits)?
        .with_output_format(if grey { PixelFormat::Grayscale } else { PixelFormat::Rgb })
        .with_block_smoothing(true)
        .decode_image()?;
    let (width, height) = (image.width as u32, image.height as u32);
    let image = match grey {
        true => GrayImage::from_raw(width, height, image.data).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, image.data).map(DynamicImage::from),
    };
    image.ok_or(JpegError::CorruptData("its decoder gave too few pixels".to_owned()))
}

fn other(bytes: &[u8], markers: &Markers<'_>, frame: &Frame) -> Result<DynamicImage, String> {
    use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

    let mut decoder = Decoder::new(bytes);
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    // libjpeg's rules (jdapimin.c, default_decompress_parms).
    decoder.set_color_transform(match (ids.len(), markers.jfif, markers.adobe) {
        (4, _, Some(2)) => ColorTransform::YCCK,
        (4, ..) => ColorTransform::CMYK,
        (3, false, Some(0)) => ColorTransform::RGB,
        (3, false, None) if ids == *b"RGB" => ColorTransform::RGB,
        (3, ..) => ColorTransform::YCbCr,
        _ => ColorTransform::Grayscale,
    });
    let pixels = decoder.decode().map_err(clip)?;
    let format = decoder.info().map(|info| info.pixel_format);
    let image = match format {
        Some(PixelFormat::L8) => {
            GrayImage::from_raw(frame.width, frame.height, pixels).map(DynamicImage::from)
        }
        Some(PixelFormat::RGB24) => {
            RgbImage::from_raw(frame.width, frame.height, pixels).map(DynamicImage::from)
        }
        Some(PixelFormat::CMYK32) => {
            RgbImage::from_raw(frame.width, frame.height, from_cmyk(&pixels)).map(DynamicImage::from)
        }
        _ => None,
    };
    image.ok_or_else(|| "its decoder gave other pixels than its header says".to_owned())
}

/// Without a colour profile, as Pillow does it: (1 - ink)(1 - black), in steps of 1/255.
fn from_cmyk(pixels: &[u8]) -> Vec<u8> {
    let product = |a: u8, b: u8| {
        let product = u32::from(a) * u32::from(b) + 128;
        ((product + (product >> 8)) >> 8) as u8
    };
    let rgb = |&[c, m, y, k]: &[u8; 4]| [c, m, y].map(|ink| (255 - k) - product(ink, 255 - k));
    pixels.as_chunks().0.iter().flat_map(rgb).collect()
}
