//! add: the sum of two tensors of one shape.

use super::{Op, image, relu};
use crate::context::{Backward, Forward};
use crate::error::{Error, Result};
use crate::fused::{Fused, Part};
use crate::request::sum;
use crate::shape::Shape;
use crate::tensor::TensorId;

/// y = a + b; inputs: a, b.
#[derive(Clone, Copy, Debug, Default)]
pub struct Add;

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

    /// Either of two branches can have the other folded into its end.
    fn as_part(&self, inputs: &[TensorId]) -> Vec<(usize, Part)> {
        let [a, b] = [inputs[0], inputs[1]];
        if a == b { vec![] } else { vec![(0, Part::Residual(b)), (1, Part::Residual(a))] }
    }

    fn can_take(&self, part: Part, _fused: &Fused) -> bool {
        matches!(part, Part::Activation(_))
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let activation = f.fused().activation;
        let request = sum(f.shape(0), f.input(0), f.input(1), f.output(), activation);
        f.dispatch(request)?;
        relu::keep_mask(f, activation)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let dz = relu::gradient_before(b, b.fused().activation)?;
        b.pass(0, dz)?;
        b.pass(1, dz)
    }
}
