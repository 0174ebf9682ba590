//! The parts that were folded into the end of an op: y = act(op(x) · scale + shift + residual).

use crate::activation::Activation;
use crate::tensor::TensorId;

/// A batch norm with running statistics and frozen parameters: one scale and one shift per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoldedNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Its weight, bias, running_mean and running_var.
    pub tensors: [TensorId; 4],
}

/// An op that can move into the end of the op before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// · scale + shift.
    Norm(FoldedNorm),
    /// + another tensor.
    Residual(TensorId),
    /// act(…).
    Activation(Activation),
}

/// The parts that were folded into the end of an op, in the order in which they are applied.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fused {
    /// · scale + shift.
    pub norm: Option<FoldedNorm>,
    /// + this tensor.
    pub residual: Option<TensorId>,
    /// act(…).
    pub activation: Activation,
}

impl Fused {
    /// These parts with `part` applied last; `None` if `part` cannot be last.
    pub(crate) fn with(mut self, part: Part) -> Option<Self> {
        let (plain, alone) = (self.activation == Activation::None, self.residual.is_none());
        match part {
            Part::Norm(norm) if plain && alone && self.norm.is_none() => self.norm = Some(norm),
            Part::Residual(tensor) if plain && alone => self.residual = Some(tensor),
            Part::Activation(activation) if plain => self.activation = activation,
            _ => return None,
        }
        Some(self)
    }

    /// The tensors that it reads.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = TensorId> {
        self.norm.into_iter().flat_map(|norm| norm.tensors).chain(self.residual)
    }
}
