//! Recognises the network of a file of weights by its names and shapes.

use crate::dialect::Dialect;
use crate::foreign::foreign;
use crate::model::{Model, NAMES};
use crate::resnet::{Block, Stem};
use frostline_loader::StateDict;
use std::collections::BTreeMap;

/// The model that these weights fit, with their channels, width and classes; without head if they have none.
/// `None` if they fit no network of [`NAMES`].
///
/// The depth is determined from the blocks' numbers, the rest from the first and last weight: enough for
/// `--weights FILE` without `--model`. [`crate::state_dict::load`] checks whether every tensor fits.
pub fn guess(state: &StateDict) -> Option<Model> {
    let dialect = Dialect::detect(state.keys().map(String::as_str));
    let shapes = state.iter().map(|(name, tensor)| (dialect.to_model(name), tensor.shape.clone()));
    guess_from(&shapes.collect())
}

/// The unsupported network that these weights fit, such as "a ResNeXt-50 (32x4d: …)"; `None` for networks of
/// [`NAMES`] and for unknown ones.
pub fn looks_like(state: &StateDict) -> Option<String> {
    let dialect = Dialect::detect(state.keys().map(String::as_str));
    let shapes = state.iter().map(|(name, tensor)| (dialect.to_model(name), tensor.shape.clone()));
    foreign_from(&shapes.collect())
}

/// [`looks_like`] from the model's names and PyTorch's shapes.
pub(crate) fn foreign_from(shapes: &BTreeMap<String, Vec<usize>>) -> Option<String> {
    foreign(shapes, block(shapes), &blocks(shapes))
}

/// [`guess`] from the model's names and PyTorch's shapes.
pub(crate) fn guess_from(shapes: &BTreeMap<String, Vec<usize>>) -> Option<Model> {
    let dimension = |name: &str, axis: usize| shapes.get(name)?.get(axis).copied();
    let (model, stem, head) = if shapes.contains_key("_conv_stem.weight") {
        (Model::new("efficientnet_lite0").ok()?, "_conv_stem.weight", "_fc.weight")
    } else {
        let kind = (block(shapes), blocks(shapes), stem(dimension("conv1.weight", 3)?));
        let model = NAMES.iter().filter_map(|name| Model::new(name).ok()).find(|model| {
            model.resnet().is_some_and(|known| kind == (known.block, known.blocks.to_vec(), known.stem))
        })?;
        (model.width(dimension("conv1.weight", 0)?), "conv1.weight", "fc.weight")
    };
    let model = model.in_channels(dimension(stem, 1)?);
    Some(match dimension(head, 0) {
        Some(classes) => model.classes(classes),
        None => model.without_head(),
    })
}

fn block(shapes: &BTreeMap<String, Vec<usize>>) -> Block {
    if shapes.contains_key("layer1.0.conv3.weight") { Block::Bottleneck } else { Block::Basic }
}

fn stem(kernel: usize) -> Stem {
    if kernel == 7 { Stem::Photo } else { Stem::Small }
}

/// The number of blocks of each stage. Counting stops at the first absent block, so that a number in a
/// hostile name never becomes a length.
fn blocks(shapes: &BTreeMap<String, Vec<usize>>) -> Vec<usize> {
    let has = |stage: usize, block: usize| shapes.contains_key(&format!("layer{stage}.{block}.conv1.weight"));
    let count = |stage| (0..).take_while(|&block| has(stage, block)).count();
    (1..).map(count).take_while(|&count| count > 0).collect()
}
