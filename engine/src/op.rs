//! The trait of an op.

use crate::context::{Backward, Forward};
use crate::error::Result;
use crate::fused::{Fused, Part};
use crate::shape::Shape;
use crate::tensor::TensorId;
use std::any::Any;
use std::fmt::Debug;

/// The computation of an op, forward and backward.
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

    /// Whether input `i` must be f32 even if activations are stored as f16.
    fn reads_f32(&self, _input: usize) -> bool {
        false
    }

    /// The parts that the op, reading `inputs`, can be at the end of the op that computes one of them, with
    /// the index of that input. All of these are tried.
    fn as_part(&self, _inputs: &[TensorId]) -> Vec<(usize, Part)> {
        vec![]
    }

    /// Whether the op's kernels can apply `part` at their end, after the parts in `fused`.
    fn can_take(&self, _part: Part, _fused: &Fused) -> bool {
        false
    }

    /// Whether backward can compute the output again, with the parts in `fused`, from inputs that are kept
    /// anyway.
    fn recomputable(&self, _fused: &Fused) -> bool {
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
