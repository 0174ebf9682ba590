//! The server of `frostline serve`: a page, and an endpoint that classifies photos.
//!
//! The network is on one thread, and photos wait for it in a queue; a second thread serves HTTP. An error
//! with a photo affects only that photo's request.

mod address;
mod http;
mod queue;
mod refusal;
mod upload;
mod viewer;

pub use address::{Reach, bare, reach};
pub use http::{Site, serve};
pub use queue::{Queue, queue};
pub use refusal::Refusal;
pub use viewer::{Answer, Viewer};
