//! Pace: the amount of a step in one submission, and the number of steps that the host may be ahead of the
//! device.
//!
//! Drivers reset a device that is busy with one submission for too long: Windows after 2 s, browsers earlier.
//! The time of a step is not known before it has run, so the first step is cut into submissions that even a
//! slow GPU finishes in time, and measured; later steps are cut to fit the target. Results do not depend on
//! the cuts. A single dispatch is never cut: one that takes longer than the target is a separate submission.
//!
//! Every submitted step keeps a copy of its batch until the device has copied it. The host therefore waits
//! before it is more than [`STEPS_IN_FLIGHT`] steps ahead.

use crate::ledger::Cost;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// Number of submitted steps that may be unfinished: one that runs, one that is ready when it ends, and one
/// for times when the host is late.
pub(crate) const STEPS_IN_FLIGHT: usize = 3;

/// Work in a submission of a step that was not measured yet: a tenth of a second for a GPU that does 2·10¹⁰
/// multiply-accumulates per second.
const FIRST_BUDGET: u64 = 2_000_000_000;

/// Number of multiply-accumulates that count as one byte read or written. At the rates that kernels reach,
/// GPUs do between 4 (GT 1030) and 10 (H100) of them in the time for a byte.
const MACS_PER_BYTE: u64 = 8;

/// Steps between two measurements: each waits for the device before and after it.
const REMEASURE: u64 = 1_000;

/// The work of a dispatch in multiply-accumulates.
pub(crate) fn work(cost: &Cost) -> u64 {
    cost.macs.saturating_add(MACS_PER_BYTE.saturating_mul(cost.bytes_read.saturating_add(cost.bytes_written)))
}

/// `work`, dispatch by dispatch, in runs of at most `budget` each; a dispatch that exceeds it is a run by
/// itself.
pub(crate) fn cut(work: &[u64], budget: u64) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = vec![];
    let mut sum: u64 = 0;
    for (at, &more) in work.iter().enumerate() {
        sum = sum.saturating_add(more);
        match runs.last_mut() {
            Some(run) if sum <= budget => run.end = at + 1,
            _ => {
                sum = more;
                runs.push(at..at + 1);
            }
        }
    }
    runs
}

/// The budget of a step's submissions, from measured steps.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Time limit of a submission; `None`: a step is one submission.
    target: Option<Duration>,
    budget: u64,
    steps: u64,
}

impl Pace {
    pub fn new(target: Option<Duration>) -> Self {
        Self { target, budget: if target.is_some() { FIRST_BUDGET } else { u64::MAX }, steps: 0 }
    }

    /// Maximum work of the next submission.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Counts a step, and returns whether it should be measured: the first, in which drivers prepare new
    /// kernels, the second, and later ones at intervals.
    pub fn begin(&mut self) -> bool {
        let measure = self.target.is_some() && (self.steps < 2 || self.steps.is_multiple_of(REMEASURE));
        self.steps += 1;
        measure
    }

    /// Sets the budget by a step: the device did `work` in `time` and nothing else.
    pub fn measured(&mut self, work: u64, time: Duration) {
        let Some(target) = self.target else { return };
        let budget = work as f64 * target.as_secs_f64() / time.as_secs_f64().max(1e-9);
        self.budget = (budget as u64).max(1);
    }
}

/// The last submission of each step that may be unfinished.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    last: VecDeque<T>,
}

impl<T> Backlog<T> {
    pub fn new() -> Self {
        Self { last: VecDeque::new() }
    }

    /// Adds a step, and returns the one to wait for before another is prepared.
    pub fn push(&mut self, last: T) -> Option<T> {
        self.last.push_back(last);
        if self.last.len() >= STEPS_IN_FLIGHT { self.last.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(250);

    #[test]
    fn runs_fill_the_budget_and_miss_no_dispatch() {
        assert_eq!(cut(&[3, 4, 3, 11, 0, 2, 9], 10), [0..3, 3..4, 4..6, 6..7]);
        assert_eq!(cut(&[3, 4, u64::MAX, 9], u64::MAX - 8), [0..2, 2..3, 3..4]);
        assert_eq!(cut(&[3, 4, u64::MAX, u64::MAX], u64::MAX).len(), 1);
        assert_eq!(cut(&[0, 0, 5, 0], 1), [0..2, 2..3, 3..4]);
        assert_eq!(cut(&[], 1), []);
    }

    #[test]
    fn without_a_target_nothing_is_cut_or_measured() {
        let mut pace = Pace::new(None);
        assert!((0..2 * REMEASURE).all(|_| !pace.begin()));
        pace.measured(1 << 40, Duration::from_secs(100));
        assert_eq!(pace.budget(), u64::MAX);
    }

    /// A device with a clock: the time of a step, and of its longest submission.
    fn step(pace: &mut Pace, work: &[u64], rate: f64) -> (usize, f64) {
        let measure = pace.begin();
        let seconds = |work: u64| work as f64 / rate;
        let runs = cut(work, pace.budget());
        let longest = runs.iter().map(|run| seconds(work[run.clone()].iter().sum())).fold(0.0, f64::max);
        if measure {
            pace.measured(work.iter().sum(), Duration::from_secs_f64(seconds(work.iter().sum())));
        }
        (runs.len(), longest)
    }

    #[test]
    fn submissions_fit_the_target_on_a_slow_gpu_and_a_step_is_one_on_a_fast_one() {
        let work = vec![100_000_000; 4_000]; // ResNet-50, 32 images: 4·10¹¹
        let mut slow = Pace::new(Some(TARGET));
        assert_eq!(step(&mut slow, &work, 2e10), (200, 0.1));
        for _ in 0..10 {
            assert_eq!(step(&mut slow, &work, 2e10), (80, 0.25));
        }
        let mut fast = Pace::new(Some(TARGET));
        assert_eq!(step(&mut fast, &work, 1e13).0, 200, "the first step is cut in any case");
        assert_eq!(step(&mut fast, &work, 1e13), (1, 0.04));
    }

    #[test]
    fn a_first_step_that_compiles_and_a_device_that_slows_down_are_measured_again() {
        let work = vec![100_000_000; 40];
        let mut pace = Pace::new(Some(TARGET));
        assert!(pace.begin());
        pace.measured(4_000_000_000, Duration::from_secs(10)); // 0.004 s of it computed
        assert_eq!(step(&mut pace, &work, 1e12).0, 40);
        assert_eq!(step(&mut pace, &work, 1e12).0, 1, "the second step shows the true rate");
        let measured: Vec<u64> = (2..=REMEASURE).filter(|_| pace.begin()).collect();
        assert_eq!(measured.len(), 1, "{measured:?}");
        pace.measured(4_000_000_000, Duration::from_secs(1));
        assert_eq!(step(&mut pace, &work, 4e9), (4, 0.25));
        pace.measured(4_000_000_000, Duration::ZERO);
        assert!(
            pace.budget() > 4_000_000_000,
            "a clock that did not advance does not cause a division by \
                                                zero"
        );
    }

    #[test]
    fn the_host_is_no_more_than_the_bound_ahead() {
        let mut flight = Backlog::new();
        let waited: Vec<Option<u32>> = (0..6).map(|step| flight.push(step)).collect();
        assert_eq!(waited, [None, None, Some(0), Some(1), Some(2), Some(3)]);
    }
}
