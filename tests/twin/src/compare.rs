//! The tolerance of every kernel test: |gpu − f64| <= 4 · eps32 · Σ|terms|.

use crate::Value;

/// Times eps32·Σ|terms|: eight roundings at the size of the whole sum. Plain f32 code that sums
/// 2400 terms of one sign in a single accumulator uses 0.7 of it, 1000 products of random signs
/// 0.3 (`tests/bounds` prints these); longer sums should be summed in parts, as kernels do.
pub const FACTOR: f64 = 4.0;

/// 2⁻²³, the distance from 1 to the next f32.
pub const EPS32: f64 = f32::EPSILON as f64;

/// Added to every bound, for results below f32's normal range, which WGSL may flush to zero.
pub const TINY: f64 = 1e-30;

/// The element furthest from its twin, in units of its bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// Row-major.
    pub index: usize,
    /// What the kernel computed.
    pub gpu: f32,
    /// What the twin computed.
    pub expected: f64,
    /// How far apart they may be.
    pub bound: f64,
    /// |gpu − expected| / bound: up to 1 is right. Infinite if either is not finite.
    pub ratio: f64,
}

/// Finds the worst element, without judging it. `factor` is [`FACTOR`], or more for an algorithm with a
/// larger rounding error than a sum of products, such as Winograd's convolution.
///
/// # Panics
/// If the lengths differ, or there is nothing to compare: a test of nothing must not pass.
pub fn worst(name: &str, gpu: &[f32], expected: &Value, factor: f64) -> Worst {
    let (value, terms) = (&expected.value.data, &expected.terms.data);
    assert_eq!(
        gpu.len(),
        value.len(),
        "{name}: the kernel returned another number of elements than shape {:?} has",
        expected.value.shape
    );
    let all = gpu.iter().enumerate().map(|(index, &gpu)| {
        let bound = factor * EPS32 * terms[index] + TINY;
        let ratio = (f64::from(gpu) - value[index]).abs() / bound;
        let judgeable = gpu.is_finite() && value[index].is_finite() && bound.is_finite();
        Worst {
            index,
            gpu,
            expected: value[index],
            bound,
            ratio: if judgeable { ratio } else { f64::INFINITY },
        }
    });
    all.max_by(|a, b| a.ratio.total_cmp(&b.ratio)).unwrap_or_else(|| panic!("{name}: nothing to compare"))
}

/// Checks every element of a kernel's output and returns the worst ratio of error to bound, at
/// most 1, for printing.
///
/// # Panics
/// If any element is out of bounds, NaN or infinite, with its index, both values, the bound and
/// the ratio; or as [`worst`].
pub fn assert_close(name: &str, gpu: &[f32], expected: &Value) -> f64 {
    assert_close_by(name, gpu, expected, FACTOR)
}

/// As [`assert_close`], with another factor than [`FACTOR`]; state the reason at the call.
pub fn assert_close_by(name: &str, gpu: &[f32], expected: &Value, factor: f64) -> f64 {
    let worst = worst(name, gpu, expected, factor);
    if worst.ratio <= 1.0 {
        return worst.ratio;
    }
    let Worst { index, gpu, expected: f64_value, bound, ratio } = worst;
    let shape = &expected.value.shape;
    panic!(
        "{name}: element {index}, which is {:?} of {shape:?}: gpu {gpu:e}, f64 {f64_value:e}, \
         off by {:e}, allowed {bound:e} ({factor} eps32 sum|terms|): {ratio:.2} times the tolerance",
        indices(index, shape),
        (f64::from(gpu) - f64_value).abs(),
    )
}

/// A row-major index as one index per dimension.
fn indices(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; shape.len()];
    for (index, size) in indices.iter_mut().zip(shape).rev() {
        *index = flat % size;
        flat /= size;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Array, Tracked};

    /// Four elements; the last is the difference of two numbers near 1000.
    fn expected() -> Value {
        let mut v = Value::exact(&Array::new(&[2, 2], vec![1.0, -2.0, 0.0, 0.5]));
        v.set([3], Tracked { value: 0.5, terms: 2000.0 });
        v
    }

    #[test]
    fn the_bound_scales_with_the_terms() {
        let off = (2.0 * EPS32 * 2000.0) as f32;
        let ratio = assert_close("half", &[1.0, -2.0, 0.0, 0.5 + off], &expected());
        assert!((ratio - 0.5).abs() < 1e-3, "{ratio}");
        assert_eq!(assert_close("exact", &[1.0, -2.0, 0.0, 0.5], &expected()), 0.0);
    }

    #[test]
    #[should_panic(expected = "element 1, which is [0, 1] of [2, 2]: gpu -2.000002e0, f64 -2e0")]
    fn eight_roundings_too_many_are_refused() {
        assert_close("off", &[1.0, -2.000_002, 0.0, 0.5], &expected());
    }

    #[test]
    #[should_panic(expected = "element 2")]
    fn where_nothing_is_summed_zero_is_exact() {
        assert_close("dust", &[1.0, -2.0, 1e-20, 0.5], &expected());
    }

    #[test]
    #[should_panic(expected = "gpu NaN")]
    fn nan_is_refused() {
        assert_close("nan", &[1.0, f32::NAN, 0.0, 0.5], &expected());
    }

    #[test]
    #[should_panic(expected = "f64 NaN")]
    fn nan_is_refused_even_if_the_twin_agrees() {
        let nan = Value::exact(&Array::new(&[1], vec![f64::NAN]));
        assert_close("nan", &[f32::NAN], &nan);
    }

    #[test]
    #[should_panic(expected = "times the tolerance")]
    fn a_bound_that_allows_anything_is_refused() {
        let mut v = Value::zeros(&[1]);
        v.set([0], Tracked { value: 0.0, terms: f64::INFINITY });
        assert_close("unbounded", &[0.0], &v);
    }

    #[test]
    #[should_panic(expected = "another number of elements than shape [2, 2] has")]
    fn a_short_output_is_refused() {
        assert_close("short", &[1.0], &expected());
    }

    #[test]
    #[should_panic(expected = "nothing to compare")]
    fn an_empty_output_is_refused() {
        assert_close("empty", &[], &Value::zeros(&[0]));
    }
}
