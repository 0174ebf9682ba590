//! The tolerance judged from both sides: plain f32 code must stay inside it, on every case, and
//! the same code with one thing wrong must leave it. Without the second half a tolerance could be
//! right by being infinite.

mod batch_norm;
mod convolution;
mod loss;
mod optimisers;

use frostline_twin::Value;
use frostline_twin::compare::{self, FACTOR};

/// Panics if f32 code of this quality is refused.
fn accepted(name: &str, f32_result: &[f32], expected: &Value) {
    let ratio = compare::assert_close(name, f32_result, expected);
    println!("{name}: at {ratio:.2} of the tolerance");
}

/// Panics if this mistake goes unnoticed.
fn refused(name: &str, f32_result: &[f32], expected: &Value) {
    let worst = compare::worst(name, f32_result, expected, FACTOR);
    println!("{name}: at {:.1} times the tolerance", worst.ratio);
    assert!(worst.ratio > 1.0, "{name} goes unnoticed: {worst:?}");
}
