//! One process at a time in a run's folder, and no files of a run that never began.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Place, SHORT, bytes, text};

/// Begins to train, without waiting for it.
pub fn start(place: &Place, words: &str) -> Child {
    place.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `holds`, for a minute at most.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// All files of a folder with their contents, by name.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// The best validation accuracy in a run's metrics, and the one in its report.
fn accuracies(run: &Path) -> (f64, f64) {
    let metrics = text(&bytes(&run.join("metrics.jsonl")));
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let report: Value = serde_json::from_slice(&bytes(&run.join("report.json"))).unwrap();
    let noted =
        lines.filter(|line| line["step"] == report["step"]).find_map(|line| line["val_accuracy"].as_f64());
    (noted.unwrap(), report["accuracy"].as_f64().unwrap())
}

#[test]
fn two_trainings_at_once_have_a_folder_each() {
    let place = Place::new(10);
    place.weights();
    let [one, two] =
        [1, 2].map(|seed| start(&place, &format!("train photos {SHORT} --epochs 8 --seed {seed}")));
    let said = [one, two].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    });
    for folder in ["runs/photos", "runs/photos-2"] {
        let (noted, reported) = accuracies(&place.path(folder));
        assert_eq!(noted, reported, "{folder} reports its own checkpoint");
        let told = said.iter().filter(|said| said.contains(&format!("figures in {folder};"))).count();
        assert_eq!(told, 1, "{said:?}");
    }
    assert!(bytes(&place.path("runs/photos/data.json")) != bytes(&place.path("runs/photos-2/data.json")));
}

#[test]
fn a_folder_in_use_is_refused_in_words() {
    let place = Place::new(10);
    place.weights();
    let mut first = start(&place, &format!("train photos {SHORT} --epochs 2000 --out run"));
    wait_until("lock", || place.path("run/.lock").exists());
    let said = place.bad(1, &format!("train photos {SHORT} --epochs 1 --out run"));
    assert!(said.contains("another process is training in this folder") && said.contains("--out"), "{said}");
    wait_until("checkpoint", || place.path("run/last.safetensors").exists());
    let said = place.bad(1, "train --resume run");
    assert!(said.contains("another process is training in this folder"), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock of a killed process is released.
    let said = place.bad(1, &format!("train photos {SHORT} --out run"));
    assert!(said.contains("already contains a run"), "{said}");
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_is_begun_again() {
    let place = Place::new(10);
    place.weights();
    let mut child = start(&place, &format!("train photos {SHORT} --epochs 1"));
    wait_until("lock", || place.path("runs/photos/.lock").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    // As if it had come as far as its settings, and was writing.
    fs::write(place.path("runs/photos/run.json"), "{").unwrap();
    fs::write(place.path("runs/photos/.last.safetensors.1.0.tmp"), "half").unwrap();
    place.good(&format!("train photos {SHORT} --epochs 1"));
    assert!(place.path("runs/photos/report.json").exists() && !place.path("runs/photos-2").exists());
    assert!(!place.path("runs/photos/.last.safetensors.1.0.tmp").exists());
}

#[test]
fn another_runs_checkpoint_is_not_evaluated_as_ones_own() {
    let place = Place::new(10);
    place.weights();
    for seed in [1, 2] {
        place.good(&format!("train photos {SHORT} --epochs 1 --seed {seed} --out run{seed}"));
    }
    fs::remove_file(place.path("run2/report.json")).unwrap();
    for file in ["best.safetensors", "last.safetensors"] {
        let own = bytes(&place.path("run2").join(file));
        fs::copy(place.path("run1").join(file), place.path("run2").join(file)).unwrap();
        let said = place.bad(1, "train --resume run2");
        assert!(said.contains(file) && said.contains("another run wrote"), "{said}");
        fs::write(place.path("run2").join(file), own).unwrap();
    }
    place.good("train --resume run2");
}

/// `| head -1`: the run matters, and not its output.
#[test]
fn a_training_goes_on_when_its_output_is_closed() {
    let place = Place::new(6);
    place.weights();
    let mut child = start(&place, &format!("train photos {SHORT} --epochs 1 --out run"));
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(place.path("run/report.json").exists() && place.path("run/best.safetensors").exists());
}
