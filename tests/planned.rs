//! The plans of all nine chapters, as printed by their `--list`. No adapter is needed for that.
//!
//! The chapters are examples: `cargo test` builds them, `--test planned` uses existing ones.

use frostline::lesson::page::STATIONS;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The minimum number of passes over its images for conclusions from a run.
const LEAST_EPOCHS: f64 = 5.0;

/// Starts chapter `number` without any driver, with a folder that does not exist.
fn chapter(number: usize, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let output = chapter_in(&folder.path().join("out"), number, words);
    assert!(!folder.path().join("out").exists(), "chapter {number} {words:?} wrote something");
    output
}

/// Starts chapter `number` in `out` without any driver.
fn chapter_in(out: &Path, number: usize, words: &[&str]) -> Output {
    let here = std::env::current_exe().unwrap();
    let name = format!("{}{}", STATIONS[number].binary, std::env::consts::EXE_SUFFIX);
    let program = here.parent().unwrap().with_file_name("examples").join(name);
    let mut command = Command::new(&program);
    command.args(words).arg("--out").arg(out).stdin(Stdio::null());
    command.env("VK_DRIVER_FILES", "/no/such/driver.json").env("VK_ICD_FILENAMES", "/no/such/driver.json");
    let output = command.env("FROSTLINE_ADAPTER", "no such adapter").output();
    let told = "`cargo build --workspace --examples` builds it";
    output.unwrap_or_else(|error| panic!("{}: {error}; {told}", program.display()))
}

/// The runs that chapter `number` plans.
fn list(number: usize, words: &[&str]) -> Vec<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--list"]).collect();
    let output = chapter(number, &words);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "chapter {number} {words:?}: {err}");
    let runs: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!runs.is_empty(), "chapter {number} {words:?}");
    runs
}

fn number(run: &Value, name: &str) -> u64 {
    run[name].as_u64().unwrap()
}

#[test]
fn by_default_every_run_is_long_enough_and_every_cell_has_five_seeds() {
    for chapter in 0..STATIONS.len() {
        for run in list(chapter, &[]) {
            let name = &run["name"];
            assert!(run["epochs"].as_f64().unwrap() >= LEAST_EPOCHS, "chapter {chapter}: {run}");
            let least = if number(&run, "images") >= 1000 { 500 } else { 150 };
            assert!(number(&run, "steps") >= least, "chapter {chapter}, {name}: {} steps", run["steps"]);
            assert!(number(&run, "version") > 0, "chapter {chapter}, {name}");
        }
        let cells = |seed| list(chapter, &["--only", &format!("seed {seed}")]).len();
        assert_eq!(cells(0), cells(4), "chapter {chapter}");
    }
}

#[test]
fn flags_override_steps_and_seeds_and_a_short_form_with_shorter_runs_is_a_rehearsal() {
    for chapter in 0..STATIONS.len() {
        let given = list(chapter, &["--steps", "7", "--seeds", "2"]);
        let as_given = |run: &Value| number(run, "steps") == 7 && number(run, "seed") < 2;
        assert!(given.iter().all(as_given), "chapter {chapter}");
        let passes = list(chapter, &["--epochs", "6", "--seeds", "1"]);
        let long_enough = |run: &Value| (6.0..13.0).contains(&run["epochs"].as_f64().unwrap());
        assert!(passes.iter().all(long_enough), "chapter {chapter}");

        let whole = list(chapter, &["--seeds", "1"]).iter().map(|run| number(run, "steps")).min().unwrap();
        for run in list(chapter, &["--quick"]) {
            let is_rehearsal = number(&run, "version") == 0;
            assert_eq!(is_rehearsal, number(&run, "steps") < whole, "chapter {chapter}: {run}");
        }
    }
}

#[test]
fn without_runs_every_chapter_says_that_there_is_nothing_to_report() {
    for number in 0..STATIONS.len() {
        let output = chapter(number, &["--quick", "--report-only"]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "chapter {number}: {err}");
        assert!(err.contains("nothing to report") && !err.contains("panicked"), "chapter {number}: {err}");
    }
}

#[test]
fn every_chapter_reports_one_run_of_all_without_numbers_that_are_none() {
    for number in 0..STATIONS.len() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        // The last planned run, with made-up answers for four images.
        let setting = list(number, &[]).pop().unwrap();
        let answers = json!({ "set": "four", "marks": "..A." });
        let answers = json!({ "test": answers, "validation": answers });
        let run = json!({
            "format": 1, "setting": setting, "answers": answers, "losses": [2.0, 1.0], "seconds": 1.5,
            "adapter": "none",
        });
        std::fs::write(out.join("runs.jsonl"), format!("{run}\n")).unwrap();
        let output = chapter_in(out, number, &["--report-only"]);
        let [said, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "chapter {number}: {err}");
        assert!(said.contains("1 of ") && !said.contains("NaN"), "chapter {number}: {said}");
        assert!(said.contains("not measured") && !said.contains("supported"), "chapter {number}: {said}");
        for file in std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()) {
            let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
            let is_text = file.extension().is_some_and(|kind| kind == "svg" || kind == "json");
            assert!(!is_text || !text.contains("NaN"), "chapter {number}: {}", file.display());
        }
        let printed = chapter_in(out, number, &["--report-only", "--json"]);
        assert!(serde_json::from_slice::<Value>(&printed.stdout).is_ok(), "chapter {number}");
    }
}

#[test]
fn every_chapter_names_wrong_flags() {
    for number in 0..STATIONS.len() {
        for (words, part) in [
            (["--images", "100000"], "--images"),
            (["--images", "3"], "--images"),
            (["--only", "no such run"], "--only"),
            (["--data", "no such folder"], "no such folder"),
            (["--shard", "3/2"], "--shard"),
        ] {
            let output = chapter(number, &[&words[..], &["--quick"]].concat());
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(1 | 2)), "chapter {number} {words:?}: {err}");
            assert!(err.contains(part) && !err.contains("panicked"), "chapter {number} {words:?}: {err}");
        }
    }
}
