//! Parts of a study on several machines, or at once on one.

use crate::process::{blind, command, end, results, run, runs, whole};
use std::path::Path;

fn sorted(out: &Path) -> Vec<String> {
    let mut lines = runs(out);
    lines.sort();
    lines
}

#[test]
fn three_parts_that_were_merged_equal_the_whole() {
    let (expected, _) = whole();
    let folder = tempfile::tempdir().unwrap();
    let part = |i: usize| folder.path().join(format!("part {i}"));
    for i in 1..=3 {
        let ended = run(&part(i), &["--shard", &format!("{i}/3")]).well();
        assert!(ended.out.contains("This part is done"), "{}", ended.out);
        assert!(!part(i).join("results.json").exists());
    }
    assert_eq!((1..=3).map(|i| runs(&part(i)).len()).collect::<Vec<_>>(), [3, 3, 2]);

    let merged = folder.path().join("merged");
    let files: Vec<String> = (1..=3).map(|i| part(i).join("runs.jsonl").display().to_string()).collect();
    let files: Vec<&str> = std::iter::once("--merge").chain(files.iter().map(String::as_str)).collect();
    let ended = end(blind(&merged, &files)).well();
    assert!(ended.out.contains("3 runs added, 0 were already here"), "{}", ended.out);
    assert_eq!(sorted(&merged), sorted(expected));
    assert_eq!(results(&merged), results(expected));

    let before = std::fs::read(merged.join("runs.jsonl")).unwrap();
    let ended = end(blind(&merged, &files)).well();
    assert!(ended.out.contains("0 runs added, 2 were already here"), "{}", ended.out);
    assert_eq!(std::fs::read(merged.join("runs.jsonl")).unwrap(), before);
}

#[test]
fn two_parts_at_once_may_share_a_folder() {
    let (expected, _) = whole();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let parts = ["1/2", "2/2"].map(|part| command(out, &["--shard", part]));
    let ended = std::thread::scope(|scope| {
        let running = parts.map(|part| scope.spawn(|| end(part).well()));
        running.map(|one| one.join().unwrap())
    });
    // The process that ended last found all runs, and reported.
    assert!(ended.iter().any(|one| one.out.contains("Figures and numbers are in")));
    assert_eq!(sorted(out), sorted(expected));
    assert_eq!(results(out), results(expected));
}
