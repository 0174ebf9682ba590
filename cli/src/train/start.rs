//! The start of training: a network, pretrained weights or none, and their preprocessing.

use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_loader::{Preprocessing, StateDict};
use frostline_models::{LoadOptions, Model};
use frostline_trainer::Learner;

use crate::embedded::EMBEDDED;
use crate::error::{Error, Result};
use crate::train::recipe::Recipe;
use crate::weights::Weights;

/// Where training starts.
pub struct Start {
    /// The network, with any head.
    pub model: Model,
    /// The preprocessing of its inputs.
    pub input: Preprocessing,
    /// A description of the weights, for people.
    pub name: String,
    /// `None` to start from random weights.
    tensors: Option<StateDict>,
}

impl Start {
    /// The weights that the recipe names; the embedded ones by default.
    ///
    /// # Errors
    /// [`Error::Flags`] if the model and the weights do not fit together; the errors of opening the weights.
    pub fn find(recipe: &Recipe) -> Result<Self> {
        let model = recipe.model.as_deref();
        match recipe.weights.as_deref() {
            None => {
                match EMBEDDED.iter().find(|embedded| model.is_none_or(|model| model == embedded.model)) {
                    Some(embedded) => Self::of(Weights::open(embedded.name)?, recipe),
                    None => {
                        let model = Model::new(model.unwrap_or_default())?;
                        let built_in = EMBEDDED.each_ref().map(|embedded| embedded.model).join(" and ");
                        let advice = "give a safetensors file or hf:owner/name, or `--weights none` to train from scratch";
                        let words = format!(
                            "--model {} needs --weights: only {built_in} are built in; {advice}",
                            model.name()
                        );
                        Err(Error::Flags(words))
                    }
                }
            }
            Some("none") => {
                let Some(model) = model else {
                    return Err(Error::Flags(
                        "--weights none needs --model, such as `--model resnet18`".to_owned(),
                    ));
                };
                let model = Model::new(model)?;
                let input = input(&model, recipe.size, None);
                Ok(Self { model, input, name: "none: random weights".to_owned(), tensors: None })
            }
            Some(weights) => Self::of(Weights::open(weights)?, recipe),
        }
    }

    fn of(weights: Weights, recipe: &Recipe) -> Result<Self> {
        let model = weights.model()?;
        let Weights { name, file, preset, .. } = weights;
        if let Some(asked) = recipe.model.as_deref().filter(|asked| *asked != model.name()) {
            return Err(Error::Flags(format!(
                "--weights {name} are those of {}, but --model is {asked}: leave --model out",
                model.name()
            )));
        }
        let input = input(&model, recipe.size, preset.preprocessing);
        Ok(Self { model, input, name, tensors: Some(file.tensors) })
    }

    /// Whether there are pretrained weights.
    pub fn pretrained(&self) -> bool {
        self.tensors.is_some()
    }

    /// A learner that starts here, with a new head for `classes`.
    ///
    /// # Errors
    /// If the weights do not fit the network, or the device has too little memory.
    pub fn learner(&self, gpu: &Arc<Gpu>, classes: &[String], seed: u64) -> Result<Learner> {
        let mut learner =
            Learner::new(gpu, self.model.clone().classes(classes.len()), self.input.crop, seed)?;
        learner.set_preprocessing(self.input.clone())?;
        if let Some(tensors) = &self.tensors {
            learner.load(tensors, &LoadOptions::skip_head())?;
        }
        learner.set_classes(classes)?;
        Ok(learner)
    }
}

/// The preset of the weights, or that of the network's authors, at `size` if it is given.
fn input(model: &Model, size: Option<u32>, preset: Option<Preprocessing>) -> Preprocessing {
    let side = model.default_size();
    let preset = preset.unwrap_or_else(|| match model.input_channels() {
        3 if model.name().starts_with("efficientnet_lite") => Preprocessing::efficientnet_lite(side),
        3 => Preprocessing::imagenet(side),
        channels => Preprocessing {
            resize: Some(side),
            channels,
            mean: vec![0.5; channels],
            std: vec![0.5; channels],
            ..Preprocessing::imagenet(side)
        },
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
