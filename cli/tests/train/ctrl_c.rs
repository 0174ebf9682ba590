//! Ctrl-C before the first step, and while it trains.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::claims::{start, wait_until};
use crate::{Place, SHORT, text};

fn press(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// Photos are read, features computed, a probe and a range test run: whenever it comes, the process ends, and
/// its folder is removed.
#[test]
fn before_the_first_step_the_process_ends_at_once_and_leaves_nothing() {
    let place = Place::new(60);
    for wait in [0, 100, 400, 1000, 1800] {
        // Photos have the size of its network's input, so that each of these phases takes some time on a
        // processor.
        let child = start(&place, "train photos");
        wait_until("lock", || place.path("runs/photos/.lock").exists());
        std::thread::sleep(Duration::from_millis(wait));
        press(&child);
        let pressed = Instant::now();
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "after {wait} ms: {said}");
        assert!(pressed.elapsed() < Duration::from_secs(5), "after {wait} ms: {:?}", pressed.elapsed());
        assert!(
            said.contains("before the first step") && !said.contains("saving"),
            "after {wait} ms: {said}"
        );
        assert!(!place.path("runs").exists(), "after {wait} ms");
    }
}

#[test]
fn a_resumed_run_that_is_stopped_before_its_next_step_is_as_it_was() {
    let place = Place::new(10);
    place.weights();
    let words = format!("train photos {SHORT} --epochs 2000 --out run");
    let mut child = start(&place, &words);
    wait_until("checkpoint", || place.path("run/last.safetensors").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let before = crate::bytes(&place.path("run/last.safetensors"));
    let child = start(&place, "train --resume run");
    std::thread::sleep(Duration::from_millis(1000));
    press(&child);
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("--resume run"), "{said}");
    if said.contains("nothing was changed") {
        assert!(crate::bytes(&place.path("run/last.safetensors")) == before);
    }
}

/// Nearly all of such a run is evaluation: it is stopped there, and the resumed run is the uninterrupted one.
#[test]
fn an_evaluation_that_is_stopped_is_made_up_for() {
    let place = Place::new(1);
    place.weights();
    for (part, count) in [("train", 6), ("val", 150)] {
        for (class, name) in crate::CLASSES.iter().enumerate() {
            place.photos(&place.path("split").join(part).join(name), class, count);
        }
    }
    let words = format!("train split {SHORT} --epochs 6 --seed 3");
    place.good(&format!("{words} --out whole"));
    let child = start(&place, &format!("{words} --out stopped"));
    wait_until("evaluation", || {
        std::fs::read_to_string(place.path("stopped/metrics.jsonl"))
            .is_ok_and(|text| text.lines().count() > 4)
    });
    std::thread::sleep(Duration::from_millis(50));
    press(&child);
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("of 24, and saved") && said.contains("--resume stopped"), "{said}");
    place.good("train --resume stopped");
    for file in ["last.safetensors", "best.safetensors", "metrics.jsonl", "metrics.csv"] {
        let [stopped, whole] = ["stopped", "whole"].map(|run| crate::bytes(&place.path(run).join(file)));
        assert!(stopped == whole, "{file}");
    }
}
