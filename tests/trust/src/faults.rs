//! The device is lost, or out of memory, at every allocation, write and submission of a whole run.

use crate::run::{Settings, ends_as, go_on, saved_step, temporary_files, train, uninterrupted};
use crate::{Result, ensure};
use frostline_engine::faults::{Fault, Place, Reached};
use frostline_engine::{Error as EngineError, Gpu};
use frostline_trainer::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// All failures, and their places.
pub const CASES: [(Fault, Place); 6] = [
    (Fault::OutOfMemory, Place::Allocation),
    (Fault::DeviceLost, Place::Allocation),
    (Fault::OutOfMemory, Place::Submit),
    (Fault::DeviceLost, Place::Submit),
    (Fault::OutOfMemory, Place::Write),
    (Fault::DeviceLost, Place::Write),
];

/// A run that takes longer than this hangs. It takes two seconds on a processor.
const PATIENCE: Duration = Duration::from_secs(300);

/// The result of a case.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often the place is reached in a whole run.
    pub reached: u64,
    /// How many of these failed on purpose.
    pub tried: u64,
    /// How many of those left a checkpoint.
    pub with_checkpoint: u64,
    /// One of the messages.
    pub message: String,
}

/// The run in which failures occur, and its result without failures.
pub struct Subject {
    gpu: Arc<Gpu>,
    settings: Settings,
    expected: Vec<u8>,
    reached: Reached,
}

impl Subject {
    /// Trains once without a failure, and counts.
    ///
    /// # Errors
    /// If that fails.
    pub fn new(settings: Settings) -> Result<Self> {
        let gpu = Arc::new(Gpu::new()?);
        let folder = tempfile::tempdir()?;
        train(&gpu, folder.path(), settings, go_on)?;
        let reached = gpu.reached();
        Ok(Self { expected: uninterrupted(&gpu, settings)?, gpu, settings, reached })
    }

    /// Makes `fault` occur the first time that the run reaches `place`, at every `stride`-th time after that,
    /// and at the last.
    ///
    /// # Errors
    /// The first violation: an error of another kind or none, a panic, a hang, or a checkpoint that is
    /// broken, older than the last that was written, or does not lead to the end of the uninterrupted run.
    pub fn inject(
        &self,
        fault: Fault,
        place: Place,
        stride: usize,
        mut told: impl FnMut(u64, u64),
    ) -> Result<Report> {
        let reached = self.reached.at(place);
        let mut report = Report { reached, ..Report::default() };
        for nth in (1..reached).step_by(stride).chain([reached]) {
            let here =
                |error: &dyn std::fmt::Display| format!("{fault:?} at {place:?} {nth} of {reached}: {error}");
            let folder = tempfile::tempdir()?;
            let (error, saved) = self.fail(fault, place, nth, folder.path()).map_err(|error| here(&error))?;
            check(fault, place, &error).map_err(|error| here(&error))?;
            let left = saved_step(folder.path()).map_err(|error| here(&error))?;
            ensure(left >= saved, || here(&format!("step {saved:?} was saved, and step {left:?} is there")))?;
            let temporary = temporary_files(folder.path())?;
            ensure(temporary.is_empty(), || here(&format!("{temporary:?} were left")))?;
            report.tried += 1;
            report.with_checkpoint += u64::from(left.is_some());
            report.message = error.to_string();
            ends_as(&self.gpu, folder.path(), self.settings, &self.expected).map_err(|error| here(&error))?;
            told(nth, reached);
        }
        Ok(report)
    }

    /// The error of a run that fails, and the last step that it had saved. In a thread, so that a panic or a
    /// hang is reported as such.
    fn fail(&self, fault: Fault, place: Place, nth: u64, folder: &Path) -> Result<(Error, Option<u64>)> {
        let (sender, receiver) = mpsc::channel();
        let (settings, folder) = (self.settings, folder.to_owned());
        // wgpu survives a failed allocation of a buffer, and so does the device; code that uses it must
        // survive, too.
        let survives = (fault, place) == (Fault::OutOfMemory, Place::Allocation);
        let gpu = if survives { self.gpu.clone() } else { Arc::new(Gpu::new()?) };
        gpu.fail(fault, place, nth);
        std::thread::spawn(move || {
            let mut saved = None;
            let outcome = train(&gpu, &folder, settings, |progress| {
                if progress.step.is_multiple_of(settings.save) {
                    saved = Some(progress.step);
                }
                ControlFlow::Continue(())
            });
            let _ = sender.send((outcome, saved));
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok((Err(error), saved)) => Ok((error, saved)),
            Ok((Ok(()), _)) => Err("nobody noticed".into()),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err("it panicked".into()),
            Err(mpsc::RecvTimeoutError::Timeout) => Err("it hangs".into()),
        }
    }
}

/// Fails unless `error` is the message that a person should get.
fn check(fault: Fault, place: Place, error: &Error) -> Result<()> {
    let text = error.to_string();
    let says = |part: &str| ensure(text.contains(part), || format!("{text:?} does not contain {part:?}"));
    match (fault, place, error) {
        (
            Fault::OutOfMemory,
            Place::Allocation,
            Error::Engine(EngineError::OutOfMemory { bytes, purpose, in_use }),
        ) => {
            says(&format!("{bytes} bytes were requested for {purpose}"))?;
            says("smaller batch")?;
            in_use.map_or(Ok(()), |bytes| says(&format!("{bytes} bytes in use")))
        }
        (Fault::OutOfMemory, Place::Allocation, _) => Err(format!("another error: {text}").into()),
        (_, _, Error::Engine(EngineError::DeviceLost { reason })) => {
            let memory = fault != Fault::OutOfMemory || reason.to_lowercase().contains("memory");
            ensure(memory, || format!("{text:?} does not state that memory was the reason"))?;
            says("last checkpoint")
        }
        _ => Err(format!("another error: {text}").into()),
    }
}
