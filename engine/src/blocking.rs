//! Waiting for a device. Every function that waits is an `async fn`. A native caller blocks on it. A browser
//! awaits it, because its thread must return before the device can report anything.

use crate::error::{Error, Result};
use std::future::Future;

/// The result of `future`, which waits for a device.
///
/// # Errors
/// Those of the future. In a browser [`Error::CannotBlock`] if it is not ready at once: use the method whose
/// name ends in `_async`.
#[cfg(not(target_family = "wasm"))]
pub fn block_on<T, E: From<Error>>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    pollster::block_on(future)
}

/// The result of `future`, which waits for a device.
///
/// # Errors
/// Those of the future; [`Error::CannotBlock`] if it is not ready at once: use the method whose name ends in
/// `_async`.
#[cfg(target_family = "wasm")]
pub fn block_on<T, E: From<Error>>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    use std::task::{Context, Poll, Waker};
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::CannotBlock.into()),
    }
}
