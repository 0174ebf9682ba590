//! The images that the chapters' runs draw, in the form of `tests/reference/splits.json`.
//!
//! `tests/reference/lesson.py` trains on them with PyTorch. If this test fails because the draw changed on
//! purpose, write the file again and repeat the reference runs:
//!
//!     WRITE_SPLITS=1 cargo test -p frostline-lesson --test splits

mod common;

use frostline_lesson::{Assets, Task, Track};
use frostline_loader::ImageSet;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// Seeds of a study.
const SEEDS: u64 = 5;

/// For each seed the places in `sheet` of the images that the largest of `sizes` draws, in the order of the
/// draw. A smaller number of images is the first part of it, which is checked.
fn drawn(task: &Task, sheet: &ImageSet, sizes: &[usize]) -> Vec<Vec<usize>> {
    let places: HashMap<&[u8], usize> = (0..sheet.len()).rev().map(|i| (sheet.image(i), i)).collect();
    let draw = |n: usize, seed: u64| -> Vec<usize> {
        let train = task.draw(n, seed).unwrap().train;
        let place = |i: usize| {
            let place = places[train.image(i)];
            let [ours, theirs] =
                [(&train, i), (sheet, place)].map(|(set, i)| &set.classes[set.labels[i] as usize]);
            assert_eq!(ours, theirs, "{} images, seed {seed}: image {i} has another label in the sheet", n);
            place
        };
        (0..train.len()).map(place).collect()
    };
    let all = |seed: u64| {
        let largest = draw(*sizes.iter().max().unwrap(), seed);
        sizes.iter().for_each(|&n| assert_eq!(draw(n, seed), largest[..n], "{n} images, seed {seed}"));
        largest
    };
    (0..SEEDS).map(all).collect()
}

#[test]
fn the_reference_has_the_images_that_the_chapters_draw() {
    let flags = common::flags();
    let assets = Assets::default();
    let track = Track::open(&flags, &assets).unwrap();
    let entry = |task: &Task, sheet: &str, sizes: &[usize]| json!({ "sheet": sheet, "seeds": drawn(task, &assets.sheet(sheet).unwrap(), sizes) });
    let clothes = entry(&track.similar, "fashion_train", &[50, 200, 1000]);
    let digits = entry(track.different().unwrap(), "digits_train", &[50, 500]);
    let now = json!({ "clothes": clothes, "digits": digits });

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/splits.json");
    if std::env::var_os("WRITE_SPLITS").is_some() {
        std::fs::write(&file, format!("{now}\n")).unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(kept == now, "{} has other images than the chapters draw", file.display());
}
