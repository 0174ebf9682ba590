//! PyTorch: weights under torchvision's or timm's names, and a Python file that predicts with them.

use crate::Trained;
use crate::error::{Error, Result};
use frostline_loader::safetensors::{Dtype, write};
use frostline_loader::{Interpolation, Preprocessing, atomic::write_atomically};
use frostline_models::{Dialect, convert};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file of weights.
pub const WEIGHTS: &str = "model.safetensors";
/// Name of the program.
pub const PROGRAM: &str = "predict.py";

/// torchvision's ResNets, and the channels of their first convolution.
const TORCHVISION: [&str; 5] = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"];
const WIDTH: usize = 64;
const FIRST_STRIDE: usize = 2;

/// Writes [`WEIGHTS`] and [`PROGRAM`] into `folder`, which is there.
///
/// # Errors
/// [`Error::Elsewhere`] for a network that neither torchvision nor timm has; [`Error::NoHead`],
/// [`Error::Classes`]; if a file cannot be written.
pub fn write_to(folder: &Path, trained: &Trained<'_>) -> Result<()> {
    trained.check()?;
    let (program, dialect) = program(trained)?;
    let weights = convert(trained.weights, dialect)?;
    let mut metadata: BTreeMap<String, String> = trained.about.clone();
    metadata.insert("format".to_owned(), "pt".to_owned());
    metadata.insert("frostline.classes".to_owned(), trained.classes_json());
    metadata.insert("frostline.preprocessing".to_owned(), trained.preprocessing_json());
    write(folder.join(WEIGHTS), &weights, &metadata, Dtype::F32)?;
    Ok(write_atomically(&folder.join(PROGRAM), |file| file.write_all(program.as_bytes()))?)
}

/// The text of the program, and the names it needs.
fn program(trained: &Trained<'_>) -> Result<(String, Dialect)> {
    let Trained { model, preprocessing, classes, .. } = *trained;
    let (name, channels) = (model.name(), model.input_channels());
    let (imports, network, dialect) = if name == "efficientnet_lite0" {
        let call = format!(
            "timm.create_model(\"tf_efficientnet_lite0\", num_classes={}, in_chans={channels})",
            classes.len()
        );
        ("import timm\nimport torch", call, Dialect::TimmEfficientNet)
    } else {
        let elsewhere =
            |reason: &str| Err(Error::Elsewhere { model: model.to_string(), reason: reason.to_owned() });
        let width = trained.weights.get("conv1.weight").and_then(|weight| weight.shape.first().copied());
        if !TORCHVISION.contains(&name) {
            return elsewhere("torchvision and timm have no such network");
        }
        if width != Some(WIDTH) || model.first_stride() != Some(FIRST_STRIDE) {
            return elsewhere("torchvision's has 64 channels and a stride of 2 in its first convolution");
        }
        let mut call = format!("models.{name}(num_classes={})", classes.len());
        if channels != 3 {
            call += &format!("\nMODEL.conv1 = torch.nn.Conv2d({channels}, {WIDTH}, 7, 2, 3, bias=False)");
        }
        ("import torch", call, Dialect::Torchvision)
    };
    let Preprocessing { resize, interpolation, crop, channels, mean, std } = preprocessing;
    let filter = match interpolation {
        Interpolation::Bilinear => "BILINEAR",
        Interpolation::Bicubic => "BICUBIC",
    };
    let resize = resize.map_or(String::new(), |side| {
        format!("\n    transforms.Resize({side}, transforms.InterpolationMode.{filter}),")
    });
    let grey = if *channels == 1 { ".convert(\"L\")" } else { "" };
    let models = if dialect == Dialect::Torchvision { "models, transforms" } else { "transforms" };
    // JSON's strings and numbers are Python's too.
    Ok((
        format!(
            r#"#!/usr/bin/env python3
"""Predicts photos as frostline does: python3 {PROGRAM} PHOTO ...  (needs safetensors, Pillow and what is imported below)"""
import sys
from pathlib import Path

{imports}
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torchvision import {models}

CLASSES = {classes}
MODEL = {network}
MODEL.load_state_dict(load_file(Path(__file__).with_name("{WEIGHTS}")), strict=True)
MODEL.eval()
TRANSFORM = transforms.Compose([{resize}
    transforms.CenterCrop({crop}),
    transforms.ToTensor(),
    transforms.Normalize({mean}, {std}),
])


def decoded(path):
    """Upright, with white behind what is transparent."""
    image = ImageOps.exif_transpose(Image.open(path))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB"){grey}


@torch.no_grad()
def predict(path):
    """Classes with their probabilities, the most probable first."""
    probabilities = MODEL(TRANSFORM(decoded(path))[None]).softmax(1)[0].tolist()
    return sorted(zip(CLASSES, probabilities), key=lambda pair: -pair[1])


if __name__ == "__main__":
    for photo in sys.argv[1:]:
        print(photo + ": " + ", ".join(f"{{name}} {{100 * p:.1f}}%" for name, p in predict(photo)[:3]))
"#,
            classes = trained.classes_json(),
            mean = floats(mean),
            std = floats(std),
        ),
        dialect,
    ))
}

/// A list of numbers, which f32 reads back as they are.
fn floats(values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(f32::to_string).collect();
    format!("[{}]", values.join(", "))
}
