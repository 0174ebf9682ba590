//! Kernels to write oneself, marked against the f64 twins.
#![forbid(unsafe_code)]

pub mod bounded;
pub mod device;
pub mod interface;
pub mod workbench;
