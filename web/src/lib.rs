//! The engine in a browser tab. `web/README.md` describes the JavaScript interface that pages use; what is
//! here is one level below: the worker (`web/site/engine-worker.js`) calls it, one call of an object at a
//! time.
//!
//! | what | where |
//! |---|---|
//! | a device | [`Engine`] |
//! | a network, at rest or in training | [`Network`] |
//! | images with labels | [`Images`] |
//! | a head on features | [`Probe`] |
//!
//! Arrays cross the border as typed arrays, all else as JSON: it is a few lines of text a second. Errors are
//! JavaScript errors with a field `kind`.

mod augment;
mod engine;
mod fault;
mod images;
mod network;
mod plan;
mod probe;
pub mod recipe;

pub use engine::Engine;
pub use images::Images;
pub use network::Network;
pub use probe::Probe;
