//! Where the activation at the end of a batch norm had slope one.

use crate::context::Backward;
use crate::dispatch::BufferId;
use crate::ops::Activation;
use crate::ops::relu::{self, Open};
use crate::request::Request;

/// How the kernels find where the activation's slope is one.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    activation: Activation,
    /// The shader's `MASK`.
    kind: u32,
    y: Option<BufferId>,
    bits: Option<BufferId>,
}

impl Mask {
    /// From the input, if the kernels read it; otherwise from the output, or from the mask that forward kept.
    pub fn of(b: &mut Backward<'_, '_>, activation: Activation, from_x: bool) -> Self {
        let (kind, y, bits) = match (activation, from_x) {
            (Activation::None, _) => (0, None, None),
            (_, true) => (1, None, None),
            (_, false) => match relu::open(b, activation) {
                Open::Everywhere => (0, None, None),
                Open::Output(y) => (2, Some(y), None),
                Open::Mask(bits) => (3, None, Some(bits)),
            },
        };
        Self { activation, kind, y, bits }
    }

    /// `request`, which reads the mask.
    pub fn bind(&self, request: Request) -> Request {
        let request = request.constants(&[("ACT", self.activation.code()), ("MASK", self.kind)]);
        request.bind_if("y", self.y).bind_if("mask", self.bits)
    }
}
