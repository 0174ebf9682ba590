//! The operations of a fused convolution on each sum before storing it: `y = activation(sum · scale[c] +
//! shift[c] + residual)`.
//!
//! Scale and shift are a folded batch norm, or shift alone a bias.

use crate::activation::Activation;
use crate::{Array, Value, exact};

/// The fused end of a convolution. The default does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Factor per output channel, (C).
    pub scale: Option<&'a Array>,
    /// Summand per output channel, (C).
    pub shift: Option<&'a Array>,
    /// Summand of the output's own shape, (N, C, H, W).
    pub residual: Option<&'a Array>,
    /// Comes last.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Applies the epilogue to the sums of a convolution, (N, C, H, W).
    pub fn apply(&self, sums: &Value) -> Value {
        let [_, c, h, w] = sums.value.dims();
        for (name, array) in [("scale", self.scale), ("shift", self.shift)] {
            if let Some(array) = array {
                array.expect_shape(name, &[c]);
            }
        }
        if let Some(residual) = self.residual {
            residual.expect_shape("residual", &sums.value.shape);
        }
        Value::build(&sums.value.shape, |i| {
            let channel = i / (h * w) % c;
            let mut y = sums.at([i]);
            if let Some(scale) = self.scale {
                y = y * exact(scale.data[channel]);
            }
            if let Some(shift) = self.shift {
                y += exact(shift.data[channel]);
            }
            if let Some(residual) = self.residual {
                y += exact(residual.data[i]);
            }
            self.activation.apply(y)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_shift_residual_relu6_in_this_order() {
        let sums = Value::exact(&Array::new(&[1, 2, 1, 2], vec![1.0, 2.0, 3.0, -4.0]));
        let scale = Array::new(&[2], vec![2.0, -1.0]);
        let shift = Array::new(&[2], vec![0.5, 1.0]);
        let residual = Array::new(&[1, 2, 1, 2], vec![0.25, 3.0, 0.0, 0.0]);
        let fused = Epilogue {
            scale: Some(&scale),
            shift: Some(&shift),
            residual: Some(&residual),
            activation: Activation::Relu6,
        };
        let y = fused.apply(&sums);
        assert_eq!(y.value.data, [2.75, 6.0, 0.0, 5.0]);
        assert_eq!(y.terms.data[..2], [2.75, 6.0]);
        // −3 + 1: a negative sum, clamped; what cancelled stays in the terms.
        assert_eq!(y.terms.data[2], 2.0);
        assert_eq!(Epilogue::default().apply(&sums), sums);
    }
}
