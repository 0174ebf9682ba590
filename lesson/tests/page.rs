//! The page from fixtures: existing parts are shown and escaped, missing parts are named.

use frostline_lesson::page::{STATIONS, page};
use serde_json::{Value, json};
use std::path::Path;

fn put(out: &Path, number: usize, results: &Value) {
    let folder = out.join(format!("ch{number}"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("results.json"), results.to_string()).unwrap();
}

fn claim(claim: &str, verdict: &str) -> Value {
    json!({ "claim": claim, "verdict": verdict, "evidence": "1 < 2", "mean": null, "unit": "points" })
}

fn results() -> Value {
    json!({
        "chapter": 3, "title": "t", "claim": "A <claim>", "adapters": ["Adapter & Co", "another"],
        "settings": { "model": "resnet10", "images": [50, 1000], "seeds": 2, "batch": 32, "lr": 0.02 },
        "rehearsal": false, "missing_runs": 1,
        "claims": [
            claim("one", "supported"), claim("two", "contradicted"), claim("three", "equivalent"),
            claim("four", "inconclusive"), claim("five", "too short to tell"), claim("six", "<odd>"),
            claim("seven", "supported"),
        ],
        "tables": [{
            "title": "accuracy \"%\"", "columns": ["<script>alert(1)</script>"],
            "rows": [{
                "name": "a & b",
                "cells": [{ "mean": 1.0, "std": 2.0, "text": "1.0±2.0" }, "x<y", null, 7, "1.0±2.0*"],
            }],
        }],
        "figures": [
            { "file": "curves.png", "caption": "Curves \"quoted\"" },
            { "file": "gone.png", "caption": "never drawn" },
        ],
        "quiz": { "question": "Why?", "answer": "Because <b>" },
        "runs": [
            { "setting": { "steps": 150 }, "converged": true },
            { "setting": { "steps": 500 }, "converged": false },
        ],
        "seconds": [60.4, 60.0],
    })
}

#[test]
fn a_chapter_is_shown_with_everything_escaped() {
    let out = tempfile::tempdir().unwrap();
    put(out.path(), 3, &results());
    std::fs::write(out.path().join("ch3/curves.png"), b"PNG!").unwrap();
    let html = page(out.path(), &[]);
    for part in [
        "A &lt;claim&gt;",
        "<span class=\"badge supported\">supported</span> one",
        "<span class=\"badge contradicted\">contradicted</span> two",
        "<span class=\"badge equivalent\">equivalent</span> three",
        "<span class=\"badge inconclusive\">inconclusive</span> four",
        "<span class=\"badge none\">too short to tell</span> five",
        "<span class=\"badge none\">&lt;odd&gt;</span> six",
        "<span class=\"badge supported\">2 supported</span> <span class=\"badge contradicted\">1 contra",
        "1 &lt; 2",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "<th scope=\"row\">a &amp; b</th><td>1.0±2.0</td><td>x&lt;y</td><td>–</td><td>7</td><td>1.0±2.0*",
        "* Some of these runs have not converged: fewer than 5 passes",
        // "PNG!" in base 64.
        "<img alt=\"Curves &quot;quoted&quot;\" src=\"data:image/png;base64,UE5HIQ==\">",
        "The figure gone.png is missing: never drawn",
        "Because &lt;b&gt;",
        "Missing runs: 1 of 3.",
        "resnet10; 50, 1000 images; 2 seeds; 150 or 500 steps; batches of 32; base rate 0.02.",
        "2 of 3 runs; 1 not converged; 2 minutes of training on Adapter &amp; Co; another.",
    ] {
        assert!(html.contains(part), "{part} is not in the page");
    }
    // The SVG is sharper, where there is one.
    std::fs::write(out.path().join("ch3/curves.svg"), b"<svg").unwrap();
    assert!(page(out.path(), &[]).contains("src=\"data:image/svg+xml;base64,PHN2Zw==\">"));
    assert!(!html.contains("<script"));
    assert_eq!(html.matches("<details>").count(), 2);
}

#[test]
fn a_rehearsal_is_called_one() {
    let out = tempfile::tempdir().unwrap();
    let mut results = results();
    results["rehearsal"] = true.into();
    results["claims"] = json!([claim("one", "a rehearsal"), claim("two", "not measured")]);
    put(out.path(), 3, &results);
    let html = page(out.path(), &[]);
    assert!(html.contains("<p class=\"note\">A rehearsal: its runs are too short for conclusions"));
    assert!(html.contains(
        "<span class=\"badge none\">1 not measured</span> <span class=\"badge none\">1 a rehearsal"
    ));
}

#[test]
fn every_chapter_has_its_text_and_a_missing_one_its_command() {
    let out = tempfile::tempdir().unwrap();
    put(out.path(), 0, &results());
    std::fs::create_dir_all(out.path().join("ch1")).unwrap();
    std::fs::write(out.path().join("ch1/results.json"), "{ \"claims\": 3 }").unwrap();
    let html = page(out.path(), &[]);
    for (number, station) in STATIONS.iter().enumerate() {
        assert!(html.contains(&format!("<section id=\"ch{number}\">")), "{number}");
        let words = station.text.split_whitespace().count();
        assert!((150..=310).contains(&words), "chapter {number} has {words} words");
        let command = format!("cargo run --release --example {}\n", station.binary);
        assert_eq!(html.contains(&command), number != 0, "{command}");
    }
    assert_eq!(html.matches("has not been run").count(), 7);
    assert!(html.contains("has invalid results"));
    assert_eq!(html.matches("<section").count(), html.matches("</section>").count());
}

#[test]
fn a_failed_run_and_a_figure_from_elsewhere_are_told() {
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("secret.png"), "secret").unwrap();
    let mut results = results();
    results["figures"] =
        json!([{ "file": "../secret.png", "caption": "not ours" }, { "file": "", "caption": "nameless" }]);
    put(out.path(), 2, &results);
    let html = page(out.path(), &[None, None, Some("It ended with exit status 3 & more.".to_owned())]);
    assert!(html.contains("It ended with exit status 3 &amp; more."));
    assert!(html.contains("The figure ../secret.png is missing"));
    assert!(!html.contains("data:image"));
}
