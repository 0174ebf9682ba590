//! Choices that were measured on this adapter; they replace the table's.

use super::{Algorithm, Conv};
use indexmap::IndexMap;

/// The fastest algorithm per class of convolutions, as `examples/tune.rs` measures it with f32 activations;
/// plans with other storage do not use it.
///
/// All candidates have the same error bounds, but they sum in different orders: a loss curve has the same
/// bits only with the same choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    choices: IndexMap<Conv, Algorithm>,
}

impl Measured {
    /// Chooses `algorithm` for the class of `conv`.
    pub fn insert(&mut self, conv: &Conv, algorithm: Algorithm) {
        self.choices.insert(conv.class(), algorithm);
    }

    /// Leaves the class of `conv` to the table.
    pub fn remove(&mut self, conv: &Conv) {
        self.choices.shift_remove(&conv.class());
    }

    /// The algorithm that was measured to be fastest for the class of `conv`, if it was measured.
    pub fn choice(&self, conv: &Conv) -> Option<Algorithm> {
        self.choices.get(&conv.class()).copied()
    }

    /// Classes and their choices, in the order of measuring.
    pub fn iter(&self) -> impl Iterator<Item = (&Conv, &Algorithm)> {
        self.choices.iter()
    }

    /// The number of measured classes.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Was nothing measured?
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }
}

impl Conv {
    /// The convolution that represents all that are tuned together: rows (and the one long row of a 1×1
    /// convolution) are rounded up to a power of two, so that another batch size of the same network has the
    /// same choice. The width stays, because strips either fit a row or not.
    pub fn class(&self) -> Conv {
        self.rounded(usize::next_power_of_two)
    }

    /// The smallest convolution of its class.
    pub fn smallest(&self) -> Conv {
        self.rounded(|size| size.next_power_of_two() / 2 + 1)
    }

    fn rounded(&self, round: impl Fn(usize) -> usize) -> Conv {
        let long = self.kh == 1 && self.kw == 1 && self.rows == 1;
        let width = if long { round(self.width) } else { self.width };
        Conv { width, rows: round(self.rows), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;
    use crate::tuning::{Pass, Tile, Tuning};
    use std::sync::Arc;

    #[test]
    fn the_smallest_of_a_class_is_in_it_and_the_next_smaller_is_not() {
        for (rows, width) in [(1, 2), (1, 3), (1, 392), (3, 7), (64, 7), (65, 7)] {
            let conv = Conv { pass: Pass::Forward, kh: 1, kw: 1, stride: 1, c_in: 8, c_out: 8, width, rows };
            let smallest = conv.smallest();
            assert_eq!(smallest.class(), conv.class(), "{conv:?}");
            let smaller = if rows == 1 {
                Conv { width: smallest.width - 1, ..smallest }
            } else {
                Conv { rows: smallest.rows - 1, ..smallest }
            };
            assert_ne!(smaller.class(), conv.class(), "{conv:?}");
        }
    }

    #[test]
    fn a_choice_holds_for_its_class_and_no_other() {
        let conv = Conv {
            pass: Pass::Forward,
            kh: 3,
            kw: 3,
            stride: 1,
            c_in: 64,
            c_out: 64,
            width: 56,
            rows: 8 * 56,
        };
        let mut tuning = Tuning::subgroup(8);
        let chosen = Algorithm::Direct(Tile { tm: 4, pw: 2, u: 1 });
        assert_ne!(tuning.conv(&conv), chosen);
        let mut measured = Measured::default();
        measured.insert(&conv, chosen);
        tuning.measured = Some(Arc::new(measured));
        assert_eq!(tuning.conv(&conv), chosen);
        assert_eq!(tuning.conv(&Conv { rows: 7 * 56, ..conv }), chosen, "7 and 8 images are one class");
        let table = Tuning::subgroup(8);
        for other in [Conv { rows: 4 * 56, ..conv }, Conv { width: 28, ..conv }, Conv { c_out: 128, ..conv }]
        {
            assert_eq!(tuning.conv(&other), table.conv(&other));
        }
        let half = Storage::f16();
        assert_eq!(
            tuning.with_storage(half).conv(&conv),
            table.with_storage(half).conv(&conv),
            "it was measured with f32"
        );
    }
}
