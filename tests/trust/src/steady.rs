//! Memory in the long run: a run takes as much after 10,000 steps as after its first steps.

use crate::run::{Settings, train};
use crate::{Result, ensure};
use frostline_engine::Gpu;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Steps before the first measurement: enough for an evaluation and a checkpoint or two.
const WARM_UP: u64 = 200;

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Steps in all.
    pub steps: u64,
    /// The maximum memory of the device up to the end of the warm-up.
    pub device_at_first: u64,
    /// Its maximum memory after that.
    pub device_later: u64,
    /// The process's resident memory at the end of the warm-up; on a software adapter the device's
    /// memory is part of it.
    pub resident_at_first: u64,
    /// The same after the last step.
    pub resident_at_last: u64,
}

impl Report {
    /// The relative growth of the device's maximum memory.
    pub fn device_growth(&self) -> f64 {
        if self.device_at_first == 0 {
            0.0
        } else {
            self.device_later as f64 / self.device_at_first as f64 - 1.0
        }
    }

    /// The relative growth of resident memory.
    pub fn growth(&self) -> f64 {
        self.resident_at_last as f64 / self.resident_at_first as f64 - 1.0
    }
}

/// Trains for `steps` steps, with an evaluation and a checkpoint after every hundredth.
///
/// # Errors
/// If the device's memory grew by 1% over that of the first 200 steps, or resident memory did.
pub fn steady(steps: u64) -> Result<Report> {
    let gpu = Arc::new(Gpu::new()?);
    let folder = tempfile::tempdir()?;
    let mut report = Report { steps, ..Report::default() };
    train(&gpu, folder.path(), Settings { steps, save: 100, evaluate: 100 }, |progress| {
        let warm = progress.step > WARM_UP;
        let most = if warm { &mut report.device_later } else { &mut report.device_at_first };
        *most = gpu.memory_in_use().unwrap_or(0).max(*most);
        // The last measurement is also within the run, because memory that is freed at its end would hide a
        // leak.
        match progress.step {
            WARM_UP => report.resident_at_first = resident(),
            step if step == steps => report.resident_at_last = resident(),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    ensure(steps > WARM_UP, || format!("more than {WARM_UP} steps are needed"))?;
    ensure(report.device_later > 0 || gpu.memory_in_use().is_none(), || "no memory was counted".to_owned())?;
    // All buffers of a plan are made before its first step. Only the number of wgpu's staging buffers varies.
    ensure(report.device_growth() < 0.01, || format!("the device's memory grew: {report:?}"))?;
    ensure(report.resident_at_first == 0 || report.growth() < 0.01, || {
        format!("resident memory grew by {:.2}%: {report:?}", 100.0 * report.growth())
    })?;
    Ok(report)
}

/// Resident memory of this process, in bytes; 0 if the system does not report it.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
