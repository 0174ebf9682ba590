//! Common code of both benchmarks: the roofline, the clock, and the output of figures.

#![allow(dead_code)] // each benchmark uses a part

pub mod cases;
pub mod report;
pub mod roofline;
pub mod steps;
pub mod timer;

use frostline::engine::Gpu;
use std::time::{Duration, Instant};

/// The result of a benchmark; the error is for people.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The time that `work` takes.
pub fn wall<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

/// The value, or the end of the program with the error: criterion's closures return nothing.
pub fn or_exit<T>(outcome: Outcome<T>) -> T {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(2)
    })
}

/// The value in the middle; of two, the larger.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The adapter and the kernels' shapes, for people.
pub fn describe(gpu: &Gpu) -> String {
    format!("{}, kernels for {:?}", gpu.describe(), gpu.tuning().class)
}
