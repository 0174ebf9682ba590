//! Measurements before training: whole steps, the kernels of a step, the tiles of convolutions, and rates.
//!
//! | what | where |
//! |---|---|
//! | a step of a network, for each choice of layers that train | [`Workload`], [`Runner`], [`KernelTime`] |
//! | its speed, in total and per kernel | [`measure()`], [`StepSpeed`], [`by_kernel`], [`KernelSum`] |
//! | the kernels of a step, and those that a freeze left out, as a picture | [`profile`] |
//! | the fastest algorithm and tile of each convolution | [`tune`] |
//! | a range test of the learning rate, as a picture | [`range_test()`] |

mod error;
mod measure;
pub mod profile;
mod range_test;
pub mod tune;
mod workload;

pub use error::{Error, Result};
pub use measure::{KernelSum, StepSpeed, by_kernel, measure};
pub use range_test::range_test;
pub use workload::{KernelTime, Runner, Step, Workload};
