//! Unsupported networks, recognised by the names and shapes of their weights.
//!
//! Some share all names with a ResNet. A list of differences would not name the network.

use std::collections::BTreeMap;

use crate::resnet::Block;

/// Parts of names that only one family has, and its name.
const FAMILIES: [(&str, &str); 14] = [
    ("attn.qkv", "a vision transformer"),
    ("encoder_layer_0.self_attention", "torchvision's vision transformer"),
    ("attention.attention.query", "Hugging Face's vision transformer"),
    ("relative_position_bias_table", "a Swin transformer"),
    ("visual.transformer", "CLIP"),
    ("vision_model.encoder", "CLIP"),
    ("denseblock1", "a DenseNet"),
    ("Mixed_5b", "an Inception network"),
    ("mixed_5b", "an Inception network"),
    ("dwconv", "a ConvNeXt"),
    ("conv_dw.weight", "a MobileNet or an EfficientNet of timm's"),
    ("features.0.0.weight", "a MobileNet or an EfficientNet of torchvision's"),
    ("features.0.weight", "a VGG, an AlexNet or a SqueezeNet"),
    ("_se_reduce", "an EfficientNet with squeeze-and-excitation"),
];

/// The network of these shapes by name, if it is a known but unsupported one. `depth` is that of the ResNet
/// with the same names.
pub(crate) fn foreign(
    shapes: &BTreeMap<String, Vec<usize>>,
    block: Block,
    blocks: &[usize],
) -> Option<String> {
    let has = |part: &str| shapes.keys().any(|name| name.contains(part));
    if !shapes.keys().any(|name| name.starts_with("layer1.0.")) {
        return FAMILIES.iter().find(|(part, _)| has(part)).map(|(_, family)| (*family).to_owned());
    }
    let convolutions = if block == Block::Bottleneck { 3 } else { 2 };
    let depth = 2 + convolutions * blocks.iter().sum::<usize>();
    let dimension = |name: &str, axis: usize| shapes.get(name)?.get(axis).copied();
    if has(".se.") || has(".se_module.") {
        return Some(format!("an SE-ResNet-{depth} (squeeze-and-excitation)"));
    }
    for (part, family) in
        [(".eca.", "ECA-ResNet"), (".attn.", "ResNet with attention"), (".conv2.fc1.", "ResNeSt")]
    {
        if has(part) {
            return Some(format!("{family}-{depth}"));
        }
    }
    let grouped = (dimension("layer1.0.conv2.weight", 0), dimension("layer1.0.conv2.weight", 1));
    if let (Block::Bottleneck, (Some(out), Some(each @ 1..))) = (block, grouped)
        && out > each
        && out.is_multiple_of(each)
    {
        return Some(format!("a ResNeXt-{depth} ({}x{each}d: convolutions in groups)", out / each));
    }
    if has("conv1.0.weight") || dimension("layer2.0.downsample.1.weight", 3).is_some() {
        return Some(format!("a ResNet-{depth}-D (another stem and other shortcuts)"));
    }
    let widths = (dimension("conv1.weight", 0), dimension("layer1.0.conv1.weight", 0));
    match (block, widths) {
        (Block::Bottleneck, (Some(stem), Some(inner))) if inner > stem => {
            Some(format!("a wide ResNet-{depth} ({} times the width)", inner / stem.max(1)))
        }
        _ => None,
    }
}
