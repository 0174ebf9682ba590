//! What the tests train: 8x8 images of three easy classes, and a narrow ResNet-10.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use frostline_engine::{Gpu, Optim};
use frostline_loader::ImageSet;
use frostline_models::Model;
use frostline_trainer::{FitOptions, Learner, Progress};

/// One device for all tests, so that kernels are compiled once.
pub fn gpu() -> &'static Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| Arc::new(Gpu::new().expect("an adapter")))
}

/// `count` images of a bright row, a bright column or neither, with noise; classes in turn.
pub fn images(count: usize) -> ImageSet {
    let mut noise = 12345u32;
    let mut set = ImageSet {
        height: 8,
        width: 8,
        channels: 1,
        images: vec![],
        labels: (0..count as u32).map(|i| i % 3).collect(),
        classes: ["row", "column", "neither"].map(str::to_owned).to_vec(),
    };
    for i in 0..count {
        for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
            noise = noise.wrapping_mul(1664525).wrapping_add(1013904223);
            let at = (i / 3) % 8;
            let bright = (i % 3 == 0 && y == at) || (i % 3 == 1 && x == at);
            set.images.push((noise >> 26) as u8 + if bright { 180 } else { 0 });
        }
    }
    set
}

pub fn model() -> Model {
    Model::new("resnet10").unwrap().width(4).classes(3)
}

pub fn learner(seed: u64) -> Learner {
    Learner::new(gpu(), model(), 8, seed).unwrap()
}

/// Batches of 4 out of 18 images: two are left out every epoch.
pub fn options(steps: u64) -> FitOptions<'static> {
    FitOptions::steps(steps).batch(4).optim(Optim::sgd(0.05).momentum(0.9)).seed(3)
}

pub fn go_on(_: &Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Bits of all weights and statistics, by name.
pub fn bits(learner: &Learner) -> Vec<(String, Vec<u32>)> {
    let tensors = learner.params().to_host().unwrap().into_iter();
    tensors.map(|(name, _, values)| (name, values.iter().map(|v| v.to_bits()).collect())).collect()
}
