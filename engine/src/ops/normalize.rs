//! normalize: images of bytes to activations, torchvision's `ToTensor` and `Normalize` in one dispatch.
//!
//! Images are sent to the device as bytes, a quarter of the size of floats (and for RGB less, because floats
//! are padded to 4 channels). There each byte is looked up in a table of (byte/255 − mean) / std that the
//! host computes in torchvision's order of f32 operations, so that results are bit-identical to PyTorch's on
//! every adapter.

use super::Op;
use crate::context::{Backward, Forward};
use crate::dispatch::grid;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "normalize", entry: "forward" };

/// Input: x, images of bytes ([`Shape::Pixels`]) with 1 to 4 channels. No gradient flows through it.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// The mean of each channel, which is subtracted from values in 0..=1.
    pub mean: Vec<f32>,
    /// The deviation of each channel, by which values are then divided.
    pub std: Vec<f32>,
}

impl Normalize {
    /// The result for every channel and byte, (C, 256).
    fn table(&self) -> Vec<f32> {
        let channels = self.mean.iter().zip(&self.std);
        channels
            .flat_map(|(mean, std)| (0..256).map(move |byte| (byte as f32 / 255.0 - mean) / std))
            .collect()
    }
}

/// Whether each of `channels` has a finite mean and a positive deviation.
pub(super) fn is_sound(channels: usize, mean: &[f32], std: &[f32]) -> bool {
    let positive = |std: &f32| std.is_normal() && *std > 0.0;
    [mean.len(), std.len()] == [channels; 2]
        && mean.iter().all(|mean| mean.is_finite())
        && std.iter().all(positive)
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let wrong = |reason| Err(Error::shape("normalize", layer, reason));
        let Shape::Pixels { n, h, w, c } = inputs[0] else {
            return wrong(format!("expects images of bytes (`Graph::pixels`), got floats {}", inputs[0]));
        };
        if !(1..=4).contains(&c) {
            return wrong(format!("expects 1 to 4 channels, got {} with {c}", inputs[0]));
        }
        let Self { mean, std } = self;
        if !is_sound(c, mean, std) {
            let reason = "channels need as many finite means and positive deviations";
            return wrong(format!("{c} {reason}, got {mean:?} and {std:?}"));
        }
        Ok(Shape::Image { n, h, w, c })
    }

    fn differentiable(&self, _input: usize) -> bool {
        false
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let shape = f.output_shape();
        let (pixels, channels) = (shape.rows(), shape.channels() as u32);
        let table = f.values("table", &self.table());
        let bindings = [("x", f.input(0)), ("table", table), ("y", f.output())];
        let request = Request::new(FORWARD, grid(pixels, 64)).constants(&[("C", channels)]);
        f.dispatch(request.bind(&bindings).params(&[("pixels", pixels)]))
    }

    /// Never called: the output needs no gradient.
    fn backward(&self, _b: &mut Backward<'_, '_>) -> Result<()> {
        Ok(())
    }
}
