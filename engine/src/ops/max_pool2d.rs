//! max_pool2d: the largest value of every window; windows may overlap.

use super::{Op, channel_blocks, image, windows};
use crate::context::{Backward, Forward};
use crate::dispatch::grid;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::ops::Padding;
use crate::request::Request;
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "max_pool2d", entry: "forward" };
static BACKWARD: Kernel = Kernel { file: "max_pool2d", entry: "backward" };

/// The largest stride for which an invocation of backward computes all pixels that one stride advances over.
const WIDEST_CELL: usize = 3;

/// Inputs: x.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    /// Window height and width, at most 15: a position in the window is stored as one byte.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Padding around the image, which is never the maximum; at most half the window.
    pub padding: usize,
}

impl MaxPool2d {
    fn request(&self, kernel: Kernel, x: Shape, y: Shape, items: usize) -> Request {
        let (Shape::Image { h, w, .. }, Shape::Image { h: h_out, w: w_out, .. }) = (x, y) else {
            unreachable!("the shape check let images through only")
        };
        Request::new(kernel, grid(items, 64))
            .params(&[
                ("h_in", h),
                ("w_in", w),
                ("h_out", h_out),
                ("w_out", w_out),
                ("c4", channel_blocks(y)),
            ])
            .params(&[
                ("kernel", self.kernel),
                ("stride", self.stride),
                ("padding", self.padding),
                ("items", items),
            ])
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [n, .., c] = image("max_pool2d", layer, inputs[0])?;
        let kernel = (self.kernel, self.kernel);
        let (h, w) =
            windows("max_pool2d", layer, inputs[0], kernel, self.stride, Padding::all(self.padding))?;
        if self.kernel > 15 || 2 * self.padding > self.kernel {
            let reason =
                format!("{self:?}: a window may have at most 15x15 pixels, and padding at most half of that");
            return Err(Error::shape("max_pool2d", layer, reason));
        }
        Ok(Shape::Image { n, h, w, c })
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let (x, y) = (f.shape(0), f.output_shape());
        let items = y.rows() * channel_blocks(y);
        let argmax = f.has_backward().then(|| f.save("argmax", 4 * items as u64));
        let bindings = [("x", f.input(0)), ("y", f.output())];
        let request = self.request(FORWARD, x, y, items).turns(self.kernel + self.kernel * self.kernel);
        let request = request.constants(&[("ARGMAX", argmax.is_some().into())]);
        f.dispatch(request.bind(&bindings).bind_if("argmax_out", argmax))
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let (x, y, dy) = (b.shape(0), b.output_shape(), b.grad_output()?);
        let argmax = b.saved("argmax");
        b.accumulate(0, |b, dx| {
            // Number of windows over a pixel, in one direction.
            let over = self.kernel.div_ceil(self.stride);
            let Shape::Image { n, h, w, .. } = x else { unreachable!("x was an image in forward") };
            let cell = if self.stride <= WIDEST_CELL { self.stride } else { 1 };
            let first = self.padding / cell;
            let [cells_h, cells_w] = [h, w].map(|size| (size - 1 + self.padding) / cell - first + 1);
            let request = self
                .request(BACKWARD, x, y, n * cells_h * cells_w * channel_blocks(x))
                .constants(&[("CELL", cell as u32)])
                .params(&[("first", first), ("cells_h", cells_h), ("cells_w", cells_w)])
                .turns(over + over * over);
            b.dispatch(request.bind(&[("dy", dy), ("dx", dx)]).bind_if("argmax", argmax))
        })
    }
}
