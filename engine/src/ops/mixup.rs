//! mixup: every image of a batch mixed with another one of it (Zhang et al. 2018).
//!
//! Random values are drawn on the host: the kernel gets a [`Mix`] for every image, and so does
//! [`super::CrossEntropy`], which mixes the labels by the same shares.

use super::{Op, channel_blocks, image};
use crate::context::{Backward, Forward};
use crate::dispatch::grid;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "mixup", entry: "forward" };

/// Inputs: x, and a packed [`Mix`] for each of its images. No gradient flows through it.
#[derive(Clone, Copy, Debug)]
pub struct Mixup;

/// The mixture of one image: `share` of it, and the rest of its partner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// The index of another image in the batch, or of the same.
    pub partner: usize,
    /// Share of the image itself, 0..=1: λ.
    pub share: f32,
}

/// The shape of the mixes of a batch.
pub(crate) fn mixes_shape(n: usize) -> Shape {
    Shape::Image { n, h: 1, w: 1, c: 2 }
}

/// `mixes`, one for each of `n` images, in the format that the kernels read. The kernels check nothing.
pub(crate) fn pack(mixes: &[Mix], n: usize) -> Result<Vec<f32>> {
    let wrong =
        |expected: String, got: String| Err(Error::Data { tensor: "mixes".to_owned(), expected, got });
    if mixes.len() != n {
        return wrong(format!("one for each of {n} images"), mixes.len().to_string());
    }
    if let Some((i, Mix { partner, share })) =
        mixes.iter().enumerate().find(|(_, mix)| mix.partner >= n || !(0.0..=1.0).contains(&mix.share))
    {
        return wrong(
            format!("partners 0 to {} and shares 0 to 1", n - 1),
            format!("partner {partner}, share {share} for image {i}"),
        );
    }
    Ok(mixes.iter().flat_map(|mix| [mix.partner as f32, mix.share, 0.0, 0.0]).collect())
}

impl Op for Mixup {
    fn name(&self) -> &'static str {
        "mixup"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [n, ..] = image("mixup", layer, inputs[0])?;
        // A partner's index is sent as a float.
        if inputs[1] != mixes_shape(n) || n > 1 << 24 {
            return Err(Error::shape(
                "mixup",
                layer,
                format!("images {} need one mix each, got {}", inputs[0], inputs[1]),
            ));
        }
        Ok(inputs[0])
    }

    fn differentiable(&self, _input: usize) -> bool {
        false
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let shape = f.shape(0);
        let image = channel_blocks(shape) * shape.rows() / shape.torch()[0].max(1);
        let items = channel_blocks(shape) * shape.rows();
        let bindings = [("x", f.input(0)), ("mixes", f.input(1)), ("y", f.output())];
        f.dispatch(
            Request::new(FORWARD, grid(items, 64))
                .bind(&bindings)
                .params(&[("items", items), ("image", image)]),
        )
    }

    /// Never called: the output needs no gradient.
    fn backward(&self, _b: &mut Backward<'_, '_>) -> Result<()> {
        Ok(())
    }
}
