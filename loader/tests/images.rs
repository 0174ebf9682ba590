//! Decoding: every kind of pixel is converted to RGB, and no bytes crash the program.

use std::path::{Path, PathBuf};

use frostline_loader::image::{self, Limits};
use frostline_loader::{Error, RgbImage8};
use proptest::prelude::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The colour in the middle of each quarter: top left, top right, bottom left, bottom right.
fn quarters(image: &RgbImage8) -> [[u8; 3]; 4] {
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| {
        let at = (image.height * y / 4 * image.width + image.width * x / 4) * 3;
        image.data[at..at + 3].try_into().unwrap()
    })
}

#[track_caller]
fn assert_quarters(name: &str, expected: [[u8; 3]; 4], tolerance: u8) {
    let image = image::decode(golden(name)).unwrap();
    let actual = quarters(&image);
    let near =
        actual.as_flattened().iter().zip(expected.as_flattened()).all(|(a, b)| a.abs_diff(*b) <= tolerance);
    assert!(near, "{name}: {actual:?}, expected {expected:?} within {tolerance}");
}

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255, 255, 255];
/// The luma of red, green, blue and white.
const GREYS: [[u8; 3]; 4] = [[76; 3], [150; 3], [29; 3], WHITE];

#[test]
fn transparent_pixels_show_white() {
    // Black at 128/255: 255 · 127/255 of white is left.
    for name in ["decode_rgba.png", "decode_rgba.webp"] {
        assert_quarters(name, [RED, GREEN, BLUE, [127; 3]], 0);
    }
    assert_quarters("decode_grey_alpha.png", [[76; 3], [150; 3], [29; 3], [127; 3]], 0);
}

#[test]
fn every_kind_of_pixel_becomes_rgb() {
    assert_quarters("decode_palette.png", [RED, GREEN, BLUE, WHITE], 0);
    assert_quarters("decode_grey.png", GREYS, 0);
    assert_quarters("decode_grey16.png", GREYS, 0);
    assert_quarters("decode_1bit.png", [[0; 3], WHITE, [0; 3], WHITE], 0);
    assert_quarters("decode_rgb.jpg", [RED, GREEN, BLUE, WHITE], 5);
    assert_quarters("decode_grey.jpg", GREYS, 5);
    assert_quarters("decode_cmyk.jpg", [RED, GREEN, BLUE, WHITE], 8);
    assert_quarters("decode_rgb.webp", [RED, GREEN, BLUE, WHITE], 30);
}

#[test]
fn a_turned_camera_makes_no_turned_picture() {
    let image = image::decode(golden("decode_exif6.jpg")).unwrap();
    assert_eq!((image.width, image.height), (24, 16));
    assert_quarters("decode_exif6.jpg", [RED, GREEN, BLUE, WHITE], 5);
}

/// The eight orientations of EXIF (tag 274), of a picture stored with red, green, blue and white.
#[test]
fn every_orientation_comes_out_upright() {
    let expected = [
        [RED, GREEN, BLUE, WHITE],
        [GREEN, RED, WHITE, BLUE],
        [WHITE, BLUE, GREEN, RED],
        [BLUE, WHITE, RED, GREEN],
        [RED, BLUE, GREEN, WHITE],
        [BLUE, RED, WHITE, GREEN],
        [WHITE, GREEN, BLUE, RED],
        [GREEN, WHITE, RED, BLUE],
    ];
    let stored = image::decode(golden("decode_rgb.jpg")).unwrap();
    assert_quarters("decode_rgb.jpg", expected[0], 5);
    let jpeg = std::fs::read(golden("decode_rgb.jpg")).unwrap();
    for (orientation, expected) in (1u8..).zip(expected) {
        let mut exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let bytes = [&jpeg[..2], &exif, &jpeg[2..]].concat();
        let image = image::decode_bytes(&bytes, Path::new("turned.jpg")).unwrap();
        let turned = orientation > 4;
        let sides = if turned { (stored.height, stored.width) } else { (stored.width, stored.height) };
        assert_eq!((image.width, image.height), sides, "orientation {orientation}");
        let actual = quarters(&image);
        let near =
            actual.as_flattened().iter().zip(expected.as_flattened()).all(|(a, b)| a.abs_diff(*b) <= 5);
        assert!(near, "orientation {orientation}: {actual:?}, expected {expected:?}");
    }
}

#[test]
fn the_name_does_not_matter_but_the_content_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.jpg");
    std::fs::copy(golden("decode_rgba.png"), &path).unwrap();
    assert!(image::decode(&path).is_ok());
    for content in [b"".as_slice(), b"hello", b"GIF89a......", b"<svg/>"] {
        std::fs::write(&path, content).unwrap();
        let error = image::decode(&path).unwrap_err();
        assert!(matches!(error, Error::UnknownImageFormat { .. }), "{error}");
        assert!(error.to_string().contains("photo.jpg"), "{error}");
    }
}

#[test]
fn a_cut_off_image_names_its_file() {
    for name in ["noise.png", "decode_rgba.webp"] {
        let bytes = std::fs::read(golden(name)).unwrap();
        let error = image::decode_bytes(&bytes[..bytes.len() / 2], Path::new("cut.x")).unwrap_err();
        assert!(matches!(error, Error::CorruptImage { .. }), "{error}");
        assert!(error.to_string().contains("cut.x"), "{error}");
    }
}

#[test]
fn an_enormous_image_is_refused_by_its_header() {
    // A valid header of 100,000 x 100,000 pixels; the checksum is right, the pixels are missing.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\x01\x86\xa0\0\x01\x86\xa0\x08\x02\0\0\0".to_vec();
    let checksum = crc32(&png[12..]);
    png.extend(checksum.to_be_bytes());
    png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    let error = image::decode_bytes(&png, Path::new("bomb.png")).unwrap_err();
    assert!(matches!(error, Error::ImageTooLarge { width: 100_000, .. }), "{error}");
    assert!(error.to_string().contains("100000x100000"), "{error}");
    assert!(error.to_string().contains("bomb.png"), "{error}");
}

/// The checksum of PNG chunks (PNG specification, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xedb8_8320 * (c & 1))))
}

#[test]
fn limits_are_counted_in_pixels_and_sides() {
    let bytes = std::fs::read(golden("noise.png")).unwrap();
    let decode =
        |max_pixels, max_side| image::decode_with(&bytes, Path::new("x"), Limits { max_pixels, max_side });
    assert!(decode(37 * 23, 37).is_ok());
    assert!(matches!(decode(37 * 23 - 1, 37), Err(Error::ImageTooLarge { .. })));
    assert!(matches!(decode(37 * 23, 36), Err(Error::ImageTooLarge { .. })));
}

#[test]
fn folders_and_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(image::decode(folder.path()), Err(Error::NotAFile { .. })));
    let error = image::decode(folder.path().join("none.png")).unwrap_err();
    assert!(error.to_string().contains("none.png"), "{error}");
}

#[cfg(unix)]
#[test]
fn an_endless_device_is_not_read() {
    assert!(matches!(image::decode("/dev/zero"), Err(Error::NotAFile { .. })));
}

const SEEDS: [&str; 8] = [
    "noise.png",
    "decode_palette.png",
    "decode_grey16.png",
    "decode_rgba.webp",
    "decode_rgb.webp",
    "decode_rgb.jpg",
    "decode_cmyk.jpg",
    "decode_exif6.jpg",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Damaged files decode or fail; in both cases the program continues, and a decoded picture is complete.
    #[test]
    fn mutated_images_never_panic(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = std::fs::read(golden(SEEDS[seed])).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let limits = Limits { max_pixels: 1 << 20, max_side: 4096 };
        if let Ok(image) = image::decode_with(&bytes, Path::new("mutated"), limits) {
            prop_assert_eq!(image.data.len(), image.width * image.height * 3);
        }
    }
}

/// A WebP with a chosen canvas: the stated sides, its image, and EXIF data of a stated length.
fn extended(canvas: [u32; 2], exif_size: u32) -> Vec<u8> {
    let simple = std::fs::read(golden("decode_rgb.webp")).unwrap();
    let mut chunks = b"WEBPVP8X\x0a\0\0\0\x08\0\0\0".to_vec();
    canvas.iter().for_each(|side| chunks.extend(&(side - 1).to_le_bytes()[..3]));
    chunks.extend(&simple[12..]);
    // Turned by 180 degrees.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0";
    chunks.extend([b"EXIF".as_slice(), &exif_size.to_le_bytes(), exif].concat());
    [b"RIFF".as_slice(), &(chunks.len() as u32).to_le_bytes(), &chunks].concat()
}

#[test]
fn a_webp_that_claims_more_than_it_has_is_refused_before_memory_is_taken() {
    let decode = |bytes: &[u8]| image::decode_bytes(bytes, Path::new("case.webp"));
    let simple = image::decode(golden("decode_rgb.webp")).unwrap();
    let sides = [simple.width as u32, simple.height as u32];
    let good = extended(sides, 26);
    assert_eq!(quarters(&decode(&good).unwrap())[3], quarters(&simple)[0], "turned by its EXIF data");
    // Bytes after the end are not part of the file.
    assert_eq!(decode(&[good.as_slice(), b"EXIF\xff\xff\xff\xff"].concat()).unwrap(), decode(&good).unwrap());

    let refused = |bytes: &[u8], reason: &str| {
        let error = decode(bytes).unwrap_err();
        assert!(
            matches!(&error, Error::CorruptImage { reason: text, .. } if text.contains(reason)),
            "{error}"
        );
    };
    refused(&extended(sides, u32::MAX - 1), "chunk EXIF should have 4294967294 bytes, but only 26 are left");
    refused(&extended([sides[0], sides[1] - 1], 26), "does not fit into its canvas");
    refused(&extended([sides[0] - 1, sides[1]], 26), "does not fit into its canvas");
}
