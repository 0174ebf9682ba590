//! Class activation maps: their sums, and the answers that they belong to.

use std::path::Path;

use frostline_loader::{ImageSet, image, safetensors};
use frostline_models::{LoadOptions, Model};
use frostline_trainer::{Error, Learner};

use crate::setup::{go_on, gpu, images, learner, model, options};

/// For every image: the answer is that of `predict`, to the bit; each position of a map is the sum over the
/// channels there; and the map's mean plus the bias is the device's logit, within the bound of every kernel.
#[track_caller]
fn check(learner: &mut Learner, set: &ImageSet, last_stage: &str) {
    learner.set_evaluation_batch(1);
    let (logits, predictions) = (learner.logits(set).unwrap(), learner.predict(set).unwrap());
    let outputs = learner.activations(set, last_stage).unwrap();
    let layer = &learner.members("fc").unwrap()[0];
    let weight = learner.params().get(layer).unwrap();
    let bias = learner.params().get(&layer.replace("weight", "bias")).unwrap();
    let (classes, channels) = (bias.len(), weight.len() / bias.len());
    let mut activation = learner.class_activation().unwrap();
    let each = set.images.len() / set.labels.len();
    for (i, pixels) in set.images.chunks_exact(each).enumerate() {
        let look = activation.look(pixels).unwrap();
        assert_eq!(look.logits, logits[i * classes..][..classes], "image {i}");
        assert_eq!(look.prediction, predictions[i], "image {i}");
        let [height, width] = look.size();
        let places = (height * width) as f64;
        for class in 0..classes {
            let map = look.map(class);
            assert_eq!(map.len(), height * width);
            let terms = |place: usize| {
                let values = &outputs.image(i)[place * channels..][..channels];
                let weight = &weight[class * channels..][..channels];
                values.iter().zip(weight).map(|(a, w)| f64::from(a * w))
            };
            for (place, sum) in map.iter().enumerate() {
                let absolute: f64 = terms(place).map(f64::abs).sum();
                assert!((sum - terms(place).sum::<f64>()).abs() <= 1e-6 * absolute, "place {place}");
            }
            let sizes: f64 = (0..map.len()).flat_map(terms).map(f64::abs).sum();
            let bound = 4.0 * f64::from(f32::EPSILON) * (sizes / places + f64::from(bias[class].abs()));
            let logit = map.iter().sum::<f64>() / places + f64::from(look.bias(class));
            let off = (logit - f64::from(look.logits[class])).abs();
            assert!(off <= bound, "image {i}, class {class}: off by {off:e}, bound {bound:e}");
        }
    }
}

#[test]
fn a_map_and_the_bias_make_the_logit_of_a_resnet() {
    let mut learner = Learner::new(gpu(), model(), 28, 1).unwrap();
    let small = images(6);
    let pixels = (0..6 * 28 * 28).map(|i| small.images[i % small.images.len()]).collect();
    let set = ImageSet { height: 28, width: 28, images: pixels, ..small };
    learner.params().set("fc.bias", &[0.5, -2.0, 0.125]).unwrap();
    check(&mut learner, &set, "layer4");
}

#[test]
fn a_map_and_the_bias_make_the_logit_of_the_embedded_efficientnet() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    let model = Model::new("efficientnet_lite0").unwrap().classes(3);
    let mut learner = Learner::new(gpu(), model, 128, 0).unwrap();
    let file = safetensors::read(assets.join("efficientnet_lite0.safetensors")).unwrap();
    learner.load(&file.tensors, &LoadOptions::skip_head()).unwrap();
    learner.params().set("_fc.bias", &[0.5, -2.0, 0.125]).unwrap();
    let mut files: Vec<_> =
        assets.join("photos/fish").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let photos: Vec<Vec<u8>> = files[..3]
        .iter()
        .map(|file| learner.preprocessing().pixels(&image::decode(file).unwrap()).unwrap())
        .collect();
    let set = ImageSet {
        height: 128,
        width: 128,
        channels: 3,
        images: photos.concat(),
        labels: vec![0, 1, 2],
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
    };
    let last = learner.model().stages().into_iter().rev().nth(1).unwrap();
    check(&mut learner, &set, &last);
}

/// A learner's plans use new weights, but a map needs those that gave the answer.
#[test]
fn maps_are_of_the_weights_of_now() {
    let set = images(3);
    let mut learner = learner(1);
    let before = learner.class_activation().unwrap().look(&set.images[..64]).unwrap().map(0);
    learner.fit(&images(18), &options(6), go_on).unwrap();
    let after = learner.class_activation().unwrap().look(&set.images[..64]).unwrap().map(0);
    assert_ne!(before, after);
    check(&mut learner, &set, "layer4");
}

#[test]
fn what_has_no_map_is_refused() {
    let body = Learner::new(gpu(), model().without_head(), 8, 0).unwrap();
    assert!(matches!(body.class_activation().err(), Some(Error::NoClasses { .. })));
    let learner = learner(0);
    let mut activation = learner.class_activation().unwrap();
    assert!(matches!(activation.look(&[0; 63]), Err(Error::Engine(_))));
    assert!(activation.look(&[0; 64]).is_ok(), "a wrong image costs nothing but itself");
}
