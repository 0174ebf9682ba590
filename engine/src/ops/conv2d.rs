//! conv2d: two-dimensional convolution, with the parts that the planner folded into it.

use super::partials::backward_bias;
use super::{Activation, Op, Padding, batch_norm, image, relu, windows};
use crate::context::{Backward, Forward};
use crate::dispatch::BufferId;
use crate::error::{Error, Result};
use crate::fused::{Fused, Part};
use crate::shape::Shape;
use crate::tuning::{Algorithm, Conv, Pass};

mod direct;
mod epilogue;
mod sizes;
mod tiled;
mod winograd;

pub(crate) use epilogue::{Affine, Epilogue};
use epilogue::{LINK, ranges};
pub(crate) use sizes::Sizes;

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

/// The gradient of a convolution's output, from which its other two gradients are computed.
pub(crate) struct GradOutput {
    dy: BufferId,
    /// Its transform by Winograd's kernels, and the (M, tiles of a block) of that transform.
    transformed: Option<((u32, usize), BufferId)>,
}

impl GradOutput {
    pub(crate) fn new(dy: BufferId) -> Self {
        Self { dy, transformed: None }
    }
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
            // The backward pass of the folded batch norm: dy·γ·rstd, and that of the activation if it is not
            // done yet.
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
