//! Folders as streams: the same numbers as a set in memory, whichever thread decodes an image and when.

use std::fs;
use std::path::Path;

use frostline_loader::{Error, ImageFolder, ImageStream, OnCorrupt, Preprocessing, StreamOptions};

/// 3 classes of 7 images each, of many formats and sizes.
fn folder(root: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let images = [
        "noise.png",
        "wide.png",
        "decode_rgb.jpg",
        "decode_rgb.webp",
        "decode_exif6.jpg",
        "decode_cmyk.jpg",
        "decode_grey_alpha.png",
    ];
    for class in ["a", "b", "c"] {
        fs::create_dir_all(root.join(class)).unwrap();
        for image in images {
            fs::copy(golden.join(image), root.join(class).join(image)).unwrap();
        }
    }
}

/// No cache, a cache of one pixel row, and one that is more than large enough; no worker, one and many.
fn all_options() -> Vec<StreamOptions> {
    let mut all = vec![];
    for workers in [0, 1, 5] {
        for ahead in [1, 3, 100] {
            all.extend([0, 4000, 1 << 20].map(|cache_bytes| StreamOptions { workers, ahead, cache_bytes }));
        }
    }
    all
}

const BATCHES: [&[usize]; 7] =
    [&[0], &[20, 3, 3, 7], &[5, 5, 5], &[], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[3], &[19, 20, 20, 20]];

#[test]
fn a_stream_gives_the_bits_of_the_set_in_memory() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    for preprocessing in [
        Preprocessing::imagenet(20),
        Preprocessing { channels: 1, mean: vec![0.5], std: vec![0.25], ..Preprocessing::imagenet(9) },
    ] {
        let mut folder = ImageFolder::open(root.path(), OnCorrupt::Fail).unwrap();
        let set = folder.load_all(&preprocessing).unwrap();
        for options in all_options() {
            let stream = ImageStream::new(&folder, &preprocessing, options).unwrap();
            assert_eq!((stream.labels(), stream.classes()), (set.labels.as_slice(), set.classes.as_slice()));
            assert_eq!(stream.shape(), [set.height, set.width, set.channels]);
            let (mut expected, mut actual) = (vec![], vec![]);
            for (number, batch) in BATCHES.iter().enumerate() {
                set.gather(batch, &mut expected).unwrap();
                stream.gather(batch, &mut actual).unwrap();
                assert!(actual == expected, "{options:?} {batch:?}");
                // The truth, then nothing, then something else.
                match number % 3 {
                    0 => stream.expect(&BATCHES[number + 1..].concat()),
                    1 => stream.expect(&[]),
                    _ => stream.expect(&[0, 11, 12, 99]),
                }
            }
        }
    }
}

#[test]
fn what_fits_into_the_cache_is_decoded_once() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let folder = ImageFolder::open(root.path(), OnCorrupt::Fail).unwrap();
    let decoded = |cache_bytes| {
        let mut stream = ImageStream::new(
            &folder,
            &Preprocessing::imagenet(8),
            StreamOptions { workers: 2, ahead: 4, cache_bytes },
        )
        .unwrap();
        let everything: Vec<usize> = (0..21).collect();
        let mut out = vec![];
        assert_eq!(stream.check(|_| {}).unwrap().len(), 0);
        let first_half = stream.subset(&everything[..10]).unwrap();
        for _ in 0..2 {
            stream.gather(&everything, &mut out).unwrap();
            first_half.gather(&everything[..10], &mut out).unwrap();
        }
        stream.decoded()
    };
    // Once by `check`, then from the cache; without one, again in each of two epochs of 21 and 10.
    let image = 8 * 8 * 3;
    assert_eq!(decoded(21 * image), 21);
    assert_eq!(decoded(0), 21 + 2 * (21 + 10));
    // A cache that is one short of all has one image decoded again and again, and no other.
    let almost = decoded(20 * image);
    assert!((21 + 2..=21 + 4).contains(&almost), "{almost}");
}

#[test]
fn a_subset_has_its_own_order_and_labels() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let folder = ImageFolder::open(root.path(), OnCorrupt::Fail).unwrap();
    let stream = ImageStream::new(&folder, &Preprocessing::imagenet(8), StreamOptions::default()).unwrap();
    let part = stream.subset(&[20, 0, 7]).unwrap();
    assert_eq!((part.len(), part.labels()), (3, [2, 0, 1].as_slice()));
    assert_eq!(part.path(0), Some(folder.paths[20].as_path()));
    assert_eq!(part.path(3), None);
    let (mut of_part, mut of_all) = (vec![], vec![]);
    part.gather(&[2, 0], &mut of_part).unwrap();
    stream.gather(&[7, 20], &mut of_all).unwrap();
    assert_eq!(of_part, of_all);
    assert!(matches!(stream.subset(&[21]), Err(Error::IndexOutOfRange { index: 21, len: 21 })));
    assert!(matches!(part.gather(&[3], &mut of_part), Err(Error::IndexOutOfRange { index: 3, len: 3 })));
}

#[test]
fn images_that_cannot_be_decoded_are_left_out_before_training_or_named_in_it() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let damaged = root.path().join("b/noise.png");
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    let stream = |on_corrupt| {
        let folder = ImageFolder::open(root.path(), on_corrupt).unwrap();
        ImageStream::new(
            &folder,
            &Preprocessing::imagenet(8),
            StreamOptions { workers: 2, ahead: 3, cache_bytes: 0 },
        )
        .unwrap()
    };
    let named = |error: Error| {
        assert!(matches!(&error, Error::CorruptImage { path, .. } if *path == damaged), "{error}")
    };

    let mut skipping = stream(OnCorrupt::SkipWithWarning);
    let everything: Vec<usize> = (0..21).collect();
    let mut out = vec![];
    named(skipping.gather(&everything, &mut out).unwrap_err());
    let mut seen = vec![];
    let mut errors = skipping.check(|done| seen.push(done)).unwrap();
    assert_eq!(seen, (1..=21).collect::<Vec<_>>());
    assert_eq!(errors.len(), 1);
    named(errors.remove(0));
    assert_eq!(skipping.labels(), [[0; 7].as_slice(), &[1; 6], &[2; 7]].concat());
    assert!((0..20).all(|i| skipping.path(i).unwrap() != damaged));
    skipping.gather(&everything[..20], &mut out).unwrap();
    assert_eq!(out.len(), 20 * 8 * 8 * 3);

    named(stream(OnCorrupt::Fail).check(|_| {}).unwrap_err());

    for entry in fs::read_dir(root.path().join("c")).unwrap() {
        fs::write(entry.unwrap().path(), b"\x89PNG\r\n\x1a\nnot really").unwrap();
    }
    let error = stream(OnCorrupt::SkipWithWarning).check(|_| {}).unwrap_err();
    assert!(matches!(&error, Error::EmptyClass { path } if path.ends_with("c")), "{error}");
}
