//! The twin of augmentation against torchvision: every case of `tests/golden/augment.safetensors`.

use frostline_twin::augment::{Jitter, Settings, Transform, forward};
use frostline_twin::{Array, filler};
use safetensors::SafeTensors;
use serde_json::Value as Json;

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn counts<const N: usize>(json: &Json) -> [usize; N] {
    std::array::from_fn(|i| json[i].as_u64().unwrap() as usize)
}

fn transform(json: &Json) -> Transform {
    let jitter = |step: &Json| {
        let factor = step[1].as_f64().unwrap();
        match step[0].as_str().unwrap() {
            "brightness" => Jitter::Brightness(factor),
            "contrast" => Jitter::Contrast(factor),
            "saturation" => Jitter::Saturation(factor),
            _ => Jitter::Hue(factor),
        }
    };
    Transform {
        window: counts(&json["window"]),
        flip_horizontal: json["flip_horizontal"].as_bool().unwrap(),
        flip_vertical: json["flip_vertical"].as_bool().unwrap(),
        angle: json["angle"].as_f64().unwrap(),
        shift: [0, 1].map(|i| json["shift"][i].as_f64().unwrap()),
        jitter: json["jitter"].as_array().unwrap().iter().map(jitter).collect(),
    }
}

#[test]
fn every_case() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/augment.safetensors");
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let cases: Json = serde_json::from_str(&header.metadata().as_ref().unwrap()["cases"]).unwrap();
    let cases = cases.as_array().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(cases.len(), tensors.len(), "a stored tensor would be left out");
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let shape: [usize; 4] = counts(&case["shape"]);
        let x =
            Array::from_f32(&shape, &filler::fill(&format!("{name}.x"), shape.iter().product(), 0.0, 1.0));
        let settings = Settings {
            size: counts(&case["size"]),
            bilinear: case["interpolation"] == "bilinear",
            fill: case["fill"].as_f64().unwrap(),
            mean: numbers(&case["mean"]),
            std: numbers(&case["std"]),
        };
        let transforms: Vec<Transform> =
            case["transforms"].as_array().unwrap().iter().map(transform).collect();
        let twin = forward(&x, &transforms, &settings).value;
        let stored = tensors.tensor(&format!("{name}.y")).unwrap();
        assert_eq!(stored.shape(), twin.shape, "{name}");
        for (i, (bytes, twin)) in stored.data().chunks_exact(4).zip(&twin.data).enumerate() {
            let torch = f64::from(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            // Stored as f32, and torch.linspace makes the grid of a rotation in f32.
            let bound = 2f64.powi(-24) * twin.abs() + 1e-12;
            assert!(
                (torch - twin).abs() <= bound,
                "{name}, element {i}: torchvision {torch:e}, twin {twin:e}"
            );
        }
    }
}
