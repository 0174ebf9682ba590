//! Error scopes: the calls between two points that a device refused.
//!
//! A native device has reported errors when a scope ends. A browser reports them later, and its thread must
//! not wait: there the error goes to [`Reports`](crate::reports::Reports), and the next check returns it.

use std::future::Future;

/// The error of the scope whose end is `popped`; `later` is not used.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn error(
    popped: impl Future<Output = Option<wgpu::Error>> + 'static,
    _later: impl FnOnce(wgpu::Error) + 'static,
) -> Option<wgpu::Error> {
    pollster::block_on(popped)
}

/// Always `None`: `later` gets the error of the scope whose end is `popped`, if there is one.
#[cfg(target_family = "wasm")]
pub(crate) fn error(
    popped: impl Future<Output = Option<wgpu::Error>> + 'static,
    later: impl FnOnce(wgpu::Error) + 'static,
) -> Option<wgpu::Error> {
    wasm_bindgen_futures::spawn_local(async move {
        if let Some(error) = popped.await {
            later(error);
        }
    });
    None
}
