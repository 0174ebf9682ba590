//! JPEGs of every kind that Pillow reads, against Pillow; `golden/jpeg.py` makes them.

use std::path::{Path, PathBuf};

use frostline_loader::{Error, RgbImage8, image};
use safetensors::SafeTensors;

/// A file, and Pillow's result for it.
struct Case {
    name: String,
    jpeg: Vec<u8>,
    expected: RgbImage8,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let names: Vec<String> =
        file.names().iter().filter_map(|name| name.strip_suffix(".jpg")).map(str::to_owned).collect();
    let case = |name: String| {
        let jpeg = file.tensor(&format!("{name}.jpg")).unwrap().data().to_vec();
        let pixels = file.tensor(&format!("{name}.rgb")).unwrap();
        let [height, width, 3] = pixels.shape() else { panic!("{name}") };
        let expected = RgbImage8::new(*width, *height, pixels.data().to_vec()).unwrap();
        Case { name, jpeg, expected }
    };
    names.into_iter().map(case).collect()
}

fn decode(jpeg: &[u8]) -> Result<RgbImage8, Error> {
    image::decode_bytes(jpeg, &PathBuf::from("odd.jpg"))
}

/// Files that libjpeg-turbo-rs does not read; jpeg-decoder's arithmetic is a little different.
fn second_decoder(name: &str) -> bool {
    ["y_cc", "yc_c", "cmyk", "11-22-22", "21-12-11"].iter().any(|kind| name.contains(kind))
}

#[test]
fn odd_jpegs_are_what_pillow_makes_of_them() {
    let cases = cases();
    let (mut equal, mut near, mut unread) = (0, 0, 0);
    for Case { name, jpeg, expected } in &cases {
        if second_decoder(name) && name.contains("arithmetic") {
            let error = decode(jpeg).unwrap_err();
            assert!(matches!(error, Error::UnreadKind { .. }), "{name}: {error}");
            assert!(error.to_string().contains("a valid JPEG, but arithmetic coding"), "{name}: {error}");
            unread += 1;
            continue;
        }
        let image = decode(jpeg).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((image.width, image.height), (expected.width, expected.height), "{name}");
        let worst = image.data.iter().zip(&expected.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        if second_decoder(name) {
            assert!(worst <= 8, "{name}: {worst} of 255 off");
            near += 1;
        } else {
            assert_eq!(worst, 0, "{name}: {worst} of 255 off");
            equal += 1;
        }
    }
    println!("{equal} equal, {near} near, {unread} refused as a kind that is not read");
    assert!(equal > 100 && near > 15 && unread == 2);
}

/// At every tenth, and a few bytes before the end: refused with the reason or, if nothing of the picture is
/// missing, read completely. Never a picture with a grey part.
#[test]
fn cut_off_jpegs_are_refused_and_never_half_read() {
    let (mut refused, mut whole) = (0, 0);
    for Case { name, jpeg, expected } in cases() {
        if name.contains("after-the-end") {
            continue;
        }
        let full = decode(&jpeg);
        let tenths = (1..10).map(|tenth| jpeg.len() * tenth / 10);
        let ends = [1, 2, 3, 4, 6, 10, 20].map(|bytes| jpeg.len() - bytes);
        for length in tenths.chain(ends) {
            match (decode(&jpeg[..length]), &full) {
                (Ok(image), Ok(full)) => {
                    assert!(image == *full, "{name}: another picture after {length} of {} bytes", jpeg.len());
                    assert!((image.width, image.height) == (expected.width, expected.height));
                    whole += 1;
                }
                (Err(error), _) => {
                    refused += 1;
                    let told = matches!(error, Error::TruncatedImage { .. } | Error::UnreadKind { .. });
                    assert!(told, "{name} after {length} of {} bytes: {error}", jpeg.len());
                }
                (Ok(_), Err(error)) => panic!("{name}: cut off it is read, whole it is not: {error}"),
            }
        }
        // One byte into the end marker and all of it: the picture is complete. Neither arithmetic coding nor
        // the second decoder detects this.
        if !second_decoder(&name)
            && !name.contains("arithmetic")
            && !name.contains("coarse")
            && !name.contains("means")
        {
            for bytes in [1, 2] {
                let image =
                    decode(&jpeg[..jpeg.len() - bytes]).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(image == *full.as_ref().unwrap(), "{name}");
            }
        }
    }
    println!("{refused} refused, {whole} whole");
    assert!(refused > 1500 && whole > 150);
}

#[test]
fn valid_kinds_that_are_not_read_are_never_called_damaged() {
    let jpeg = cases().into_iter().find(|case| case.name == "444 baseline 17x13").unwrap().jpeg;
    let frame = jpeg.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    let changed = |place: usize, byte: u8| {
        let mut jpeg = jpeg.clone();
        jpeg[frame + place] = byte;
        decode(&jpeg).unwrap_err().to_string()
    };
    for (error, word) in [
        (changed(4, 12), "more than 8 bits"),
        (changed(1, 0xc3), "lossless coding"),
        (changed(1, 0xc7), "hierarchical coding"),
        (changed(6, 0), "height that is given after the picture"),
    ] {
        assert!(error.contains("odd.jpg: a valid JPEG, but") && error.contains(word), "{error}");
        assert!(!error.contains("damaged"), "{error}");
    }
}
