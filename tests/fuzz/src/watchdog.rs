//! Detects a case that does not end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(50);

/// Watches the number of the case that is being run.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    case: AtomicU64,
    done: AtomicBool,
}

impl Watchdog {
    /// Calls `on_hang` with the number of a case that takes longer than `seconds`.
    ///
    /// It counts its own short sleeps and not the clock: while the process or the machine is suspended, the
    /// clock advances and the case cannot.
    pub fn new(seconds: f64, on_hang: impl Fn(u64) + Send + 'static) -> Self {
        let shared = Arc::new(Shared { case: AtomicU64::new(u64::MAX), done: AtomicBool::new(false) });
        let limit = (seconds / TICK.as_secs_f64()).ceil() as u64;
        let watch = {
            let shared = Arc::clone(&shared);
            move || {
                let (mut last, mut ticks) = (u64::MAX, 0);
                while !shared.done.load(Ordering::Relaxed) {
                    thread::sleep(TICK);
                    let case = shared.case.load(Ordering::Relaxed);
                    ticks = if case == last && case != u64::MAX { ticks + 1 } else { 0 };
                    last = case;
                    if ticks > limit {
                        on_hang(case);
                        ticks = 0;
                    }
                }
            }
        };
        // If the thread cannot be started, cases are not watched.
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(watch).ok();
        Self { shared, thread }
    }

    /// This case begins.
    pub fn begin(&self, case: u64) {
        self.shared.case.store(case, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_case_that_does_not_end_is_named_and_others_are_not() {
        let (send, receive) = mpsc::channel();
        let watchdog = Watchdog::new(0.3, move |case| send.send(case).unwrap());
        for case in 0..1000 {
            watchdog.begin(case);
            thread::sleep(Duration::from_micros(100));
        }
        assert!(receive.try_recv().is_err());
        watchdog.begin(4711);
        assert_eq!(receive.recv_timeout(Duration::from_secs(60)), Ok(4711));
    }
}
