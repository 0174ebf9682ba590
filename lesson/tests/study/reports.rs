//! Reports from the finished runs, on machines that cannot run any.

use crate::process::{blind, end, results, whole};
use crate::tiny::RUNS;
use serde_json::Value;
use std::path::Path;

/// A folder with the first `n` runs of the whole study.
fn some(n: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let all = std::fs::read_to_string(whole().0.join("runs.jsonl")).unwrap();
    let lines: Vec<&str> = all.split_inclusive('\n').take(n).collect();
    std::fs::write(folder.path().join("runs.jsonl"), lines.concat()).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_report_needs_no_adapter_and_runs_do() {
    let folder = some(RUNS);
    let ended = end(blind(folder.path(), &["--report-only"])).well();
    assert_eq!(results(folder.path()), results(&whole().0));
    assert_eq!(ended.out.replace(folder.path().to_str().unwrap(), ""), {
        let (expected, ended) = whole();
        ended.out.replace(expected.to_str().unwrap(), "")
    });
    let fewer = some(RUNS - 1);
    end(blind(fewer.path(), &[])).badly(1, &["adapter"]);
    assert_eq!(names(fewer.path()), ["runs.jsonl"]);
}

#[test]
fn some_runs_are_reported_without_numbers_that_are_none() {
    for n in [1, 3] {
        let folder = some(n);
        let ended = end(blind(folder.path(), &["--report-only"])).well();
        assert!(ended.out.contains(&format!("{n} of {RUNS} runs are finished")), "{}", ended.out);
        assert!(ended.out.contains("not measured"), "{}", ended.out);
        assert!(!ended.out.contains("NaN") && !ended.out.contains("inf"), "{}", ended.out);
        for name in names(folder.path()).iter().filter(|name| name.ends_with("svg") || name.ends_with("json"))
        {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(!text.contains("NaN"), "{name}");
        }
        let results: Value = serde_json::from_str(&(results(folder.path()) + "\n\"\": 0}")).unwrap();
        assert_eq!(results["missing_runs"], RUNS - n);
    }
}

#[test]
fn without_runs_there_is_nothing_to_report_and_the_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("none");
    end(blind(&out, &["--report-only"]))
        .badly(1, &["nothing to report", "none of the 8 runs", "Without --report-only"]);
    assert!(!out.exists());
    let others = some(RUNS);
    let ended = end(blind(others.path(), &["--report-only", "--lr", "0.5"]));
    ended.badly(1, &["nothing to report", "Its 8 runs have other settings"]);
    assert_eq!(names(others.path()), ["runs.jsonl"]);
}

#[test]
fn json_is_all_that_is_printed() {
    let folder = some(3);
    let ended = end(blind(folder.path(), &["--report-only", "--json"])).well();
    let printed: Value = serde_json::from_str(&ended.out).unwrap();
    let kept = std::fs::read_to_string(folder.path().join("results.json")).unwrap();
    assert_eq!(printed, serde_json::from_str::<Value>(&kept).unwrap());
}
