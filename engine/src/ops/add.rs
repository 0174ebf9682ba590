//! add: the sum of two tensors of one shape, and an activation.

use super::{Activation, Op, channel_blocks, image, relu};
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::record::{Backward, BufferId, Forward, Request, grid};
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "add", entry: "forward" };

/// Rows that one invocation adds.
const ROWS: usize = 8;

/// y = act(a + b); inputs: a, b.
#[derive(Clone, Copy, Debug, Default)]
pub struct Add {
    /// What is done to the sum.
    pub activation: Activation,
}

/// A dispatch of y = act(a + b), of images or of parameters: the rows of a filter are its taps times
/// its input channels.
pub(crate) fn sum(shape: Shape, a: BufferId, b: BufferId, y: BufferId, activation: Activation) -> Request {
    let c4 = channel_blocks(shape);
    let rows = shape.padded_count() / 4 / c4;
    let items = rows.div_ceil(ROWS) * c4;
    Request::new(FORWARD, grid(items, 64))
        .constants(&[("ACT", activation.code())])
        .bind(&[("a", a), ("b", b), ("y", y)])
        .params(&[("rows", rows), ("c4", c4), ("items", items)])
        .turns(ROWS)
}

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        if inputs[0] != inputs[1] {
            return Err(Error::shape(
                "add",
                layer,
                format!("the two branches differ: {} and {}", inputs[0], inputs[1]),
            ));
        }
        image("add", layer, inputs[0])?;
        Ok(inputs[0])
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn forward(&self, f: &mut Forward<'_, '_>) {
        let request = sum(f.shape(0), f.input(0), f.input(1), f.output(), self.activation);
        f.dispatch(request);
        relu::keep_mask(f, self.activation);
    }

    fn backward(&self, b: &mut Backward<'_, '_>) {
        let dz = relu::gradient_before(b, self.activation);
        b.pass(0, dz);
        b.pass(1, dz);
    }
}
