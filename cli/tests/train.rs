//! `frostline train` and `frostline find-lr`, run as a person runs them, on folders made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_loader::safetensors::{self, Dtype};
use frostline_models::Model;
use frostline_trainer::Learner;
use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

#[path = "train/budget.rs"]
mod budget;
#[path = "train/claims.rs"]
mod claims;
#[cfg(unix)]
#[path = "train/ctrl_c.rs"]
mod ctrl_c;
#[path = "train/resume.rs"]
mod resume;
#[path = "train/review.rs"]
mod review;
#[path = "train/settings.rs"]
mod settings;

const CLASSES: [&str; 3] = ["blue", "green", "red"];

/// A folder with photos, weights and runs.
struct Place(TempDir);

impl Place {
    /// `photos/` with `count` photos of each class: noise in a colour.
    fn new(count: usize) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (class, name) in CLASSES.iter().enumerate() {
            place.photos(&place.path("photos").join(name), class, count);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn photos(&self, folder: &Path, class: usize, count: usize) {
        fs::create_dir_all(folder).unwrap();
        let mut noise = 1 + class as u32;
        for i in 0..count {
            let photo = RgbImage::from_fn(20, 24, |_, _| {
                Rgb(std::array::from_fn(|channel| {
                    noise = noise.wrapping_mul(1664525).wrapping_add(1013904223);
                    (noise >> 25) as u8 + if channel == 2 - class { 90 } else { 0 }
                }))
            });
            photo.save(folder.join(format!("{i:02}.png"))).unwrap();
        }
    }

    /// A narrow ResNet-10 for 16 × 16 pixels, of random weights: enough features to distinguish colours.
    fn weights(&self) -> PathBuf {
        let path = self.path("weights.safetensors");
        let gpu = Arc::new(Gpu::new().unwrap());
        let model = Model::new("resnet10").unwrap().width(4).in_channels(3).classes(2);
        Learner::new(&gpu, model, 16, 7).unwrap().save(&path).unwrap();
        path
    }

    /// The command in this place.
    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
        // Without it Mesa prints a warning on stderr if there is no desktop session.
        command.env("NODEVICE_SELECT", "1");
        command.current_dir(self.0.path()).args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it prints, when all goes well.
    fn good(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Its messages, when it must end with `code`.
    fn bad(&self, code: i32, words: &str) -> String {
        let output = self.run(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The weights are random, and so are the statistics that running ones would be.
const SHORT: &str = "--weights weights.safetensors --batch 4 --lr 0.02 --bn batch";

#[test]
fn a_run_leaves_a_model_and_what_is_known_about_it() {
    let place = Place::new(10);
    place.weights();
    let out = place.run(&format!("train photos {SHORT} --epochs 3 --out run --json"));
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(text(&out.stderr), "", "neither bars nor warnings where nobody looks");
    let told: Value = serde_json::from_slice(&out.stdout).expect("nothing but JSON");
    assert_eq!(told["report"]["images"], 6, "two of ten photos of each class");
    let accuracy = told["report"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.6, "colours are easy: {accuracy}");
    let reasons: Vec<&str> =
        told["choices"].as_array().unwrap().iter().map(|choice| choice["what"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["size", "trains", "augment", "batch", "epochs", "batch norm", "head", "rate"]);
    assert_eq!(told["chosen"]["freeze_below"], "layer4", "few photos: the last stage");

    let run = place.path("run");
    let gpu = Arc::new(Gpu::new().unwrap());
    let best = Learner::resume(&gpu, run.join("best.safetensors")).unwrap();
    assert_eq!(best.classes(), CLASSES);
    assert_eq!((best.size(), best.preprocessing().channels), (16, 3), "preprocessing comes with the weights");
    for picture in ["curves.png", "confusion.png", "mistakes.png"] {
        let drawn = image::open(run.join(picture)).unwrap().to_rgb8();
        assert!(drawn.pixels().any(|pixel| pixel.0 != [255; 3]), "{picture} is empty");
    }
    let metrics = text(&bytes(&run.join("metrics.jsonl")));
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<u64> = lines
        .iter()
        .filter(|line| line["loss"].is_f64())
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, (1..=18).collect::<Vec<_>>(), "24 photos in batches of 4, three times");
    let evaluated: Vec<u64> = lines
        .iter()
        .filter(|line| line["val_loss"].is_f64())
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(evaluated, [0, 6, 12, 18], "the probe, and each epoch");
    let kept = |line: &&Value| line["val_accuracy"].is_f64() && line["step"] == told["report"]["step"];
    assert_eq!(lines.iter().find(kept).unwrap()["val_accuracy"], accuracy, "the evaluation of what is kept");
    let card = text(&bytes(&run.join("README.md")));
    for words in ["| green | 8 | 2 |", "train photos --weights weights.safetensors", "layer4", "## Limits"] {
        assert!(card.contains(words), "{words:?} is not in\n{card}");
    }
    assert!(text(&bytes(&run.join("plan.txt"))).contains("activations kept for backward"));

    let again = place.bad(1, &format!("train photos {SHORT} --out run"));
    assert!(again.contains("--resume run"), "{again}");
    // The folder stands for its best checkpoint.
    place.good("convert run mine.safetensors --to torchvision");
    assert!(place.good("inspect run").contains("resnet10"));
    // Another program changes frozen weights.
    let mut file = safetensors::read(run.join("best.safetensors")).unwrap();
    file.tensors.get_mut("bn1.running_mean").unwrap().data[0] += 1.0;
    safetensors::write(place.path("moved.safetensors"), &file.tensors, &file.metadata, Dtype::F32).unwrap();
    let said = text(&place.run("predict moved.safetensors photos").stderr);
    assert!(said.contains("`bn1` differs from what the checkpoint recorded"), "{said}");
    assert_eq!(text(&place.run("predict run photos").stderr), "");
}

/// Presses Ctrl-C when training has begun, resumes, and compares with an uninterrupted run.
#[cfg(unix)]
fn a_stopped_run_resumes(flags: &str) {
    let place = Place::new(10);
    place.weights();
    let flags = format!("train photos {SHORT} --epochs 40 --seed 3 {flags}");
    place.good(&format!("{flags} --out whole"));
    let child = place
        .command(&format!("{flags} --out stopped"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let metrics = place.path("stopped/metrics.jsonl");
    while !fs::read_to_string(&metrics).is_ok_and(|text| text.lines().count() > 20) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("frostline train --resume stopped"), "{said}");
    assert_ne!(
        bytes(&place.path("stopped/last.safetensors")),
        bytes(&place.path("whole/last.safetensors")),
        "stopped too late to tell"
    );

    place.good("train --resume stopped");
    for file in ["last.safetensors", "best.safetensors", "metrics.jsonl"] {
        assert!(bytes(&place.path("stopped").join(file)) == bytes(&place.path("whole").join(file)), "{file}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_a_resumed_run_is_the_uninterrupted_one() {
    a_stopped_run_resumes("");
}

#[cfg(unix)]
#[test]
fn so_is_a_gradual_one() {
    let changed = "--augment strong --mixup 0.4 --class-weights --label-smoothing 0.1";
    a_stopped_run_resumes(&format!(
        "--gradual --freeze-below layer3 --layer-decay 0.7 --schedule cosine --warm-up 5 {changed}"
    ));
}

#[test]
fn a_run_is_the_same_bits_every_time_and_finds_its_rate() {
    let place = Place::new(8);
    place.weights();
    let flags = "train photos --weights weights.safetensors --batch 4 --epochs 1 --augment none";
    let told = place.good(&format!("{flags} --out one"));
    assert!(told.contains("rate ") && told.contains("range test"), "{told}");
    place.good(&format!("{flags} --out two"));
    assert!(bytes(&place.path("one/last.safetensors")) == bytes(&place.path("two/last.safetensors")));
}

#[test]
fn a_run_that_gets_no_better_ends_early() {
    let place = Place::new(8);
    place.weights();
    // A rate so low that no weight changes: no epoch is better than the first.
    place.good("train photos --weights weights.safetensors --batch 4 --lr 1e-30 --epochs 50 --early-stop 2 --out run");
    let metrics = place.path("run/metrics.jsonl");
    let epochs = text(&bytes(&metrics)).lines().filter(|line| line.contains("val_loss")).count() - 1;
    assert!(
        (2..=3).contains(&epochs),
        "{epochs} epochs, where the second and the third cannot be better than the first"
    );
    fs::remove_file(place.path("run/report.json")).unwrap();
    let told = place.good("train --resume run");
    assert!(told.contains("recognises"), "it is at its end: {told}");
}

#[test]
fn embedded_weights_need_no_file() {
    let place = Place::new(4);
    let told = place.good("train photos --size 32 --epochs 1 --batch 4 --lr 1e-3");
    assert!(told.contains("efficientnet_lite0") && told.contains("embedded"), "{told}");
    assert!(place.path("runs/photos/best.safetensors").exists());
}

#[test]
fn the_embedded_resnet_is_found_by_its_name_and_by_its_networks() {
    let place = Place::new(4);
    for (flags, out) in [("--weights embedded-resnet10", "one"), ("--model resnet10_photo", "two")] {
        let told =
            place.good(&format!("train photos {flags} --size 32 --epochs 1 --batch 4 --lr 1e-3 --out {out}"));
        assert!(told.contains("resnet10_photo") && told.contains("ResNet-10 for photos"), "{told}");
    }
    assert!(bytes(&place.path("one/last.safetensors")) == bytes(&place.path("two/last.safetensors")));
}

#[test]
fn folders_as_people_have_them() {
    let place = Place::new(6);
    place.weights();
    // A class of one photo, and one that cannot be read.
    place.photos(&place.path("photos/purple"), 1, 1);
    fs::write(place.path("photos/red/broken.jpg"), b"\xff\xd8\xff not a photo").unwrap();
    let output = place.run(&format!("train photos {SHORT} --epochs 1 --out run"));
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("broken.jpg")
            && said.contains("class purple has 1 photo")
            && said.contains("--class-weights"),
        "{said}"
    );

    // One photo with two labels.
    fs::copy(place.path("photos/red/00.png"), place.path("photos/blue/red one.png")).unwrap();
    let said = text(&place.run(&format!("train photos {SHORT} --epochs 1 --out twice")).stderr);
    // The other one is in green and in purple.
    assert!(
        said.contains("warning: 2 photos in more than one class")
            && said.contains("blue/red one.png, red/00.png"),
        "{said}"
    );

    // train/ and val/, with a class that training does not know.
    for (part, count) in [("train", 5), ("val", 2)] {
        for (class, name) in CLASSES.iter().enumerate() {
            place.photos(&place.path("split").join(part).join(name), class, count);
        }
    }
    let told = place.good(&format!("train split {SHORT} --epochs 1 --out split_run"));
    assert!(told.contains("15 photos of 3 classes") && told.contains("in separate folders"), "{told}");
    place.photos(&place.path("split/val/yellow"), 1, 2);
    let said = place.bad(1, &format!("train split {SHORT} --epochs 1 --out other"));
    assert!(said.contains("yellow") && said.contains("blue, green, red"), "{said}");

    for (class, name) in CLASSES.iter().enumerate().take(2) {
        place.photos(&place.path("lonely").join(name), class, 1);
    }
    let said = place.bad(1, &format!("train lonely {SHORT}"));
    assert!(said.contains("no class has two photos"), "{said}");
}

#[test]
fn wrong_words_are_told_with_what_to_do() {
    let place = Place::new(4);
    place.weights();
    for (code, words, says) in [
        (2, "train", "<DIR>"),
        (2, "train photos --lr 0", "above 0"),
        (2, "train photos --slice 1e-3..x", "above 0"),
        (2, "train photos --slice 0.1 --lr 0.1", "cannot be used with"),
        (2, "train photos --resume run", "cannot be used with"),
        (2, "train --resume run --epochs 3", "cannot be used with"),
        (2, "train photos --model resnet18", "needs --weights"),
        (2, "train photos --weights none", "needs --model"),
        (2, "train photos --weights weights.safetensors --model resnet50", "resnet10"),
        (1, "train photos --weights nothing.safetensors", "nothing.safetensors"),
        (1, "train photos --model resnet19", "resnet18"),
        (1, "train nowhere", "no such folder"),
        (1, "train photos/red", "no class folders"),
        (1, "train --resume photos", "run.json"),
        (1, "train photos --weights weights.safetensors --freeze-below layer9", "layer4, fc"),
        (1, "train photos --weights weights.safetensors --batch 99 --lr 0.1", "99"),
        (2, "train photos --weights weights.safetensors --val-fraction 1", "between 0 and 1"),
        (2, "find-lr", "<DIR>"),
    ] {
        let said = place.bad(code, words);
        assert!(said.contains(says), "{words}: {says:?} is not in {said}");
    }
    assert!(!place.path("runs").exists(), "a run that never began leaves nothing behind");
}

#[test]
fn a_range_test_draws_its_curve() {
    let place = Place::new(6);
    place.weights();
    let told =
        place.good("find-lr photos --weights weights.safetensors --steps 30 --no-probe --json -o curve.png");
    let told: Value = serde_json::from_str(&told).expect("nothing but JSON");
    let points = told["points"].as_array().unwrap();
    assert!((5..=30).contains(&points.len()), "{}", points.len());
    assert!(points.windows(2).all(|pair| pair[0]["lr"].as_f64() < pair[1]["lr"].as_f64()));
    image::open(place.path("curve.png")).unwrap();
}

/// The probe is the optimum of what `--freeze-below fc` trains: no step follows it.
#[test]
fn the_head_alone_is_the_probe() {
    let place = Place::new(10);
    place.weights();
    let told = place.good("train photos --weights weights.safetensors --freeze-below fc --out run");
    assert!(
        told.contains("the linear probe is its optimum") && told.contains("(the linear probe)"),
        "{told}"
    );
    assert!(told.contains("of 24 training photos while they are held out, 5 folds"), "{told}");
    let metrics = text(&bytes(&place.path("run/metrics.jsonl")));
    assert_eq!(metrics.lines().count(), 1, "{metrics}");
    // The figures are of the probe; the model has its head from all 30 photos.
    assert!(told.contains("trained on all 30 photos"), "{told}");
    let gpu = Arc::new(Gpu::new().unwrap());
    let [best, probe] = ["best", "probe"].map(|name| {
        let tensors = safetensors::read(place.path(&format!("run/{name}.safetensors"))).unwrap().tensors;
        Learner::resume(&gpu, place.path(&format!("run/{name}.safetensors"))).unwrap();
        (tensors["fc.weight"].clone(), tensors["conv1.weight"].clone())
    });
    assert!(best.0 != probe.0 && best.1 == probe.1);
    assert!(place.good("train --resume run").contains("this run is finished"));
    // Without training flags the result is the same if no fine-tuned model could be kept: of 6 validation
    // photos, too few are wrong.
    let told = place.good("train photos --weights weights.safetensors --out spared");
    assert!(told.contains("steps      0  (the probe is wrong on"), "{told}");
    let card = text(&bytes(&place.path("spared/README.md")));
    assert!(
        card.contains("| training | none after the linear probe |") && !card.contains("last.safetensors"),
        "{card}"
    );
    assert!(!place.path("spared/plan.txt").exists() && !place.path("spared/last.safetensors").exists());
    // Photos in a separate validation folder stay validation photos.
    fs::create_dir(place.path("split")).unwrap();
    fs::rename(place.path("photos"), place.path("split/train")).unwrap();
    for (class, name) in CLASSES.iter().enumerate() {
        place.photos(&place.path("split/val").join(name), class, 2);
    }
    let told = place.good("train split --weights weights.safetensors --freeze-below fc --out split_run");
    assert!(!told.contains("trained on all"), "{told}");
    let file = |name: &str| bytes(&place.path(&format!("split_run/{name}.safetensors")));
    assert_eq!(file("best"), file("probe"));
    fs::rename(place.path("split/train"), place.path("photos")).unwrap();
    // Requested steps are taken.
    let told =
        place.good("train photos --weights weights.safetensors --freeze-below fc --epochs 2 --out steps");
    assert!(told.contains("rate "), "{told}");
}

/// Of six validation photos too few are wrong for fine-tuning; a training flag still requests it.
#[test]
fn a_flag_on_how_to_train_is_obeyed_where_fine_tuning_would_be_left_out() {
    let place = Place::new(10);
    place.weights();
    let train = "train photos --weights weights.safetensors --json";
    let steps = |flags: &str| {
        let told = place.good(&format!("{train} {flags}"));
        let told: Value = serde_json::from_str(&told).unwrap();
        told["chosen"]["epochs"].as_u64().unwrap()
    };
    assert_eq!(steps("--minutes 1 --seed 1 --out plain"), 0);
    assert!(steps("--early-stop 2 --out patient") > 0);
    assert!(steps("--schedule cosine --freeze-below fc --out head") > 0);
    let card = text(&bytes(&place.path("head/README.md")));
    assert!(card.contains("Cosine"), "{card}");
}
