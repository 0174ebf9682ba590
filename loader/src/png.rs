//! PNG files whose end is missing, whose palette is damaged, or whose values do not fill their bits.

use std::borrow::Cow;

use ::image::{DynamicImage, GrayImage};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const END: &[u8] = b"\0\0\0\0IEND\xaeB`\x82";
/// Bytes of a chunk's length, name and checksum.
const AROUND: usize = 12;

/// The file with its end chunk, if only that is missing: all pixels are there, and Pillow reads it. Other
/// files as they are; the decoder reports other missing parts.
///
/// # Errors
/// With the reason, for a palette that is not a list of colours: the decoder panics on such a palette
/// (`frostline-fuzz` found it).
pub(crate) fn checked(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let Some(mut rest) = bytes.strip_prefix(SIGNATURE) else { return Ok(Cow::Borrowed(bytes)) };
    while let Some((length, named)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        if named.starts_with(b"PLTE") && !length.is_multiple_of(3) {
            return Err(format!("its palette has {length} bytes, which is not a multiple of three"));
        }
        let next = length.checked_add(AROUND).and_then(|whole| rest.get(whole..));
        match next {
            Some(next) if !named.starts_with(b"IEND") => rest = next,
            _ => return Ok(Cow::Borrowed(bytes)),
        }
    }
    Ok(if rest.is_empty() { Cow::Owned([bytes, END].concat()) } else { Cow::Borrowed(bytes) })
}

/// The largest value of 12 bits, the depth of microscopes' and other instruments' sensors.
const TWELVE_BITS: u16 = 4095;
const EIGHT_BITS: u16 = 255;

/// Grey images of 16 bits whose values fit into 12 or 8 bits come from a sensor of that depth: black to white
/// is 0 to 4095 or 255. Read as 16 bits, the picture would be black. Other images are unchanged.
pub(crate) fn in_full_range(image: DynamicImage) -> DynamicImage {
    let DynamicImage::ImageLuma16(grey) = &image else { return image };
    let white = match grey.iter().max() {
        Some(0) | None => return image,
        Some(..=EIGHT_BITS) => EIGHT_BITS,
        Some(..=TWELVE_BITS) => TWELVE_BITS,
        Some(_) => return image,
    };
    let (from, to) = (u32::from(white), u32::from(EIGHT_BITS));
    let bytes = grey.iter().map(|&value| ((u32::from(value) * to + from / 2) / from) as u8).collect();
    let (width, height) = grey.dimensions();
    GrayImage::from_raw(width, height, bytes).map_or(image, DynamicImage::from)
}
