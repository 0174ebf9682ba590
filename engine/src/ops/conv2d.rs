//! conv2d: two-dimensional convolution; with what the planner folded into it.

use super::partials::backward_bias;
use super::{Activation, Op, batch_norm, image, relu, windows};
use crate::context::{Backward, Forward};
use crate::dispatch::BufferId;
use crate::error::{Error, Result};
use crate::fused::{Fused, Part};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;
use crate::tuning::{Algorithm, Conv, LONGEST_RUN, Pass};
use std::ops::Range;

mod direct;
mod tiled;
mod winograd;

/// Zero rows and columns around the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same on all sides.
    pub fn all(size: usize) -> Self {
        Self { top: size, left: size, bottom: size, right: size }
    }

    /// TensorFlow's "SAME" for an image of `h` × `w`: the output is the input divided by the
    /// stride, rounded up; an odd row or column goes below or to the right.
    pub fn same(h: usize, w: usize, kernel: usize, stride: usize) -> Self {
        let last = |size: usize| size.div_ceil(stride.max(1)).saturating_sub(1).saturating_mul(stride);
        let total = |size: usize| last(size).saturating_add(kernel).saturating_sub(size);
        let (rows, columns) = (total(h), total(w));
        Self { top: rows / 2, left: columns / 2, bottom: rows - rows / 2, right: columns - columns / 2 }
    }

    /// The output size for an image of `h` × `w`, or none if the kernel does not fit.
    pub(crate) fn output(
        &self,
        h: usize,
        w: usize,
        kernel: (usize, usize),
        stride: usize,
    ) -> Option<(usize, usize)> {
        let rows = h.saturating_add(self.top).saturating_add(self.bottom);
        let columns = w.saturating_add(self.left).saturating_add(self.right);
        (rows >= kernel.0 && columns >= kernel.1)
            .then(|| ((rows - kernel.0) / stride + 1, (columns - kernel.1) / stride + 1))
    }
}

/// y = conv(x, w) + bias.
///
/// Inputs: x, weight; then, if there is one, bias.
#[derive(Clone, Debug, Default)]
pub struct Conv2d {
    /// Step between windows, in both directions.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: Padding,
    /// Has a bias.
    pub bias: bool,
}

/// The sizes that a convolution's kernels need.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    n: usize,
    h_in: usize,
    w_in: usize,
    c_in: usize,
    h_out: usize,
    w_out: usize,
    c_out: usize,
    kh: usize,
    kw: usize,
    stride: usize,
    padding: Padding,
}

impl Sizes {
    pub(crate) fn new(x: Shape, w: Shape, y: Shape, stride: usize, padding: Padding) -> Self {
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
            // A 1×1 convolution does not depend on where rows end: one long row wastes no strip.
            (sizes.n, sizes.h_in, sizes.h_out) = (1, 1, 1);
            (sizes.w_in, sizes.w_out) = (n * h * w_in, n * h * w_in);
        }
        sizes
    }

    /// Does every pixel of the output depend on the one pixel at its place?
    fn is_pointwise(&self) -> bool {
        self.kh == 1 && self.kw == 1 && self.stride == 1 && self.padding == Padding::default()
    }

    /// Is the whole batch one row of pixels, as [`Sizes::new`] makes it for a pointwise convolution?
    /// A 3×3 window can leave a single row too, but the rows under it cannot be cut.
    fn is_one_long_row(&self) -> bool {
        self.is_pointwise() && self.n * self.h_out == 1
    }

    /// What the tuning table is asked about.
    fn conv(&self, pass: Pass) -> Conv {
        let width = if pass == Pass::BackwardInput { self.w_in.div_ceil(self.stride) } else { self.w_out };
        let &Self { kh, kw, stride, c_in, c_out, .. } = self;
        Conv { pass, kh, kw, stride, c_in, c_out, width, rows: self.n * self.h_out }
    }

    fn macs(&self) -> usize {
        self.n * self.h_out * self.w_out * self.c_out * self.c_in * self.kh * self.kw
    }

    fn request(&self, kernel: Kernel, grid: [u32; 3]) -> Request {
        Request::new(kernel, grid)
            .params(&[("h_in", self.h_in), ("w_in", self.w_in), ("c_in4", self.c_in.div_ceil(4))])
            .params(&[("h_out", self.h_out), ("w_out", self.w_out), ("c_out4", self.c_out.div_ceil(4))])
            .params(&[("kh", self.kh), ("top", self.padding.top), ("left", self.padding.left)])
            .macs(self.macs())
    }
}

/// What `forward` does to the sums: nothing, + shift, · scale + shift, or · scale; and the buffer of
/// these.
#[derive(Clone, Copy)]
pub(crate) enum Affine {
    None,
    Shift(BufferId),
    ScaleShift(BufferId),
    /// The scale of a buffer that has a shift too.
    Scale(BufferId),
}

impl Affine {
    fn parts(self) -> (usize, Option<BufferId>) {
        match self {
            Affine::None => (0, None),
            Affine::Shift(buffer) => (1, Some(buffer)),
            Affine::ScaleShift(buffer) => (2, Some(buffer)),
            Affine::Scale(buffer) => (3, Some(buffer)),
        }
    }

    fn without_shift(self) -> Self {
        match self {
            Affine::None | Affine::Shift(_) => Affine::None,
            Affine::ScaleShift(buffer) | Affine::Scale(buffer) => Affine::Scale(buffer),
        }
    }
}

/// What happens to the sums before they are stored: act(sum · scale + shift + residual).
#[derive(Clone, Copy)]
pub(crate) struct Epilogue {
    pub affine: Affine,
    pub residual: Option<BufferId>,
    pub activation: Activation,
}

impl Epilogue {
    /// Nothing but an addition.
    fn adding(residual: Option<BufferId>) -> Self {
        Self { affine: Affine::None, residual, activation: Activation::None }
    }

    /// The epilogue of dispatch `i` of a chain that writes to `outputs` one after the other, each a
    /// range of the sum: the first adds shift and residual, the others what the one before wrote, and
    /// the last ends with the activation.
    fn link(&self, i: usize, outputs: &[BufferId]) -> Self {
        let (first, last) = (i == 0, i + 1 == outputs.len());
        Self {
            affine: if first { self.affine } else { self.affine.without_shift() },
            residual: if first { self.residual } else { Some(outputs[i - 1]) },
            activation: if last { self.activation } else { Activation::None },
        }
    }

    /// `request` with this epilogue at its end.
    fn end(&self, request: Request) -> Request {
        let (kind, affine) = self.affine.parts();
        let act = self.activation.code() as usize;
        request
            .params(&[("affine", kind), ("residual", self.residual.is_some() as usize), ("act", act)])
            .bind_if("affine", affine)
            .bind_if("residual", self.residual)
    }
}

/// The gradient of a convolution's output, which its two gradients are computed from.
pub(crate) struct GradOutput {
    dy: BufferId,
    /// What Winograd's kernels made of it, and for which (M, tiles of a block).
    transformed: Option<((u32, usize), BufferId)>,
}

impl GradOutput {
    pub(crate) fn new(dy: BufferId) -> Self {
        Self { dy, transformed: None }
    }
}

/// Terms that one dispatch of a chain adds up at most.
const LINK: usize = 1_024;

/// The ranges in which a sum is added up over a depth of `depth` places with `terms` each: one, or if
/// that is more than [`LONGEST_RUN`], as many as keep each to [`LINK`] terms. All start at multiples
/// of `step`.
fn ranges(depth: usize, terms: usize, step: usize) -> Vec<Range<usize>> {
    let length = if depth * terms <= LONGEST_RUN { depth } else { (LINK / terms / step).max(1) * step };
    (0..depth).step_by(length).map(|first| first..(first + length).min(depth)).collect()
}

/// Records y = act(conv(x, w) · scale + shift + residual).
pub(crate) fn forward(f: &mut Forward<'_, '_>, sizes: Sizes, epilogue: Epilogue) -> Result<()> {
    match f.tuning().conv(&sizes.conv(Pass::Forward)) {
        Algorithm::Direct(tile) => direct::forward(f, sizes, tile, epilogue),
        Algorithm::Tiled(tiles) => tiled::forward(f, sizes, tiles, epilogue),
        Algorithm::Winograd(filtering) => winograd::forward(f, sizes, filtering, epilogue),
    }
}

/// Records dx from dy, plus `earlier` if there is one.
pub(crate) fn backward_input(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    grad: &mut GradOutput,
    dx: BufferId,
    earlier: Option<BufferId>,
) -> Result<()> {
    match b.tuning().conv(&sizes.conv(Pass::BackwardInput)) {
        Algorithm::Direct(tile) => direct::backward_input(b, sizes, tile, grad.dy, dx, earlier),
        Algorithm::Tiled(tiles) => tiled::backward_input(b, sizes, tiles, grad.dy, dx, earlier),
        Algorithm::Winograd(filtering) => winograd::backward_input(b, sizes, filtering, grad, dx, earlier),
    }
}

/// Records dw from dy and the kept input.
pub(crate) fn backward_weight(
    b: &mut Backward<'_, '_>,
    sizes: Sizes,
    grad: &mut GradOutput,
    dw: BufferId,
) -> Result<()> {
    match b.tuning().conv(&sizes.conv(Pass::BackwardWeight)) {
        Algorithm::Direct(tile) => direct::backward_weight(b, sizes, tile, grad.dy, dw),
        Algorithm::Tiled(tiles) => tiled::backward_weight(b, sizes, tiles, grad.dy, dw),
        Algorithm::Winograd(filtering) => winograd::backward_weight(b, sizes, filtering, grad, dw),
    }
}

impl Conv2d {
    /// The key of the tuning table for `pass` of this convolution of `x` with the filter `weight`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes do not fit.
    pub fn conv(&self, pass: Pass, x: Shape, weight: Shape) -> Result<Conv> {
        Ok(self.sizes(x, weight, self.output_shape("conv", &[x, weight])?).conv(pass))
    }

    fn sizes(&self, x: Shape, w: Shape, y: Shape) -> Sizes {
        Sizes::new(x, w, y, self.stride, self.padding)
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [n, .., c] = image("conv2d", layer, inputs[0])?;
        let Shape::Filter { kh, kw, c_in, c_out } = inputs[1] else {
            return Err(Error::shape(
                "conv2d",
                layer,
                format!("weight {} is not a filter (C_out, C_in, KH, KW)", inputs[1]),
            ));
        };
        if c != c_in {
            let reason =
                format!("weight {} expects {c_in} input channels, got {c} (input {})", inputs[1], inputs[0]);
            return Err(Error::shape("conv2d", layer, reason));
        }
        let (h, w) = windows("conv2d", layer, inputs[0], (kh, kw), self.stride, self.padding)?;
        Ok(Shape::Image { n, h, w, c: c_out })
    }

    fn keeps(&self, wants: &[bool]) -> Vec<usize> {
        if wants[1] { vec![0] } else { vec![] }
    }

    fn can_take(&self, part: Part, _fused: &Fused) -> bool {
        !(self.bias && matches!(part, Part::Norm(_)))
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let sizes = self.sizes(f.shape(0), f.shape(1), f.output_shape());
        let affine = match f.fused().norm {
            Some(norm) => Affine::ScaleShift(batch_norm::folded(f, norm)?),
            None if self.bias => Affine::Shift(f.input(2)),
            None => Affine::None,
        };
        let (residual, activation) = (f.residual(), f.fused().activation);
        forward(f, sizes, Epilogue { affine, residual, activation })?;
        relu::keep_mask(f, activation)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let sizes = self.sizes(b.shape(0), b.shape(1), b.output_shape());
        let Fused { norm, activation, .. } = *b.fused();
        let dz = if norm.is_none() || b.wants_residual() {
            Some(relu::gradient_before(b, activation)?)
        } else {
            None
        };
        if let Some(dz) = dz {
            b.pass_to_residual(dz)?;
        }
        let wanted = b.wants(0) || b.wants(1) || (self.bias && b.wants(2));
        if !wanted {
            return Ok(());
        }
        let dy = match (norm, dz) {
            (None, Some(dz)) => dz,
            // The folded batch norm's part: dy·γ·rstd, and the activation if that is still to do.
            (Some(_), Some(dz)) => batch_norm::backward_scaled(b, dz, Activation::None)?,
            (_, None) => {
                let dy = b.grad_output()?;
                batch_norm::backward_scaled(b, dy, activation)?
            }
        };
        if self.bias {
            b.grad(2, |b, db, _| backward_bias(b, dy, db))?;
        }
        let mut grad = GradOutput::new(dy);
        b.grad(1, |b, dw, _| backward_weight(b, sizes, &mut grad, dw))?;
        b.grad(0, |b, dx, earlier| backward_input(b, sizes, &mut grad, dx, earlier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_depth_once_and_none_is_long() {
        for (depth, terms, step, count) in
            [(1, 4, 4, 1), (1_152, 4, 4, 1), (6_272, 4, 4, 25), (1_153, 4, 8, 5), (9, 4_900, 1, 9)]
        {
            let ranges = ranges(depth, terms, step);
            assert_eq!(ranges.len(), count, "{ranges:?}");
            assert!(
                count == 1 || ranges.iter().all(|range| range.len() == 1 || range.len() * terms <= LINK),
                "{ranges:?}"
            );
            assert!(ranges.iter().all(|range| range.start % step == 0), "{ranges:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, depth), "{ranges:?}");
        }
    }
}
