//! The command as users run it: its output, its errors and its exit codes.
//!
//! One binary for all tests: each links the whole engine.

mod export;
mod files;
mod hub;
mod machine;
#[cfg(unix)]
mod odd_paths;
mod photos;
mod roundtrip;
mod serve;
mod support;
mod weights;
mod words;
