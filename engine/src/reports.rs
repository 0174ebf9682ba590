//! The reports of a device since it was opened: that it is lost, or that it refused a call.

use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The loss of a device is permanent; a refusal is returned by one error and then cleared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lost: Option<String>,
    /// The refused call, and why.
    refused: Option<(String, String)>,
    /// The purpose of memory that could not be allocated, and its bytes.
    full: Option<(String, u64)>,
    /// Channels of callers that wait for a loss: each is disconnected by it.
    waiting: Vec<flume::Sender<()>>,
}

impl Reports {
    /// The device is lost; the first reason stays. An earlier refusal is the likely cause.
    pub fn lose(&self, reason: String) {
        let mut state = self.state();
        let cause = state.refused.take().map(|(what, cause)| format!(", after it refused {what}: {cause}"));
        state.lost.get_or_insert(reason + &cause.unwrap_or_default());
        state.waiting.clear();
    }

    /// The reason of the loss, once there is one.
    pub async fn lost(&self) -> String {
        let (waiting, lost) = flume::bounded(1);
        {
            let mut state = self.state();
            if let Some(reason) = &state.lost {
                return reason.clone();
            }
            state.waiting.push(waiting);
        }
        let _ = lost.recv_async().await;
        self.state().lost.clone().unwrap_or_default()
    }

    /// The device works, and refused `what`; the first report stays until it is read.
    pub fn refuse(&self, what: String, error: &wgpu::Error) {
        self.state().refused.get_or_insert((what, one_line(error)));
    }

    /// The device has no memory for `bytes` of `purpose`; the first report stays until it is read.
    pub fn fill(&self, purpose: String, bytes: u64) {
        self.state().full.get_or_insert((purpose, bytes));
    }

    /// Whether a refusal waits to be reported.
    pub fn has_refusal(&self) -> bool {
        self.state().refused.is_some()
    }

    /// [`Error::DeviceLost`] if the device is lost; [`Error::OutOfMemory`] or [`Error::Refused`] if it
    /// refused a call since the last check.
    pub fn check(&self) -> Result<()> {
        let mut state = self.state();
        let (full, refused) = (state.full.take(), state.refused.take());
        match (&state.lost, full, refused) {
            (Some(reason), ..) => Err(Error::DeviceLost { reason: reason.clone() }),
            // Later calls that depend on it are refused as well.
            (None, Some((purpose, bytes)), _) => Err(Error::OutOfMemory { bytes, purpose, in_use: None }),
            (None, None, Some((what, reason))) => Err(Error::Refused { what, reason }),
            (None, None, None) => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// wgpu's message, which is a small tree of lines, on one line.
pub(crate) fn one_line(error: &wgpu::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> wgpu::Error {
        wgpu::Error::Validation { source: "".into(), description: format!("\n  {reason}\n") }
    }

    #[test]
    fn a_refusal_is_reported_once_and_a_loss_for_ever() {
        let reports = Reports::default();
        assert!(reports.check().is_ok());
        reports.refuse("add.forward of layer1".to_owned(), &refused("a binding is too small"));
        let error = reports.check().unwrap_err().to_string();
        assert!(error.contains("add.forward of layer1") && error.contains("too small"), "{error}");
        assert!(!error.contains("lost"), "{error}");
        assert!(reports.check().is_ok(), "it was reported");
        reports.refuse("a step".to_owned(), &refused("a grid is too large"));
        reports.lose("driver reset".to_owned());
        reports.lose("destroyed".to_owned());
        for _ in 0..2 {
            let error = reports.check().unwrap_err().to_string();
            assert!(error.contains("lost: driver reset, after it refused a step: "), "{error}");
        }
    }
}
