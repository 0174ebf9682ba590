//! Images from practice, each with its expected result (`cases/README.md`).

use std::path::{Path, PathBuf};

use frostline_loader::{Error, FileKind, Interpolation, Preprocessing, RgbImage8, image};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

fn golden(name: &str) -> RgbImage8 {
    image::decode(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/case_{name}.png")))
        .unwrap()
}

fn worst(a: &RgbImage8, b: &RgbImage8) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.data.iter().zip(&b.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn scans_of_single_planes_with_coarse_colours_are_read() {
    assert_eq!(worst(&image::decode(case("noninterleaved.jpg")).unwrap(), &golden("noninterleaved")), 0);
    assert_eq!(worst(&image::decode(case("ni1x2.jpg")).unwrap(), &golden("ni1x2")), 0);
    // Brightness, then both colours in one scan: the other decoder.
    assert!(worst(&image::decode(case("ni_y_then_c.jpg")).unwrap(), &golden("ni_y_then_c")) <= 4);
}

#[test]
fn arithmetic_coding_is_read() {
    assert_eq!(worst(&image::decode(case("arith.jpg")).unwrap(), &golden("arith")), 0);
}

#[test]
fn cut_off_jpegs_are_refused_with_the_reason() {
    for name in ["trunc60.jpg", "prog_trunc60.jpg"] {
        let error = image::decode(case(name)).unwrap_err();
        assert!(matches!(error, Error::TruncatedImage { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("cut off"), "{error}");
    }
}

#[test]
fn a_missing_end_marker_alone_is_accepted() {
    assert_eq!(worst(&image::decode(case("no_eoi.jpg")).unwrap(), &golden("no_eoi")), 0);
    assert_eq!(worst(&golden("no_eoi"), &image::decode(case("plain.jpg")).unwrap()), 0);
}

#[test]
fn other_names_are_photos_too() {
    let plain = image::decode(case("saved.jfif")).unwrap();
    for name in ["saved.jfif", "saved.jpe", "no_extension"] {
        assert_eq!(FileKind::of(&case(name)), FileKind::Photo, "{name}");
        assert_eq!(image::decode(case(name)).unwrap(), plain, "{name}");
    }
}

#[test]
fn extreme_shapes_are_cropped_before_they_are_scaled() {
    let small = Preprocessing { resize: Some(36), ..Preprocessing::imagenet(32) };
    for name in ["4000x1", "1x4000"] {
        let image = image::decode(case(&format!("{name}.png"))).unwrap();
        assert_eq!(small.pixels(&image).unwrap(), golden(name).data, "{name}");
        // At the size of a network the whole would have 200 million pixels.
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            let usual = Preprocessing { interpolation, ..Preprocessing::imagenet(224) };
            assert_eq!(usual.pixels(&image).unwrap().len(), 224 * 224 * 3);
            assert_eq!(usual.ten_crop(&image).unwrap().len(), 10);
        }
    }
}

#[test]
fn a_png_without_its_end_is_read_and_one_without_pixels_is_not() {
    let whole = image::decode(case("ref.png")).unwrap();
    assert_eq!(image::decode(case("no_iend.png")).unwrap(), whole);
    let bytes = std::fs::read(case("ref.png")).unwrap();
    for tenth in 1..10 {
        let error =
            image::decode_bytes(&bytes[..bytes.len() * tenth / 10], Path::new("cut.png")).unwrap_err();
        assert!(matches!(error, Error::CorruptImage { .. }), "{error}");
        assert!(error.to_string().contains("cut.png"), "{error}");
    }
    for cut in 1..=12 {
        // Within the end chunk, whose bytes contain no information.
        let image = image::decode_bytes(&bytes[..bytes.len() - cut], Path::new("cut.png"));
        assert!(image.is_err() || image.unwrap() == whole, "{cut}");
    }
}

#[test]
fn twelve_bits_in_sixteen_are_not_black() {
    let image = image::decode(case("g12in16.png")).unwrap();
    assert_eq!(worst(&image, &golden("g12in16")), 0);
    let mean = image.data.iter().map(|&byte| f64::from(byte)).sum::<f64>() / image.data.len() as f64;
    assert!(mean > 100.0, "{mean}");
}

/// A grey PNG of this size; the file is small even if the image is large.
fn blank(width: u32, height: u32) -> Vec<u8> {
    let image = ::image::GrayImage::from_pixel(width, height, ::image::Luma([200]));
    let mut bytes = std::io::Cursor::new(vec![]);
    image.write_to(&mut bytes, ::image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn panoramas_up_to_pillows_limit_are_read_and_larger_ones_refused_by_it() {
    // 60,000 x 1,491: 89.46 million pixels.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panorama.png");
    std::fs::write(&path, blank(60_000, 1_491)).unwrap();
    let pixels = image::read(&path, |image| Preprocessing::imagenet(224).pixels(image)).unwrap();
    assert!(pixels.iter().all(|&byte| byte == 200) && pixels.len() == 224 * 224 * 3);
    let error = image::decode_bytes(&blank(60_000, 1_492), Path::new("wide.png")).unwrap_err().to_string();
    for part in ["wide.png", "60000x1492", "89478485 pixels"] {
        assert!(error.contains(part), "{error}");
    }
}
