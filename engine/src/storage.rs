//! Storage: whether activations are stored as 32-bit or as 16-bit floats.

use crate::error::Result;
use crate::loss_scale::LossScale;
use frostline_shaders::Format;

/// How activations are stored: their values, their gradients, and the copies of weights that
/// kernels read.
///
/// Arithmetic is f32 in any case. So are parameters, their gradients and moments, statistics, logits and the
/// loss, and all values that the host reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// As 32-bit floats.
    #[default]
    F32,
    /// As 16-bit floats: half the memory and traffic, 11 significant bits, nothing above 65,504.
    /// The adapter needs 16-bit floats in shaders.
    F16 {
        /// The factor on the gradient of the loss, so that small gradients do not become zero.
        loss_scale: LossScale,
    },
}

impl Storage {
    /// 16-bit floats with a dynamic loss scale ([`LossScale::dynamic`]).
    pub fn f16() -> Self {
        Self::F16 { loss_scale: LossScale::dynamic() }
    }

    /// How gradients are scaled, if they are.
    pub(crate) fn loss_scale(self) -> Option<LossScale> {
        match self {
            Self::F32 => None,
            Self::F16 { loss_scale } => Some(loss_scale),
        }
    }

    /// Fails for an invalid loss scale.
    pub(crate) fn check(self) -> Result<()> {
        self.loss_scale().map_or(Ok(()), LossScale::check)
    }

    /// The format that ops record for activations.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::F32 => Format::Single,
            Self::F16 { .. } => Format::Half,
        }
    }
}
