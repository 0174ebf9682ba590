//! Loads the next values on worker threads, within a bounded amount of memory.
//!
//! The consumer lists the keys that it will need, in order ([`Prefetch::expect`]), and the workers load the
//! first of them. [`Prefetch::take`] returns one; it waits for it, or loads it itself if no worker has begun.
//! The thread affects only the time, because the value of a key depends only on the key.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use indexmap::IndexSet;

/// Workers that load values of type `T` ahead of their use.
pub(crate) struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
    ahead: usize,
}

struct Shared<T> {
    load: Box<dyn Fn(usize) -> T + Send + Sync>,
    state: Mutex<State<T>>,
    /// Signals that there is work, or that there will be no more.
    queued: Condvar,
    /// A value was loaded.
    loaded: Condvar,
}

struct State<T> {
    items: HashMap<usize, Item<T>>,
    /// What to load, in order of need. It may name items that are no longer queued.
    queue: VecDeque<usize>,
    closed: bool,
}

enum Item<T> {
    Queued,
    Busy,
    Loaded(T),
}

impl<T: Send + 'static> Prefetch<T> {
    /// `workers` threads that hold at most `ahead` values, loaded by `load`. With no worker, or on a platform
    /// without threads, everything is loaded by [`Prefetch::take`].
    pub fn new(workers: usize, ahead: usize, load: impl Fn(usize) -> T + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            load: Box::new(load),
            state: Mutex::new(State { items: HashMap::new(), queue: VecDeque::new(), closed: false }),
            queued: Condvar::new(),
            loaded: Condvar::new(),
        });
        let start = |number| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("decode {number}")).spawn(move || shared.work()).ok()
        };
        let workers = (0..workers).map_while(start).collect();
        Self { shared, workers, ahead: ahead.max(1) }
    }

    /// Maximum number of values that are held.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// Replaces the expected keys by the first [`Prefetch::ahead`] of `keys`.
    pub fn expect(&self, keys: impl IntoIterator<Item = usize>) {
        let wanted = self.first(keys);
        let mut state = self.shared.lock();
        // A worker cannot be interrupted: its present item stays until the next call.
        state.items.retain(|key, item| wanted.contains(key) || matches!(item, Item::Busy));
        state.queue.clear();
        for key in wanted {
            if matches!(state.items.entry(key).or_insert(Item::Queued), Item::Queued) {
                state.queue.push_back(key);
            }
        }
        self.shared.queued.notify_all();
    }

    /// Puts the first [`Prefetch::ahead`] of `keys` before all expected keys. If they were not expected yet,
    /// up to twice as many values are held until these are taken.
    pub fn hurry(&self, keys: impl IntoIterator<Item = usize>) {
        let wanted = self.first(keys);
        let mut state = self.shared.lock();
        for key in wanted.into_iter().rev() {
            if matches!(state.items.entry(key).or_insert(Item::Queued), Item::Queued) {
                state.queue.push_front(key);
            }
        }
        self.shared.queued.notify_all();
    }

    /// The value of `key`, which is then no longer held.
    pub fn take(&self, key: usize) -> T {
        let mut state = self.shared.lock();
        loop {
            match state.items.remove(&key) {
                Some(Item::Loaded(value)) => return value,
                Some(Item::Busy) => {
                    state.items.insert(key, Item::Busy);
                    state = self.shared.loaded.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Item::Queued) | None => {
                    drop(state);
                    return (self.shared.load)(key);
                }
            }
        }
    }

    fn first(&self, keys: impl IntoIterator<Item = usize>) -> IndexSet<usize> {
        let mut wanted = IndexSet::new();
        for key in keys {
            wanted.insert(key);
            if wanted.len() == self.ahead {
                break;
            }
        }
        wanted
    }
}

impl<T> Shared<T> {
    /// A panic in another thread leaves the state valid, because no lock is held during loading.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.closed {
            let Some(key) = state.queue.pop_front() else {
                state = self.queued.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            // The consumer may have been faster.
            let Some(item @ Item::Queued) = state.items.get_mut(&key) else { continue };
            *item = Item::Busy;
            drop(state);
            let mut abandoned = Abandoned { shared: self, key, armed: true };
            let value = (self.load)(key);
            abandoned.armed = false;
            state = self.lock();
            state.items.insert(key, Item::Loaded(value));
            self.loaded.notify_all();
        }
    }
}

/// Gives up the item of a worker that panics, so that the thread that waits for the item loads it and panics
/// itself.
struct Abandoned<'a, T> {
    shared: &'a Shared<T>,
    key: usize,
    armed: bool,
}

impl<T> Drop for Abandoned<'_, T> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.lock().items.remove(&self.key);
            self.shared.loaded.notify_all();
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.queued.notify_all();
        for worker in self.workers.drain(..) {
            // The thread panicked. The panic was printed, and must not cause another one during the drop.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn values_are_those_of_their_keys_whatever_was_expected() {
        for workers in [0, 1, 3] {
            let prefetch = Prefetch::new(workers, 4, |key| 10 * key);
            assert_eq!(prefetch.take(7), 70);
            prefetch.expect(0..100);
            assert_eq!([3, 0, 99, 50].map(|key| prefetch.take(key)), [30, 0, 990, 500]);
            prefetch.hurry([5, 5, 6]);
            assert_eq!([6, 5, 5].map(|key| prefetch.take(key)), [60, 50, 50]);
        }
    }

    #[test]
    fn workers_load_what_is_expected_and_no_more() {
        let (send, receive) = mpsc::channel();
        let send = Mutex::new(send);
        let prefetch = Prefetch::new(2, 4, move |key| send.lock().unwrap().send(key).unwrap());
        prefetch.expect(10..1000);
        let mut loaded: Vec<usize> =
            (0..4).map(|_| receive.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
        loaded.sort_unstable();
        assert_eq!(loaded, [10, 11, 12, 13]);
        assert!(
            receive.recv_timeout(Duration::from_millis(50)).is_err(),
            "four are held, so no fifth is loaded"
        );
        // A value that was loaded and is expected again is not loaded again.
        prefetch.take(10);
        prefetch.expect(11..1000);
        assert_eq!(receive.recv_timeout(Duration::from_secs(20)), Ok(14));
        assert!(receive.recv_timeout(Duration::from_millis(50)).is_err());
        assert_eq!(prefetch.shared.lock().items.len(), 4);
        prefetch.expect([]);
        assert!(prefetch.shared.lock().items.is_empty(), "a value that is not expected is not kept");
    }

    #[test]
    fn a_panic_of_a_worker_reaches_the_consumer_and_is_no_hang() {
        let first = Arc::new(AtomicBool::new(true));
        let prefetch = Prefetch::new(1, 4, {
            let first = Arc::clone(&first);
            move |key| {
                assert!(!first.swap(false, Ordering::SeqCst), "expected by this test");
                key
            }
        });
        prefetch.expect([1, 2]);
        while first.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        assert_eq!([prefetch.take(1), prefetch.take(2)], [1, 2]);
    }

    #[test]
    fn dropping_waits_for_no_more_than_what_is_being_loaded() {
        let count = Arc::new(AtomicUsize::new(0));
        let prefetch = Prefetch::new(1, 100_000, {
            let count = Arc::clone(&count);
            move |_| {
                thread::sleep(Duration::from_millis(1));
                count.fetch_add(1, Ordering::SeqCst)
            }
        });
        prefetch.expect(0..100_000);
        drop(prefetch);
        assert!(count.load(Ordering::SeqCst) < 100_000);
    }
}
