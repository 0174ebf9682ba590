//! predict, evaluate and features.

use std::fs;
use std::path::Path;

use frostline_loader::safetensors;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{CLASSES, PHOTOS, TRAINED, command, frostline};

fn top(row: &Value) -> (&str, f64) {
    let best = &row["predictions"][0];
    (best["class"].as_str().unwrap(), best["probability"].as_f64().unwrap())
}

#[test]
fn predict_knows_every_photo_of_a_folder() {
    let rows = frostline(["predict", &TRAINED.model(), &TRAINED.photos(), "--json"]).json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), CLASSES.len() * PHOTOS);
    for row in rows {
        let colour = Path::new(row["image"].as_str().unwrap())
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        let (class, probability) = top(row);
        assert_eq!(class, colour);
        let all: f64 = row["predictions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["probability"].as_f64().unwrap())
            .sum();
        assert!(probability > 1.0 / 3.0 && (all - 1.0).abs() < 1e-6, "{row}");
    }
}

#[test]
fn predictions_are_files_for_other_programs_too() {
    let folder = tempdir().unwrap();
    let [csv, jsonl] = ["a.csv", "a.jsonl"].map(|name| folder.path().join(name).display().to_string());
    let (model, photos) = (TRAINED.model(), TRAINED.photos());
    let arguments = ["predict", &model, &photos, "--csv", &csv, "--jsonl", &jsonl];
    let printed = frostline(arguments).text();
    let table = fs::read_to_string(&csv).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["image", "class", "probability", "error", "blue", "green", "red"]);
    assert_eq!(rows.len(), 1 + CLASSES.len() * PHOTOS);
    for (row, line) in rows[1..].iter().zip(printed.lines()) {
        let all: Vec<f64> = row[4..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{row:?}");
        let place = CLASSES.iter().position(|class| *class == row[1]).unwrap();
        assert_eq!(row[2].parse::<f64>().unwrap(), all[place]);
        assert!(line.starts_with(&format!("{}: {} ", row[0], row[1])), "{line}");
    }
    let lines = fs::read_to_string(&jsonl).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), CLASSES.len() * PHOTOS);
    assert!(lines.iter().all(|line| line["predictions"].as_array().unwrap().len() == CLASSES.len()));

    frostline(arguments).error(&["a.csv", "--force"]);
    frostline(arguments.into_iter().chain(["--force"])).text();
}

#[test]
fn predict_tells_people_a_line_a_photo() {
    let photo = format!("{}/red/0.png", TRAINED.photos());
    let text = frostline(["predict", &TRAINED.model(), &photo, "--top", "1"]).text();
    assert!(text.starts_with(&format!("{photo}: red ")) && text.trim_end().ends_with('%'), "{text}");
    assert_eq!(text.lines().count(), 1);
    let three = frostline(["predict", &TRAINED.model(), &photo]).text();
    assert!(CLASSES.iter().all(|class| three.contains(class)), "{three}");
}

/// Ten views of a photo are other images than the photo, with the same colour in the middle of them.
#[test]
fn test_time_augmentation_is_another_look_at_the_same_photo() {
    let photo = format!("{}/green/1.png", TRAINED.photos());
    let [one, ten] = [&["--json"][..], &["--json", "--tta"]].map(|flags| {
        let arguments = ["predict", &TRAINED.model(), &photo].map(str::to_owned).into_iter();
        frostline(arguments.chain(flags.iter().map(|flag| (*flag).to_owned()))).json()
    });
    assert_eq!((top(&one[0]).0, top(&ten[0]).0), ("green", "green"));
    assert_ne!(top(&one[0]).1, top(&ten[0]).1);
}

/// Unreadable photos are reported, the others are predicted, and the exit code is an error.
#[test]
fn predict_goes_on_after_a_photo_that_cannot_be_read() {
    let folder = tempdir().unwrap();
    let (broken, absent) = (folder.path().join("broken.png"), folder.path().join("absent.jpg"));
    fs::write(&broken, "no picture").unwrap();
    let photo = format!("{}/blue/2.png", TRAINED.photos());
    let paths = [broken.to_str().unwrap(), &photo, absent.to_str().unwrap()];
    let ran = frostline(["predict", &TRAINED.model()].into_iter().chain(paths));
    assert!(ran.stdout.starts_with(&photo) && ran.stdout.lines().count() == 1, "{}", ran.stdout);
    ran.error(&["broken.png", "absent.jpg", "2 of 3 photos"]);
    let ran = frostline(["predict", &TRAINED.model(), "--json"].into_iter().chain(paths));
    let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(
        rows[0]["error"].is_string() && rows[2]["error"].is_string() && top(&rows[1]).0 == "blue",
        "{rows}"
    );
    ran.error(&["broken.png"]);
}

/// Weights so large that the logits overflow: no class is named, and evaluation counts each photo as wrong.
#[test]
fn an_output_that_is_not_a_number_is_of_no_class() {
    let folder = tempdir().unwrap();
    let huge = folder.path().join("huge.safetensors");
    let mut file = safetensors::read(TRAINED.model()).unwrap();
    let (_, bias) = file.tensors.iter_mut().find(|(name, _)| name.ends_with("fc.bias")).unwrap();
    bias.data.fill(3e38);
    let (_, weight) = file.tensors.iter_mut().find(|(name, _)| name.ends_with("fc.weight")).unwrap();
    weight.data.fill(3e38);
    safetensors::write(&huge, &file.tensors, &file.metadata, safetensors::Dtype::F32).unwrap();
    let (huge, photo) = (huge.to_str().unwrap(), format!("{}/red/0.png", TRAINED.photos()));
    let ran = frostline(["predict", huge, &photo]);
    assert_eq!(ran.stdout, "");
    ran.error(&[&photo, "not a number", "1 of 1 photos"]);
    let ran = frostline(["predict", huge, &photo, "--json"]);
    let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(
        rows[0]["error"].as_str().unwrap().contains("not a number") && rows[0]["predictions"].is_null(),
        "{rows}"
    );
    let ran = frostline(["evaluate", huge, &TRAINED.photos(), "--json"]);
    assert_eq!(ran.stderr.matches("counts as wrong").count(), CLASSES.len() * PHOTOS, "{}", ran.stderr);
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    let photos = CLASSES.len() * PHOTOS;
    assert_eq!(
        (&value["right"], &value["photos"], &value["not_a_number"]),
        (&0.into(), &photos.into(), &photos.into())
    );
    ran.error(&["not a number for 18 of 18 photos"]);
}

#[test]
fn a_run_folder_is_a_model_too() {
    let run = tempdir().unwrap();
    fs::copy(TRAINED.model(), run.path().join("best.safetensors")).unwrap();
    let photo = format!("{}/red/3.png", TRAINED.photos());
    let text = frostline(["predict", run.path().to_str().unwrap(), &photo]).text();
    assert!(text.contains(": red "), "{text}");
}

#[test]
fn what_is_no_model_or_no_photo_is_named() {
    let folder = tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    frostline(["predict", &TRAINED.model(), empty]).error(&[empty, "no photos"]);
    frostline(["predict", empty, &TRAINED.photos()]).error(&[empty, "no model here"]);
    frostline(["predict", "absent.safetensors", &TRAINED.photos()])
        .error(&["absent.safetensors", "no model here"]);
    let text = folder.path().join("notes.safetensors");
    fs::write(&text, "not weights").unwrap();
    frostline(["predict", text.to_str().unwrap(), &TRAINED.photos()]).error(&["notes.safetensors"]);
}

#[test]
fn evaluate_counts_by_class() {
    let found = frostline(["evaluate", &TRAINED.model(), &TRAINED.photos(), "--json"]).json();
    let n = (CLASSES.len() * PHOTOS) as u64;
    assert_eq!(
        (found["photos"].as_u64(), found["right"].as_u64(), found["accuracy"].as_f64()),
        (Some(n), Some(n), Some(1.0))
    );
    assert_eq!(found["interval"][1], 1.0);
    let low = found["interval"][0].as_f64().unwrap();
    assert!((low - 0.8241).abs() < 1e-4, "Wilson's interval of 18 of 18 begins at 82.4 %: {low}");
    for (class, name) in CLASSES.iter().enumerate() {
        assert_eq!(
            (found["classes"][class]["class"].as_str(), &found["confusion"][class][class]),
            (Some(*name), &Value::from(PHOTOS))
        );
    }
    assert!(found["loss"].as_f64().unwrap() < 1.0986, "better than chance");
    let text = frostline(["evaluate", &TRAINED.model(), &TRAINED.photos()]).text();
    assert!(text.starts_with("accuracy 100.0 % (82.4 to 100.0) of 18 photos; loss "), "{text}");
}

/// Folders are matched with the model's classes by name, in any order.
#[test]
fn evaluate_asks_for_classes_that_the_model_has() {
    let folder = tempdir().unwrap();
    for (from, to) in [("blue", "blue"), ("red", "red")] {
        fs::create_dir(folder.path().join(to)).unwrap();
        fs::copy(format!("{}/{from}/0.png", TRAINED.photos()), folder.path().join(to).join("0.png")).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let ran = frostline(["evaluate", &TRAINED.model(), path, "--json"]);
    assert!(ran.stderr.contains("no photos of green"), "{}", ran.stderr);
    let found = ran.json();
    assert_eq!(
        (found["right"].as_u64(), &found["classes"][1]["photos"], &found["confusion"][2][2]),
        (Some(2), &Value::from(0), &Value::from(1))
    );

    fs::rename(folder.path().join("red"), folder.path().join("Rot")).unwrap();
    frostline(["evaluate", &TRAINED.model(), path]).error(&["Rot", "blue, green, red"]);
    frostline(["evaluate", &TRAINED.model(), "absent"]).error(&["absent"]);
}

#[test]
fn features_are_a_file_that_says_what_it_holds() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("features.safetensors");
    let arguments = ["features", &TRAINED.model(), &TRAINED.photos(), "-o", out.to_str().unwrap()];
    let text = frostline(arguments).text();
    assert!(text.contains("(18, 32)"), "four times eight channels: {text}");
    let file = safetensors::read(&out).unwrap();
    assert_eq!(file.tensors["features"].shape, [18, 32]);
    assert_eq!(file.tensors["labels"].data, (0..18).map(|i| (i / PHOTOS) as f32).collect::<Vec<f32>>());
    let list = |key: &str| serde_json::from_str::<Vec<String>>(&file.metadata[key]).unwrap();
    assert_eq!(list("classes"), CLASSES);
    assert!(list("files")[17].ends_with("red/5.png"), "{:?}", list("files"));

    let before = fs::read(&out).unwrap();
    frostline(arguments).error(&["features.safetensors", "--force"]);
    assert_eq!(fs::read(&out).unwrap(), before);
    let logits = frostline(arguments.into_iter().chain(["--force", "--stage", "fc", "--json"])).json();
    assert_eq!(logits["shape"], serde_json::json!([18, 3]));
    frostline(arguments.into_iter().chain(["--force", "--stage", "layer9"])).error(&["layer9", "layer4"]);
}

/// Features need no last layer: the embedded bodies have none.
#[test]
fn weights_without_a_head_give_features_and_no_predictions() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("features.safetensors");
    frostline(["features", "embedded-resnet10", &TRAINED.photos(), "-o", out.to_str().unwrap()]);
    let file = safetensors::read(&out).unwrap();
    assert_eq!(file.tensors["features"].shape, [18, 256]);
    frostline(["predict", "embedded-resnet10", &TRAINED.photos()])
        .error(&["embedded-resnet10", "frostline train --weights embedded-resnet10"]);
}

fn loader_case(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../loader/tests/cases").join(name)
}

/// The trained photos in this folder, class folders as they are.
fn copied(to: &Path, classes: &[&str]) {
    for class in classes {
        fs::create_dir_all(to.join(class)).unwrap();
        for entry in fs::read_dir(Path::new(&TRAINED.photos()).join(class)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(class).join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn predict_takes_the_files_that_train_takes() {
    let folder = tempdir().unwrap();
    for name in ["saved.jfif", "saved.jpe", "no_extension", "4000x1.png", "no_iend.png"] {
        fs::copy(loader_case(name), folder.path().join(name)).unwrap();
    }
    for junk in ["__MACOSX/plain.jpg", "@eaDir/plain.jpg", ".ipynb_checkpoints/plain.jpg"] {
        let path = folder.path().join(junk);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(loader_case("plain.jpg"), path).unwrap();
    }
    fs::write(folder.path().join("notes"), "text").unwrap();
    fs::write(folder.path().join("a.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    let ran = frostline(["predict", &TRAINED.model(), &folder.path().display().to_string(), "--json"]);
    assert!(ran.stderr.contains("skipped 1 HEIC photo: a.heic"), "{}", ran.stderr);
    let rows = ran.json();
    let name = |row: &Value| Path::new(row["image"].as_str().unwrap()).file_name().unwrap().to_owned();
    let names: Vec<_> = rows.as_array().unwrap().iter().map(name).collect();
    assert_eq!(names, ["4000x1.png", "no_extension", "no_iend.png", "saved.jfif", "saved.jpe"]);
}

#[test]
fn a_cut_off_photo_is_an_error_of_predict() {
    for name in ["trunc60.jpg", "prog_trunc60.jpg"] {
        let photo = loader_case(name).display().to_string();
        frostline(["predict", &TRAINED.model(), &photo]).error(&[name, "was cut off"]);
    }
}

#[test]
fn evaluate_takes_the_folder_that_train_took() {
    let folder = tempdir().unwrap();
    let dir = folder.path().display().to_string();
    copied(&folder.path().join("train"), &CLASSES);
    copied(&folder.path().join("val"), &CLASSES[..2]);
    let ran = frostline(["evaluate", &TRAINED.model(), &dir, "--json"]);
    assert!(
        ran.stderr.contains(
            "evaluating only the validation \
                                 photos"
        ) && ran.stderr.contains("val"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.json()["photos"], 2 * PHOTOS);
}

#[test]
fn evaluate_takes_one_class_and_passes_over_empty_ones() {
    let folder = tempdir().unwrap();
    let dir = folder.path().display().to_string();
    copied(folder.path(), &["green"]);
    let found = frostline(["evaluate", &TRAINED.model(), &dir, "--json"]).json();
    assert_eq!((&found["photos"], &found["right"]), (&PHOTOS.into(), &PHOTOS.into()));
    fs::create_dir(folder.path().join("red")).unwrap();
    let ran = frostline(["evaluate", &TRAINED.model(), &dir, "--json"]);
    assert!(ran.stderr.contains("no photos in: red"), "{}", ran.stderr);
    assert_eq!(ran.json()["photos"], PHOTOS);
}

#[test]
fn train_inside_the_photo_folder_takes_no_runs_and_no_cut_off_photo() {
    let folder = tempdir().unwrap();
    let photos = folder.path().join("colours");
    copied(&photos, &["blue", "green"]);
    fs::copy(loader_case("trunc60.jpg"), photos.join("blue/cut.jpg")).unwrap();
    let quick = [
        "train",
        ".",
        "--weights",
        "none",
        "--model",
        "resnet10",
        "--size",
        "8",
        "--epochs",
        "1",
        "--lr",
        "0.01",
    ];
    for run in ["runs/colours", "runs/colours-2"] {
        let output = command(quick, &[]).current_dir(&photos).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{warnings}");
        assert!(text.contains("2 classes") && photos.join(run).join("best.safetensors").is_file(), "{text}");
        assert!(warnings.contains("cut.jpg: the image was cut off"), "{warnings}");
        // The first run's own folder may be there already when photos are listed.
        let told = warnings.contains("folder of this program's runs: runs");
        assert!(told || run == "runs/colours", "{warnings}");
    }
}
