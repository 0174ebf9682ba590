//! global_avg_pool: the mean over all pixels, one value a channel.

use super::{Op, channel_blocks, image};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::record::{Backward, Forward, Request, grid};
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "global_avg_pool", entry: "forward" };
static BACKWARD: Kernel = Kernel { file: "global_avg_pool", entry: "backward" };

/// Inputs: x.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool;

fn request(kernel: Kernel, x: Shape, of: Shape) -> Request {
    let items = of.rows() * channel_blocks(of);
    let pixels = match x {
        Shape::Image { h, w, .. } => h * w,
        _ => 1,
    };
    Request::new(kernel, grid(items, 64)).params(&[("pixels", pixels), ("c4", channel_blocks(x)), ("items", items)])
}

impl Op for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [n, _, _, c] = image("global_avg_pool", layer, inputs[0])?;
        Ok(Shape::Image { n, h: 1, w: 1, c })
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) {
        let bindings = [("x", f.input(0)), ("y", f.output())];
        f.dispatch(request(FORWARD, f.shape(0), f.output_shape()).bind(&bindings));
    }

    fn backward(&self, b: &mut Backward<'_, '_>) {
        let (x, dy) = (b.shape(0), b.grad_output());
        b.accumulate(0, |b, dx| b.dispatch(request(BACKWARD, x, x).bind(&[("dy", dy), ("dx", dx)])));
    }
}
