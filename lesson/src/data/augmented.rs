//! Augmented images for figures, computed by the kernel that training uses.

use crate::error::Result;
use frostline_engine::ops::{Augment, Interpolation, Transform};
use frostline_engine::{Gpu, Graph, Params, Plan, Session};
use frostline_loader::ImageSet;
use std::sync::Arc;

/// Keeps size and values of `images`, interpolates rotated ones from four pixels, and fills the outside with
/// black.
pub fn plainly(images: &ImageSet) -> Augment {
    let channels = images.channels;
    Augment {
        size: [images.height, images.width],
        mean: vec![0.0; channels],
        std: vec![1.0; channels],
        interpolation: Interpolation::Bilinear,
        fill: 0.0,
    }
}

/// Image `i` of `images`, changed by each of `transforms`. Values outside of 0..=1, which can result from a
/// normalisation, are clamped.
///
/// # Errors
/// The engine's errors for invalid transforms; if there is no image `i`.
pub fn augmented(
    gpu: &Arc<Gpu>,
    images: &ImageSet,
    i: usize,
    transforms: &[Transform],
    augment: Augment,
) -> Result<ImageSet> {
    let (n, channels, [height, width]) = (transforms.len(), images.channels, augment.size);
    let mut bytes = vec![];
    images.gather(&vec![i; n], &mut bytes)?;

    let mut graph = Graph::new();
    let pixels = graph.pixels(n, images.height, images.width, channels);
    let x = graph.normalize(pixels, &vec![0.0; channels], &vec![1.0; channels])?;
    let y = graph.augment(x, augment)?;
    let plan = Plan::inference(&graph, y, gpu.tuning())?;
    let mut session = Session::new(gpu, plan, &Params::new(gpu, &graph, 0)?, None)?;
    session.write_pixels(&bytes)?;
    session.write_transforms(transforms)?;
    session.run()?;

    // From (N, C, H, W) to (N, H, W, C).
    let (planes, pixels) = (session.read_output()?, height * width);
    let places = (0..n).flat_map(|n| {
        (0..pixels).flat_map(move |k| (0..channels).map(move |c| (n * channels + c) * pixels + k))
    });
    let images_made = places.map(|at| (255.0 * planes[at]).round().clamp(0.0, 255.0) as u8).collect();
    Ok(ImageSet {
        height,
        width,
        channels,
        images: images_made,
        labels: vec![images.labels[i]; n],
        classes: images.classes.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_comes_back_as_it_went_in_or_turned() {
        let gpu = Arc::new(Gpu::new().unwrap());
        let bytes: Vec<u8> = (0..2 * 3 * 4 * 3).map(|i| (i * 3) as u8).collect();
        let set = ImageSet {
            height: 3,
            width: 4,
            channels: 3,
            images: bytes,
            labels: vec![0, 1],
            classes: vec!["a".into(), "b".into()],
        };
        let transforms =
            [Transform::identity(3, 4), Transform { flip_vertical: true, ..Transform::identity(3, 4) }];
        let made = augmented(&gpu, &set, 1, &transforms, plainly(&set)).unwrap();
        assert_eq!(made.image(0), set.image(1));
        let upside_down: Vec<u8> = set.image(1).chunks(12).rev().flatten().copied().collect();
        assert_eq!(made.image(1), upside_down);
        assert_eq!(made.labels, [1, 1]);
        assert!(augmented(&gpu, &set, 2, &transforms, plainly(&set)).is_err());
    }
}
