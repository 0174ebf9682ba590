//! Weights in common forms (`../cases/README.md`): the right numbers, or an error that names their kind.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{TRAINED, frostline};

fn case(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name).display().to_string()
}

/// Probabilities of `ref.png`, by class in the model's order.
fn probabilities(model: &str) -> Vec<f64> {
    let rows = frostline(["predict", model, &case("ref.png"), "--json"]).json();
    let by_class: BTreeMap<String, f64> = rows[0]["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["class"].as_str().unwrap().to_owned(), one["probability"].as_f64().unwrap()))
        .collect();
    by_class.into_values().collect()
}

fn golden() -> BTreeMap<String, Vec<f64>> {
    serde_json::from_slice(&std::fs::read(case("golden.json")).unwrap()).unwrap()
}

#[track_caller]
fn assert_near(actual: &[f64], expected: &[f64], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let worst = actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-5, "{what}: {actual:?}, PyTorch {expected:?}");
}

#[test]
fn the_numbers_are_pytorchs_behind_every_prefix_head_and_switch() {
    let golden = golden();
    assert_eq!(golden.len(), 8);
    for (name, expected) in &golden {
        assert_near(&probabilities(&case(name)), expected, name);
    }
    // The switch has a large effect.
    let (early, late) = (&golden["hf_bottleneck_True"], &golden["hf_bottleneck_False"]);
    assert!(early.iter().zip(late).any(|(a, b)| (a - b).abs() > 1e-3), "{early:?} {late:?}");
    // The configuration beside the file is used for the file as well.
    assert_near(&probabilities(&case("hf_bottleneck_True/model.safetensors")), early, "the file itself");
}

#[test]
fn an_early_stride_stays_with_converted_and_trained_weights() {
    let place = tempdir().unwrap();
    let to = |name: &str| place.path().join(name).display().to_string();
    frostline(["convert", &case("hf_bottleneck_True"), &to("bare.safetensors"), "--to", "torchvision"])
        .text();
    let found = frostline(["inspect", &to("bare.safetensors"), "--json"]).json();
    assert_eq!(found["metadata"]["frostline.architecture"], Value::from("resnet50_v1"));
    // Run at the network's own size: the folder's preprocessing is not part of bare weights.
    let again = frostline(["predict", &to("bare.safetensors"), &case("ref.png"), "--json"]).json();
    assert!(again[0]["predictions"][0]["probability"].is_number(), "{again}");
    let quick =
        ["--epochs", "1", "--lr", "0.001", "--freeze-below", "fc", "--size", "32", "--augment", "none"];
    let train = ["train", &TRAINED.photos(), "--weights", &case("hf_bottleneck_True"), "--out", &to("run")];
    let text = frostline(train.iter().copied().chain(quick)).text();
    assert!(text.contains("resnet50_v1"), "{text}");
    let rows = frostline(["predict", &to("run"), &TRAINED.photos(), "--json"]).json();
    assert_eq!(rows.as_array().unwrap().len(), 18);
}

#[test]
fn a_network_of_a_resnets_names_is_refused_by_its_own() {
    for command in ["predict", "evaluate", "features"] {
        let ran = frostline([command, &case("hub_resnetblur50"), &TRAINED.photos()]);
        ran.error(&["resnetblur50", "config.json", "which this program does not support", "resnet50"]);
    }
    let file = case("hub_resnetblur50/model.safetensors");
    frostline(["predict", &file, &case("ref.png")]).error(&["resnetblur50"]);
    let weights = case("hub_resnetblur50");
    frostline(["train", &TRAINED.photos(), "--weights", &weights, "--out", "unused"])
        .error(&["resnetblur50"]);
}

#[test]
fn other_networks_are_named_in_a_few_lines() {
    for (name, network) in
        [("resnext50.safetensors", "a ResNeXt-50"), ("seresnet18.safetensors", "an SE-ResNet-18")]
    {
        let error = frostline(["predict", &case(name), &case("ref.png")]).error(&[
            name,
            network,
            "which this program does not support",
        ]);
        assert!(error.lines().count() <= 3, "{error}");
        let found = frostline(["inspect", &case(name)]).text();
        assert!(found.contains(network), "{found}");
    }
}

#[test]
fn what_is_no_safetensors_file_is_called_by_its_name() {
    let photo = case("ref.png");
    for (given, words) in [
        (case("r18.pth"), &["r18.pth", "a PyTorch file", "save_file"][..]),
        (case("lfs_pointer.safetensors"), &["Git LFS pointer", "git lfs pull"]),
        (case("html.safetensors"), &["a web page", "download link"]),
        (photo.clone(), &["ref.png: this is a photo", "predict MODEL PHOTO"]),
        (TRAINED.photos(), &["a folder of photos, not a model", "predict MODEL PHOTO"]),
        (case("hub_resnet50/config.json"), &["JSON", "model.safetensors beside it"]),
    ] {
        for arguments in [vec!["predict", &given, &photo], vec!["evaluate", &given, &photo]] {
            let error = frostline(arguments).error(words);
            assert!(!error.contains("announce"), "{error}");
        }
        frostline(["train", &TRAINED.photos(), "--weights", &given, "--out", "unused"]).error(words);
        if Path::new(&given).is_file() {
            frostline(["inspect", &given]).error(words);
        }
    }
}
