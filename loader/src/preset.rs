//! The preprocessing that comes with weights, from a hub's configuration file.
//!
//! | file | of | contains |
//! |---|---|---|
//! | `config.json` | timm | `pretrained_cfg`: `input_size`, `crop_pct`, `interpolation`, `mean`, `std` |
//! | `preprocessor_config.json` | Hugging Face transformers | `size`, `crop_pct` or `crop_size`, `resample`, `image_mean`, `image_std` |
//! | `config.json` | timm | `architecture`: the network's name |
//! | `config.json` | Hugging Face transformers | `id2label`: the classes' names; `model_type`, `downsample_in_bottleneck` … |
//!
//! Sources: timm's `create_transform` for evaluation, whose resized side is `floor(side / crop_pct)`;
//! transformers' `ConvNextImageProcessor`, which scales and crops in the same way below 384 pixels. Above, it
//! squeezes the image into a square, which this program does not do.

use std::path::Path;

use serde_json::Value;

use crate::error::clip;
use crate::{Error, Interpolation, Preprocessing};

/// Below this side, `ConvNextImageProcessor` crops.
const CONVNEXT_CROPS_BELOW: usize = 384;

/// What a configuration file contains about the network itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Its name in timm, such as `resnet50` or `resnetblur50`.
    Timm(String),
    /// Hugging Face's family and its settings.
    HuggingFace {
        /// Such as `resnet`.
        family: String,
        /// Whether a bottleneck has its stride in the first 1×1 convolution and not in the 3×3.
        stride_first: bool,
        /// Settings that change the network's computation and are not supported, as written in the file.
        unusual: Vec<String>,
    },
}

/// What configuration files contain about a network's images and classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preset {
    /// The preprocessing of its input.
    pub preprocessing: Option<Preprocessing>,
    /// The network, if the names and shapes of weights do not determine it.
    pub network: Option<Network>,
    /// Names of its classes, in the order of the last layer's outputs.
    pub classes: Option<Vec<String>>,
}

impl Preset {
    /// Adds the entries of a configuration file; settings without an entry stay as they are. `label` names
    /// the file in errors.
    ///
    /// # Errors
    /// [`Error::Preset`] for a file that is not JSON, or that requires something that is not supported.
    pub fn read(&mut self, json: &[u8], label: &Path) -> Result<(), Error> {
        let wrong = |reason: String| Error::Preset { path: label.to_owned(), reason };
        let config: Value = serde_json::from_slice(json).map_err(|error| wrong(clip(error)))?;
        // timm puts the fields into `pretrained_cfg`; its oldest files have them at the top.
        let timm = config.get("pretrained_cfg").unwrap_or(&config);
        if config.get("image_mean").is_some() {
            self.preprocessing = Some(transformers(&config).map_err(wrong)?);
        } else if timm.get("mean").is_some() {
            self.preprocessing = Some(self::timm(timm).map_err(wrong)?);
        }
        self.network = network(&config).or(self.network.take());
        self.classes = class_names(&config).or(self.classes.take());
        Ok(())
    }
}

/// A timm model inside transformers (`timm_wrapper`) has timm's name as well, which is more specific.
fn network(config: &Value) -> Option<Network> {
    let text = |name: &str| config.get(name).and_then(Value::as_str);
    if let Some(name) = text("architecture") {
        return Some(Network::Timm(clip(name)));
    }
    let family = clip(text("model_type")?);
    let flag = |name: &str| config.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut unusual = vec![];
    if family == "resnet" {
        if flag("downsample_in_first_stage") {
            unusual.push("downsample_in_first_stage: true".to_owned());
        }
        if let Some(other) = text("hidden_act").filter(|act| *act != "relu") {
            unusual.push(format!("hidden_act: {:?}", clip(other)));
        }
    }
    let bottleneck = text("layer_type").is_none_or(|kind| kind == "bottleneck");
    Some(Network::HuggingFace {
        family,
        stride_first: bottleneck && flag("downsample_in_bottleneck"),
        unusual,
    })
}

fn timm(config: &Value) -> Result<Preprocessing, String> {
    if let Some(mode) = config.get("crop_mode").and_then(Value::as_str).filter(|mode| *mode != "center") {
        return Err(format!("crop_mode is {:?}; this program crops the centre only", clip(mode)));
    }
    let sides = config.get("input_size").and_then(Value::as_array).map(Vec::as_slice);
    let (channels, crop) = match sides {
        Some([channels, height, width]) if height == width => {
            (natural(channels, "input_size")?, natural(width, "input_size")?)
        }
        _ => return Err("input_size is not [channels, side, side] of a square image".to_owned()),
    };
    let share = config.get("crop_pct").and_then(Value::as_f64).unwrap_or(1.0);
    let interpolation = match config.get("interpolation").and_then(Value::as_str).unwrap_or("bilinear") {
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => return Err(format!("interpolation {:?}; known are bilinear and bicubic", clip(other))),
    };
    let (mean, std) = (numbers(config, "mean")?, numbers(config, "std")?);
    checked(Preprocessing { resize: Some(resized(crop, share)?), crop, channels, interpolation, mean, std })
}

fn transformers(config: &Value) -> Result<Preprocessing, String> {
    let flag = |name: &str| config.get(name).and_then(Value::as_bool).unwrap_or(true);
    let scale = config.get("rescale_factor").and_then(Value::as_f64).unwrap_or(1.0 / 255.0);
    if !flag("do_rescale") || (scale * 255.0 - 1.0).abs() > 1e-6 {
        return Err("its values are not scaled to 0..1 first; this program always does that".to_owned());
    }
    let size = config.get("size").ok_or("no size")?;
    let size = natural(size.get("shortest_edge").unwrap_or(size), "size (a number or shortest_edge)")?;
    let (resize, crop) = if let (Some(crop), true) = (config.get("crop_size"), flag("do_center_crop")) {
        (size, natural(crop.get("height").unwrap_or(crop), "crop_size")?)
    } else if size < CONVNEXT_CROPS_BELOW {
        (resized(size, config.get("crop_pct").and_then(Value::as_f64).unwrap_or(1.0))?, size)
    } else {
        return Err(format!("size {size} squeezes the image into a square; this program crops"));
    };
    let interpolation = match config.get("resample").and_then(Value::as_u64).unwrap_or(2) {
        2 => Interpolation::Bilinear,
        3 => Interpolation::Bicubic,
        other => return Err(format!("resample {other}; known are 2 (bilinear) and 3 (bicubic)")),
    };
    let (mut mean, mut std) = (numbers(config, "image_mean")?, numbers(config, "image_std")?);
    if !flag("do_normalize") {
        (mean, std) = (vec![0.0; mean.len()], vec![1.0; std.len()]);
    }
    let resize = if flag("do_resize") { Some(resize) } else { None };
    checked(Preprocessing { resize, crop, channels: mean.len(), interpolation, mean, std })
}

fn checked(preprocessing: Preprocessing) -> Result<Preprocessing, String> {
    preprocessing.check().map(|()| preprocessing).map_err(|error| error.to_string())
}

/// The length of the shorter side for which a crop of `side` pixels is this share.
fn resized(side: usize, share: f64) -> Result<usize, String> {
    if share > 0.0 && share <= 1.0 {
        Ok((side as f64 / share) as usize)
    } else {
        Err(format!("crop_pct is {share}, not in 0..=1"))
    }
}

fn natural(value: &Value, name: &str) -> Result<usize, String> {
    value
        .as_u64()
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| format!("{name} is not a whole number"))
}

fn numbers(config: &Value, name: &str) -> Result<Vec<f32>, String> {
    let list = config.get(name).and_then(Value::as_array).ok_or_else(|| format!("{name} is not a list"))?;
    list.iter()
        .map(|value| value.as_f64().map(|value| value as f32))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{name} is not a list of numbers"))
}

/// `label_names` (timm) or `id2label` (transformers), if every class has one.
fn class_names(config: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(names) = config.get("label_names").and_then(Value::as_array) {
        return names.iter().map(text).collect();
    }
    let names = config.get("id2label")?.as_object()?;
    (0..names.len()).map(|class| names.get(&class.to_string()).and_then(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Preset, String> {
        let mut preset = Preset::default();
        preset
            .read(json.as_bytes(), Path::new("config.json"))
            .map(|()| preset)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn timms_resnet18_is_imagenets() {
        let preset = read(
            r#"{"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bilinear",
                "crop_pct": 0.875, "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}"#,
        );
        assert_eq!(
            preset.unwrap(),
            Preset {
                preprocessing: Some(Preprocessing::imagenet(224)),
                network: Some(Network::Timm("resnet18".to_owned())),
                classes: None,
            }
        );
    }

    /// `floor(224 / 0.95)` is 235, not 236.
    #[test]
    fn timms_resized_side_is_rounded_down() {
        let preset = read(
            r#"{"input_size": [3, 224, 224], "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0, 0, 0], "std": [1, 1, 1]}"#,
        );
        let preprocessing = preset.unwrap().preprocessing.unwrap();
        assert_eq!((preprocessing.resize, preprocessing.interpolation), (Some(235), Interpolation::Bicubic));
    }

    #[test]
    fn hugging_faces_two_files_add_up() {
        let mut preset = read(
            r#"{"crop_pct": 0.875, "do_normalize": true, "do_resize": true, "feature_extractor_type": "ConvNextFeatureExtractor",
                "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 224}"#,
        )
        .unwrap();
        preset
            .read(
                br#"{"model_type": "resnet", "id2label": {"1": "dog", "0": "cat"}}"#,
                Path::new("config.json"),
            )
            .unwrap();
        let (family, unusual) = ("resnet".to_owned(), vec![]);
        let network = Network::HuggingFace { family, stride_first: false, unusual };
        let expected =
            Preprocessing { interpolation: Interpolation::Bicubic, ..Preprocessing::imagenet(224) };
        assert_eq!(
            preset,
            Preset {
                preprocessing: Some(expected),
                network: Some(network),
                classes: Some(vec!["cat".to_owned(), "dog".to_owned()]),
            }
        );
        let clip = read(
            r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1],
                "do_normalize": false}"#,
        );
        let preprocessing = clip.unwrap().preprocessing.unwrap();
        assert_eq!((preprocessing.resize, preprocessing.crop, preprocessing.std[0]), (Some(256), 224, 1.0));
    }

    #[test]
    fn what_says_nothing_changes_nothing() {
        assert_eq!(
            read(r#"{"transformers_version": "4", "id2label": {"7": "cat"}}"#).unwrap(),
            Preset::default()
        );
        assert_eq!(read("[]").unwrap(), Preset::default());
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        let fields = r#""mean": [0, 0, 0], "std": [1, 1, 1]"#;
        for (json, word) in [
            ("{".to_owned(), "EOF"),
            (format!(r#"{{"input_size": [3, 224, 200], {fields}}}"#), "input_size"),
            (format!(r#"{{"input_size": [3, 224, 224], "crop_pct": 0, {fields}}}"#), "crop_pct is 0"),
            (format!(r#"{{"input_size": [3, 224, 224], "crop_mode": "squash", {fields}}}"#), "squash"),
            (format!(r#"{{"input_size": [3, 224, 224], "interpolation": "lanczos", {fields}}}"#), "lanczos"),
            (r#"{"input_size": [3, 224, 224], "mean": [0, 0], "std": [1, 1]}"#.to_owned(), "channels"),
            (r#"{"size": 384, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}"#.to_owned(), "squeezes"),
            (
                r#"{"size": 224, "resample": 1, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}"#.to_owned(),
                "resample 1",
            ),
            (r#"{"size": 1e99, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}"#.to_owned(), "size"),
        ] {
            let error = read(&json).unwrap_err();
            assert!(error.contains("config.json") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_network_is_told_by_its_settings() {
        let network = |json: &str| read(json).unwrap().network;
        let of = |family: &str, stride_first, unusual: &[&str]| {
            let unusual = unusual.iter().map(|&text| text.to_owned()).collect();
            Some(Network::HuggingFace { family: family.to_owned(), stride_first, unusual })
        };
        let resnet = r#""model_type": "resnet", "layer_type""#;
        let asks = |layer: &str, more: &str| network(&format!("{{{resnet}: {layer:?}, {more}}}"));
        let early = r#""downsample_in_bottleneck": true"#;
        assert_eq!(asks("bottleneck", early), of("resnet", true, &[]));
        assert_eq!(asks("basic", early), of("resnet", false, &[]), "basic blocks have no such convolution");
        assert_eq!(
            asks("basic", r#""downsample_in_first_stage": true, "hidden_act": "gelu""#),
            of("resnet", false, &["downsample_in_first_stage: true", "hidden_act: \"gelu\""])
        );
        assert_eq!(
            network(r#"{"model_type": "convnext", "hidden_act": "gelu"}"#),
            of("convnext", false, &[])
        );
        let timm = r#"{"model_type": "timm_wrapper", "architecture": "resnet50"}"#;
        assert_eq!(network(timm), Some(Network::Timm("resnet50".to_owned())));
        assert_eq!(network("{}"), None);
    }
}
