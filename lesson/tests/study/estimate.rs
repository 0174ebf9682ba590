//! A study's estimate of its time.

use crate::process::{command, whole};
use std::io::{BufRead, BufReader};
use std::time::Instant;

/// How far the estimate may be off. An idle machine keeps within 2; this one may do other things meanwhile.
const FACTOR: f64 = 4.0;

#[test]
fn the_time_that_a_study_takes_is_told_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--seeds", "1", "--images", "16", "--steps", "120", "--only", "from scratch"];
    let mut child = command(folder.path(), &words).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.into_iter().find(|line| line.contains("; about ")).expect("an estimate");
    let start = Instant::now();
    assert!(child.wait().unwrap().success());
    let took = start.elapsed().as_secs_f64();
    let (_, rest) = told.split_once("; about ").unwrap();
    let estimate: f64 = rest.split_once(" s").expect("seconds").0.parse().unwrap();
    // The words are whole seconds.
    assert!(estimate + 0.5 > took / FACTOR && estimate - 0.5 < took * FACTOR, "{told} It took {took:.2} s");
}

#[test]
fn no_bar_is_drawn_where_no_terminal_looks_at_it() {
    let (_, ended) = whole();
    let lines: Vec<&str> = ended.err.lines().filter(|line| !line.starts_with("warning")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("8 runs on ") && lines[0].contains("; about "), "{}", lines[0]);
    assert!(!ended.err.contains('\r') && !ended.err.contains('\u{1b}'));
}
