//! Ctrl-C, or a request to end: before the first step the process ends at once; while it trains, the run
//! saves and ends, and a second Ctrl-C ends it at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, INTERRUPTED, Result};
use crate::output::{note, tell_error};
use crate::train::claim::Leftovers;
use crate::train::folder::RunFolder;

/// Whether Ctrl-C was pressed, and what would be lost if the process ended now.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<State>);

#[derive(Debug)]
struct State {
    asked: Arc<AtomicBool>,
    phase: Mutex<Phase>,
}

/// The phase of the run.
#[derive(Debug)]
enum Phase {
    /// Before the first step of this process. The folder is set when it is claimed.
    Preparing(Option<Leftovers>),
    /// Steps were taken that are not saved yet.
    Training,
    /// Everything is saved except the report.
    Reporting(Leftovers),
}

impl Interrupt {
    /// Starts to listen for Ctrl-C.
    ///
    /// # Errors
    /// [`Error::Signal`] if the system does not let it.
    pub fn watch() -> Result<Self> {
        let state = Arc::new(State { asked: Arc::default(), phase: Mutex::new(Phase::Preparing(None)) });
        let seen = state.clone();
        ctrlc::set_handler(move || seen.asked()).map_err(Error::Signal)?;
        Ok(Self(state))
    }

    /// Records that the run has a folder.
    pub fn preparing(&self, folder: &RunFolder) {
        *self.0.phase() = Phase::Preparing(Some(folder.leftovers().clone()));
    }

    /// Records that there are steps to save. A Ctrl-C before this call ends the process.
    pub fn training(&self) {
        let mut phase = self.0.phase();
        if !matches!(*phase, Phase::Training) {
            *phase = Phase::Training;
        }
    }

    /// Records that everything is saved except the report.
    ///
    /// # Errors
    /// [`Error::NoReport`] if Ctrl-C was pressed while the last step was saved.
    pub fn reporting(&self, folder: &RunFolder) -> Result<()> {
        *self.0.phase() = Phase::Reporting(folder.leftovers().clone());
        if self.asked() { Err(Error::NoReport { run: folder.path().to_owned() }) } else { Ok(()) }
    }

    /// Set when the run should save and end.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.asked.clone()
    }

    /// Whether the run should save and end.
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl State {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles Ctrl-C on a separate thread, so that no part of the run has to check for it.
    fn asked(&self) {
        let again = self.asked.swap(true, Ordering::SeqCst);
        let phase = self.phase();
        let error = match &*phase {
            Phase::Training if !again => {
                note("\nsaving, then ending; another Ctrl-C ends at once, and unsaved steps are lost");
                return;
            }
            Phase::Training => None,
            Phase::Preparing(None) => Some(Error::Nothing),
            Phase::Preparing(Some(leftovers)) if leftovers.is_nothing() => {
                leftovers.remove();
                Some(Error::Nothing)
            }
            Phase::Preparing(Some(leftovers)) => {
                Some(Error::Unchanged { run: leftovers.folder().to_owned() })
            }
            Phase::Reporting(leftovers) => Some(Error::NoReport { run: leftovers.folder().to_owned() }),
        };
        if let Some(error) = error {
            tell_error(error);
        }
        std::process::exit(i32::from(INTERRUPTED));
    }
}
