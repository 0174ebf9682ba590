//! Ctrl-C: the first asks the run to save and end, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, INTERRUPTED, Result};

/// Whether Ctrl-C was pressed, or the process was asked to end.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// [`Error::Signal`] if the system does not let it.
    pub fn watch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let seen = asked.clone();
        ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(INTERRUPTED));
            }
            eprintln!("\nsaving, then ending; Ctrl-C again ends at once");
        })
        .map_err(Error::Signal)?;
        Ok(Self(asked))
    }

    /// Whether the run is to end.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
