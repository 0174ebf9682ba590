//! The first thousands of the million, in every run of the tests.

use frostline_fuzz::corpus;
use frostline_fuzz::memory::Counting;
use frostline_fuzz::run::{Cases, Limits, replay, run};
use frostline_fuzz::target::{Target, Verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most cases must pass the first check, or they test little: `kinds` is the minimum number of different
/// errors.
#[track_caller]
fn holds(target: Target, count: u64, kinds: usize) {
    let corpus = corpus::load(target).unwrap();
    let outcome = run(target, &corpus, Cases { seed: 1, first: 0, count }, Limits::default(), |_| {});
    println!("{target:?}: {outcome}");
    assert!(outcome.failures.is_empty(), "{outcome}");
    assert_eq!(outcome.cases, count);
    assert!(outcome.accepted >= count / 100 && outcome.refused.len() >= kinds, "{outcome}");
    assert!(outcome.peak_bytes > 0, "memory is measured");
}

#[test]
fn weights() {
    holds(Target::Safetensors, 5000, 8);
}

#[test]
fn checkpoints() {
    holds(Target::Checkpoint, 5000, 8);
}

#[test]
fn images() {
    holds(Target::Images, 2000, 2);
}

/// Errors that were found and corrected stay corrected.
#[test]
fn earlier_findings() {
    let files = corpus::findings(Target::Images).unwrap();
    let outcome = replay(Target::Images, &files, Limits { allocation: 8 << 20, ..Limits::default() });
    assert!(outcome.failures.is_empty(), "{outcome}");
    assert_eq!(outcome.refusals(), files.len() as u64, "{outcome}");
    assert!(files.len() >= 4);
}

#[test]
fn the_corpus_is_sound() {
    for target in [Target::Safetensors, Target::Checkpoint, Target::Images] {
        for sample in corpus::load(target).unwrap() {
            assert_eq!(target.read(&sample.bytes), Verdict::Accepted, "{}", sample.name);
        }
    }
}
