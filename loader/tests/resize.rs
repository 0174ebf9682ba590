//! Scaling and cropping, bit for bit against Pillow and torchvision (`golden/make.py`).

use std::path::{Path, PathBuf};

use frostline_loader::resize::{
    Interpolation, center_crop, resize_bilinear, resize_by, resize_interleaved, resize_shorter_side,
};
use frostline_loader::{Error, Preprocessing, RgbImage8, image};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    source: String,
    expected: String,
    op: String,
    #[serde(default)]
    width: usize,
    #[serde(default)]
    height: usize,
    #[serde(default)]
    size: usize,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn load(name: &str) -> RgbImage8 {
    image::decode(golden(name)).unwrap()
}

#[test]
fn equal_to_pillow_and_torchvision() {
    let cases = std::fs::read(golden("resize.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    assert_eq!(cases.len(), 33);
    for case in cases {
        let source = load(&case.source);
        let actual = match case.op.as_str() {
            "resize" => resize_bilinear(&source, case.width, case.height),
            "shorter_side" => resize_shorter_side(&source, case.size),
            "bicubic" => {
                let (from, to) = ((source.width, source.height), (case.width, case.height));
                resize_by(Interpolation::Bicubic, &source.data, 3, from, to)
                    .and_then(|data| RgbImage8::new(to.0, to.1, data))
            }
            "center_crop" => center_crop(&source, case.width, case.height),
            other => panic!("unknown operation {other}"),
        };
        let (actual, expected) = (actual.unwrap(), load(&case.expected));
        let size = |image: &RgbImage8| (image.width, image.height);
        assert_eq!(size(&actual), size(&expected), "{}", case.expected);
        let differing = actual.data.iter().zip(&expected.data).position(|(a, b)| a != b);
        assert_eq!(differing, None, "first differing byte of {}", case.expected);
    }
}

#[test]
fn one_channel_is_scaled_like_three_equal_ones() {
    let grey = load("grey.png");
    let one: Vec<u8> = grey.data.chunks(3).map(|pixel| pixel[0]).collect();
    let scaled = resize_interleaved(&one, 1, (grey.width, grey.height), (28, 28)).unwrap();
    let expected: Vec<u8> = load("grey_resize_28x28.png").data.chunks(3).map(|pixel| pixel[0]).collect();
    assert_eq!(scaled, expected);
}

/// Views by hand: a 3 × 2 image, 1 × 1 crops.
#[test]
fn ten_crop_takes_the_corners_the_middle_and_their_mirrors() {
    let image = RgbImage8::new(3, 2, (0..18).collect()).unwrap();
    let whole = Preprocessing { resize: None, ..Preprocessing::imagenet(2) };
    let views = whole.ten_crop(&image).unwrap();
    let (left, right) =
        ([0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14], [3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17]);
    assert_eq!(views.len(), 10);
    assert_eq!(views[..4], [left, right, left, right]);
    assert_eq!(views[4], whole.pixels(&image).unwrap());
    assert_eq!(views[5], [3, 4, 5, 0, 1, 2, 12, 13, 14, 9, 10, 11]);
    assert_eq!(views[9].len(), 12);
    // Too small for the crop: black around it, and every view is complete.
    let large = Preprocessing { resize: None, ..Preprocessing::imagenet(5) };
    assert!(large.ten_crop(&image).unwrap().iter().all(|view| view.len() == 75));
    assert_eq!(large.ten_crop(&image).unwrap()[0], large.pixels(&image).unwrap());
}

/// Only the crop is scaled: the same bits as of the crop out of the whole, for shrinking, enlarging, odd
/// margins and images that are smaller than the crop.
#[test]
fn a_part_is_scaled_as_the_whole_is() {
    for name in ["noise.png", "wide.png", "column.png"] {
        let source = load(name);
        for (resize, crop) in
            [(Some(20), 16), (Some(33), 32), (Some(9), 16), (Some(90), 61), (None, 30), (None, 17)]
        {
            let settings = Preprocessing { resize, ..Preprocessing::imagenet(crop) };
            let whole = resize.map_or(source.clone(), |side| resize_shorter_side(&source, side).unwrap());
            let expected = center_crop(&whole, crop, crop).unwrap();
            assert_eq!(settings.pixels(&source).unwrap(), expected.data, "{name}, {resize:?}, {crop}");
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let image = load("noise.png");
    for (width, height) in [(0, 5), (5, 0), (usize::MAX, 2), (1 << 20, 1 << 20)] {
        let error = resize_bilinear(&image, width, height).unwrap_err();
        assert!(matches!(error, Error::ResizeSize { .. }), "{error}");
    }
    assert!(center_crop(&image, usize::MAX, usize::MAX).is_err());
    let empty = RgbImage8::new(0, 0, vec![]).unwrap();
    assert!(resize_shorter_side(&empty, 4).is_err());
    let short = RgbImage8 { width: 4, height: 4, data: vec![0; 47] };
    assert!(matches!(resize_bilinear(&short, 2, 2), Err(Error::PixelCount { actual: 47, .. })));
    // A hair-thin image would become enormous when its short side is scaled up.
    let hair = RgbImage8::new(1, 65_535, vec![0; 3 * 65_535]).unwrap();
    assert!(matches!(resize_shorter_side(&hair, 256), Err(Error::ResizeSize { .. })));
}

#[test]
fn normalisation_has_torchs_bits() {
    let pixels = (0..=255).flat_map(|byte| [byte; 3]).collect();
    let image = RgbImage8::new(16, 16, pixels).unwrap();
    let preprocessing = Preprocessing { resize: None, ..Preprocessing::imagenet(16) };
    let actual = preprocessing.apply(&image).unwrap();
    let expected = std::fs::read(golden("normalize.bin")).unwrap();
    let expected: Vec<f32> = expected.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
    assert_eq!(actual, expected);
}

#[test]
fn grey_has_pillows_bits() {
    let preprocessing = Preprocessing {
        resize: None,
        channels: 1,
        mean: vec![0.0],
        std: vec![1.0],
        ..Preprocessing::imagenet(37)
    };
    let pixels = preprocessing.pixels(&load("noise.png")).unwrap();
    // 37 wide and 23 high: seven black rows above, seven below.
    let expected = std::fs::read(golden("grey.bin")).unwrap();
    assert_eq!(pixels[7 * 37..30 * 37], expected);
    assert!(pixels[..7 * 37].iter().chain(&pixels[30 * 37..]).all(|&p| p == 0));
}

#[test]
fn presets_are_what_the_papers_say() {
    let imagenet = Preprocessing::imagenet(224);
    assert_eq!((imagenet.resize, imagenet.crop), (Some(256), 224));
    let grey = RgbImage8::new(2, 2, vec![127; 12]).unwrap();
    let lite = Preprocessing::efficientnet_lite(2).apply(&grey).unwrap();
    assert_eq!(lite.len(), 12);
    // (255 · 127/255 - 127) / 128
    assert!(lite.iter().all(|value| value.abs() < 1e-7), "{lite:?}");
}

#[test]
fn impossible_settings_are_refused() {
    let good = Preprocessing::imagenet(8);
    let image = load("noise.png");
    assert!(good.apply(&image).is_ok());
    let bad = [
        Preprocessing { crop: 0, ..good.clone() },
        Preprocessing { crop: usize::MAX, ..good.clone() },
        Preprocessing { resize: Some(0), ..good.clone() },
        Preprocessing { resize: Some(1 << 40), ..good.clone() },
        Preprocessing { channels: 2, ..good.clone() },
        Preprocessing { channels: 1, ..good.clone() },
        Preprocessing { mean: vec![0.5; 2], ..good.clone() },
        Preprocessing { mean: vec![f32::NAN; 3], ..good.clone() },
        Preprocessing { std: vec![0.0; 3], ..good.clone() },
        Preprocessing { std: vec![-1.0; 3], ..good.clone() },
        Preprocessing { std: vec![f32::INFINITY; 3], ..good.clone() },
    ];
    for preprocessing in bad {
        let error = preprocessing.apply(&image).unwrap_err();
        assert!(matches!(error, Error::Preprocessing { .. }), "{error}");
    }
}

/// A photo that is white inside its frame and black outside: the network gets only white, and black borders
/// where the frame exceeds the photo.
#[test]
fn the_frame_is_what_the_network_sees() {
    let settings = |resize, crop| Preprocessing { resize, ..Preprocessing::imagenet(crop) };
    // Without scaling, whose filter would smear the edges.
    for (crop, width, height) in [(40, 90, 61), (41, 90, 60), (50, 90, 40)] {
        let settings = settings(None, crop);
        let frame = settings.frame(width, height);
        let inside = |at: usize, side: usize, begin: f64, share: f64| {
            let middle = (at as f64 + 0.5) / side as f64;
            begin < middle && middle < begin + share
        };
        let data = (0..width * height).flat_map(|i| {
            let (x, y) = (i % width, i / width);
            let white =
                inside(x, width, frame.left, frame.width) && inside(y, height, frame.top, frame.height);
            [if white { 255 } else { 0 }; 3]
        });
        let photo = RgbImage8::new(width, height, data.collect()).unwrap();
        let seen = settings.pixels(&photo).unwrap();
        let borders = crop.saturating_sub(height) * crop;
        let black = seen.iter().filter(|&&byte| byte == 0).count() / 3;
        let white = seen.iter().filter(|&&byte| byte == 255).count() / 3;
        assert_eq!((white, black), (crop * crop - borders, borders), "{crop} of {width}x{height}");
        assert_eq!(
            photo.data.iter().filter(|&&byte| byte == 255).count() / 3,
            white,
            "all that is white is seen"
        );
    }
    let frame = settings(Some(50), 40).frame(200, 100);
    assert_eq!([frame.left, frame.top, frame.width, frame.height], [0.3, 0.1, 0.4, 0.8]);
    let frame = settings(Some(224), 224).frame(3000, 4000);
    assert_eq!([frame.left, frame.width], [0.0, 1.0]);
    assert!((frame.top - 37.0 / 298.0).abs() < 1e-12 && (frame.height - 224.0 / 298.0).abs() < 1e-12);
}
