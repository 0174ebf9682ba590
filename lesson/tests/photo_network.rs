//! The embedded ResNet-10 for photos gives PyTorch's results for its weights.

mod common;

use frostline_lesson::{Lab, Start, Track};
use frostline_loader::ImageSet;
use safetensors::SafeTensors;
use std::path::Path;

/// The stages whose means over the map the golden file has.
const STAGES: [&str; 5] = ["stem", "layer1", "layer2", "layer3", "layer4"];

/// `assets/scripts/photo_resnet/export.py` wrote the file: two images, and PyTorch's outputs for them, stage
/// by stage.
#[test]
fn every_stage_gives_what_pytorch_gave() {
    let lab = Lab::new(common::flags());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/scripts/photo_resnet");
    let bytes = std::fs::read(folder.join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let images = golden.tensor("images").unwrap();
    let [n, height, width, channels] = images.shape()[..] else {
        panic!("images of shape {:?}", images.shape())
    };
    let set = ImageSet {
        height,
        width,
        channels,
        images: images.data().to_vec(),
        labels: vec![0; n],
        classes: vec!["any".to_owned(), "other".to_owned()],
    };
    let track = Track::photos(&lab.flags, &lab.assets).unwrap();
    let mut learner = track.learner(lab.gpu().unwrap(), &track.similar, Start::Pretrained, 0).unwrap();
    for stage in STAGES {
        let found = learner.features(&set, stage, 1).unwrap();
        let expected: Vec<f32> = golden.tensor(stage).unwrap().data().chunks_exact(4).map(float).collect();
        assert_eq!(found.values.len(), expected.len(), "{stage}");
        let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (i, (a, b)) in found.values.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() <= 2e-5 * largest, "{stage}, value {i}: {a} here, {b} in PyTorch");
        }
    }
}

fn float(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(bytes.try_into().unwrap())
}
