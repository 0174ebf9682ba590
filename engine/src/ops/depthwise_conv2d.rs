//! depthwise_conv2d: one filter per channel, with the parts that the planner folded into it.

use super::partials::in_splits;
use super::{Op, Padding, batch_norm, channel_blocks, image, relu, windows};
use crate::context::{Backward, Forward};
use crate::dispatch::grid;
use crate::error::{Error, Result};
use crate::fused::{Fused, Part};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "depthwise_conv2d", entry: "forward" };
static BACKWARD_INPUT: Kernel = Kernel { file: "depthwise_conv2d", entry: "backward_input" };
static BACKWARD_WEIGHT: Kernel = Kernel { file: "depthwise_conv2d", entry: "backward_weight" };
const PIXELS: usize = 4;
/// Number of pixels that an invocation of `backward_weight` sums, or one row if that is longer. An invocation
/// waits for every load, and only many parallel invocations hide this latency.
const RUN: usize = 256;

/// y = conv(x, w), channel by channel. Inputs: x, weight.
#[derive(Clone, Debug, Default)]
pub struct DepthwiseConv2d {
    /// Step between windows, in both directions.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: Padding,
}

impl DepthwiseConv2d {
    fn request(&self, kernel: Kernel, [x, w, y]: [Shape; 3], items: usize) -> Request {
        let (
            Shape::Image { h, w: w_in, .. },
            Shape::Image { h: h_out, w: w_out, .. },
            Shape::Depthwise { kh, kw, .. },
        ) = (x, y, w)
        else {
            unreachable!("the shape check let images and filters through only")
        };
        Request::new(kernel, grid(items, 64))
            .constants(&[("KW", kw as u32), ("STRIDE", self.stride as u32), ("PW", PIXELS as u32)])
            .params(&[
                ("h_in", h),
                ("w_in", w_in),
                ("h_out", h_out),
                ("w_out", w_out),
                ("c4", channel_blocks(y)),
            ])
            .params(&[("kh", kh), ("top", self.padding.top), ("left", self.padding.left), ("items", items)])
            .macs((y.count() * kh * kw) as u64)
    }
}

impl Op for DepthwiseConv2d {
    fn name(&self) -> &'static str {
        "depthwise_conv2d"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [n, .., c] = image("depthwise_conv2d", layer, inputs[0])?;
        let wrong = |reason| Err(Error::shape("depthwise_conv2d", layer, reason));
        let Shape::Depthwise { kh, kw, c: channels } = inputs[1] else {
            return wrong(format!("weight {} is not a depthwise filter (C, 1, KH, KW)", inputs[1]));
        };
        if c != channels {
            return wrong(format!(
                "weight {} expects {channels} channels, got {c} (input {})",
                inputs[1], inputs[0]
            ));
        }
        let (h, w) = windows("depthwise_conv2d", layer, inputs[0], (kh, kw), self.stride, self.padding)?;
        Ok(Shape::Image { n, h, w, c })
    }

    fn keeps(&self, wants: &[bool]) -> Vec<usize> {
        if wants[1] { vec![0] } else { vec![] }
    }

    fn can_take(&self, part: Part, fused: &Fused) -> bool {
        match part {
            Part::Norm(_) => true,
            Part::Residual(_) => false,
            Part::Activation(_) => fused.norm.is_some(),
        }
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let y = f.output_shape();
        let Shape::Image { n, h, w, .. } = y else { unreachable!("checked when recorded") };
        let Shape::Depthwise { kh, .. } = f.shape(1) else { unreachable!("checked when recorded") };
        let strips_per_row = w.div_ceil(PIXELS);
        let Fused { norm, activation, .. } = *f.fused();
        let affine = norm.map(|norm| batch_norm::folded(f, norm)).transpose()?;
        let shapes = [f.shape(0), f.shape(1), y];
        let bindings = [("x", f.input(0)), ("w", f.weight(1)?), ("y", f.output())];
        let request = self
            .request(FORWARD, shapes, n * h * strips_per_row * channel_blocks(y))
            .params(&[("affine", if affine.is_some() { 2 } else { 0 }), ("act", activation.code() as usize)])
            .params(&[("strips_per_row", strips_per_row)])
            .bind(&bindings)
            .bind_if("affine", affine)
            .turns(kh);
        f.dispatch(request)?;
        relu::keep_mask(f, activation)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let (x, w, y) = (b.shape(0), b.shape(1), b.output_shape());
        let dy = match *b.fused() {
            Fused { norm: Some(_), activation, .. } => {
                let dy = b.grad_output()?;
                batch_norm::backward_scaled(b, dy, activation)?
            }
            Fused { activation, .. } => relu::gradient_before(b, activation)?,
        };
        b.grad(1, |b, dw, _| {
            let Shape::Image { n, h, w: width, .. } = y else { unreachable!("checked when recorded") };
            let rows = n * h;
            let per_split = (RUN / width).clamp(1, rows);
            let splits = rows.div_ceil(per_split);
            let taps = w.padded_count() / 4;
            in_splits(b, dw, splits, w.bytes(), |b, dw| {
                let request = self
                    .request(BACKWARD_WEIGHT, [x, w, y], taps * splits)
                    .params(&[("rows", rows), ("rows_per_split", per_split)])
                    .bind(&[("x", b.input(0)), ("dy", dy), ("dw", dw)])
                    .turns(per_split * (1 + width));
                Ok(request)
            })
        })?;
        b.accumulate(0, |b, dx| {
            let Shape::Depthwise { kh, kw, .. } = w else { unreachable!("checked when recorded") };
            let request = self
                .request(BACKWARD_INPUT, [x, w, y], x.rows() * channel_blocks(x))
                .bind(&[("w", b.weight(1)?), ("dy", dy), ("dx", dx)])
                .turns(kh.div_ceil(self.stride) * (1 + kw.div_ceil(self.stride)));
            b.dispatch(request)
        })
    }
}
