//! A number that remembers how large the terms were that it was made from.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A value and the scale of the error that an f32 evaluation of it makes.
///
/// `terms` starts as |value| and is carried along by first-order error propagation, so that an f32
/// kernel, in whatever order it sums, stays within 4·eps32·terms. Write `terms = |value| + excess`;
/// the excess is what cancellation and amplification add. To first order the error of f(a, b) is
/// |∂f/∂a|·error(a) + |∂f/∂b|·error(b) plus its own rounding, which gives
///
/// | operation | terms of the result |
/// |---|---|
/// | `a ± b` | `terms(a) + terms(b)` |
/// | `a · b` | `abs(ab) + abs(a)·excess(b) + abs(b)·excess(a)` |
/// | `a / b` | `2·abs(q) + (excess(a) + abs(q)·excess(b)) / abs(b)`, q the quotient |
/// | `√a` | `2·√a + excess(a) / (2·√a)` |
/// | `exp a` | `exp(a) · (1 + terms(a))` |
/// | `ln a` | `abs(ln a) + terms(a) / a` |
///
/// A sum of products of inputs thus has exactly Σ|terms|. Two choices are not propagation but what
/// WGSL grants an implementation (its specification, section "Floating Point Accuracy"): division
/// and roots are off by up to 2.5 units in the last place, hence one |q| more, and `exp(a)` by
/// 3 + 2·|a| units, which is why it takes the terms of its argument rather than their excess.
///
/// Method after the running error analysis in N. J. Higham, *Accuracy and Stability of Numerical
/// Algorithms*, section 3.3. Products of errors are neglected: they are of order eps32².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracked {
    /// The value in f64.
    pub value: f64,
    /// Σ|terms|: never less than |value|.
    pub terms: f64,
}

/// An input or a constant: a value that is its own only term.
pub fn exact(value: f64) -> Tracked {
    Tracked { value, terms: value.abs() }
}

impl Tracked {
    /// The empty sum.
    pub const ZERO: Tracked = Tracked { value: 0.0, terms: 0.0 };

    fn excess(self) -> f64 {
        self.terms - self.value.abs()
    }

    /// √self, for a positive value, or for a zero that is exact.
    pub fn sqrt(self) -> Tracked {
        let root = self.value.sqrt();
        // An exact zero has the exact root zero; a zero left by cancellation has no usable bound,
        // and the division says so by becoming infinite.
        let amplified = if self.excess() == 0.0 { 0.0 } else { self.excess() / (2.0 * root) };
        Tracked { value: root, terms: 2.0 * root + amplified }
    }

    /// e to the power of self.
    pub fn exp(self) -> Tracked {
        let value = self.value.exp();
        Tracked { value, terms: value * (1.0 + self.terms) }
    }

    /// The natural logarithm of self, for a positive value.
    pub fn ln(self) -> Tracked {
        let value = self.value.ln();
        Tracked { value, terms: value.abs() + self.terms / self.value }
    }

    /// The value limited to `low..=high`. Clamping never enlarges an error, and where the value is
    /// exact the result is too: relu of a negative input is 0, not nearly 0.
    pub fn clamp(self, low: f64, high: f64) -> Tracked {
        let value = self.value.max(low).min(high);
        Tracked { value, terms: value.abs() + self.excess() }
    }
}

impl Add for Tracked {
    type Output = Tracked;
    fn add(self, other: Tracked) -> Tracked {
        Tracked { value: self.value + other.value, terms: self.terms + other.terms }
    }
}

impl AddAssign for Tracked {
    fn add_assign(&mut self, other: Tracked) {
        *self = *self + other;
    }
}

impl Sum for Tracked {
    fn sum<I: Iterator<Item = Tracked>>(terms: I) -> Tracked {
        terms.fold(Tracked::ZERO, Add::add)
    }
}

impl Neg for Tracked {
    type Output = Tracked;
    fn neg(self) -> Tracked {
        Tracked { value: -self.value, terms: self.terms }
    }
}

impl Sub for Tracked {
    type Output = Tracked;
    fn sub(self, other: Tracked) -> Tracked {
        self + -other
    }
}

impl Mul for Tracked {
    type Output = Tracked;
    fn mul(self, other: Tracked) -> Tracked {
        let value = self.value * other.value;
        Tracked {
            value,
            terms: value.abs() + self.value.abs() * other.excess() + other.value.abs() * self.excess(),
        }
    }
}

impl Div for Tracked {
    type Output = Tracked;
    fn div(self, other: Tracked) -> Tracked {
        let value = self.value / other.value;
        Tracked {
            value,
            terms: 2.0 * value.abs() + (self.excess() + value.abs() * other.excess()) / other.value.abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_products_has_the_sum_of_their_magnitudes() {
        let dot = exact(3.0) * exact(-2.0) + exact(5.0) * exact(1.0) - exact(4.0);
        assert_eq!((dot.value, dot.terms), (-5.0, 15.0));
    }

    #[test]
    fn cancellation_is_remembered_through_a_product() {
        let difference = exact(100.0) - exact(99.0);
        let scaled = difference * exact(-2.0);
        assert_eq!((scaled.value, scaled.terms), (-2.0, 398.0));
    }

    /// Perturbs the operands by their own excess and looks whether the result moves by no more
    /// than its excess: the propagation rules are derivatives, and this is how they would be wrong.
    #[test]
    fn excess_covers_what_perturbed_operands_do() {
        let h = 1e-6;
        let a = Tracked { value: 1.7, terms: 1.7 + 0.9 };
        let b = Tracked { value: -0.6, terms: 0.6 + 0.3 };
        type Binary = (&'static str, fn(Tracked, Tracked) -> Tracked);
        let operations: [Binary; 7] = [
            ("add", |a, b| a + b),
            ("sub", |a, b| a - b),
            ("mul", |a, b| a * b),
            ("div", |a, b| a / b),
            ("sqrt", |a, _| a.sqrt()),
            ("exp", |a, _| a.exp()),
            ("ln", |a, _| a.ln()),
        ];
        for (name, f) in operations {
            let result = f(a, b);
            for (sa, sb) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                let moved = f(exact(a.value + sa * h * a.excess()), exact(b.value + sb * h * b.excess()));
                let change = (moved.value - result.value).abs() / h;
                assert!(
                    change <= result.terms * (1.0 + 1e-5),
                    "{name}: moved {change}, terms {}",
                    result.terms
                );
            }
        }
    }

    #[test]
    fn relu_of_an_exact_negative_must_be_exactly_zero() {
        assert_eq!(exact(-3.0).clamp(0.0, f64::INFINITY), Tracked::ZERO);
        let cancelled = (exact(2.0) - exact(3.0)).clamp(0.0, f64::INFINITY);
        assert_eq!((cancelled.value, cancelled.terms), (0.0, 4.0));
    }
}
