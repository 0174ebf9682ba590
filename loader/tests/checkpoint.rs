//! Checkpoints: everything comes back; contradictory contents are refused by name.

use std::collections::BTreeMap;
use std::path::Path;

use frostline_loader::safetensors::{self, Dtype};
use frostline_loader::{Checkpoint, Error, HostTensor, Preprocessing, StateDict};

fn tensor(shape: &[usize], value: f32) -> HostTensor {
    HostTensor::new(shape.to_vec(), vec![value; shape.iter().product()]).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        architecture: "resnet18".to_owned(),
        classes: vec!["cat".to_owned(), "Äpfel \"und\" 梨".to_owned()],
        preprocessing: Preprocessing::imagenet(224),
        frozen: vec!["conv1.weight".to_owned()],
        seed: u64::MAX,
        step: 1125,
        epoch: 4,
        extra: BTreeMap::from([("batches".to_owned(), "{\"position\":3}".to_owned())]),
        weights: StateDict::from([
            ("conv1.weight".to_owned(), tensor(&[4, 3, 1, 1], 0.1)),
            ("bn1.num_batches_tracked".to_owned(), tensor(&[], 12.0)),
            ("fc.weight".to_owned(), tensor(&[2, 4], -1.5)),
        ]),
        optimizer: StateDict::from([("momentum_buffer.fc.weight".to_owned(), tensor(&[2, 4], 1e-38))]),
    }
}

/// Saves a good checkpoint with changed metadata or tensors, and loads it.
fn load_changed(
    change: impl FnOnce(&mut BTreeMap<String, String>, &mut StateDict),
) -> Result<Checkpoint, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    checkpoint().save(&path).unwrap();
    let mut file = safetensors::read(&path).unwrap();
    change(&mut file.metadata, &mut file.tensors);
    safetensors::write(&path, &file.tensors, &file.metadata, Dtype::F32).unwrap();
    Checkpoint::load(&path)
}

#[test]
fn round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    checkpoint().save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint());
    // The same run is the same bytes.
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(Checkpoint::parse(&bytes, Path::new("memory")).unwrap(), checkpoint());
    Checkpoint::load(&path).unwrap().save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn other_programs_find_the_weights_under_their_own_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    checkpoint().save(&path).unwrap();
    let file = safetensors::read(&path).unwrap();
    assert_eq!(file.tensors["fc.weight"], tensor(&[2, 4], -1.5));
    assert!(file.tensors.contains_key("optimizer.momentum_buffer.fc.weight"));
    assert_eq!(file.metadata["format"], "pt");
}

#[test]
fn plain_weights_are_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    safetensors::write(&path, &checkpoint().weights, &BTreeMap::new(), Dtype::F32).unwrap();
    let error = Checkpoint::load(&path).unwrap_err();
    assert!(matches!(error, Error::NotACheckpoint { .. }), "{error}");
    assert!(error.to_string().contains("resnet18.safetensors"), "{error}");
}

#[test]
fn another_format_version_is_refused() {
    for version in ["2", "0", "", "one", "99999999999999999999999"] {
        let result = load_changed(|metadata, _| {
            metadata.insert("frostline.version".to_owned(), version.to_owned());
        });
        assert!(matches!(result, Err(Error::CheckpointVersion { supported: 1, .. })), "{version}");
    }
}

#[test]
fn missing_fields_are_named() {
    for field in ["architecture", "classes", "preprocessing", "frozen", "seed", "step", "epoch", "extra"] {
        let error = load_changed(|metadata, _| {
            metadata.remove(&format!("frostline.{field}")).unwrap();
        })
        .unwrap_err();
        assert!(matches!(&error, Error::CheckpointField { field: f, .. } if f == field), "{error}");
        assert!(error.to_string().contains("run.safetensors"), "{error}");
    }
}

#[test]
fn hostile_metadata_is_refused() {
    let deep = "[".repeat(100_000);
    for (field, json) in [
        ("classes", "3"),
        ("classes", "[1, 2]"),
        ("classes", deep.as_str()),
        ("architecture", "resnet18"),
        ("seed", "-1"),
        ("seed", "18446744073709551616"),
        ("step", "1.5"),
        ("epoch", "null"),
        ("extra", "{\"a\": {}}"),
        ("preprocessing", "{}"),
        ("preprocessing", r#"{"resize":1,"crop":1e99,"channels":3,"mean":[],"std":[]}"#),
        ("preprocessing", r#"{"resize":1,"crop":9,"channels":3,"mean":[0,0,0],"std":[1,1,0]}"#),
        ("preprocessing", r#"{"resize":1,"crop":18446744073709551615,"channels":1,"mean":[0],"std":[1]}"#),
        ("frozen", r#"["no.such.weight"]"#),
    ] {
        let error = load_changed(|metadata, _| {
            metadata.insert(format!("frostline.{field}"), json.to_owned());
        })
        .unwrap_err();
        assert!(matches!(&error, Error::CheckpointField { field: f, .. } if f == field), "{json}: {error}");
        assert!(error.to_string().len() < 1000, "{error}");
    }
}

#[test]
fn optimiser_state_must_fit_its_weight() {
    for (name, shape, reason) in [
        ("optimizer.exp_avg.fc.bias", [2, 4], "belongs to no weight"),
        ("optimizer.lonely", [2, 4], "belongs to no weight"),
        ("optimizer.exp_avg.fc.weight", [4, 2], "(2, 4)"),
    ] {
        let error = load_changed(|_, tensors| {
            tensors.insert(name.to_owned(), tensor(&shape, 0.0));
        })
        .unwrap_err();
        assert!(matches!(&error, Error::CheckpointField { field, .. } if field == name), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn contradictions_are_not_saved() {
    let path = Path::new("/no/such/folder/never-written");
    let mut bad = checkpoint();
    bad.frozen.push("no.such.weight".to_owned());
    assert!(matches!(bad.save(path), Err(Error::CheckpointField { .. })));
    let mut bad = checkpoint();
    bad.weights.insert("optimizer.w".to_owned(), tensor(&[1], 0.0));
    assert!(matches!(bad.save(path), Err(Error::ReservedName { .. })));
}
