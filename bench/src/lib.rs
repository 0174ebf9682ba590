//! What is timed: whole steps, the kernels of a step, and the tiles of convolutions.
//!
//! | what | where |
//! |---|---|
//! | a step of a network, by what trains | [`Workload`], [`Runner`], [`KernelTime`] |
//! | how fast it is, in all and kernel by kernel | [`measure()`], [`StepSpeed`], [`by_kernel`], [`KernelSum`] |
//! | the kernels of a step, and those that a freeze left out, as a picture | [`profile`] |
//! | the fastest algorithm and tile of each convolution | [`tune`] |

mod error;
mod measure;
pub mod profile;
pub mod tune;
mod workload;

pub use error::{Error, Result};
pub use measure::{KernelSum, StepSpeed, by_kernel, measure};
pub use workload::{KernelTime, Runner, Step, Workload};
