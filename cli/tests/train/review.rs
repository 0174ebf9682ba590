//! The page of photos to look at, and event files for TensorBoard.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Place, SHORT, bytes, text};

/// Copies the embedded photos into `photos/`, with some of them in a wrong class; the names of these.
fn embedded_photos_with_mistakes(place: &Place) -> Vec<String> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/photos");
    let classes = ["animal", "fish", "household", "monument", "tool", "windmill"];
    let mut moved = vec![];
    for (i, class) in classes.iter().enumerate() {
        let files = fs::read_dir(assets.join(class)).unwrap().map(|entry| entry.unwrap().path());
        let mut photos: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "jpg")).collect();
        photos.sort();
        for (n, photo) in photos.iter().enumerate() {
            // Two of each class go into the next class.
            let wrong = n == 3 || n == 9;
            let to = place.path("photos").join(classes[(i + usize::from(wrong)) % classes.len()]);
            let name = format!("{class}-{}", photo.file_name().unwrap().to_str().unwrap());
            fs::create_dir_all(&to).unwrap();
            fs::copy(photo, to.join(&name)).unwrap();
            if wrong {
                moved.push(name);
            }
        }
    }
    moved
}

#[test]
fn photos_in_a_wrong_folder_are_found() {
    let place = Place(tempfile::tempdir().unwrap());
    let moved = embedded_photos_with_mistakes(&place);
    let told = place.good("train photos --freeze-below fc --out run");
    let mut table = csv::Reader::from_path(place.path("run/review.csv")).unwrap();
    assert_eq!(table.headers().unwrap(), vec!["path", "label", "suggested", "p_label", "p_suggested"]);
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let name = |row: &csv::StringRecord| Path::new(&row[0]).file_name().unwrap().to_str().unwrap().to_owned();
    let listed: Vec<String> = rows.iter().map(name).collect();
    let found = moved.iter().filter(|name| listed.contains(name)).count();
    let (photos, false_alarms) = (147, listed.len() - found);
    // Measured: 10 found and 5 false alarms. Windmills and household things are few and hard.
    assert!(found >= 9 && false_alarms <= 10, "{found} of {}, {false_alarms}: {listed:?}", moved.len());
    for row in &rows {
        let path = Path::new(&row[0]);
        assert!(path.is_file() && path.parent().unwrap().ends_with(&row[1]) && row[2] != row[1], "{row:?}");
    }
    // The class in the name of a photo that was moved is the right one.
    let righted =
        |row: &&csv::StringRecord| moved.contains(&name(row)) && name(row).split('-').next() == Some(&row[2]);
    let righted = rows.iter().filter(righted).count();
    assert!(righted + 2 >= found, "{righted} of {found}: {rows:?}");
    assert!(
        told.contains(&format!("{} photos may have a wrong label: see run/review.html", listed.len())),
        "{told}"
    );
    let report: Value = serde_json::from_slice(&bytes(&place.path("run/report.json"))).unwrap();
    assert_eq!(report["label_issues"], listed.len());

    let page = text(&bytes(&place.path("run/review.html")));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    let listed_on_page = rows.iter().take(36).filter(|row| page.contains(&name(row))).count();
    assert_eq!(listed_on_page, rows.len().min(36));
    assert!(page.contains(&format!("{} of {photos} photos are listed", listed.len())));
    let mistakes = report["images"].as_u64().unwrap() - report["right"].as_u64().unwrap();
    assert_eq!(
        page.matches("src=\"data:image/jpeg;base64,").count() as u64,
        mistakes.min(24) + rows.len().min(36) as u64
    );
    for outside in ["http://", "https://", "<script"] {
        assert!(!page.contains(outside), "the page needs nothing else: {outside}");
    }
}

#[test]
fn a_resumed_run_looks_at_its_photos_again() {
    let place = Place::new(10);
    place.weights();
    let wrong = place.path("photos/red/wrong.png");
    fs::rename(place.path("photos/blue/03.png"), &wrong).unwrap();
    place.good(&format!("train photos {SHORT} --epochs 2 --out run"));
    let files = ["review.html", "review.csv"].map(|name| place.path("run").join(name));
    let before = files.clone().map(|file| text(&bytes(&file)));
    assert!(before[1].contains(&format!("{},red,blue,", wrong.display())), "{}", before[1]);
    assert!(before[0].contains("red, or blue?"), "{}", before[0]);
    for file in files.iter().chain([&place.path("run/report.json")]) {
        fs::remove_file(file).unwrap();
    }
    let told = place.good("train --resume run");
    assert!(told.contains("may have a wrong label: see run/review.html"), "{told}");
    assert!(files.map(|file| text(&bytes(&file))) == before);
}

#[test]
fn without_a_probe_labels_are_not_checked() {
    let place = Place::new(6);
    place.weights();
    let told = place.good(&format!("train photos {SHORT} --epochs 1 --no-probe --out run --json"));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["report"]["label_issues"], Value::Null);
    let page = text(&bytes(&place.path("run/review.html")));
    assert!(page.contains("Labels were not checked") && page.contains("Worst mistakes"), "{page}");
    assert!(!place.path("run/review.csv").exists());
}

#[test]
fn an_evaluation_makes_a_page_of_its_mistakes() {
    let place = Place::new(6);
    place.weights();
    place.good("train photos --weights weights.safetensors --freeze-below fc --out run");
    // Blue photos that are called red are mistakes.
    place.photos(&place.path("new/red"), 0, 2);
    place.photos(&place.path("new/green"), 1, 2);
    let told = place.good("evaluate run new --page mistakes.html --json");
    let wrong = 4 - serde_json::from_str::<Value>(&told).unwrap()["right"].as_u64().unwrap();
    assert!(wrong >= 2, "{told}");
    let page = text(&bytes(&place.path("mistakes.html")));
    assert_eq!(page.matches("<figure>").count() as u64, wrong, "{page}");
    assert!(page.contains("red → blue") && page.contains("red/00.png"), "{page}");
    let said = place.bad(1, "evaluate run new --page nowhere/mistakes.html");
    assert!(said.contains("nowhere/mistakes.html"), "{said}");
    // A page replaces an older one, and nothing else.
    place.good("evaluate run new --page mistakes.html");
    let model = bytes(&place.path("run/best.safetensors"));
    for taken in ["run/best.safetensors", "new/red/00.png", "new"] {
        let said = place.bad(1, &format!("evaluate run new --page {taken}"));
        assert!(said.contains(taken) && said.contains("another name"), "{said}");
    }
    assert_eq!(bytes(&place.path("run/best.safetensors")), model);
}

/// The records of an event file, checked with a CRC-32C bit by bit, as (length, data).
fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
    let crc = |data: &[u8]| {
        let bit = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
    };
    let masked =
        |data: &[u8]| ((crc(data) >> 15) | (crc(data) << 17)).wrapping_add(0xa282_ead8).to_le_bytes();
    let mut records = vec![];
    while !file.is_empty() {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let data = &file[12..12 + length];
        assert_eq!(
            (&file[8..12], &file[12 + length..16 + length]),
            (&masked(&file[..8])[..], &masked(data)[..])
        );
        records.push(data.to_vec());
        file = &file[16 + length..];
    }
    records
}

#[test]
fn tensorboard_gets_every_line_of_the_metrics_once() {
    let place = Place::new(6);
    place.weights();
    let events = "run/events.out.tfevents.frostline";
    let mut child = crate::claims::start(
        &place,
        "train photos --weights weights.safetensors --batch 4 --bn batch --lr 0.02 --epochs 2000 --early-stop 3 \
         --tensorboard --out run",
    );
    // Live, before the run is over.
    crate::claims::wait_until("second evaluation", || {
        fs::read(place.path(events))
            .is_ok_and(|file| file.windows(8).filter(|w| w == b"val_loss").count() > 1)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    place.good("train --resume run");
    let metrics = text(&bytes(&place.path("run/metrics.jsonl")));
    let records = records(&bytes(&place.path(events)));
    assert_eq!(records.len(), 1 + metrics.lines().count());
    assert!(records[0].ends_with(b"brain.Event:2"));
    for (record, line) in records[1..].iter().zip(metrics.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        for name in ["lr", "loss", "accuracy", "val_loss", "val_accuracy"] {
            // A field with the name, and after it one (2, 32 bits) with the value.
            let field = [&[0x0a, name.len() as u8], name.as_bytes(), &[0x15]].concat();
            let place = record.windows(field.len()).position(|window| window == field);
            let value =
                place.map(|at| f32::from_le_bytes(record[at + field.len()..][..4].try_into().unwrap()));
            assert_eq!(value, line[name].as_f64().map(|value| value as f32), "{name} of {line}");
        }
    }
    assert!(text(&bytes(&place.path("run/README.md"))).contains("events.out.tfevents.frostline"));
    let whole = records.len();

    // Requested when the run is finished, and when it is resumed.
    fs::remove_file(place.path(events)).unwrap();
    assert!(
        place.good("train --resume run --tensorboard").contains("was written, and nothing else was changed")
    );
    assert_eq!(self::records(&bytes(&place.path(events))).len(), whole);
    fs::remove_file(place.path(events)).unwrap();
    let mut child = crate::claims::start(
        &place,
        "train photos --weights weights.safetensors --batch 4 --bn batch --lr 0.02 --epochs 2000 --early-stop 3 \
         --out later",
    );
    crate::claims::wait_until("checkpoint", || place.path("later/last.safetensors").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    place.good("train --resume later --tensorboard");
    let later = self::records(&bytes(&place.path("later/events.out.tfevents.frostline")));
    let metrics = text(&bytes(&place.path("later/metrics.jsonl")));
    assert_eq!(later.len(), 1 + metrics.lines().count(), "those before it was resumed as well");
    place.good(&format!("train photos {SHORT} --epochs 1 --out other"));
    assert!(!place.path("other/events.out.tfevents.frostline").exists(), "only for those who ask");
}
