//! What an op is.

use crate::activation::Activation;
use crate::context::{Backward, Forward};
use crate::error::Result;
use crate::shape::Shape;
use std::any::Any;
use std::fmt::Debug;

/// What an op computes, forward and backward.
pub trait Op: Debug + Any + Send + Sync {
    /// The op's name, such as `conv2d`.
    fn name(&self) -> &'static str;

    /// The output's shape, or an error that names the layer and both shapes.
    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape>;

    /// Whether the output is an activation that a gradient can flow through to input `i`.
    fn differentiable(&self, _input: usize) -> bool {
        true
    }

    /// Which inputs backward reads. `wants[i]` is true if input `i` needs a gradient.
    fn keeps(&self, wants: &[bool]) -> Vec<usize>;

    /// Must input `i` be f32 where activations are stored as f16?
    fn reads_f32(&self, _input: usize) -> bool {
        false
    }

    /// The activation at the op's end. Backward needs to find the places where it is open.
    fn activation(&self) -> Activation {
        Activation::None
    }

    /// Can backward compute the output again from inputs that are kept anyway?
    fn recomputable(&self) -> bool {
        false
    }

    /// Records the dispatches that compute the output.
    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()>;

    /// Records the dispatches that compute the gradients that are needed.
    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()>;

    /// Records the output once more, during backward; only called if `recomputable`.
    fn recompute(&self, _b: &mut Backward<'_, '_>) -> Result<()> {
        Ok(())
    }
}
