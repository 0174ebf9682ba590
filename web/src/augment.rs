//! The augmentation kernel on one image.

use crate::fault::{Fault, Result};
use frostline_engine::ops;
use frostline_engine::{Gpu, Graph, Params, Plan, Session};
use frostline_loader::BatchState;
use frostline_trainer::Augment;
use serde::Deserialize;
use std::sync::Arc;

/// What may be done to an image. What is left out is not done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Changes {
    /// Pixels a side of the result; only for one image.
    pub size: Option<usize>,
    /// Least and greatest part of the area that is cut out.
    pub crop: Option<[f64; 2]>,
    /// Probability of exchanging left and right.
    pub horizontal_flip: f64,
    /// Probability of exchanging top and bottom.
    pub vertical_flip: f64,
    /// Rotated by up to this, either way.
    pub degrees: f64,
    /// Shifted by up to this part of the sides.
    pub translate: f64,
    /// As in torchvision's `ColorJitter`.
    pub brightness: f64,
    /// The same.
    pub contrast: f64,
    /// The same.
    pub saturation: f64,
    /// The same.
    pub hue: f64,
}

impl Changes {
    /// The same for the trainer.
    ///
    /// # Errors
    /// For numbers that make no sense.
    pub fn augment(&self) -> Result<Augment> {
        let mut augment = Augment::none()
            .horizontal_flip(self.horizontal_flip)
            .vertical_flip(self.vertical_flip)
            .rotation(self.degrees)
            .translate(self.translate)
            .bilinear()
            .color_jitter(self.brightness, self.contrast, self.saturation, self.hue);
        if let Some(scale) = self.crop {
            augment = augment.resized_crop(scale);
        }
        augment.check()?;
        Ok(augment)
    }
}

/// `pixels`, an image of `height` × `width` × `channels` bytes, as `seed` changes it; and its size.
pub async fn augment(
    gpu: &Arc<Gpu>,
    pixels: &[u8],
    [height, width, channels]: [usize; 3],
    seed: u64,
    changes: &Changes,
) -> Result<(Vec<u8>, usize)> {
    let augment = changes.augment()?;
    let size = changes.size.unwrap_or(height);
    if size == 0 || size > 4096 {
        return Err(Fault::input(format!("augment: size {size}; it must be 1 to 4096")));
    }
    let state = BatchState { seed, epoch: 0, position: 0 };
    let transforms = augment.draw(state, &[0], [height, width]);
    let mut graph = Graph::new();
    let bytes = graph.pixels(1, height, width, channels);
    let x = graph.normalize(bytes, &vec![0.0; channels], &vec![1.0; channels])?;
    let op = ops::Augment {
        size: [size, size],
        mean: vec![0.0; channels],
        std: vec![1.0; channels],
        interpolation: augment.interpolation,
        fill: augment.fill,
    };
    let y = graph.augment(x, op)?;
    let params = Params::new(gpu, &graph, 0)?;
    let mut session = Session::open(gpu, Plan::inference(&graph, y, gpu.tuning())?, &params, None).await?;
    session.write_pixels(pixels)?;
    session.write_transforms(&transforms)?;
    session.run_async().await?;
    let planes = session.read_output_async().await?;
    let count = size * size;
    let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
    let interleaved = (0..count)
        .flat_map(|at| (0..channels).map(move |channel| channel * count + at))
        .map(|at| byte(planes[at]));
    Ok((interleaved.collect(), size))
}
