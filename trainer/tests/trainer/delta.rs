use std::path::Path;

use frostline_loader::{StateDict, safetensors};
use frostline_models::{LoadOptions, state_dict};
use frostline_trainer::{Error, Learner};

use crate::setup::{bits, go_on, gpu, images, learner, options};

/// A base, and a learner fine-tuned from it with everything below `layer4` frozen.
fn tuned() -> (StateDict, Learner) {
    let base = state_dict::save(learner(1).params()).unwrap();
    let mut tuned = learner(2);
    tuned.load(&base, &LoadOptions::skip_head()).unwrap();
    tuned.set_normalization(&[0.25], &[0.5]).unwrap();
    tuned.freeze_below("layer4").unwrap();
    tuned.fit(&images(18), &options(6), go_on).unwrap();
    (base, tuned)
}

fn refused(base: &StateDict, path: &Path, part: &str) {
    match Learner::load_delta(gpu(), base, path) {
        Err(error @ Error::Checkpoint { .. }) => assert!(error.to_string().contains(part), "{error}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("loaded, expected {part}"),
    }
}

#[test]
fn base_and_delta_are_the_learner_bit_for_bit() {
    let (base, mut tuned) = tuned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.safetensors");
    let report = tuned.save_delta(&base, &path).unwrap();

    // Exactly what trains is in the file: layer4 and fc, with the statistics of layer4.
    let trained = |name: &String| name.starts_with("layer4.") || name.starts_with("fc.");
    assert!(report.changed.iter().all(trained), "{:?}", report.changed);
    assert!(!report.shared.iter().any(trained), "{:?}", report.shared);
    assert_eq!(report.shared.len() + report.changed.len(), base.len());
    assert!(report.changed.contains(&"layer4.0.bn1.running_var".to_owned()), "{:?}", report.changed);
    let held: Vec<String> = safetensors::read(&path).unwrap().tensors.keys().cloned().collect();
    assert_eq!(held, report.changed);

    let mut loaded = Learner::load_delta(gpu(), &base, &path).unwrap();
    assert_eq!(bits(&loaded), bits(&tuned));
    assert_eq!(
        (loaded.classes(), loaded.preprocessing(), loaded.model()),
        (tuned.classes(), tuned.preprocessing(), tuned.model())
    );
    let logits = |learner: &mut Learner| learner.features(&images(9), "fc", 1).unwrap();
    assert_eq!(logits(&mut loaded), logits(&mut tuned));
}

#[test]
fn another_base_is_refused() {
    let (base, tuned) = tuned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.safetensors");
    tuned.save_delta(&base, &path).unwrap();

    let mut nudged = base.clone();
    let value = &mut nudged["layer1.0.conv1.weight"].data[0];
    *value = f32::from_bits(value.to_bits() ^ 1);
    refused(&nudged, &path, "another base");
    let mut lacking = base.clone();
    lacking.shift_remove("layer2.0.bn1.running_mean");
    refused(&lacking, &path, "layer2.0.bn1.running_mean");
    // Tensors that are in the delta may have any value in the base.
    let mut other_head = base.clone();
    other_head["fc.bias"].data[0] += 1.0;
    assert_eq!(bits(&Learner::load_delta(gpu(), &other_head, &path).unwrap()), bits(&tuned));
}

#[test]
fn a_file_that_is_no_delta_is_refused() {
    let (base, tuned) = tuned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.safetensors");
    tuned.save_delta(&base, &path).unwrap();
    let good = safetensors::read(&path).unwrap();
    let write = |tensors: &StateDict, edit: &dyn Fn(&str) -> String| {
        let metadata = good.metadata.iter().map(|(key, text)| (key.clone(), edit(text))).collect();
        safetensors::write(&path, tensors, &metadata, safetensors::Dtype::F32).unwrap();
    };
    let same = |text: &str| text.to_owned();

    let mut twice = good.tensors.clone();
    twice.insert("conv1.weight".to_owned(), base["conv1.weight"].clone());
    write(&twice, &same);
    refused(&base, &path, "its description says that this tensor is the base's");
    let mut short = good.tensors.clone();
    short.shift_remove("fc.weight");
    write(&short, &same);
    refused(&base, &path, "3 classes are named, but the last layer has 0");
    let mut shallow = good.tensors.clone();
    shallow.shift_remove("layer4.0.conv1.weight");
    write(&shallow, &same);
    refused(&base, &path, "resnet10");
    write(&good.tensors, &|text| text.replace("\"neither\"", "\"neither\",\"both\""));
    refused(&base, &path, "4 classes are named");
    write(&good.tensors, &|text| text.replace("\"shared\"", "\"shraed\""));
    refused(&base, &path, "cannot be read");
    safetensors::write(&path, &base, &Default::default(), safetensors::Dtype::F32).unwrap();
    refused(&base, &path, "not a delta");
}
