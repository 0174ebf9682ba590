//! Activations that are fused into the end of another op.

/// An activation fused into the end of another op.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// y = x.
    #[default]
    None,
    /// y = max(x, 0).
    Relu,
    /// y = min(max(x, 0), 6).
    Relu6,
    /// y = x·σ(x), with σ(x) = 1/(1 + exp(−x)).
    Silu,
}

impl Activation {
    /// The value of the shaders' `ACT`.
    pub(crate) fn code(self) -> u32 {
        match self {
            Activation::None => 0,
            Activation::Relu => 1,
            Activation::Relu6 => 2,
            Activation::Silu => 3,
        }
    }

    /// Whether backward needs the activation's input. Otherwise the output, or one bit per value, determines
    /// its slope.
    pub(crate) fn backward_reads_input(self) -> bool {
        match self {
            Activation::None | Activation::Relu | Activation::Relu6 => false,
            Activation::Silu => true,
        }
    }
}
