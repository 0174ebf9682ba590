//! inspect and convert.

use std::collections::BTreeMap;
use std::fs;

use frostline_loader::safetensors::{self, Dtype, SafeFile};
use frostline_loader::{HostTensor, StateDict};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{TRAINED, frostline};

fn weights(file: &SafeFile) -> StateDict {
    file.tensors
        .iter()
        .filter(|(name, _)| !name.starts_with("optimizer."))
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .collect()
}

/// Reported before the model, which does not exist, is read.
#[test]
fn a_file_in_a_folder_that_is_not_there_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("none/file.html").display().to_string();
    for arguments in [
        &["evaluate", "absent", "photos", "--page", &out][..],
        &["predict", "absent", "x.png", "--csv", &out],
        &["predict", "absent", "x.png", "--jsonl", &out],
        &["features", "absent", "photos", "--out", &out],
        &["convert", "absent", &out],
        &["export", "absent", &out],
    ] {
        let said = frostline(arguments).error(&[&out, "there is no folder", "create it first"]);
        assert!(!said.contains("os error"), "{said}");
    }
    fs::write(folder.path().join("none"), "").unwrap();
    let said = frostline(["convert", &TRAINED.model(), &out]).error(&["is a file, not a folder"]);
    assert!(!said.contains("os error"), "{said}");
}

#[test]
fn inspect_tells_what_a_checkpoint_is() {
    let found = frostline(["inspect", &TRAINED.model(), "--json"]).json();
    assert_eq!(
        (found["dialect"].as_str(), found["not_finite"].as_u64()),
        (Some("torchvision or timm"), Some(0))
    );
    assert!(found["network"].as_str().unwrap().starts_with("resnet18"), "{}", found["network"]);
    assert_eq!(found["bytes"].as_u64().unwrap(), fs::metadata(TRAINED.model()).unwrap().len());
    assert!(
        found["optimizer_tensors"].as_u64().unwrap() > 0
            && found["metadata"]["frostline.classes"].is_string()
    );
    let first =
        found["tensors"].as_array().unwrap().iter().find(|row| row["name"] == "conv1.weight").unwrap();
    assert_eq!((&first["dtype"], &first["shape"]), (&Value::from("F32"), &serde_json::json!([4, 3, 7, 7])));
    let text = frostline(["inspect", &TRAINED.model()]).text();
    assert!(
        text.contains("conv1.weight")
            && text.contains("(4, 3, 7, 7)")
            && text.contains("finite values: all of them"),
        "{text}"
    );
}

/// The library refuses to write such a file, so the bytes are put there by hand.
#[test]
fn inspect_counts_what_is_not_finite() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("diverged.safetensors");
    let tensors = StateDict::from_iter([(
        "fc.weight".to_owned(),
        HostTensor { shape: vec![2, 2], data: vec![1.0, 2.0, -3.0, 4.0] },
    )]);
    safetensors::write(&path, &tensors, &BTreeMap::new(), Dtype::F32).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 8..end - 4].copy_from_slice(&f32::NAN.to_le_bytes());
    bytes[end - 4..].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let found = frostline(["inspect", path.to_str().unwrap(), "--json"]).json();
    let row = &found["tensors"][0];
    assert_eq!(
        (&row["nan"], &row["infinite"], &row["smallest"], &row["largest"]),
        (&1.into(), &1.into(), &1.0.into(), &2.0.into())
    );
    let text = frostline(["inspect", path.to_str().unwrap()]).text();
    assert!(text.contains("1 NaN  1 infinite") && text.contains("all but 2"), "{text}");
    assert!(text.contains("network: none"), "{text}");
}

/// A name in a file may contain control sequences of a terminal.
#[test]
fn inspect_writes_no_control_characters_of_a_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("odd.safetensors");
    let tensors = StateDict::from_iter([(
        "\u{1b}[31mred\u{7}".to_owned(),
        HostTensor { shape: vec![1], data: vec![1.0] },
    )]);
    let metadata = BTreeMap::from([("no\u{1b}te".to_owned(), "a\u{1b}]0;title\u{7}b".to_owned())]);
    safetensors::write(&path, &tensors, &metadata, Dtype::F32).unwrap();
    let text = frostline(["inspect", path.to_str().unwrap()]).text();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

#[test]
fn inspect_refuses_what_is_no_safetensors_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("photo.safetensors");
    fs::write(&path, [0xff; 64]).unwrap();
    frostline(["inspect", path.to_str().unwrap()]).error(&["photo.safetensors"]);
    frostline(["inspect", "absent.safetensors"]).error(&["absent.safetensors"]);
    frostline(["inspect", folder.path().to_str().unwrap()]).error(&[folder.path().to_str().unwrap()]);
}

#[test]
fn convert_there_and_back_keeps_every_bit() {
    let folder = tempdir().unwrap();
    let [theirs, ours] =
        ["hf.safetensors", "tv.safetensors"].map(|name| folder.path().join(name).display().to_string());
    let text = frostline(["convert", &TRAINED.model(), &theirs, "--to", "huggingface"]).text();
    assert!(text.contains("Hugging Face names") && text.contains("F32"), "{text}");
    let file = safetensors::read(&theirs).unwrap();
    assert!(
        file.tensors.keys().all(|name| name.starts_with("resnet.") || name.starts_with("classifier.1.")),
        "{:?}",
        file.tensors.keys()
    );
    assert!(
        file.metadata.contains_key("frostline.classes") && !file.metadata.contains_key("frostline.step"),
        "{:?}",
        file.metadata
    );
    assert_eq!(frostline(["inspect", &theirs, "--json"]).json()["dialect"], "Hugging Face");

    let written = frostline(["convert", &theirs, &ours, "--to", "torchvision", "--json"]).json();
    assert_eq!((&written["names"], &written["dtype"]), (&"torchvision or timm".into(), &"F32".into()));
    assert_eq!(
        weights(&safetensors::read(&ours).unwrap()),
        weights(&safetensors::read(TRAINED.model()).unwrap())
    );
}

/// A model under other names predicts the same numbers, with the same preprocessing and classes.
#[test]
fn a_converted_model_predicts_the_same() {
    let folder = tempdir().unwrap();
    let theirs = folder.path().join("hf.safetensors").display().to_string();
    frostline(["convert", &TRAINED.model(), &theirs, "--to", "huggingface"]).text();
    let photo = format!("{}/blue/4.png", TRAINED.photos());
    let [before, after] =
        [&TRAINED.model(), &theirs].map(|model| frostline(["predict", model, &photo, "--json"]).json());
    assert_eq!(before, after);
}

#[test]
fn convert_halves_numbers() {
    let folder = tempdir().unwrap();
    for (dtype, digits) in [("f16", 11), ("bf16", 8)] {
        let out = folder.path().join(dtype).display().to_string();
        frostline(["convert", &TRAINED.model(), &out, "--dtype", dtype]).text();
        let (before, after) =
            (weights(&safetensors::read(TRAINED.model()).unwrap()), safetensors::read(&out).unwrap());
        assert!(
            after.dtypes.values().all(|stored| stored.name() == dtype.to_uppercase()),
            "{:?}",
            after.dtypes
        );
        let pairs =
            before.iter().flat_map(|(name, tensor)| tensor.data.iter().zip(&after.tensors[name].data));
        // Below the smallest normal f16, 2^-14, the last digit stays the same size.
        let wrong =
            pairs.clone().find(|(a, b)| (*a - *b).abs() > a.abs().max(2f32.powi(-14)) * 2f32.powi(-digits));
        assert_eq!(wrong, None, "{dtype}");
        assert!(pairs.clone().any(|(a, b)| a != b), "{dtype} rounds");
    }
}

#[test]
fn convert_replaces_nothing_unasked_and_never_its_input() {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    fs::copy(TRAINED.model(), &input).unwrap();
    fs::write(&out, "precious").unwrap();
    let [input, out] = [input.to_str().unwrap(), out.to_str().unwrap()];
    frostline(["convert", input, out]).error(&["out.safetensors", "--force"]);
    assert_eq!(fs::read_to_string(out).unwrap(), "precious");
    frostline(["convert", input, out, "--force"]).text();
    assert!(safetensors::read(out).is_ok());
    frostline(["convert", input, input, "--force"]).error(&["in.safetensors", "another name"]);
}

#[test]
fn convert_says_why_not() {
    let folder = tempdir().unwrap();
    let strange = folder.path().join("strange.safetensors");
    let tensors =
        StateDict::from_iter([("weight".to_owned(), HostTensor { shape: vec![1], data: vec![70_000.0] })]);
    safetensors::write(&strange, &tensors, &BTreeMap::new(), Dtype::F32).unwrap();
    let (strange, out) = (strange.to_str().unwrap(), folder.path().join("out.safetensors"));
    frostline(["convert", strange, out.to_str().unwrap(), "--to", "huggingface"])
        .error(&["Hugging Face", "no network"]);
    frostline(["convert", strange, out.to_str().unwrap(), "--dtype", "f16"]).error(&["weight", "70000"]);
    assert!(!out.exists());
}

/// The stride of the first convolution does not follow from shapes: a network without it would silently
/// compute other values.
#[test]
fn a_converted_model_keeps_the_stride_of_its_stem() {
    use frostline_models::Model;
    use frostline_trainer::Learner;
    let folder = tempdir().unwrap();
    let [checkpoint, out] = ["checkpoint.safetensors", "out.safetensors"]
        .map(|name| folder.path().join(name).display().to_string());
    let gpu = std::sync::Arc::new(frostline_engine::Gpu::new().unwrap());
    let usual = Model::new("resnet10").unwrap().width(4).in_channels(3).classes(2);
    let stride = usual.first_stride().unwrap() + 1;
    Learner::new(&gpu, usual.stem_stride(stride), 32, 0).unwrap().save(&checkpoint).unwrap();
    frostline(["convert", &checkpoint, &out]).text();
    let photo = format!("{}/red/0.png", TRAINED.photos());
    let [before, after] =
        [&checkpoint, &out].map(|model| frostline(["predict", model, &photo, "--json"]).json());
    assert_eq!(before, after);
}
