//! Runs cases, and records their results.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::time::{Duration, Instant};

use frostline_loader::shuffle::item_generator;
use serde::Serialize;

use crate::corpus::Sample;
use crate::memory::peak_of;
use crate::target::{Target, Verdict};
use crate::watchdog::Watchdog;

/// The limits of a reader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Time limit of a case. A case that exceeds it ends the process, because a hang cannot be interrupted
    /// otherwise.
    pub seconds: f64,
    /// Bytes to allocate, besides twice the file's.
    pub allocation: usize,
}

impl Default for Limits {
    /// 10 s and 64 MiB.
    fn default() -> Self {
        Self { seconds: 10.0, allocation: 64 << 20 }
    }
}

/// Which cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cases {
    /// Seed of all of them.
    pub seed: u64,
    /// The first one's number.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// Their results.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Cases run.
    pub cases: u64,
    /// Files that were read.
    pub accepted: u64,
    /// Files that were refused, by the kind of error.
    pub refused: BTreeMap<String, u64>,
    /// Most bytes that a case held at one time, besides the file.
    pub peak_bytes: usize,
    /// The largest file, in bytes.
    pub largest_file: usize,
    /// Longest time of a case.
    pub slowest_seconds: f64,
    /// Time of all.
    pub seconds: f64,
    /// The failures, with their cases.
    pub failures: Vec<(u64, String)>,
}

/// The bytes of a case.
pub fn case(target: Target, corpus: &[Sample], seed: u64, number: u64) -> Vec<u8> {
    target.damaged(corpus, &mut item_generator(seed, target as u64, number))
}

/// Runs cases of `target`. `seen` is called after every case with the number of finished cases.
pub fn run(
    target: Target,
    corpus: &[Sample],
    cases: Cases,
    limits: Limits,
    seen: impl FnMut(u64),
) -> Outcome {
    let command = format!("{} --seed {} --cases 1 --first", target.name(), cases.seed);
    let on_hang = move |number| {
        eprintln!("a case takes longer than {} s; again: {command} {number}", limits.seconds);
        process::abort();
    };
    let make = |number| case(target, corpus, cases.seed, number);
    drive(cases, limits, make, |bytes| target.read(bytes), on_hang, seen)
}

/// Reads these files unchanged. A hang ends the process.
pub fn replay(target: Target, files: &[Sample], limits: Limits) -> Outcome {
    let on_hang = |number| {
        eprintln!("file {number} takes too long");
        process::abort();
    };
    let cases = Cases { seed: 0, first: 0, count: files.len() as u64 };
    drive(
        cases,
        limits,
        |number| files[number as usize].bytes.clone(),
        |bytes| target.read(bytes),
        on_hang,
        |_| {},
    )
}

fn drive(
    cases: Cases,
    limits: Limits,
    make: impl Fn(u64) -> Vec<u8>,
    read: impl Fn(&[u8]) -> Verdict,
    on_hang: impl Fn(u64) + Send + 'static,
    mut seen: impl FnMut(u64),
) -> Outcome {
    let mut outcome = Outcome::default();
    let watchdog = Watchdog::new(limits.seconds, on_hang);
    let begin = Instant::now();
    let mut slowest = Duration::ZERO;
    for number in (cases.first..).take(cases.count as usize) {
        let bytes = make(number);
        watchdog.begin(number);
        let start = Instant::now();
        let (result, peak) = peak_of(|| catch_unwind(AssertUnwindSafe(|| read(&bytes))));
        slowest = slowest.max(start.elapsed());
        outcome.cases += 1;
        outcome.peak_bytes = outcome.peak_bytes.max(peak);
        outcome.largest_file = outcome.largest_file.max(bytes.len());
        let mut fail = |what: String| outcome.failures.push((number, what));
        if peak > 2 * bytes.len() + limits.allocation {
            fail(format!("{peak} bytes for a file of {}", bytes.len()));
        }
        match result {
            Ok(Verdict::Accepted) => outcome.accepted += 1,
            Ok(Verdict::Refused(kind)) => *outcome.refused.entry(kind).or_default() += 1,
            Ok(Verdict::Broken(what)) => fail(what),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                fail(format!("panic: {}", text.unwrap_or_default()));
            }
        }
        seen(outcome.cases);
    }
    outcome.slowest_seconds = slowest.as_secs_f64();
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome
}

impl Outcome {
    /// Cases that were refused.
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, accepted, peak_bytes, largest_file, slowest_seconds, seconds, failures, .. } = self;
        writeln!(
            f,
            "{cases} cases in {seconds:.0} s: {accepted} accepted, {} refused, {} failures",
            self.refusals(),
            failures.len()
        )?;
        let mib = *peak_bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "at most {mib:.1} MiB besides the file, {slowest_seconds:.3} s a case; largest file {largest_file} bytes"
        )?;
        self.refused.iter().try_for_each(|(kind, count)| write!(f, "\n  {count:>9}  {kind}"))?;
        failures.iter().take(20).try_for_each(|(number, what)| write!(f, "\ncase {number}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::memory::Counting;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    /// Case n is a file of n bytes.
    fn read_as(read: impl Fn(&[u8]) -> Verdict) -> Outcome {
        let limits = Limits { seconds: 10.0, allocation: 1 << 20 };
        drive(
            Cases { seed: 0, first: 0, count: 10 },
            limits,
            |number| vec![0; number as usize],
            read,
            |_| {},
            |_| {},
        )
    }

    #[test]
    fn panics_are_failures() {
        let outcome = read_as(|bytes| {
            assert!(bytes.len() != 7, "expected by this test");
            Verdict::Accepted
        });
        assert_eq!(outcome.accepted, 9);
        // With RUST_BACKTRACE the panic's message alone takes more memory than a case may.
        assert!(outcome.failures.iter().all(|(number, _)| *number == 7), "{outcome}");
        assert!(outcome.failures.iter().any(|(_, what)| what.contains("expected by this test")), "{outcome}");
    }

    #[test]
    fn floods_are_failures_and_little_is_not() {
        let outcome = read_as(|bytes| {
            let size = if bytes.len() == 3 { 2 << 20 } else { 1 << 19 };
            // An unused allocation would be optimised away.
            Verdict::Refused(format!("{}", std::hint::black_box(vec![1u8; size]).len()))
        });
        assert_eq!(outcome.failures.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3]);
        assert!((2 << 20..3 << 20).contains(&outcome.peak_bytes), "{outcome}");
    }

    #[test]
    fn contradictions_are_failures() {
        let outcome =
            read_as(
                |bytes| if bytes.is_empty() { Verdict::Broken("word".to_owned()) } else { Verdict::Accepted },
            );
        assert_eq!(outcome.failures, [(0, "word".to_owned())]);
    }

    #[test]
    fn hangs_are_told_with_their_number() {
        let (send, receive) = mpsc::channel();
        let limits = Limits { seconds: 0.2, allocation: 0 };
        let hang = |bytes: &[u8]| {
            if bytes.len() == 4 {
                assert_eq!(receive.recv(), Ok(4));
            }
            thread::yield_now();
            Verdict::Accepted
        };
        let on_hang = move |number| send.send(number).unwrap();
        let outcome = drive(
            Cases { seed: 0, first: 0, count: 6 },
            limits,
            |number| vec![0; number as usize],
            hang,
            on_hang,
            |_| {},
        );
        assert_eq!(outcome.accepted, 6);
    }
}
