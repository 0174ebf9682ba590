//! silu, also called swish.

use super::{Activation, Op, channel_blocks, image};
use crate::context::{Backward, Context, Forward};
use crate::dispatch::grid;
use crate::error::Result;
use crate::fused::{Fused, Part};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;
use crate::tensor::TensorId;

static FORWARD: Kernel = Kernel { file: "silu", entry: "forward" };
static BACKWARD: Kernel = Kernel { file: "silu", entry: "backward" };

/// y = x·σ(x), with σ(x) = 1/(1 + exp(−x)); inputs: x.
///
/// Two values of x can have the same y, so backward cannot find the slope from y: it reads x. Therefore silu
/// moves into the end of the op before it only if its output needs no gradient, and a frozen part keeps
/// nothing. Otherwise x is kept, and y is computed again from x for a later layer that needs it in backward.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silu;

fn request(kernel: Kernel, shape: Shape) -> Request {
    let items = shape.rows() * channel_blocks(shape);
    Request::new(kernel, grid(items, 64)).params(&[("items", items)])
}

fn apply<Pass>(c: &mut Context<'_, '_, Pass>) -> Result<()> {
    let request = request(FORWARD, c.output_shape()).bind(&[("x", c.input(0)), ("y", c.output())]);
    c.dispatch(request)
}

impl Op for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        image("silu", layer, inputs[0])?;
        Ok(inputs[0])
    }

    fn keeps(&self, wants: &[bool]) -> Vec<usize> {
        if wants[0] { vec![0] } else { vec![] }
    }

    fn as_part(&self, _inputs: &[TensorId]) -> Vec<(usize, Part)> {
        vec![(0, Part::Activation(Activation::Silu))]
    }

    fn recomputable(&self, _fused: &Fused) -> bool {
        true
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        apply(f)
    }

    fn recompute(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        apply(b)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let dy = b.grad_output()?;
        b.accumulate(0, |b, dx| {
            let request = request(BACKWARD, b.shape(0)).bind(&[("x", b.input(0)), ("dy", dy), ("dx", dx)]);
            b.dispatch(request)
        })
    }
}
