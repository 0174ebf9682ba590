//! f64 twins: every kernel of frostline again, in plain loops and double precision.
//!
//! A kernel is fast and hard to verify; a twin is slow and easy to verify. Twins are checked in three ways:
//! against central differences (each op's own tests, through [`gradcheck`]), against PyTorch in f64
//! (`tests/golden.rs`), and against their own tolerance (`tests/bounds`: straightforward f32 code must pass,
//! the same code with one wrong coefficient must fail).
//!
//! # What a twin returns
//!
//! A [`Value`]: the result, and for every element of it the sum of the absolute values of the terms
//! it was summed from. f32 arithmetic errs in proportion to those terms, not to the result, which
//! may be a small difference of large numbers. Hence the one tolerance of the project, which
//! [`compare::assert_close`] applies:
//!
//! ```text
//! |gpu − f64| <= 4 · eps32 · Σ|terms|          eps32 = 2^-23
//! ```
//!
//! [`Tracked`] says how the terms travel through products, quotients and roots.
//!
//! # Conventions
//!
//! Arrays are logical, that is without channel padding, and in PyTorch's order: activations NCHW,
//! convolution weights OIHW, depthwise weights (C, 1, kh, kw), linear weights (out, in). Padding is
//! always `[top, left, bottom, right]`, in pixels. Inputs should be f32 values widened to f64
//! ([`Array::from_f32`], [`cases::uniform`]), so that kernel and twin start from the same numbers.
//! A shape that does not fit is a bug in the test and panics with both shapes.
//!
//! # A kernel test
//!
//! ```
//! use frostline_twin::{cases, compare, conv2d};
//!
//! let mut rng = cases::rng(7);
//! for case in cases::conv_cases(7, 3) {
//!     let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
//!     let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
//!     let expected = conv2d::forward(&x, &w, case.stride, case.padding);
//! #   let run_on_the_gpu = |_x: Vec<f32>, _w: Vec<f32>| expected.value.to_f32();
//!     let gpu: Vec<f32> = run_on_the_gpu(x.to_f32(), w.to_f32());
//!     let worst = compare::assert_close(&format!("conv2d.forward {case:?}"), &gpu, &expected);
//!     println!("{case:?}: at {worst:.2} of the tolerance");
//! }
//! ```

mod array;
mod tracked;
mod window;

pub mod cases;
pub mod compare;
pub mod filler;
pub mod gradcheck;

pub mod activation;
pub mod adamw;
pub mod add;
pub mod augment;
pub mod batch_norm;
pub mod conv2d;
pub mod depthwise_conv2d;
pub mod epilogue;
pub mod global_avg_pool;
pub mod linear;
pub mod max_pool2d;
pub mod mixup;
pub mod multi_margin;
pub mod normalize;
pub mod sgd;
pub mod softmax_cross_entropy;

pub use array::{Array, Value};
pub use tracked::{Tracked, exact};
pub use window::{Padding, output_size};
