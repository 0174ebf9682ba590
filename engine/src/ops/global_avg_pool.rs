//! global_avg_pool: the mean over all pixels, one value per channel.

use super::{Op, channel_blocks, image};
use crate::context::{Backward, Forward};
use crate::dispatch::grid;
use crate::error::Result;
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "global_avg_pool", entry: "forward" };
static BACKWARD: Kernel = Kernel { file: "global_avg_pool", entry: "backward" };

/// Inputs: x.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool;

/// Minimum number of pixels that an invocation sums, before a large image is divided.
const PART: usize = 1024;

/// Maximum number of pixels in one running sum of `global_avg_pool.wgsl`.
const BLOCK: usize = 32;

fn pixels(x: Shape) -> usize {
    match x {
        Shape::Image { h, w, .. } => h * w,
        _ => 1,
    }
}

/// A dispatch that sums `pixels` of `n` images in parts of `per_part` and divides the sums.
fn sums(n: usize, c4: usize, pixels: usize, per_part: usize, divisor: usize) -> Request {
    let parts = pixels.div_ceil(per_part);
    let items = n * parts * c4;
    Request::new(FORWARD, grid(items, 64))
        .params(&[("pixels", pixels), ("c4", c4), ("items", items), ("per_part", per_part), ("parts", parts)])
        .float("divisor", divisor as f32)
        .turns(per_part.min(pixels) + per_part.min(pixels).div_ceil(BLOCK))
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

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let (x, y) = (f.input(0), f.output());
        let (n, c4, pixels) = (f.output_shape().rows(), channel_blocks(f.output_shape()), pixels(f.shape(0)));
        if pixels <= PART {
            return f.dispatch(sums(n, c4, pixels, pixels, pixels).bind(&[("x", x), ("y", y)]));
        }
        // At most as many parts as a part has pixels, so that both sums are short.
        let per_part = pixels.isqrt().next_multiple_of(BLOCK).max(PART);
        let parts = pixels.div_ceil(per_part);
        let partial = f.scratch("partial sums", 16 * (n * parts * c4) as u64);
        f.dispatch(sums(n, c4, pixels, per_part, 1).bind(&[("x", x), ("y", partial)]))?;
        f.dispatch(sums(n, c4, parts, parts, pixels).bind(&[("x", partial), ("y", y)]))
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let (x, dy) = (b.shape(0), b.grad_output()?);
        let items = x.rows() * channel_blocks(x);
        let request = Request::new(BACKWARD, grid(items, 64))
            .params(&[("pixels", pixels(x)), ("c4", channel_blocks(x)), ("items", items)])
            .float("divisor", pixels(x) as f32);
        b.accumulate(0, |b, dx| b.dispatch(request.bind(&[("dy", dy), ("dx", dx)])))
    }
}
