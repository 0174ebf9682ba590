//! Short forms of the trust suite. `cargo run --release -p frostline-trust -- --help` lists the long ones.

use frostline_engine::faults::{Fault, Place};
use frostline_trust::faults::{CASES, Subject};
use frostline_trust::run::Settings;
use frostline_trust::{disk, kill, steady};
use std::path::Path;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_frostline-trust"))
}

#[test]
fn a_killed_run_has_a_whole_checkpoint_or_none_and_goes_on_to_the_same_bits() {
    let report = kill::kill(program(), 6, 1, |_, _| ()).unwrap();
    assert_eq!(report.runs, 6);
    assert!(report.finished < 6, "no run was killed before its end: {report:?}");
}

#[test]
fn whatever_fails_on_the_device_is_told_and_the_checkpoint_stays() {
    let subject = Subject::new(Settings { steps: 3, save: 1, evaluate: 3 }).unwrap();
    for (fault, place) in CASES {
        // A few places of each failure; the long form has all of them. Buffers need no new device, so all of
        // those are tried.
        let stride = match (fault, place) {
            (Fault::OutOfMemory, Place::Allocation) => 1,
            (_, Place::Allocation | Place::Submit) => 25,
            (_, Place::Write) => 300,
        };
        let report = subject.inject(fault, place, stride, |_, _| ()).unwrap();
        assert!(report.tried >= 2 && report.with_checkpoint >= 1, "{fault:?} at {place:?}: {report:?}");
    }
}

#[test]
fn a_full_disk_leaves_the_old_checkpoint_and_the_run_goes_on_once_there_is_room() {
    let message = disk::limited(program(), 8).unwrap();
    assert!(message.contains("cannot write"), "{message}");
    if let Some(message) = disk::fill_in_memory(program()).unwrap() {
        assert!(message.contains("No space left"), "{message}");
    }
}

#[test]
fn memory_stays_where_it_was() {
    let report = steady::steady(600).unwrap();
    assert!(
        report.steps == 600 && report.resident_at_last > 0 || cfg!(not(target_os = "linux")),
        "{report:?}"
    );
}
