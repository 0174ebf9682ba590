//! Work on several threads.

/// The results of `work` for each of `items`, in their order, on this thread, because there is only one in a
/// browser.
#[cfg(target_family = "wasm")]
pub(crate) fn side_by_side<I: Send, T: Send>(
    items: impl Iterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    items.map(work).collect()
}

/// The results of `work` for each of `items`, in their order; each runs on its own thread. A panic in one of
/// them is propagated.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn side_by_side<I: Send, T: Send>(
    items: impl Iterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, T>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}
