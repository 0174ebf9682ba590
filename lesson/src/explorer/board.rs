//! The board: the runs so far, shared by all pages and the trainer.

use super::request::Request;
use super::trainer::RunCost;
use serde::Serialize;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Number of runs that are kept; older ones are dropped.
pub const KEPT_RUNS: usize = 200;
/// Number of changes that a slow page may miss before it is sent the whole board again.
const CHANGES: usize = 64;

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waiting for the run before it to stop.
    Waiting,
    /// It trains.
    Running,
    /// It finished.
    Finished,
    /// Stopped, because another run or none was requested.
    Cancelled,
    /// Failed; [`Record::error`] contains the reason.
    Failed,
}

/// The mean loss of some steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// The last of the steps, counted from 1.
    pub step: u64,
    /// Their mean training loss.
    pub loss: f64,
}

/// An evaluation during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Steps taken before it.
    pub step: u64,
    /// Seconds of training before it, without earlier evaluations.
    pub seconds: f64,
    /// Share that was recognised, 0..=1.
    pub accuracy: f64,
    /// Mean loss.
    pub loss: f64,
}

/// A run and its results so far.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Its number, counted from 1.
    pub id: u64,
    /// Where it stands.
    pub status: Status,
    /// What was requested.
    pub request: Request,
    /// Name of its task.
    pub task: String,
    /// Its cost, once it is planned.
    pub cost: Option<RunCost>,
    /// Steps submitted.
    pub step: u64,
    /// Seconds of training so far, without evaluations.
    pub seconds: f64,
    /// Training loss.
    pub losses: Vec<Loss>,
    /// Evaluations on some of the test images.
    pub validation: Vec<Point>,
    /// Share of all test images that was recognised at the end, 0..=1.
    pub accuracy: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Record {
    fn is_over(&self) -> bool {
        !matches!(self.status, Status::Waiting | Status::Running)
    }
}

/// The runs so far, and the channel that reports their changes.
#[derive(Debug)]
pub(super) struct Board {
    runs: Mutex<Runs>,
    /// Wakes the trainer.
    wake: Condvar,
    changes: broadcast::Sender<Arc<Record>>,
}

#[derive(Debug, Default)]
struct Runs {
    /// The last [`KEPT_RUNS`]; all except the last two have ended.
    last: VecDeque<Record>,
    /// Number of requested runs.
    count: u64,
    closed: bool,
}

impl Default for Board {
    fn default() -> Self {
        Self { runs: Mutex::default(), wake: Condvar::new(), changes: broadcast::Sender::new(CHANGES) }
    }
}

impl Board {
    /// Puts a run on the board, replacing the one that is running. Returns its number.
    pub fn ask(&self, request: Request, task: &str) -> u64 {
        let mut runs = self.lock();
        self.stop(&mut runs);
        runs.count += 1;
        let record = Record {
            id: runs.count,
            status: Status::Waiting,
            request,
            task: task.to_owned(),
            cost: None,
            step: 0,
            seconds: 0.0,
            losses: vec![],
            validation: vec![],
            accuracy: None,
            error: None,
        };
        self.tell(&record);
        runs.last.push_back(record);
        if runs.last.len() > KEPT_RUNS {
            runs.last.pop_front();
        }
        self.wake.notify_one();
        runs.count
    }

    /// Stops the run that is running or waiting, and returns its number.
    pub fn cancel(&self) -> Option<u64> {
        self.stop(&mut self.lock())
    }

    /// Closes the board: [`Board::next`] returns no more runs.
    pub fn close(&self) {
        let mut runs = self.lock();
        runs.closed = true;
        self.stop(&mut runs);
        self.wake.notify_one();
    }

    /// Waits for a requested run and marks it as running; `None` when the board is closed.
    pub fn next(&self) -> Option<(u64, Request)> {
        let mut runs = self.lock();
        loop {
            if runs.closed {
                return None;
            }
            if let Some(record) = runs.last.iter_mut().find(|record| record.status == Status::Waiting) {
                record.status = Status::Running;
                self.tell(record);
                return Some((record.id, record.request.clone()));
            }
            runs = self.wake.wait(runs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Changes run `id` and sends the change to all receivers; `Break` if it has been stopped.
    pub fn update(&self, id: u64, change: impl FnOnce(&mut Record)) -> ControlFlow<()> {
        let mut runs = self.lock();
        match runs.last.iter_mut().find(|record| record.id == id && record.status == Status::Running) {
            Some(record) => {
                change(record);
                self.tell(record);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }

    /// Whether run `id` was not stopped.
    pub fn is_running(&self, id: u64) -> bool {
        self.lock().last.iter().any(|record| record.id == id && record.status == Status::Running)
    }

    /// The runs so far, oldest first.
    pub fn records(&self) -> Vec<Record> {
        self.lock().last.iter().cloned().collect()
    }

    /// The runs so far, and every change from now on: nothing is lost in between.
    pub fn watch(&self) -> (Vec<Record>, broadcast::Receiver<Arc<Record>>) {
        let runs = self.lock();
        (runs.last.iter().cloned().collect(), self.changes.subscribe())
    }

    fn stop(&self, runs: &mut Runs) -> Option<u64> {
        let mut stopped = None;
        for record in runs.last.iter_mut().filter(|record| !record.is_over()) {
            record.status = Status::Cancelled;
            self.tell(record);
            stopped = Some(record.id);
        }
        stopped
    }

    /// Sent under the lock, so that changes arrive in order.
    fn tell(&self, record: &Record) {
        // An error only means that there is no receiver.
        let _ = self.changes.send(Arc::new(record.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        // Every change is complete before any code that could panic.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(seed: u64) -> Request {
        Request { seed, ..Request::example() }
    }

    #[test]
    fn the_latest_wish_wins() {
        let board = Board::default();
        assert_eq!(board.ask(request(1), "clothes"), 1);
        assert_eq!(board.next().unwrap().0, 1);
        assert!(board.update(1, |record| record.step = 5).is_continue());
        board.ask(request(2), "clothes");
        board.ask(request(3), "clothes");
        assert!(board.update(1, |record| record.step = 6).is_break());
        let (id, asked) = board.next().unwrap();
        assert_eq!((id, asked.seed), (3, 3));
        let states: Vec<_> = board.records().iter().map(|record| (record.step, record.status)).collect();
        assert_eq!(states, [(5, Status::Cancelled), (0, Status::Cancelled), (0, Status::Running)]);
        assert_eq!(board.cancel(), Some(3));
        assert_eq!(board.cancel(), None);
    }

    #[test]
    fn old_runs_are_forgotten() {
        let board = Board::default();
        for seed in 0..KEPT_RUNS as u64 + 7 {
            board.ask(request(seed), "clothes");
        }
        let records = board.records();
        assert_eq!((records.len(), records[0].id), (KEPT_RUNS, 8));
    }

    #[test]
    fn who_watches_gets_the_past_and_then_each_change() {
        let board = Board::default();
        board.ask(request(1), "clothes");
        let (past, mut changes) = board.watch();
        assert_eq!(past.len(), 1);
        board.next();
        board.close();
        let statuses = [changes.try_recv().unwrap().status, changes.try_recv().unwrap().status];
        assert_eq!(statuses, [Status::Running, Status::Cancelled]);
        assert!(board.next().is_none());
    }
}
