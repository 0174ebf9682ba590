//! Wrong flags are named, and nothing is written.

use crate::process::{blind, command, end};
use crate::tiny::images;

#[test]
fn wrong_flags_are_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    images(&one, 1, 6);
    images(&two, 3, 2);
    let [one, two] = [&one, &two].map(|path| path.to_str().unwrap());
    let cases: [(&[&str], i32, &[&str]); 21] = [
        (&["--shard", "0/3"], 2, &["--shard", "the first is 1/5"]),
        (&["--shard", "4/3"], 2, &["--shard"]),
        (&["--shard", "x"], 2, &["--shard"]),
        (&["--merge", "a", "--shard", "1/2"], 2, &["--merge", "--shard"]),
        (&["--only", "feet"], 1, &["--only feet", "bars, 8 images, from scratch, seed 0"]),
        (&["--images", "99"], 1, &["--images 99", "bars has 36"]),
        (&["--images", "0"], 1, &["--images 0", "4 classes"]),
        (&["--images", "3"], 1, &["--images 3", "4 classes"]),
        (&["--images", "-1"], 2, &["-1"]),
        (&["--images", "16,8,16"], 2, &["--images names 16 twice"]),
        (&["--images", "8,"], 2, &["--images"]),
        (&["--batch", "0"], 2, &["--batch"]),
        (&["--seeds", "0"], 2, &["--seeds"]),
        (&["--seeds", "1000000000000"], 2, &["--seeds"]),
        (&["--steps", "0"], 2, &["--steps"]),
        (&["--lr", "nan"], 2, &["--lr"]),
        (&["--model", "resnet11"], 1, &["resnet11"]),
        (&["--weights", "missing.safetensors"], 1, &["missing.safetensors"]),
        (&["--data", "missing folder"], 1, &["missing folder"]),
        (&["--data", one], 1, &[one, "only one class"]),
        (&["--data", two], 1, &["--images 8", "two has 3"]),
    ];
    let out = folder.path().join("out");
    for (words, status, parts) in cases {
        end(blind(&out, words)).badly(status, parts);
        assert!(!out.exists(), "{words:?}");
    }
}

#[test]
fn two_images_a_class_are_enough_to_plan() {
    let folder = tempfile::tempdir().unwrap();
    let two = folder.path().join("two");
    images(&two, 3, 2);
    let words = ["--data", two.to_str().unwrap(), "--images", "3", "--list", "--batch", "500"];
    let ended = end(blind(folder.path(), &words)).well();
    assert_eq!(ended.out.lines().count(), 4);
    assert!(ended.out.contains("\"batch\":3"), "{}", ended.out);
}

#[test]
fn many_seeds_are_planned_in_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let start = std::time::Instant::now();
    let ended = end(blind(folder.path(), &["--seeds", "1000", "--list"])).well();
    assert_eq!(ended.out.lines().count(), 4000);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_any_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "text").unwrap();
    for out in [file.clone(), file.join("deep")] {
        let ended = end(command(&out, &[]));
        ended.badly(1, &["runs.jsonl", "a file"]);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
}

/// No user can write there, not even the system's administrator.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_made_is_told_before_any_run() {
    let ended = end(command(std::path::Path::new("/proc/study"), &[]));
    let ended = ended.badly(1, &["cannot write", "/proc/study/runs.jsonl"]);
    assert!(!ended.err.contains("runs on"), "{}", ended.err);
}
