//! The naming convention of a file, and the conversion to the model's names.

use crate::efficientnet::{from_timm, to_timm};
use std::fmt;

/// Wrappers that add a prefix to every name: `DataParallel` and `DistributedDataParallel`, and
/// `torch.compile`. They nest in any order.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// A convention of naming the same tensors.
///
/// | [`Dialect::Torchvision`] | [`Dialect::HuggingFace`] |
/// |---|---|
/// | `conv1.*`, `bn1.*` | `resnet.embedder.embedder.convolution.*`, `….normalization.*` |
/// | `layerS.B.convN.*`, `bnN.*` | `resnet.encoder.stages.(S-1).layers.B.layer.(N-1).convolution.*`, `….normalization.*` |
/// | `layerS.B.downsample.0.*`, `.1.*` | `resnet.encoder.stages.(S-1).layers.B.shortcut.convolution.*`, `….normalization.*` |
/// | `fc.*` | `classifier.1.*` |
///
/// Hugging Face's model without a classifier omits `resnet.`. [`Dialect::EfficientNet`] is that of the
/// EfficientNet-PyTorch package (`_blocks.0._expand_conv.weight`), whose names are the model's own;
/// [`Dialect::TimmEfficientNet`] is timm's `tf_efficientnet_lite0` (`blocks.0.0.conv_dw.weight`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// torchvision and timm: the names of every ResNet here.
    Torchvision,
    /// Hugging Face's `microsoft/resnet-*`.
    HuggingFace,
    /// EfficientNet-PyTorch: the names of EfficientNet-Lite0 here.
    EfficientNet,
    /// timm: EfficientNet-Lite0.
    TimmEfficientNet,
}

impl Dialect {
    /// The dialect of these names.
    pub fn detect<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let of_one = |name: &str| {
            let name = unwrapped(name);
            let name = name.strip_prefix("resnet.").unwrap_or(name);
            if name.starts_with("embedder.embedder.") || name.starts_with("encoder.stages.") {
                Some(Self::HuggingFace)
            } else if name.starts_with("_conv_stem.") || name.starts_with("_blocks.") {
                Some(Self::EfficientNet)
            } else if name.starts_with("conv_stem.") || name.starts_with("blocks.0.0.conv_dw.") {
                Some(Self::TimmEfficientNet)
            } else {
                None
            }
        };
        names.into_iter().find_map(of_one).unwrap_or(Self::Torchvision)
    }

    /// The model's name of the tensor that the file calls `name`. A name that is not in this dialect is
    /// unchanged, and will match no tensor.
    pub fn to_model(self, name: &str) -> String {
        let name = unwrapped(name);
        let renamed = match self {
            Self::HuggingFace => from_hugging_face(name),
            Self::TimmEfficientNet => from_timm(name),
            Self::Torchvision | Self::EfficientNet => None,
        };
        renamed.unwrap_or_else(|| name.to_owned())
    }

    /// This dialect's name of the tensor that the model calls `name`, the inverse of [`Dialect::to_model`];
    /// `None` if there is none.
    pub fn from_model(self, name: &str) -> Option<String> {
        match self {
            Self::HuggingFace => to_hugging_face(name),
            Self::TimmEfficientNet => to_timm(name),
            Self::Torchvision | Self::EfficientNet => Some(name.to_owned()),
        }
    }
}

fn unwrapped(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = rest;
    }
    name
}

fn from_hugging_face(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.strip_prefix("resnet.").unwrap_or(name).split('.').collect();
    // Hugging Face counts stages and convolutions from 0, torchvision from 1.
    let from_one = |number: &str| number.parse::<u16>().ok().map(|number| u32::from(number) + 1);
    let (scope, convolution, norm, module, leaf) = match parts[..] {
        ["embedder", "embedder", module, leaf] => {
            (String::new(), "conv1".to_owned(), "bn1".to_owned(), module, leaf)
        }
        ["encoder", "stages", stage, "layers", block, "layer", number, module, leaf] => {
            let (stage, number) = (from_one(stage)?, from_one(number)?);
            (format!("layer{stage}.{block}."), format!("conv{number}"), format!("bn{number}"), module, leaf)
        }
        ["encoder", "stages", stage, "layers", block, "shortcut", module, leaf] => {
            let scope = format!("layer{}.{block}.", from_one(stage)?);
            (scope, "downsample.0".to_owned(), "downsample.1".to_owned(), module, leaf)
        }
        ["classifier", "1", leaf] => return Some(format!("fc.{leaf}")),
        _ => return None,
    };
    match module {
        "convolution" => Some(format!("{scope}{convolution}.{leaf}")),
        "normalization" => Some(format!("{scope}{norm}.{leaf}")),
        _ => None,
    }
}

fn to_hugging_face(name: &str) -> Option<String> {
    let from_zero = |number: &str| number.parse::<u16>().ok()?.checked_sub(1);
    let stage = |group: &str| from_zero(group.strip_prefix("layer")?);
    let kinds = [("conv", "convolution"), ("bn", "normalization")];
    let parts: Vec<&str> = name.split('.').collect();
    Some(match parts[..] {
        ["conv1", leaf] => format!("resnet.embedder.embedder.convolution.{leaf}"),
        ["bn1", leaf] => format!("resnet.embedder.embedder.normalization.{leaf}"),
        ["fc", leaf] => format!("classifier.1.{leaf}"),
        [group, block, "downsample", number, leaf] => {
            let (_, module) = kinds.get(number.parse::<usize>().ok()?)?;
            format!("resnet.encoder.stages.{}.layers.{block}.shortcut.{module}.{leaf}", stage(group)?)
        }
        [group, block, layer, leaf] => {
            let (number, module) = kinds
                .iter()
                .find_map(|(prefix, module)| Some((from_zero(layer.strip_prefix(prefix)?)?, module)))?;
            format!("resnet.encoder.stages.{}.layers.{block}.layer.{number}.{module}.{leaf}", stage(group)?)
        }
        _ => return None,
    })
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torchvision => "torchvision or timm",
            Self::HuggingFace => "Hugging Face",
            Self::EfficientNet => "EfficientNet-PyTorch",
            Self::TimmEfficientNet => "timm's EfficientNet",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_taken_off_in_any_order_and_number() {
        for name in [
            "fc.weight",
            "module.fc.weight",
            "_orig_mod.module.fc.weight",
            "module._orig_mod.module.fc.weight",
        ] {
            assert_eq!(Dialect::Torchvision.to_model(name), "fc.weight");
        }
        // A word inside a name is not a wrapper.
        assert_eq!(Dialect::Torchvision.to_model("layer1.module.x"), "layer1.module.x");
    }

    #[test]
    fn hugging_face_counts_from_zero() {
        let pairs = [
            ("resnet.embedder.embedder.convolution.weight", "conv1.weight"),
            ("embedder.embedder.normalization.running_var", "bn1.running_var"),
            ("resnet.encoder.stages.3.layers.2.layer.1.convolution.weight", "layer4.2.conv2.weight"),
            ("resnet.encoder.stages.0.layers.0.layer.2.normalization.bias", "layer1.0.bn3.bias"),
            (
                "module.resnet.encoder.stages.1.layers.0.shortcut.convolution.weight",
                "layer2.0.downsample.0.weight",
            ),
            (
                "encoder.stages.1.layers.0.shortcut.normalization.running_mean",
                "layer2.0.downsample.1.running_mean",
            ),
            ("classifier.1.bias", "fc.bias"),
        ];
        for (theirs, ours) in pairs {
            assert_eq!(Dialect::HuggingFace.to_model(theirs), ours);
            let back = Dialect::HuggingFace.from_model(ours).unwrap();
            assert_eq!(
                back.trim_start_matches("resnet."),
                theirs.trim_start_matches("module.").trim_start_matches("resnet.")
            );
        }
        assert_eq!(Dialect::detect(pairs.map(|(theirs, _)| theirs)), Dialect::HuggingFace);
        assert_eq!(Dialect::detect(pairs.map(|(_, ours)| ours)), Dialect::Torchvision);
    }

    #[test]
    fn names_nobody_uses_stay_as_they_are() {
        for name in [
            "",
            ".",
            "resnet.",
            "encoder.stages.x.layers.0.layer.0.convolution.weight",
            "encoder.stages.99999999999.layers.0.layer.0.convolution.weight",
        ] {
            assert_eq!(Dialect::HuggingFace.to_model(name), name);
        }
        for name in [
            "",
            "fc",
            "layer0.0.conv1.weight",
            "layerx.0.conv1.weight",
            "layer1.0.conv0.weight",
            "layer1.0.downsample.2.weight",
        ] {
            assert_eq!(Dialect::HuggingFace.from_model(name), None);
        }
    }
}
