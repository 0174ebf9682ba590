//! Loss scaling: gradients stored as f16 without becoming zero or infinite.
//!
//! Gradients of activations are often smaller than 6·10⁻⁸, the smallest positive f16. So a plan that stores
//! them as f16 multiplies the gradient of the loss by a *loss scale*, a power of two, and the optimiser
//! divides the gradients of parameters by it. The scale is as large as the gradients allow: it doubles after
//! a number of steps without overflow, and a step whose gradients overflowed is skipped and halves it.
//! (Micikevicius et al. 2018, "Mixed Precision Training"; `torch.amp.GradScaler`.)
//!
//! The state is a small buffer of the [`Optimizer`](crate::Optimizer), read and written by kernels alone, so
//! that no step waits for the host. A plan without an optimiser owns such a buffer, and the host sets it.

use crate::error::{Error, Result};

/// The largest loss scale; the smallest is 1.
const LARGEST: u32 = 1 << 24;

/// Bytes of the shader's `LossScaler`.
pub(crate) const BYTES: u64 = 32;

/// The place of `unscale` in it.
pub(crate) const UNSCALE: u64 = 16;

/// How gradients stored as f16 are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LossScale {
    /// The scale of the first step: a power of two, 1 to 2²⁴.
    pub initial: u32,
    /// After this many consecutive steps without overflow the scale doubles, up to 2²⁴; a step with overflow
    /// halves it, down to 1. `None`: the scale is constant. A step with overflow is not taken in any case.
    pub growth_interval: Option<u32>,
}

impl LossScale {
    /// PyTorch's defaults: 65,536 at first, doubled after 2,000 steps without overflow.
    pub const fn dynamic() -> Self {
        Self { initial: 1 << 16, growth_interval: Some(2000) }
    }

    /// The same scale at every step.
    pub const fn fixed(scale: u32) -> Self {
        Self { initial: scale, growth_interval: None }
    }

    /// The state before the first step.
    pub(crate) fn start(self) -> LossScaleState {
        LossScaleState { scale: self.initial, good_steps: 0, skipped_steps: 0 }
    }

    /// The state that continues `earlier`, which may be of a run with other settings: a fixed scale stays.
    pub(crate) fn go_on_from(self, earlier: LossScaleState) -> LossScaleState {
        match self.growth_interval {
            Some(_) => LossScaleState { scale: earlier.scale.clamp(1, LARGEST), ..earlier },
            None => LossScaleState { scale: self.initial, ..earlier },
        }
    }

    /// The scale for a gradient that the host gives, whose largest value is `largest`. Overflow is not
    /// checked here. So a scale that may change starts with a margin: the largest scaled value is at most
    /// 1,024.
    pub(crate) fn for_gradient(self, largest: f32) -> LossScaleState {
        let mut state = self.start();
        while self.growth_interval.is_some() && state.scale > 1 && largest * state.scale as f32 > 1024.0 {
            state.scale /= 2;
        }
        state
    }

    /// Fails for a scale that would cause rounding.
    pub(crate) fn check(self) -> Result<()> {
        let wrong = |name, value: u32, reason| Err(Error::Setting { name, value: value.to_string(), reason });
        if !self.initial.is_power_of_two() || self.initial > LARGEST {
            return wrong("loss scale", self.initial, "it must be a power of two from 1 to 16777216");
        }
        match self.growth_interval {
            Some(0) => wrong("growth interval of the loss scale", 0, "it must be at least 1 step"),
            _ => Ok(()),
        }
    }
}

/// The state of a loss scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossScaleState {
    /// The scale of the next step.
    pub scale: u32,
    /// Consecutive steps taken since the scale last changed or a step was skipped.
    pub good_steps: u32,
    /// Steps skipped since the optimiser's first, because their gradients or loss were not finite.
    pub skipped_steps: u32,
}

impl LossScaleState {
    /// The contents of the shader's `LossScaler` before a step.
    pub(crate) fn to_words(self) -> [u32; BYTES as usize / 4] {
        let scale = self.scale as f32;
        let unscale = scale.recip();
        [scale.to_bits(), self.good_steps, self.skipped_steps, 0, unscale.to_bits(), 0, 0, 0]
    }

    pub(crate) fn from_words(words: &[u32]) -> Self {
        Self { scale: f32::from_bits(words[0]) as u32, good_steps: words[1], skipped_steps: words[2] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_the_device() {
        let state = LossScaleState { scale: 1 << 24, good_steps: 1999, skipped_steps: 7 };
        assert_eq!(LossScaleState::from_words(&state.to_words()), state);
    }

    #[test]
    fn a_given_gradient_has_room() {
        let scale = |largest| LossScale::dynamic().for_gradient(largest).scale;
        assert_eq!(
            [scale(0.0), scale(1e-8), scale(1.0), scale(1.1), scale(3000.0)],
            [65_536, 65_536, 1024, 512, 1]
        );
        assert_eq!(LossScale::fixed(65_536).for_gradient(1.0).scale, 65_536);
    }

    #[test]
    fn what_goes_on_keeps_a_fixed_scale() {
        let earlier = LossScaleState { scale: 256, good_steps: 3, skipped_steps: 8 };
        assert_eq!(LossScale::dynamic().go_on_from(earlier), earlier);
        assert_eq!(LossScale::fixed(1024).go_on_from(earlier), LossScaleState { scale: 1024, ..earlier });
    }
}
