//! The sizes of a convolution, as its kernels need them.

use crate::kernel::Kernel;
use crate::ops::Padding;
use crate::request::Request;
use crate::shape::Shape;
use crate::tuning::{Conv, Pass};

/// The sizes that a convolution's kernels need.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub n: usize,
    pub h_in: usize,
    pub w_in: usize,
    pub c_in: usize,
    pub h_out: usize,
    pub w_out: usize,
    pub c_out: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: usize,
    pub padding: Padding,
}

impl Sizes {
    pub fn new(x: Shape, w: Shape, y: Shape, stride: usize, padding: Padding) -> Self {
        let (Shape::Image { n, h, w: w_in, c: c_in }, Shape::Image { h: h_out, w: w_out, c: c_out, .. }) =
            (x, y)
        else {
            unreachable!("the shape check let images through only")
        };
        let (kh, kw) = match w {
            Shape::Filter { kh, kw, .. } => (kh, kw),
            _ => (1, 1),
        };
        let mut sizes = Self { n, h_in: h, w_in, c_in, h_out, w_out, c_out, kh, kw, stride, padding };
        if sizes.is_pointwise() {
            // A 1×1 convolution does not depend on the ends of rows, and one long row wastes no strip.
            (sizes.n, sizes.h_in, sizes.h_out) = (1, 1, 1);
            (sizes.w_in, sizes.w_out) = (n * h * w_in, n * h * w_in);
        }
        sizes
    }

    /// Whether every pixel of the output depends only on the pixel at the same place.
    fn is_pointwise(&self) -> bool {
        self.kh == 1 && self.kw == 1 && self.stride == 1 && self.padding == Padding::default()
    }

    /// Whether the whole batch is one row of pixels, as in [`Sizes::new`] for a pointwise convolution. A 3×3
    /// window can also give a single row, but the rows under it cannot be cut.
    pub fn is_one_long_row(&self) -> bool {
        self.is_pointwise() && self.n * self.h_out == 1
    }

    /// The key in the tuning table.
    pub fn conv(&self, pass: Pass) -> Conv {
        let width = if pass == Pass::BackwardInput { self.w_in.div_ceil(self.stride) } else { self.w_out };
        let &Self { kh, kw, stride, c_in, c_out, .. } = self;
        Conv { pass, kh, kw, stride, c_in, c_out, width, rows: self.n * self.h_out }
    }

    /// Multiply-accumulates, in 64 bits, because a `usize` in a browser has only 32.
    pub fn macs(&self) -> u64 {
        let per_pixel = (self.c_out * self.c_in * self.kh * self.kw) as u64;
        (self.n * self.h_out * self.w_out) as u64 * per_pixel
    }

    pub fn request(&self, kernel: Kernel, grid: [u32; 3]) -> Request {
        Request::new(kernel, grid)
            .params(&[("h_in", self.h_in), ("w_in", self.w_in), ("c_in4", self.c_in.div_ceil(4))])
            .params(&[("h_out", self.h_out), ("w_out", self.w_out), ("c_out4", self.c_out.div_ceil(4))])
            .params(&[("kh", self.kh), ("top", self.padding.top), ("left", self.padding.left)])
            .macs(self.macs())
    }
}
