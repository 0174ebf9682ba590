//! Weights to start from, with the network and the preprocessing that they were made for.

use std::path::Path;
use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_loader::safetensors::{self, SafeFile};
use frostline_loader::{Preprocessing, StateDict};
use frostline_models::{LoadOptions, Model, guess};
use frostline_trainer::Learner;

use crate::error::{Error, Result};
use crate::train::recipe::Recipe;

/// EfficientNet-Lite0 without its head, ImageNet weights, F16 (see `assets/README.md`): a command that
/// works without a network must bring weights along.
static EMBEDDED: &[u8] = include_bytes!("../../../assets/efficientnet_lite0.safetensors");
const EMBEDDED_MODEL: &str = "efficientnet_lite0";

/// Where training starts.
pub struct Weights {
    /// The network, with any head.
    pub model: Model,
    /// How images become its inputs.
    pub input: Preprocessing,
    /// What they are, for people.
    pub name: String,
    /// None to start from random weights.
    tensors: Option<StateDict>,
}

impl Weights {
    /// The weights that the recipe asks for; the embedded ones by default.
    ///
    /// # Errors
    /// [`Error::Flags`] where model and weights do not go together; what reading the file gives.
    pub fn find(recipe: &Recipe) -> Result<Self> {
        let model = recipe.model.as_deref();
        match recipe.weights.as_deref() {
            None if model.is_none_or(|model| model == EMBEDDED_MODEL) => Self::embedded(recipe),
            Some("embedded") if model.is_none_or(|model| model == EMBEDDED_MODEL) => Self::embedded(recipe),
            Some("embedded") => Err(Error::Flags(format!("--weights embedded are those of {EMBEDDED_MODEL}: leave --model out"))),
            None => {
                let model = model.unwrap_or_default();
                Model::new(model)?;
                let advice = "give a safetensors file, or `--weights none` to train from scratch";
                Err(Error::Flags(format!("--model {model} needs --weights: only {EMBEDDED_MODEL} is built in. {advice}")))
            }
            Some("none") => {
                let Some(model) = model else {
                    return Err(Error::Flags("--weights none needs --model, such as `--model resnet18`".to_owned()));
                };
                let model = Model::new(model)?;
                let input = input(&model, recipe.size, None);
                Ok(Self { model, input, name: "none: random weights".to_owned(), tensors: None })
            }
            Some(file) => Self::of(safetensors::read(file)?, file, recipe),
        }
    }

    fn embedded(recipe: &Recipe) -> Result<Self> {
        let file = safetensors::parse(EMBEDDED, Path::new("embedded weights"))?;
        Self::of(file, "EfficientNet-Lite0, ImageNet, embedded", recipe)
    }

    fn of(file: SafeFile, name: &str, recipe: &Recipe) -> Result<Self> {
        let tensors: StateDict = file.tensors.into_iter().filter(|(name, _)| !name.starts_with("optimizer.")).collect();
        let model = guess(&tensors).ok_or_else(|| {
            Error::Flags(format!("--weights {name}: its tensors are those of no network here: {}", frostline_models::NAMES.join(", ")))
        })?;
        if let Some(asked) = recipe.model.as_deref().filter(|asked| *asked != model.name()) {
            return Err(Error::Flags(format!("--weights {name} are those of {}, but --model is {asked}: leave --model out", model.name())));
        }
        let preset = file.metadata.get("frostline.preprocessing").and_then(|json| serde_json::from_str(json).ok());
        let input = input(&model, recipe.size, preset);
        Ok(Self { model, input, name: name.to_owned(), tensors: Some(tensors) })
    }

    /// Whether there is something to transfer.
    pub fn pretrained(&self) -> bool {
        self.tensors.is_some()
    }

    /// A learner that starts here, with a new head for `classes`.
    ///
    /// # Errors
    /// If the weights do not fit the network, or the device has no room.
    pub fn learner(&self, gpu: &Arc<Gpu>, classes: &[String], seed: u64) -> Result<Learner> {
        let mut learner = Learner::new(gpu, self.model.clone().classes(classes.len()), self.input.crop, seed)?;
        learner.preprocessing(self.input.clone())?;
        if let Some(tensors) = &self.tensors {
            learner.load(tensors, &LoadOptions::skip_head())?;
        }
        learner.name_classes(classes)?;
        Ok(learner)
    }
}

/// The preset of the weights, or what the network's inventors did, at `size` if it is given.
fn input(model: &Model, size: Option<u32>, preset: Option<Preprocessing>) -> Preprocessing {
    let side = model.default_size();
    let preset = preset.unwrap_or_else(|| match model.input_channels() {
        3 if model.name().starts_with("efficientnet_lite") => Preprocessing::efficientnet_lite(side),
        3 => Preprocessing::imagenet(side),
        channels => Preprocessing { resize: Some(side), crop: side, channels, mean: vec![0.5; channels], std: vec![0.5; channels] },
    });
    match size {
        None => preset,
        // The margin around the crop stays in proportion.
        Some(size) => {
            let size = size as usize;
            let resize = preset.resize.map(|resize| resize * size / preset.crop.max(1));
            Preprocessing { resize, crop: size, ..preset }
        }
    }
}
