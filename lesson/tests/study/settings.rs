//! A run is determined by its setting: the same in every process, and another if anything differs.

use crate::process::{blind, data, end, results, run, runs, whole};
use crate::tiny::{RUNS, usual_images};
use serde_json::Value;
use std::path::Path;

/// The runs that would be done with `words`, into the folder of the whole study.
fn list(words: &[&str]) -> Vec<Value> {
    let words: Vec<&str> = std::iter::once("--list").chain(words.iter().copied()).collect();
    let ended = end(blind(&whole().0, &words)).well();
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn finished(runs: &[Value]) -> usize {
    runs.iter().filter(|run| run["finished"] == true).count()
}

#[test]
fn two_processes_give_the_same_runs_and_only_json_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(folder.path(), &["--json"]).well();
    let (expected, _) = whole();
    assert_eq!(runs(folder.path()), runs(expected));
    assert_eq!(results(folder.path()), results(expected));
    let printed: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(printed["chapter"], 9);
}

#[test]
fn a_list_tells_what_is_planned_and_what_has_finished() {
    let all = list(&[]);
    assert_eq!((all.len(), finished(&all)), (RUNS, RUNS));
    assert_eq!(all[0]["name"], "bars, 8 images, from scratch, seed 0");
    assert_eq!((&all[0]["steps"], &all[0]["epochs"]), (&8.into(), &8.0.into()));
    assert_eq!((&all[0]["lr"], &all[2]["lr"]), (&0.05.into(), &0.02.into()));
    assert_eq!(list(&["--shard", "2/3"]), [&all[1], &all[4], &all[7]].map(Clone::clone));
    assert_eq!(list(&["--only", "head only, seed 1"]), [&all[3], &all[7]].map(Clone::clone));
    // Passes that are no whole number of batches are rounded up.
    let three = list(&["--epochs", "3", "--images", "12"]);
    assert_eq!((&three[0]["steps"], three[0]["epochs"].as_f64().unwrap() >= 3.0), (&5.into(), true));
}

#[test]
fn a_run_of_other_data_weights_or_flags_is_another() {
    let folder = tempfile::tempdir().unwrap();
    // One pixel of one image, in a folder of the same name.
    let bars = folder.path().join("bars");
    usual_images(&bars);
    let other = bars.join("kind 2/07.png");
    let mut picture = image::open(&other).unwrap().to_luma8();
    picture.put_pixel(3, 3, image::Luma([picture.get_pixel(3, 3).0[0] ^ 1]));
    picture.save(&other).unwrap();
    let usual = folder.path().join("same/bars");
    usual_images(&usual);

    // The last bit of the last weight.
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/resnet10_fashion.safetensors");
    let mut bytes = std::fs::read(weights).unwrap();
    let [same_weights, other_weights] =
        ["same", "other"].map(|name| folder.path().join(format!("{name}.safetensors")));
    std::fs::write(&same_weights, &bytes).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&other_weights, &bytes).unwrap();

    for words in [["--data", usual.to_str().unwrap()], ["--weights", same_weights.to_str().unwrap()]] {
        assert_eq!(finished(&list(&words)), RUNS, "{words:?}");
    }
    for words in [
        ["--data", bars.to_str().unwrap()],
        ["--weights", other_weights.to_str().unwrap()],
        ["--batch", "7"],
        ["--lr", "0.021"],
        ["--steps", "9"],
    ] {
        let listed = list(&words);
        assert_eq!((listed.len(), finished(&listed)), (RUNS, 0), "{words:?}");
        assert_eq!(listed[0]["name"], list(&[])[0]["name"]);
    }
}

#[test]
fn a_folder_called_as_an_embedded_task_is_another_task() {
    let folder = tempfile::tempdir().unwrap();
    let digits = folder.path().join("digits");
    usual_images(&digits);
    assert_eq!(list(&["--data", digits.to_str().unwrap()])[0]["task"], "own digits");
    assert_eq!(list(&["--data", data().to_str().unwrap()])[0]["task"], "bars");
}

#[test]
fn a_rehearsal_is_never_taken_for_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(folder.path(), &["--quick"]).well();
    assert!(
        ended.err.contains("A rehearsal") && ended.out.contains("a rehearsal"),
        "{}{}",
        ended.out,
        ended.err
    );
    let found: Vec<Value> =
        runs(folder.path()).iter().map(|run| serde_json::from_str(run).unwrap()).collect();
    assert_eq!((found.len(), &found[0]["setting"]["version"]), (2, &0.into()));
    let same = ["--images", "8", "--seeds", "1", "--steps", "2", "--report-only"];
    end(blind(folder.path(), &same)).badly(1, &["nothing to report", "Its 2 runs have other settings"]);
}
