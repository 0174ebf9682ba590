//! `kill -9` at random moments, including during saves.
//!
//! A child process trains and saves after every step; this process kills it, checks the files in the folder,
//! and continues the run. SIGKILL cannot be caught, so the result also holds for a crash.

use crate::run::{Settings, checkpoint, ends_as, saved_step, temporary_files, train, uninterrupted};
use crate::{Result, ensure};
use frostline_engine::Gpu;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The child's run.
pub const SETTINGS: Settings = Settings { steps: 30, save: 1, evaluate: 10 };

/// When a child is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// At any time after its start, so mostly while it opens the device.
    SinceStart,
    /// At any time after its first step.
    SinceFirstStep,
    /// When the temporary file of a save exists.
    WhileSaving,
}

/// Counts of the runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs in all.
    pub runs: u64,
    /// Runs that ended before the kill.
    pub finished: u64,
    /// Killed without a checkpoint.
    pub before_the_first: u64,
    /// Killed with a checkpoint that was not the last.
    pub resumed: u64,
    /// Killed during a save: its temporary file was left.
    pub while_saving: u64,
}

/// The work of the child process.
///
/// # Errors
/// The errors of training.
pub fn child(folder: &Path) -> Result<()> {
    let gpu = Arc::new(Gpu::new()?);
    let mut begun = false;
    train(&gpu, folder, SETTINGS, |_| {
        // The parent waits for this line. The parent may have ended; then nothing reads the line.
        if !std::mem::replace(&mut begun, true) {
            let _ = writeln!(std::io::stdout(), "begun");
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// Kills `runs` children, which `program child FOLDER` starts, at moments drawn from `seed`.
///
/// # Errors
/// The first violation: a checkpoint that exists and does not load, or a resumed run that ends differently
/// from the uninterrupted one.
pub fn kill(program: &Path, runs: u64, seed: u64, mut told: impl FnMut(u64, &Report)) -> Result<Report> {
    let gpu = Arc::new(Gpu::new()?);
    let expected = uninterrupted(&gpu, SETTINGS)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (opening, training) = undisturbed(program, &expected)?;
    let mut report = Report { runs, ..Report::default() };
    for run in 0..runs {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let moment =
            [Moment::SinceStart, Moment::SinceFirstStep, Moment::WhileSaving, Moment::SinceFirstStep]
                [run as usize % 4];
        let mut child = start(program, folder)?;
        match moment {
            Moment::SinceStart => std::thread::sleep((opening + training).mul_f64(rng.random())),
            Moment::SinceFirstStep => {
                wait_for_first_step(&mut child)?;
                std::thread::sleep(training.mul_f64(rng.random()));
            }
            Moment::WhileSaving => wait_for_save(&mut child, folder, rng.random_range(1..=SETTINGS.steps))?,
        }
        child.kill()?;
        let finished = child.wait()?.success();

        let step = saved_step(folder).map_err(|error| format!("run {run}, {moment:?}: {error}"))?;
        let left = temporary_files(folder)?;
        report.while_saving += u64::from(!left.is_empty());
        match step {
            _ if finished => report.finished += 1,
            None => report.before_the_first += 1,
            Some(_) => report.resumed += 1,
        }
        ends_as(&gpu, folder, SETTINGS, &expected)
            .map_err(|error| format!("run {run}, {moment:?}, killed at {step:?}: {error}"))?;
        told(run + 1, &report);
    }
    Ok(report)
}

/// Runs a child to its end, and returns the times to its first step and from there.
fn undisturbed(program: &Path, expected: &[u8]) -> Result<(Duration, Duration)> {
    let folder = tempfile::tempdir()?;
    let start_time = Instant::now();
    let mut child = start(program, folder.path())?;
    wait_for_first_step(&mut child)?;
    let opening = start_time.elapsed();
    let status = child.wait()?;
    ensure(status.success(), || format!("a child that was not killed ended with {status}"))?;
    let same = std::fs::read(checkpoint(folder.path()))? == expected;
    ensure(same, || "another process on the same adapter got other bits".to_owned())?;
    Ok((opening, start_time.elapsed().saturating_sub(opening)))
}

fn start(program: &Path, folder: &Path) -> Result<Child> {
    Ok(Command::new(program).arg("child").arg(folder).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?)
}

fn wait_for_first_step(child: &mut Child) -> Result<()> {
    let mut line = String::new();
    if let Some(output) = child.stdout.as_mut() {
        BufReader::new(output).read_line(&mut line)?;
    }
    ensure(line.trim() == "begun", || format!("the child wrote {line:?}"))
}

/// Waits until the `nth` temporary file is seen, or the child is over.
fn wait_for_save(child: &mut Child, folder: &Path, nth: u64) -> Result<()> {
    let (mut seen, mut last) = (0, vec![]);
    while child.try_wait()?.is_none() {
        let files = temporary_files(folder)?;
        if !files.is_empty() && files != last {
            seen += 1;
            last = files;
            if seen == nth {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}
