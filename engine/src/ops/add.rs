//! add: the sum of two tensors of one shape, and an activation.

use super::{Activation, Op, image, relu};
use crate::context::{Backward, Forward};
use crate::error::{Error, Result};
use crate::request::sum;
use crate::shape::Shape;

/// y = act(a + b); inputs: a, b.
#[derive(Clone, Copy, Debug, Default)]
pub struct Add {
    /// What is done to the sum.
    pub activation: Activation,
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

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let request = sum(f.shape(0), f.input(0), f.input(1), f.output(), self.activation);
        f.dispatch(request)?;
        relu::keep_mask(f, self.activation)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let dz = relu::gradient_before(b, self.activation)?;
        b.pass(0, dz)?;
        b.pass(1, dz)
    }
}
