//! The published parts of the lesson: documents that cannot differ from the results, results that cannot
//! differ from the runs; and the command that writes them.

use frostline_lesson::page::{STATIONS, lesson, publish, readme};
use frostline_study::{Answers, Run, Setting, lines, read};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

const HOW: &str = "run `make publish`, or `cargo run --release --example lesson -- --publish docs`";

#[test]
fn the_documents_are_those_of_the_published_results() {
    let text = fs::read_to_string(docs().join("lesson.md")).unwrap();
    assert!(text == lesson(&docs()), "docs/lesson.md is not what docs/results says: {HOW}");
    let text = fs::read_to_string(docs().join("../README.md")).unwrap();
    assert!(text == readme(&docs(), &text).unwrap(), "README.md is not what docs/results says: {HOW}");
}

/// Accuracies and settings in a chapter's results are those of the runs beside it, and its figures are there.
#[test]
fn published_results_are_those_of_the_published_runs() {
    let mut figures = BTreeSet::new();
    for number in 0..STATIONS.len() {
        let path = docs().join(format!("results/ch{number}.json"));
        if !path.exists() {
            continue;
        }
        let results = json_of(&path);
        let runs = read(&path.with_file_name(format!("ch{number}.runs.jsonl"))).unwrap();
        let reported = results["runs"].as_array().unwrap();
        assert_eq!(reported.len(), runs.len(), "chapter {number}");
        for (reported, run) in reported.iter().zip(&runs) {
            assert_eq!(serde_json::from_value::<Setting>(reported["setting"].clone()).unwrap(), run.setting);
            assert_eq!(reported["converged"], run.converged(), "{}", run.setting);
            for (test, answers) in &run.answers {
                let said = reported["accuracy"][test].as_f64().unwrap();
                assert!((said - 100.0 * answers.accuracy()).abs() < 0.006, "{}, {test}", run.setting);
            }
        }
        let names =
            results["figures"].as_array().unwrap().iter().map(|figure| figure["file"].as_str().unwrap());
        figures.extend(names.map(str::to_owned));
    }
    let folder = docs().join("figures");
    let there: BTreeSet<String> = if folder.exists() {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    } else {
        BTreeSet::new()
    };
    assert_eq!(there, figures, "docs/figures has other files than the results name");
}

/// The lines of output in the header of a chapter's example are in its published tables.
#[test]
fn the_headers_of_the_examples_show_published_lines() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (number, station) in STATIONS.iter().enumerate() {
        let name = station.binary;
        let path = docs().join(format!("../examples/{name}.rs"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.lines().count() <= 120 && text.lines().all(|line| line.chars().count() <= 110),
            "{name}"
        );
        let header = text.lines().map_while(|line| line.strip_prefix("//!"));
        let mut shown =
            header.skip_while(|line| !line.contains(&format!("$ cargo run --release --example {name}")));
        assert!(shown.next().is_some(), "{name} has no command in its header");
        let shown: Vec<String> = shown.map(words).collect();
        assert!(shown.len() > 2, "{name} shows no output");

        let tables = json_of(&docs().join(format!("results/ch{number}.json")))["tables"].take();
        let has = |table: &Value| {
            let columns = table["columns"].as_array().unwrap().iter().map(|column| column.as_str().unwrap());
            let mut lines = vec![words(&columns.collect::<Vec<_>>().join(" "))];
            for row in table["rows"].as_array().unwrap() {
                let cells = row["cells"].as_array().unwrap().iter();
                let texts = cells.map(|cell| cell["text"].as_str().or(cell.as_str()).unwrap_or("-"));
                let row = std::iter::once(row["name"].as_str().unwrap()).chain(texts);
                lines.push(words(&row.collect::<Vec<_>>().join(" ")));
            }
            shown.iter().all(|line| lines.contains(line))
        };
        assert!(
            tables.as_array().unwrap().iter().any(has),
            "the header of {name} shows {shown:#?}: no table of docs/results/ch{number}.json has these lines"
        );
    }
}

fn run(seed: u64) -> Run {
    let setting = Setting {
        study: "ch0".to_owned(),
        version: 1,
        task: "clothes".to_owned(),
        condition: "from scratch".to_owned(),
        images: 50,
        seed,
        steps: 150,
        batch: 32,
        lr: 0.05,
        inputs: "0123".to_owned(),
    };
    Run {
        setting,
        answers: BTreeMap::from([("test".to_owned(), Answers::new("four", &[0; 4], &[0, 0, 1, 0]))]),
        numbers: BTreeMap::new(),
        losses: vec![],
        diverged: false,
        cost: frostline_study::Cost::default(),
        seconds: 1.5,
        adapter: "a | b".to_owned(),
    }
}

/// A repository with one chapter's results of seeds 1 and 0, and runs of three seeds.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let chapter = folder.path().join("out/ch0");
    fs::create_dir_all(&chapter).unwrap();
    fs::create_dir_all(folder.path().join("docs")).unwrap();
    fs::write(chapter.join("runs.jsonl"), lines(&[run(0), run(2), run(1)])).unwrap();
    fs::write(chapter.join("curves.svg"), "<svg/>").unwrap();
    fs::write(chapter.join("curves.png"), "not needed").unwrap();
    let reported = |seed: u64| {
        let mut setting = json!(run(seed).setting);
        setting["lr"] = 0.05.into();
        json!({ "setting": setting, "accuracy": { "test": 75.0 }, "converged": true })
    };
    let results = json!({
        "claim": "A *claim* with <b>", "adapters": ["a | b"], "rehearsal": false, "missing_runs": 1,
        "settings": { "model": "resnet10", "images": [50], "seeds": 3, "batch": 32, "lr": 0.02 },
        "claims": [
            {
                "claim": "one | two_three", "verdict": "supported", "evidence": "1 < 2",
                "mean": 12.34, "interval": [9.1, 15.5], "unit": "points",
            },
            { "claim": "four", "verdict": "not measured", "evidence": "" },
        ],
        "figures": [
            { "file": "curves.png", "caption": "Curves." },
            { "file": "../out.png", "caption": "Elsewhere." },
        ],
        "tables": [{ "title": "t", "columns": ["c"], "rows": [{ "name": "a", "cells": ["55.0±7.1*"] }] }],
        "quiz": { "question": "Why?", "answer": "So." },
        "runs": [reported(1), reported(0)], "seconds": [1.5, 1.5],
    });
    fs::write(chapter.join("results.json"), results.to_string()).unwrap();
    let parts =
        ["figure", "chapters"].map(|part| format!("<!-- lesson: {part} -->\nold\n<!-- end of {part} -->\n"));
    fs::write(folder.path().join("README.md"), format!("before\n{}between\n{}after\n", parts[0], parts[1]))
        .unwrap();
    folder
}

#[test]
fn publishing_copies_what_the_results_report_and_makes_the_documents() {
    let folder = repository();
    let (out, docs) = (folder.path().join("out"), folder.path().join("docs"));
    fs::create_dir_all(docs.join("figures")).unwrap();
    fs::write(docs.join("figures/ch0-former.svg"), "").unwrap();
    fs::write(docs.join("figures/ch1-kept.svg"), "").unwrap();
    let said = publish(&out, &docs).unwrap();
    assert_eq!(said[0].as_deref(), Ok("chapter 0: 2 runs, 1 missing"));
    assert!(said[1].as_ref().unwrap().contains("no results"));

    assert_eq!(read(&docs.join("results/ch0.runs.jsonl")).unwrap(), [run(1), run(0)]);
    let names = fs::read_dir(docs.join("figures")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<BTreeSet<_>>(), ["ch0-curves.svg".into(), "ch1-kept.svg".into()].into());
    let text = fs::read_to_string(docs.join("results/ch0.json")).unwrap();
    assert_eq!(text.matches("\"setting\"").count(), 2);
    assert_eq!(text.lines().filter(|line| line.contains("\"setting\"")).count(), 2);

    let lesson = fs::read_to_string(docs.join("lesson.md")).unwrap();
    for part in [
        "> A \\*claim\\* with &lt;b>",
        "| one \\| two\\_three | **supported** | 1 &lt; 2 |",
        "![Curves.](figures/ch0-curves.svg)",
        "The figure ../out.png is missing",
        "| a | 55.0±7.1\\* |",
        "\\* Some of these runs have not converged",
        "2 of 3 runs; 3 s of training on a \\| b.",
        "**Missing runs: 1 of 3.",
        "**This chapter has no published runs yet.**",
    ] {
        assert!(lesson.contains(part), "{part} is not in\n{lesson}");
    }
    let readme = fs::read_to_string(folder.path().join("README.md")).unwrap();
    let difference = "First claim: “one \\| two\\_three”: **supported**, +12.3 points (+9.1 to +15.5).";
    for part in [
        "before\n<!-- lesson: figure -->\n![Chapter 0: Curves.](docs/figures/ch0-curves.svg)\n<!-- end",
        &format!("Not all runs are finished (missing: 1). 1 supported, 1 not measured. {difference} |"),
        "<!-- end of chapters -->\nafter\n",
    ] {
        assert!(readme.contains(part), "{part} is not in\n{readme}");
    }
    // Publishing again changes nothing.
    publish(&out, &docs).unwrap();
    assert_eq!(lesson, fs::read_to_string(docs.join("lesson.md")).unwrap());
    assert_eq!(readme, fs::read_to_string(folder.path().join("README.md")).unwrap());
}

#[test]
fn what_cannot_be_published_leaves_what_was_there() {
    let folder = repository();
    let (out, docs) = (folder.path().join("out"), folder.path().join("docs"));
    publish(&out, &docs).unwrap();
    let published = fs::read_to_string(docs.join("lesson.md")).unwrap();
    let path = out.join("ch0/results.json");
    let good = json_of(&path);
    let mut rehearsal = good.clone();
    rehearsal["rehearsal"] = true.into();
    let mut short = good.clone();
    short["settings"]["quick"] = true.into();
    let mut unknown = good.clone();
    unknown["runs"][0]["setting"]["seed"] = 7.into();
    let mut empty = good.clone();
    empty["runs"] = json!([]);
    let mut older = good;
    older["runs"][0].as_object_mut().unwrap().remove("setting");
    for (results, words) in [
        (rehearsal.to_string(), "is a rehearsal"),
        (short.to_string(), "--quick"),
        (empty.to_string(), "has no finished runs"),
        (unknown.to_string(), "runs.jsonl has no run clothes, 50 images, from scratch, seed 7"),
        (older.to_string(), "--report-only"),
        ("{".to_owned(), "has invalid results"),
    ] {
        fs::write(&path, results).unwrap();
        let said = publish(&out, &docs).unwrap();
        assert!(said[0].as_ref().unwrap_err().contains(words), "{said:?}");
        assert_eq!(published, fs::read_to_string(docs.join("lesson.md")).unwrap());
    }
    fs::write(folder.path().join("README.md"), "nothing").unwrap();
    let error = publish(&out, &docs).unwrap_err().to_string();
    assert!(error.contains("README.md has no lines <!-- lesson: figure -->"), "{error}");
}
