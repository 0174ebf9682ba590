//! export.

use std::fs;

use frostline_export::Runner;
use frostline_loader::{image, safetensors};
use tempfile::tempdir;

use crate::support::{CLASSES, PHOTOS, TRAINED, frostline};

#[test]
fn an_exported_graph_predicts_what_the_program_does() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("model.onnx").display().to_string();
    let written =
        frostline(["export", &TRAINED.model(), &out, "--photos", &TRAINED.photos(), "--json"]).json();
    let photos = CLASSES.len() * PHOTOS;
    assert_eq!(
        (&written["check"]["photos"], &written["check"]["same_class"]),
        (&photos.into(), &photos.into())
    );
    assert!(written["check"]["worst_difference"].as_f64().unwrap() < 1e-5, "{written}");
    let bytes = fs::read(&out).unwrap();
    assert_eq!(written["bytes"], bytes.len());
    for word in [r#"["blue","green","red"]"#, "preprocessing", r#""crop":32"#] {
        assert!(bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    // The file, and the classes in their order.
    let mut runner = Runner::new(&bytes).unwrap();
    for (class, name) in CLASSES.iter().enumerate() {
        let photo = image::decode(TRAINED.folder.join(format!("photos/{name}/0.png"))).unwrap();
        let probabilities = runner.probabilities(&photo).unwrap();
        assert!(probabilities[class] > 0.5, "{name}: {probabilities:?}");
    }

    let again = ["export", &TRAINED.model(), &out];
    frostline(again).error(&["model.onnx", "--force"]);
    let ran = frostline([&again[..], &["--force", "--check", "4", "--photos", &TRAINED.photos()]].concat());
    let text = ran.text();
    assert!(text.contains("4 of 4 photos have the same class (100.0%)"), "{text}");
    let ran = frostline([&again[..], &["--force"]].concat());
    assert!(ran.code == Some(0) && ran.stderr.contains("was not compared"), "{ran:#?}");
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let folder = tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).display().to_string();
    frostline(["export", "embedded", &out("a.onnx")]).error(&["no last layer", "frostline train"]);
    frostline(["export", &out("absent"), &out("a.onnx")]).error(&["absent"]);
    frostline(["export", &TRAINED.model(), &out("no/such/folder.onnx")]).error(&["folder.onnx"]);
    frostline(["export", &TRAINED.model(), &out("torch"), "--format", "pytorch"]).error(&[
        "width 4",
        "64 channels",
        "ONNX",
    ]);
}

/// README's line with the network that `train` takes by default.
#[test]
fn convert_takes_the_default_network_to_pytorch() {
    let folder = tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).display().to_string();
    let ran = frostline(["convert", "embedded", &out("a.safetensors"), "--to", "torchvision"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("tf_efficientnet_lite0"), "{ran:#?}");
    let ran = frostline(["convert", "embedded", &out("b.safetensors"), "--to", "timm"]);
    assert!(ran.code == Some(0) && ran.stderr.is_empty(), "{ran:#?}");
    let written =
        ["a.safetensors", "b.safetensors"].map(|name| safetensors::read(out(name)).unwrap().tensors);
    assert_eq!(written[0], written[1]);
    assert!(written[0].contains_key("blocks.6.0.conv_pwl.weight"), "{:?}", written[0].keys());
    let found = frostline(["inspect", &out("a.safetensors"), "--json"]).json();
    assert!(found["network"].as_str().unwrap().starts_with("efficientnet_lite0"), "{found}");
}
