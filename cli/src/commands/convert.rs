//! `frostline convert`: the same weights under other names, or in another number format.

use crate::output::note;
use crate::weights::{FIRST_STRIDE, Weights, first_stride};
use crate::{Error, Output, Result};
use clap::{Args, ValueEnum};
use frostline_loader::safetensors::{self, Dtype, SafeFile};
use frostline_models::{Dialect, convert};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The flags.
#[derive(Args, Debug)]
pub struct Convert {
    /// A checkpoint, a safetensors file, or hf:owner/name.
    input: std::ffi::OsString,
    /// Where to write.
    out: PathBuf,
    /// Naming scheme of the written tensors; by default their present names, without wrappers.
    #[arg(long, value_enum, value_name = "NAMES")]
    to: Option<Names>,
    /// Number format to store; by default the present one.
    #[arg(long, value_enum)]
    dtype: Option<Numbers>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Names {
    /// `layer1.0.conv1.weight`, as in torchvision's `load_state_dict`.
    Torchvision,
    /// For ResNets the same names; for EfficientNet-Lite0 `blocks.0.0.conv_dw.weight`, as in
    /// `timm.create_model("tf_efficientnet_lite0")`.
    Timm,
    /// `resnet.encoder.stages.0.layers.0.layer.0.convolution.weight`, as in `ResNetForImageClassification`.
    Huggingface,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Numbers {
    /// 32 bits.
    F32,
    /// IEEE half precision; values above 65504 are refused.
    F16,
    /// The upper half of an f32.
    Bf16,
}

/// The metadata entries of a checkpoint that are kept with bare weights.
const KEPT: [&str; 4] =
    ["frostline.architecture", "frostline.classes", "frostline.preprocessing", FIRST_STRIDE];

impl Convert {
    /// Converts the weights. The optimiser state and the position in the run, which a checkpoint contains,
    /// are left out.
    ///
    /// # Errors
    /// [`Error::Exists`]; for weights that have no such names or do not fit the number format.
    pub fn run(&self, output: &Output) -> Result<()> {
        Error::if_no_folder(&self.out)?;
        Error::if_exists(&self.out, self.force)?;
        let weights = Weights::open(&self.input)?;
        // Either path may be missing: embedded weights have none.
        let there = |path| std::fs::canonicalize(path).ok();
        if there(&self.out).is_some_and(|out| there(&weights.path) == Some(out)) {
            let reason = "this is the file to convert; choose another name".to_owned();
            return Err(Error::Convert { path: self.out.clone(), reason });
        }
        let from = Dialect::detect(weights.file.tensors.keys().map(String::as_str));
        let to = self.to.map_or(from, |names| names.dialect(from));
        if self.to == Some(Names::Torchvision) && to == Dialect::TimmEfficientNet {
            note(
                "torchvision has no EfficientNet-Lite0; the tensors get timm's names, for \
                 timm.create_model(\"tf_efficientnet_lite0\")",
            );
        }
        let dtype = self.dtype.map_or(stored(&weights.file), Numbers::dtype);
        let tensors = convert(&weights.file.tensors, to)?;
        safetensors::write(&self.out, &tensors, &metadata(&weights.file), dtype)?;
        output.say(format_args!(
            "{}: {} tensors in {dtype}, {to} names",
            self.out.display(),
            tensors.len()
        ))?;
        let file = crate::output::path_text(&self.out);
        let (tensors, names) = (tensors.len(), to.to_string());
        output.json(&json!({ "file": file, "tensors": tensors, "dtype": dtype.name(), "names": names }))
    }
}

impl Names {
    /// The names of scheme `self` for the network of a file whose names have scheme `from`.
    fn dialect(self, from: Dialect) -> Dialect {
        let efficientnet = matches!(from, Dialect::EfficientNet | Dialect::TimmEfficientNet);
        match self {
            Self::Torchvision | Self::Timm if efficientnet => Dialect::TimmEfficientNet,
            Self::Torchvision | Self::Timm => Dialect::Torchvision,
            Self::Huggingface => Dialect::HuggingFace,
        }
    }
}

impl Numbers {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::Bf16,
        }
    }
}

/// The format that all tensors of the file have, counters aside. If there are several formats: f32, which can
/// represent the others.
fn stored(file: &SafeFile) -> Dtype {
    let mut dtypes = file.dtypes.values().copied().filter(|dtype| *dtype != Dtype::I64);
    let first = dtypes.next().unwrap_or(Dtype::F32);
    if dtypes.all(|dtype| dtype == first) { first } else { Dtype::F32 }
}

/// The file's metadata; for a checkpoint, only the entries about its weights. Other loaders read from
/// "format" which framework's conventions the tensors follow.
fn metadata(file: &SafeFile) -> BTreeMap<String, String> {
    let kept = |key: &str| !key.starts_with("frostline.") || KEPT.contains(&key);
    let mut metadata: BTreeMap<String, String> = file.metadata.clone();
    metadata.retain(|key, _| kept(key));
    metadata.insert("format".to_owned(), "pt".to_owned());
    metadata.extend(first_stride(file).map(|stride| (FIRST_STRIDE.to_owned(), stride.to_string())));
    metadata
}
