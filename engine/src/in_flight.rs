//! Work that was submitted and is not finished, and the time limit of waiting for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time limit of one submission on a GPU. Drivers reset a device that is busy with one for 2 to 10 s, so a
/// wait of this length would never end.
const HARDWARE: Duration = Duration::from_secs(120);

/// The submissions that are not finished, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    submissions: VecDeque<Submission>,
    numbered: u64,
}

/// One submission.
#[derive(Clone, Debug)]
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "in a browser one awaits `done`"))]
pub(crate) struct Submission {
    pub index: wgpu::SubmissionIndex,
    /// Its contents, for people.
    pub what: String,
    number: u64,
    /// Disconnected once the device has reported that it is done.
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "natively one polls the device"))]
    done: flume::Receiver<()>,
}

impl InFlight {
    /// Submits `commands` to `queue`. The entry is removed when the device has reported that it is done.
    pub fn submit(&self, queue: &wgpu::Queue, commands: wgpu::CommandBuffer, what: String) -> Submission {
        let index = queue.submit([commands]);
        let (running, done) = flume::bounded(1);
        let submission = {
            let mut all = self.queue();
            all.numbered += 1;
            let submission = Submission { index, what, number: all.numbered, done };
            all.submissions.push_back(submission.clone());
            submission
        };
        let (all, number) = (self.clone(), submission.number);
        queue.on_submitted_work_done(move || {
            all.finish(number);
            drop(running);
        });
        submission
    }

    /// All of them.
    pub fn all(&self) -> Vec<Submission> {
        self.queue().submissions.iter().cloned().collect()
    }

    /// Removes `submission`, and those before it.
    pub fn remove(&self, submission: &Submission) {
        self.finish(submission.number);
    }

    fn finish(&self, number: u64) {
        let mut all = self.queue();
        while all.submissions.front().is_some_and(|first| first.number <= number) {
            all.submissions.pop_front();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Submission {
    /// Returns once the device has reported that it is done. Natively nothing is reported unless the device
    /// is polled.
    #[cfg(target_family = "wasm")]
    pub async fn done(&self) {
        let _ = self.done.recv_async().await;
    }
}

/// Time limit of one submission: the requested time, else a time for the kind of adapter.
pub(crate) fn deadline(asked: Option<Duration>, software: bool) -> Option<Duration> {
    match asked {
        // A processor may take minutes for a step, and its driver does not hang.
        None if software => None,
        None => Some(HARDWARE),
        Some(Duration::MAX) => None,
        asked => asked,
    }
}
