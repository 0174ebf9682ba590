//! The speed of a step: the figures in the output of `frostline bench` and in reports.

use crate::error::Result;
use crate::workload::{KernelTime, Runner, Step, Workload};
use frostline_engine::Gpu;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Minimum number of steps for a median.
const FEWEST: usize = 3;
/// Number of steps that are submitted without a wait between them.
const RESIDENT: usize = 4;
/// Number of steps for the median of a kernel's time.
const PROFILED: usize = 5;

/// The speed of one kind of step.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StepSpeed {
    /// infer, full, the last stage's name, head, or features.
    pub step: String,
    /// Images in a step over its time.
    pub images_per_second: f64,
    /// The median step, from sending a batch to the end.
    pub milliseconds: f64,
    /// One of several steps that are submitted without a wait, on a batch that is already on the device.
    pub resident_milliseconds: f64,
    /// The first step, with buffers, pipelines and what the driver compiles.
    pub first_milliseconds: f64,
    /// 10⁹ multiplications and additions per second, in the median step.
    pub gflops: f64,
    /// Steps measured.
    pub samples: usize,
    /// Every dispatch of a step, if they were requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<KernelTime>,
}

/// Measures a step for `seconds`, but at least three times; then for half that time on a batch that stays on
/// the device, and each of its `kernels` if they are requested.
///
/// # Errors
/// If the model refuses the size, or the device fails.
pub fn measure(
    gpu: &Arc<Gpu>,
    workload: &Workload,
    step: Step,
    seconds: f64,
    kernels: bool,
) -> Result<StepSpeed> {
    let mut runner = Runner::new(gpu, workload, step)?;
    let time = repeat(seconds, || {
        let start = Instant::now();
        runner.run()?;
        Ok(start.elapsed())
    })?;
    let resident = repeat(seconds / 2.0, || runner.run_resident(RESIDENT))?;
    let kernels = if kernels { runner.profile(PROFILED)? } else { vec![] };
    Ok(StepSpeed {
        step: workload.name(step),
        images_per_second: workload.batch as f64 / time.median,
        milliseconds: 1e3 * time.median,
        resident_milliseconds: 1e3 * resident.median,
        first_milliseconds: 1e3 * runner.first.as_secs_f64(),
        gflops: 2.0 * runner.macs() as f64 / time.median / 1e9,
        samples: time.samples,
        kernels,
    })
}

struct Times {
    /// In seconds.
    median: f64,
    samples: usize,
}

/// Runs `step` for `seconds`, but at least [`FEWEST`] times.
fn repeat(seconds: f64, mut step: impl FnMut() -> Result<Duration>) -> Result<Times> {
    let (mut times, start) = (vec![], Instant::now());
    while times.len() < FEWEST || start.elapsed() < Duration::from_secs_f64(seconds) {
        times.push(step()?.as_secs_f64());
    }
    Ok(Times { samples: times.len(), median: median(&mut times) })
}

/// The value in the middle of `values`; not a number if there are none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All dispatches of one kernel in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelSum {
    /// Such as `conv2d.forward`.
    pub kernel: String,
    /// Dispatches.
    pub count: usize,
    /// Their time.
    pub milliseconds: f64,
    /// Their multiply-accumulates.
    pub macs: u64,
    /// Bytes that they read and write.
    pub bytes: u64,
}

impl KernelSum {
    /// 10⁹ multiplications and additions per second.
    pub fn gflops(&self) -> f64 {
        self.rate(2 * self.macs)
    }

    /// 10⁹ bytes per second.
    pub fn gigabytes(&self) -> f64 {
        self.rate(self.bytes)
    }

    fn rate(&self, amount: u64) -> f64 {
        amount as f64 / (1e6 * self.milliseconds.max(1e-9))
    }
}

/// The dispatches of a step, summed by kernel, the slowest kernel first.
pub fn by_kernel(kernels: &[KernelTime]) -> Vec<KernelSum> {
    let mut sums: Vec<KernelSum> = vec![];
    for KernelTime { kernel, milliseconds, macs, bytes, .. } in kernels {
        let at = sums.iter().position(|sum| sum.kernel == *kernel).unwrap_or_else(|| {
            sums.push(KernelSum { kernel: kernel.clone(), count: 0, milliseconds: 0.0, macs: 0, bytes: 0 });
            sums.len() - 1
        });
        let sum = &mut sums[at];
        sum.count += 1;
        sum.milliseconds += milliseconds;
        sum.macs += macs;
        sum.bytes += bytes;
    }
    sums.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_dispatches_are_added_up_and_the_slowest_is_first() {
        let time = |kernel: &str, milliseconds| KernelTime {
            kernel: kernel.to_owned(),
            layer: String::new(),
            milliseconds,
            macs: 1_000_000,
            bytes: 500_000,
        };
        let sums = by_kernel(&[time("a", 1.0), time("b", 5.0), time("a", 1.0)]);
        let found: Vec<_> =
            sums.iter().map(|sum| (sum.kernel.as_str(), sum.count, sum.milliseconds)).collect();
        assert_eq!(found, [("b", 1, 5.0), ("a", 2, 2.0)]);
        assert_eq!((sums[1].gflops(), sums[1].gigabytes()), (2.0, 0.5));
    }

    #[test]
    fn a_median_is_a_value() {
        assert_eq!((median(&mut [3.0, 1.0, 2.0]), median(&mut [7.0])), (2.0, 7.0));
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn three_steps_are_taken_without_time() {
        let mut taken = 0;
        let times = repeat(0.0, || {
            taken += 1;
            Ok(Duration::from_secs(taken))
        });
        assert!(times.is_ok_and(|times| times.samples == FEWEST && times.median == 2.0));
    }
}
