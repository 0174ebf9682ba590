//! Exported graphs, run by tract, predict what this program's own kernels do.

use frostline_engine::Gpu;
use frostline_export::{Runner, Trained, onnx};
use frostline_loader::{ImageSet, Interpolation, Preprocessing, RgbImage8, image, safetensors};
use frostline_models::{LoadOptions, Model, state_dict};
use frostline_trainer::Learner;
use frostline_twin::filler::{self, Block};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

static GPU: LazyLock<Arc<Gpu>> = LazyLock::new(|| Arc::new(Gpu::new().expect("an adapter")));
const CLASSES: usize = 5;
/// Of a probability, as the README promises it.
const TOLERANCE: f64 = 1e-4;

/// Photos as they are, and cut to odd shapes: wide, tall, tiny.
fn photos() -> Vec<RgbImage8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/photos");
    let read = |name: &str| image::decode(folder.join(PathBuf::from(name))).unwrap();
    let panda = read("animal/panda.jpg");
    let cut = |width: usize, height: usize| {
        let row = |y: usize| panda.data[y * panda.width * 3..][..width * 3].to_vec();
        RgbImage8::new(width, height, (0..height).flat_map(row).collect()).unwrap()
    };
    vec![cut(97, 11), cut(9, 83), cut(1, 1), cut(31, 32), read("windmill/windmill.jpg"), panda.clone()]
}

/// A learner whose weights and statistics are the filler's: a fold that forgot any of them would show.
fn learner(model: Model, block: Block, preprocessing: Preprocessing) -> Learner {
    let mut learner = Learner::new(&GPU, model.classes(CLASSES), preprocessing.crop, 1).unwrap();
    for (name, shape) in learner.params().tensors() {
        learner.params().set(name, &filler::parameter(name, &shape.torch(), block)).unwrap();
    }
    learner.set_preprocessing(preprocessing).unwrap();
    learner
}

fn compare(mut learner: Learner) {
    let classes: Vec<String> = (0..CLASSES).map(|class| format!("class {class}")).collect();
    let weights = state_dict::save(learner.params()).unwrap();
    let trained = Trained {
        model: learner.model(),
        weights: &weights,
        preprocessing: learner.preprocessing(),
        classes: &classes,
        about: &BTreeMap::from([("model_card".to_owned(), "# A model".to_owned())]),
    };
    let bytes = onnx::model(&trained).unwrap();
    let mut runner = Runner::new(&bytes).unwrap();
    let (photos, input) = (photos(), learner.preprocessing().clone());
    let set = ImageSet {
        height: input.crop,
        width: input.crop,
        channels: input.channels,
        images: photos.iter().flat_map(|photo| input.pixels(photo).unwrap()).collect(),
        labels: vec![0; photos.len()],
        classes,
    };
    let here = learner.predict(&set).unwrap();
    for (i, (photo, here)) in photos.iter().zip(&here).enumerate() {
        let exported = runner.probabilities(photo).unwrap();
        assert_eq!(exported.len(), CLASSES);
        for (class, (exported, here)) in exported.iter().zip(&here.probabilities).enumerate() {
            let off = (f64::from(*exported) - here).abs();
            assert!(off < TOLERANCE, "{}, photo {i}, class {class}: {exported} for {here}", learner.model());
        }
    }
    // The filler's weights must not give all photos one answer, or nothing was compared.
    let spread = |class: usize| {
        let of = here.iter().map(|one| one.probabilities[class]);
        of.clone().fold(0.0, f64::max) - of.fold(1.0, f64::min)
    };
    assert!((0..CLASSES).any(|class| spread(class) > 100.0 * TOLERANCE), "{here:?}");
}

#[test]
fn a_grey_network_for_small_images() {
    let grey = Preprocessing {
        resize: None,
        channels: 1,
        mean: vec![0.286],
        std: vec![0.353],
        ..Preprocessing::imagenet(28)
    };
    compare(learner(Model::new("resnet10").unwrap(), Block::Basic, grey));
}

#[test]
fn resnets_of_both_kinds() {
    let small = |name| Model::new(name).unwrap().width(8);
    let bicubic = Preprocessing { interpolation: Interpolation::Bicubic, ..Preprocessing::imagenet(40) };
    compare(learner(small("resnet10_photo"), Block::Basic, Preprocessing::imagenet(48)));
    compare(learner(small("resnet18").stem_stride(1), Block::Basic, bicubic));
    compare(learner(small("resnet20"), Block::Basic, Preprocessing::imagenet(32)));
    compare(learner(small("resnet50"), Block::Bottleneck, Preprocessing::imagenet(64)));
}

/// Odd sides, where "SAME" padding is uneven. With the shipped weights: the filler's, in a network this
/// deep and without shortcuts in half of its blocks, would enlarge every rounding.
#[test]
fn efficientnet_lite0() {
    let model = Model::new("efficientnet_lite0").unwrap();
    let mut learner = learner(model, Block::Basic, Preprocessing::efficientnet_lite(50));
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/efficientnet_lite0.safetensors");
    learner.load(&safetensors::read(assets).unwrap().tensors, &LoadOptions::skip_head()).unwrap();
    compare(learner);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let learner =
        learner(Model::new("resnet20").unwrap().width(4), Block::Basic, Preprocessing::imagenet(16));
    let weights = state_dict::save(learner.params()).unwrap();
    let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
    let trained = Trained {
        model: learner.model(),
        weights: &weights,
        preprocessing: learner.preprocessing(),
        classes: &names,
        about: &BTreeMap::new(),
    };
    let error = |trained: Trained<'_>| onnx::model(&trained).unwrap_err().to_string();
    assert!(error(Trained { classes: &names[1..], ..trained }).contains("4 names of classes"));
    let headless = learner.model().clone().without_head();
    assert!(error(Trained { model: &headless, ..trained }).contains("without a last layer"));
    let mut fewer = weights.clone();
    fewer.shift_remove("layer2.0.bn1.running_var");
    let text = error(Trained { weights: &fewer, ..trained });
    assert!(text.contains("layer2.0.bn1.running_var") && text.contains("[8]"), "{text}");
    assert!(Runner::new(b"no graph").is_err());
}
