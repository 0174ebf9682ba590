//! A network, at rest or in training.

use crate::augment::{Changes, augment};
use crate::engine::Engine;
use crate::fault::{Fault, Result};
use crate::images::Images;
use crate::plan;
use crate::probe::Probe;
use crate::recipe::{Rate, Recipe};
use frostline_engine::{Gpu, Graph};
use frostline_export::{Trained, onnx};
use frostline_loader::{ImageSet, Preprocessing, RgbImage8, StateDict, safetensors};
use frostline_models::{LoadOptions, Model, state_dict};
use frostline_trainer::{Evaluation, Features, Learner, Live, Prediction, Snapshot, StepRecord, Unit};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// Mean and deviation of Fashion-MNIST's pixels in 0..=1, which the small ResNet-10 was pretrained with.
const FASHION: (f32, f32) = (0.2860, 0.3530);

/// A network with its weights on the device.
#[wasm_bindgen]
pub struct Network {
    gpu: Arc<Gpu>,
    body: Body,
    /// The head of the pretraining: its weight (classes, features) and its bias.
    old_head: Option<(Vec<f32>, Vec<f32>)>,
    recipe: Recipe,
    /// The weights at the start of the run.
    start: Option<Snapshot>,
}

enum Body {
    Still(Box<Learner>),
    Live(Box<Live>),
    /// While the one becomes the other, or after a failure to do so.
    Gone,
}

#[derive(Serialize)]
struct StageView {
    name: String,
    channels: usize,
    height: usize,
    width: usize,
    parameters: usize,
}

#[derive(Serialize)]
struct View<'a> {
    name: &'a str,
    size: usize,
    channels: usize,
    classes: &'a [String],
    stages: Vec<StageView>,
}

#[derive(Serialize)]
struct StepView {
    step: u64,
    loss: f32,
    accuracy: f32,
    rate: f32,
}

#[wasm_bindgen]
impl Network {
    /// The network `name`, "resnet10" (28 × 28 grey) or "resnet10_photo" (96 × 96 RGB), with the pretrained
    /// `weights` of a safetensors file, or with random ones drawn from `seed`. `classes` is a JSON array: a new
    /// head for them; or null: the head of the file.
    pub fn new(
        engine: &Engine,
        name: &str,
        weights: Option<Vec<u8>>,
        classes: &str,
        seed: u64,
    ) -> Result<Network> {
        let model = Model::new(name)?;
        let (size, grey) = (model.default_size(), model.input_channels() == 1);
        let classes: Option<Vec<String>> = serde_json::from_str(classes)?;
        let file = weights.map(|bytes| safetensors::parse(&bytes, Path::new(name))).transpose()?;
        let old_head = file.as_ref().and_then(|file| head(&file.tensors));
        let count = match (&classes, &old_head) {
            (Some(classes), _) => Some(classes.len()),
            (None, Some((_, bias))) => Some(bias.len()),
            (None, None) => None,
        };
        let model = count.map_or(model.clone().without_head(), |count| model.classes(count));
        let mut learner = Learner::new(&engine.gpu, model, size, seed)?;
        let input = Preprocessing { resize: Some(size), ..Preprocessing::imagenet(size) };
        learner.set_preprocessing(match grey {
            false => input,
            true => Preprocessing { channels: 1, mean: vec![FASHION.0], std: vec![FASHION.1], ..input },
        })?;
        if let Some(file) = &file {
            let options = if classes.is_some() { LoadOptions::skip_head() } else { LoadOptions::strict() };
            learner.load(&file.tensors, &options)?;
        }
        let named = || -> Option<Vec<String>> {
            let names = file.as_ref()?.metadata.get("classes")?;
            serde_json::from_str(names).ok().filter(|names: &Vec<String>| Some(names.len()) == count)
        };
        if let Some(classes) = classes.or_else(named) {
            learner.set_classes(&classes)?;
        }
        Ok(Self { old_head, ..Self::still(&engine.gpu, learner) })
    }

    /// The network of a checkpoint: the bytes of the file that `frostline train` or
    /// [`Network::checkpoint`] made. `name` is the file's, for errors.
    pub async fn open(engine: &Engine, bytes: Vec<u8>, name: &str) -> Result<Network> {
        let learner = Learner::resume_bytes(&engine.gpu, &bytes, name).await?;
        Ok(Self::still(&engine.gpu, learner))
    }

    /// A copy of this network as it is now, to train it for `classes` (a JSON array). The head is copied if
    /// it is for the same classes; otherwise the copy has a new one, drawn from `seed`.
    pub async fn copy(&mut self, classes: &str, seed: u64) -> Result<Network> {
        let classes: Vec<String> = serde_json::from_str(classes)?;
        let gpu = self.gpu.clone();
        let learner = self.learner()?;
        let model = learner.model().clone().classes(classes.len());
        let same = learner.model().class_count().is_some() && learner.classes() == classes;
        let weights = state_dict::save_async(learner.params()).await?;
        let mut copy = Learner::new(&gpu, model, learner.size(), seed)?;
        copy.set_preprocessing(learner.preprocessing().clone())?;
        copy.load(&weights, &if same { LoadOptions::strict() } else { LoadOptions::skip_head() })?;
        copy.set_classes(&classes)?;
        Ok(Self::still(&gpu, copy))
    }

    /// Its sizes, classes and stages: JSON.
    pub fn describe(&mut self) -> Result<String> {
        let learner = self.learner()?;
        let (size, channels) = (learner.size(), learner.model().input_channels());
        let (graph, recorded) = record(learner)?;
        let mut stages = vec![];
        for (name, &output) in &recorded.stages {
            let shape = graph.shape(output).torch();
            let side = |at: usize| shape.get(at).copied().unwrap_or(1);
            let members = learner.members(name).unwrap_or_default();
            let count = |name: &String| {
                let found = learner.params().tensors().find(|(known, _)| known == name);
                found.map_or(0, |(_, shape)| shape.count())
            };
            let parameters = members.iter().map(count).sum();
            stages.push(StageView {
                name: name.clone(),
                channels: side(1),
                height: side(2),
                width: side(3),
                parameters,
            });
        }
        let view = View { name: learner.model().name(), size, channels, classes: learner.classes(), stages };
        Ok(serde_json::to_string(&view)?)
    }

    /// Pixels as this network takes them, of an image of `width` × `height` pixels with 3 bytes each.
    pub fn prepare(&mut self, rgb: Vec<u8>, width: usize, height: usize) -> Result<Vec<u8>> {
        let image = RgbImage8::new(width, height, rgb)?;
        Ok(self.learner()?.preprocessing().pixels(&image)?)
    }

    /// The output of `stage` for one prepared image: (channels, height, width) values.
    pub async fn activation(&mut self, pixels: Vec<u8>, stage: String) -> Result<Vec<f32>> {
        let learner = self.learner()?;
        let source = unlabelled(learner, pixels)?;
        let (graph, recorded) = record(learner)?;
        let unknown = || {
            let known = recorded.stages.keys().cloned().collect::<Vec<_>>().join(", ");
            Fault::input(format!("there is no stage `{stage}`; there are: {known}"))
        };
        let output = *recorded.stages.get(&stage).ok_or_else(unknown)?;
        // Cells of one pixel each: the maps themselves.
        let side = graph.shape(output).torch().get(2).copied().unwrap_or(1);
        Ok(learner.features_async(&source, &stage, side).await?.values)
    }

    /// The mean over each map of `stage` for prepared images, one after another.
    pub async fn features(&mut self, pixels: Vec<u8>, stage: String) -> Result<Vec<f32>> {
        let learner = self.learner()?;
        let source = unlabelled(learner, pixels)?;
        Ok(learner.features_async(&source, &stage, 1).await?.values)
    }

    /// Logits of prepared images, without the normalisation of their pixels if `raw`.
    pub async fn logits(&mut self, pixels: Vec<u8>, raw: bool) -> Result<Vec<f32>> {
        let learner = self.learner()?;
        let source = unlabelled(learner, pixels)?;
        if !raw {
            return Ok(learner.logits_async(&source).await?);
        }
        let usual = learner.preprocessing().clone();
        let channels = usual.channels;
        learner.set_normalization(&vec![0.0; channels], &vec![1.0; channels])?;
        let logits = learner.logits_async(&source).await;
        learner.set_preprocessing(usual)?;
        Ok(logits?)
    }

    /// Probabilities of one row of logits.
    pub fn probabilities(logits: Vec<f32>) -> Vec<f64> {
        Prediction::of(&logits).probabilities
    }

    /// Logits of one prepared image by a probe on this network's pooled features.
    pub async fn probe_logits(&mut self, pixels: Vec<u8>, probe: &Probe) -> Result<Vec<f32>> {
        let learner = self.learner()?;
        let source = unlabelled(learner, pixels)?;
        let features = learner.features_async(&source, "avgpool", 1).await?;
        let features = Features { classes: probe.classes.clone(), ..features };
        Ok(probe.head.logits(&features)?)
    }

    /// The gradient of the largest value of `channel` of `stage` with respect to the pixels: (height, width,
    /// channels) values, and before them the row and the column of that value.
    pub async fn excite(&mut self, pixels: Vec<u8>, stage: String, channel: usize) -> Result<Vec<f32>> {
        let maps = self.activation(pixels.clone(), stage.clone()).await?;
        let learner = self.learner()?;
        let (graph, recorded) = record(learner)?;
        let shape = graph.shape(recorded.stages[&stage]).torch();
        let (width, plane) = (shape[3], shape[2] * shape[3]);
        let map = maps.get(channel * plane..(channel + 1) * plane).ok_or_else(|| {
            Fault::input(format!("`{stage}` has {} channels, and there is no channel {channel}", shape[1]))
        })?;
        let better = |best: usize, at: usize| if map[at] > map[best] { at } else { best };
        let at = (0..plane).fold(0, better);
        let unit = Unit { channel, y: at / width, x: at % width };
        let source = unlabelled(learner, pixels)?;
        let gradients = learner.input_gradients_async(&source, &stage, &[(0, unit)]).await?;
        let mut values = vec![unit.y as f32, unit.x as f32];
        values.extend(gradients.into_iter().flatten());
        Ok(values)
    }

    /// The filters of the first convolution, in PyTorch's order.
    pub async fn filters(&mut self) -> Result<Vec<f32>> {
        Ok(self.learner()?.params().get_async("conv1.weight").await?)
    }

    /// The shape of [`Network::filters`].
    pub fn filters_shape(&mut self) -> Result<Vec<u32>> {
        let params = self.learner()?.params();
        let shape =
            params.tensors().find(|(name, _)| *name == "conv1.weight").map(|(_, shape)| shape.torch());
        let shape = shape.ok_or_else(|| Fault::internal("this network has no conv1"))?;
        Ok(shape.into_iter().map(|side| side as u32).collect())
    }

    /// A prepared image as `seed` changes it by `changes` (JSON): bytes.
    pub async fn augment(&mut self, pixels: Vec<u8>, seed: u64, changes: String) -> Result<Vec<u8>> {
        let changes: Changes = serde_json::from_str(&changes)?;
        let gpu = self.gpu.clone();
        let learner = self.learner()?;
        let shape = [learner.size(), learner.size(), learner.model().input_channels()];
        unlabelled(learner, pixels.clone())?;
        Ok(augment(&gpu, &pixels, shape, seed, &changes).await?.0)
    }

    /// Starts to train on `images` by a recipe (JSON).
    pub async fn train(&mut self, images: &Images, recipe: String) -> Result<()> {
        let recipe = Recipe::parse(&recipe)?;
        let learner = self.learner()?;
        let options = recipe.options(learner.model())?;
        recipe.freeze(learner)?;
        let start = learner.snapshot_async().await?;
        let Body::Still(learner) = std::mem::replace(&mut self.body, Body::Gone) else {
            return Err(Fault::input("this network is in training already"));
        };
        let live = Live::start(*learner, images.set.clone(), options).await?;
        (self.body, self.recipe, self.start) = (Body::Live(Box::new(live)), recipe, Some(start));
        Ok(())
    }

    /// Submits a step.
    pub async fn step(&mut self) -> Result<()> {
        Ok(self.live()?.step().await?)
    }

    /// The steps since the last reading: JSON.
    pub async fn read(&mut self) -> Result<String> {
        steps(self.live()?.read().await?)
    }

    /// Steps submitted.
    pub fn steps(&mut self) -> Result<u32> {
        Ok(self.live()?.steps() as u32)
    }

    /// Dispatches of all steps, as the engine counted them.
    pub fn dispatches(&mut self) -> Result<f64> {
        Ok(self.live()?.executed().dispatches as f64)
    }

    /// Freezes everything below `stage` from the next step on; the steps that were not read yet: JSON.
    pub async fn freeze_below(&mut self, stage: String) -> Result<String> {
        let records = self.live()?.freeze_below(&stage).await?;
        self.recipe.freeze_below = stage;
        steps(records)
    }

    /// Sets the rates (JSON: a number, or numbers by stage) from the next step on; the steps that were not
    /// read yet: JSON.
    pub async fn set_rate(&mut self, rate: String) -> Result<String> {
        let rate: Rate = serde_json::from_str(&rate)?;
        let live = self.live()?;
        let optim = rate.optim(live.learner().model())?;
        let records = live.set_rates(optim).await?;
        self.recipe.rate = rate;
        steps(records)
    }

    /// Trains on other images from the next step on.
    pub fn set_images(&mut self, images: &Images) -> Result<()> {
        Ok(self.live()?.set_images(images.set.clone())?)
    }

    /// The plan of the next step: JSON.
    pub fn plan(&mut self) -> Result<String> {
        let recipe = self.recipe.clone();
        let live = self.live()?;
        let unfrozen = live.unfrozen_plan()?;
        let model = live.learner().model().clone();
        plan::json(&model, live.plan(), &unfrozen, &recipe.freeze_below, recipe.batch)
    }

    /// The plan that a recipe (JSON) would give, for a network at rest: JSON.
    pub fn plan_of(&mut self, recipe: &str) -> Result<String> {
        let recipe = Recipe::parse(recipe)?;
        let learner = self.learner()?;
        let options = recipe.options(learner.model())?;
        recipe.freeze(learner)?;
        let plan = learner.training_plan(&options);
        let unfrozen = learner.unfrozen_plan(&options);
        plan::json(learner.model(), &plan?, &unfrozen?, &recipe.freeze_below, recipe.batch)
    }

    /// Accuracy and loss on `images`: two numbers.
    pub async fn evaluate(&mut self, images: &Images) -> Result<Vec<f64>> {
        let Evaluation { accuracy, loss, .. } = self.learner()?.evaluate_async(&images.set).await?;
        Ok(vec![accuracy, loss])
    }

    /// Accuracy on `images` of the classes of the pretraining, by the head of the pretraining on the body as
    /// it is now.
    pub async fn evaluate_old(&mut self, images: &Images) -> Result<f64> {
        let (weight, bias) = self.old_head.clone().ok_or_else(|| {
            Fault::input("the weights of this network have no head for the classes of their pretraining")
        })?;
        let features = self.learner()?.features_async(&images.set, "avgpool", 1).await?;
        let logit = |row: &[f32], class: usize| {
            let products = weight[class * features.width..].iter().zip(row);
            bias[class] + products.map(|(weight, value)| weight * value).sum::<f32>()
        };
        let rows = features.values.chunks_exact(features.width);
        let logits: Vec<f32> = rows
            .flat_map(|row| (0..bias.len()).map(move |class| (row, class)))
            .map(|(row, class)| logit(row, class))
            .collect();
        if images.set.classes.len() != bias.len() {
            let (data, head) = (images.set.classes.len(), bias.len());
            return Err(Fault::input(format!("{data} classes of images, the old head has {head}")));
        }
        Ok(Evaluation::of(&logits, &images.set.labels, bias.len()).accuracy)
    }

    /// How far each stage has moved since the run began, |Δw| / |w|: JSON.
    pub async fn updates(&mut self) -> Result<String> {
        let start = self.start.take().ok_or_else(|| Fault::input("this network is not in training"))?;
        let updates = self.learner()?.updates_since_async(&start).await;
        self.start = Some(start);
        let rows = updates?;
        let view: Vec<_> = rows
            .iter()
            .map(|update| {
                // A stage of zeros has no size to compare with.
                let relative = Some(update.relative).filter(|relative| relative.is_finite());
                serde_json::json!({ "stage": update.stage, "relative": relative })
            })
            .collect();
        Ok(serde_json::to_string(&view)?)
    }

    /// The checkpoint as the bytes of a safetensors file, which `frostline` reads.
    pub async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        match &mut self.body {
            Body::Live(live) => Ok(live.checkpoint().await?),
            Body::Still(learner) => Ok(learner.save_async().await?),
            Body::Gone => Err(gone()),
        }
    }

    /// The network as an ONNX file, with the preprocessing of a photo inside.
    pub async fn onnx(&mut self) -> Result<Vec<u8>> {
        let learner = self.learner()?;
        let weights = state_dict::save_async(learner.params()).await?;
        Ok(onnx::model(&Trained {
            model: learner.model(),
            weights: &weights,
            preprocessing: learner.preprocessing(),
            classes: learner.classes(),
            about: &BTreeMap::new(),
        })?)
    }
}

impl Network {
    fn still(gpu: &Arc<Gpu>, learner: Learner) -> Self {
        let body = Body::Still(Box::new(learner));
        Self { gpu: gpu.clone(), body, old_head: None, recipe: Recipe::default(), start: None }
    }

    fn learner(&mut self) -> Result<&mut Learner> {
        match &mut self.body {
            Body::Still(learner) => Ok(learner),
            Body::Live(live) => Ok(live.learner()),
            Body::Gone => Err(gone()),
        }
    }

    fn live(&mut self) -> Result<&mut Live> {
        match &mut self.body {
            Body::Live(live) => Ok(live),
            Body::Still(_) => Err(Fault::input("this network is not in training")),
            Body::Gone => Err(gone()),
        }
    }
}

fn gone() -> Fault {
    Fault::input("this run could not start, and its network is gone: open another")
}

/// The head of a file of weights.
fn head(tensors: &StateDict) -> Option<(Vec<f32>, Vec<f32>)> {
    Some((tensors.get("fc.weight")?.data.clone(), tensors.get("fc.bias")?.data.clone()))
}

/// The network for one image.
fn record(learner: &Learner) -> Result<(Graph, frostline_models::Recorded)> {
    let mut graph = Graph::new();
    let x = graph.input(1, learner.size(), learner.size(), learner.model().input_channels());
    let recorded = learner.model().record(&mut graph, x)?;
    Ok((graph, recorded))
}

/// Prepared images whose labels are not looked at.
fn unlabelled(learner: &Learner, pixels: Vec<u8>) -> Result<ImageSet> {
    let (side, channels) = (learner.size(), learner.model().input_channels());
    let each = side * side * channels;
    if pixels.is_empty() || !pixels.len().is_multiple_of(each) {
        return Err(Fault::input(format!(
            "images of {side} × {side} pixels and {channels} bytes each, got {} bytes",
            pixels.len()
        )));
    }
    let labels = vec![0; pixels.len() / each];
    let classes = vec!["unknown".to_owned()];
    Ok(ImageSet { height: side, width: side, channels, images: pixels, labels, classes })
}

fn steps(records: Vec<StepRecord>) -> Result<String> {
    let view = |record: &StepRecord| StepView {
        step: record.step,
        loss: record.loss,
        accuracy: record.accuracy,
        rate: record.lr,
    };
    Ok(serde_json::to_string(&records.iter().map(view).collect::<Vec<_>>())?)
}
