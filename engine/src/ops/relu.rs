//! relu and relu6, and the mask that replaces an activation that is not kept.

use super::{Activation, Op, channel_blocks, image, row_blocks};
use crate::context::{Backward, Forward};
use crate::dispatch::{BufferId, grid};
use crate::error::{Error, Result};
use crate::fused::Part;
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;
use crate::tensor::TensorId;

static FORWARD: Kernel = Kernel { file: "relu", entry: "forward" };
static BACKWARD: Kernel = Kernel { file: "relu", entry: "backward" };
static MASK: Kernel = Kernel { file: "relu", entry: "mask_bits" };

/// y = max(x, 0), or relu6; inputs: x.
#[derive(Clone, Copy, Debug)]
pub struct Relu {
    /// Which activation; [`super::Silu`] is another op.
    pub activation: Activation,
}

fn request(kernel: Kernel, shape: Shape, activation: Activation) -> Request {
    let items = row_blocks(shape);
    Request::new(kernel, grid(items, 64))
        .constants(&[("ACT", activation.code())])
        .params(&[("rows", shape.rows()), ("c4", channel_blocks(shape)), ("items", items)])
        .turns(8)
}

/// How backward finds where the activation's slope is one: from the output if it is kept, else from mask
/// bits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Open {
    /// There is no activation.
    Everywhere,
    /// The output.
    Output(BufferId),
    /// One bit per value.
    Mask(BufferId),
}

/// After an op's forward: saves the mask, if there is an activation whose output is not kept.
pub(crate) fn keep_mask(f: &mut Forward<'_, '_>, activation: Activation) -> Result<()> {
    if activation == Activation::None || !f.has_backward() || f.keeps_output() {
        return Ok(());
    }
    let shape = f.output_shape();
    let bits = f.save("mask", 4 * row_blocks(shape) as u64);
    let y = f.output();
    f.dispatch(request(MASK, shape, activation).bind(&[("y", y), ("bits", bits)]))
}

/// How backward finds where the activation's slope is one.
pub(crate) fn open(b: &mut Backward<'_, '_>, activation: Activation) -> Open {
    match (activation, b.saved("mask")) {
        (Activation::None, _) => Open::Everywhere,
        (_, Some(mask)) => Open::Mask(mask),
        (_, None) => Open::Output(b.output()),
    }
}

/// The gradient before an op's activation: the output's gradient where the activation's slope is one, else 0.
pub(crate) fn gradient_before(b: &mut Backward<'_, '_>, activation: Activation) -> Result<BufferId> {
    let (mask, y, bits) = match open(b, activation) {
        Open::Everywhere => return b.grad_output(),
        Open::Output(y) => (None, Some(y), 0),
        Open::Mask(mask) => (Some(mask), None, 1),
    };
    let shape = b.output_shape();
    let dz = b.scratch_activation("grad before activation", shape);
    let dy = b.grad_output()?;
    let request = request(BACKWARD, shape, activation).constants(&[("BITS", bits)]);
    b.dispatch(request.bind_if("y", y).bind_if("mask", mask).bind(&[("dy", dy), ("out", dz)]))?;
    Ok(dz)
}

impl Op for Relu {
    fn name(&self) -> &'static str {
        if self.activation == Activation::Relu6 { "relu6" } else { "relu" }
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        image("relu", layer, inputs[0])?;
        if self.activation.backward_reads_input() {
            let reason = format!("{:?} is not a relu: record its own op", self.activation);
            return Err(Error::shape("relu", layer, reason));
        }
        Ok(inputs[0])
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn as_part(&self, _inputs: &[TensorId]) -> Vec<(usize, Part)> {
        vec![(0, Part::Activation(self.activation))]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let bindings = [("x", f.input(0)), ("out", f.output())];
        f.dispatch(request(FORWARD, f.output_shape(), self.activation).bind(&bindings))?;
        keep_mask(f, self.activation)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let dx = gradient_before(b, self.activation)?;
        b.pass(0, dx)
    }
}
