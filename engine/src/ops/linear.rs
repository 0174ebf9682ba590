//! linear: y = x·Wᵀ + b. On features (1 × 1 images) it is a 1×1 convolution, and uses its kernels.

use super::conv2d::{self, Affine, Epilogue, GradOutput, Sizes};
use super::{Activation, Op, Padding, image, partials};
use crate::context::{Backward, Forward};
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Inputs: x of (N, C_in, 1, 1), weight, bias.
#[derive(Clone, Copy, Debug)]
pub struct Linear;

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [n, h, w, c] = image("linear", layer, inputs[0])?;
        let Shape::Matrix { c_in, c_out } = inputs[1] else {
            return Err(Error::shape(
                "linear",
                layer,
                format!("weight {} is not a matrix (C_out, C_in)", inputs[1]),
            ));
        };
        if (h, w) != (1, 1) || c != c_in {
            let reason = format!(
                "weight {} expects {c_in} features, got {} (pool to 1×1 first)",
                inputs[1], inputs[0]
            );
            return Err(Error::shape("linear", layer, reason));
        }
        Ok(Shape::Image { n, h, w, c: c_out })
    }

    fn keeps(&self, wants: &[bool]) -> Vec<usize> {
        if wants[1] { vec![0] } else { vec![] }
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let sizes = Sizes::new(f.shape(0), f.shape(1), f.output_shape(), 1, Padding::default());
        let affine = Affine::Shift(f.input(2));
        conv2d::forward(f, sizes, Epilogue { affine, residual: None, activation: Activation::None })
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let sizes = Sizes::new(b.shape(0), b.shape(1), b.output_shape(), 1, Padding::default());
        let dy = b.grad_output()?;
        let mut grad = GradOutput::new(dy);
        b.grad(2, |b, db, _| partials::backward_bias(b, dy, db))?;
        b.grad(1, |b, dw, _| conv2d::backward_weight(b, sizes, &mut grad, dw))?;
        b.grad(0, |b, dx, earlier| conv2d::backward_input(b, sizes, &mut grad, dx, earlier))
    }
}
