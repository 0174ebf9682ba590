//! EfficientNet-Lite0: inverted residual blocks with a wide, depthwise middle.
//!
//! Tan and Le, *EfficientNet* (2019), with TensorFlow's "lite" changes for small devices: relu6
//! for swish, no squeeze-and-excitation. Padding is TensorFlow's "SAME", which at stride 2 adds the odd row
//! below and the odd column to the right; batch norm has eps 1e-3. This is timm's `tf_efficientnet_lite0`;
//! its `efficientnet_lite0` has the same names and shapes, but pads evenly and has eps 1e-5.

use crate::model::Stage;
use frostline_engine::{Graph, Padding, Result, Shape, TensorId};

const EPS: f32 = 1e-3;
const STEM: usize = 32;
const HEAD: usize = 1280;

/// A run of equal blocks; only the first has the stride and changes the number of channels.
struct Run {
    repeats: usize,
    /// The depthwise convolution's.
    kernel: usize,
    stride: usize,
    /// Factor by which the middle is wider.
    expand: usize,
    c_out: usize,
}

const fn run(repeats: usize, kernel: usize, stride: usize, expand: usize, c_out: usize) -> Run {
    Run { repeats, kernel, stride, expand, c_out }
}

/// Table 1 of the paper, without the last row's 1×1 convolution.
const RUNS: [Run; 7] = [
    run(1, 3, 1, 1, 16),
    run(2, 3, 2, 6, 24),
    run(2, 5, 2, 6, 40),
    run(3, 3, 2, 6, 80),
    run(3, 5, 1, 6, 112),
    run(4, 5, 2, 6, 192),
    run(1, 3, 1, 6, 320),
];

/// Every block's run and its own stride, in order.
fn blocks() -> impl Iterator<Item = (&'static Run, usize)> {
    let strides =
        |run: &'static Run| (0..run.repeats).map(move |i| (run, if i == 0 { run.stride } else { 1 }));
    RUNS.iter().flat_map(strides)
}

pub(crate) fn stages() -> Vec<Stage> {
    let mut stages = vec![Stage::new("stem", &["_conv_stem", "_bn0"], STEM)];
    for (i, (run, _)) in blocks().enumerate() {
        stages.push(Stage::new(&format!("blocks.{i}"), &[&format!("_blocks.{i}")], run.c_out));
    }
    stages.push(Stage::new("head", &["_conv_head", "_bn1"], HEAD));
    stages
}

/// Records stage `index` of [`stages`].
pub(crate) fn record(graph: &mut Graph, index: usize, x: TensorId) -> Result<TensorId> {
    if index == 0 {
        let x = graph.conv2d(x, "_conv_stem", STEM, 3, 2, same(graph, x, 3, 2))?;
        let x = graph.batch_norm(x, "_bn0", EPS)?;
        return graph.relu6(x, "stem.relu6");
    }
    match blocks().nth(index - 1) {
        Some((run, stride)) => record_block(graph, &format!("_blocks.{}", index - 1), run, stride, x),
        None => {
            let x = graph.conv2d(x, "_conv_head", HEAD, 1, 1, Padding::default())?;
            let x = graph.batch_norm(x, "_bn1", EPS)?;
            graph.relu6(x, "head.relu6")
        }
    }
}

fn record_block(graph: &mut Graph, name: &str, run: &Run, stride: usize, x: TensorId) -> Result<TensorId> {
    let c_in = graph.shape(x).channels();
    let mut y = x;
    if run.expand > 1 {
        y = graph.conv2d(y, &format!("{name}._expand_conv"), run.expand * c_in, 1, 1, Padding::default())?;
        y = graph.batch_norm(y, &format!("{name}._bn0"), EPS)?;
        y = graph.relu6(y, &format!("{name}.relu6_0"))?;
    }
    let padding = same(graph, y, run.kernel, stride);
    y = graph.depthwise_conv2d(y, &format!("{name}._depthwise_conv"), run.kernel, stride, padding)?;
    y = graph.batch_norm(y, &format!("{name}._bn1"), EPS)?;
    y = graph.relu6(y, &format!("{name}.relu6_1"))?;
    y = graph.conv2d(y, &format!("{name}._project_conv"), run.c_out, 1, 1, Padding::default())?;
    y = graph.batch_norm(y, &format!("{name}._bn2"), EPS)?;
    if stride == 1 && c_in == run.c_out {
        y = graph.add(y, x, &format!("{name}.add"))?;
    }
    Ok(y)
}

/// Padding "SAME" for the image `x`. An input that is not an image gets none: the convolution reports the
/// error.
fn same(graph: &Graph, x: TensorId, kernel: usize, stride: usize) -> Padding {
    match graph.shape(x) {
        Shape::Image { h, w, .. } if h > 0 && w > 0 => Padding::same(h, w, kernel, stride),
        _ => Padding::default(),
    }
}

/// Layers outside the blocks: the model's names and timm's.
const LAYERS: [[&str; 2]; 5] = [
    ["_conv_stem", "conv_stem"],
    ["_bn0", "bn1"],
    ["_conv_head", "conv_head"],
    ["_bn1", "bn2"],
    ["_fc", "classifier"],
];
/// Layers of a block that widens first, and of one that does not (timm's `InvertedResidual` and
/// `DepthwiseSeparableConv`).
const WIDENING: [[&str; 2]; 6] = [
    ["_expand_conv", "conv_pw"],
    ["_bn0", "bn1"],
    ["_depthwise_conv", "conv_dw"],
    ["_bn1", "bn2"],
    ["_project_conv", "conv_pwl"],
    ["_bn2", "bn3"],
];
const PLAIN: [[&str; 2]; 4] =
    [["_depthwise_conv", "conv_dw"], ["_bn1", "bn1"], ["_project_conv", "conv_pw"], ["_bn2", "bn2"]];

/// The layers of a block of `run`.
fn layers(run: &Run) -> &'static [[&'static str; 2]] {
    if run.expand > 1 { &WIDENING } else { &PLAIN }
}

/// The row of `names` whose entry `side` is `name`, and in it the other entry.
fn other(names: &'static [[&'static str; 2]], side: usize, name: &str) -> Option<&'static str> {
    names.iter().find(|pair| pair[side] == name).map(|pair| pair[1 - side])
}

/// timm's name of the tensor that the model calls `name`: timm counts blocks within each run.
pub(crate) fn to_timm(name: &str) -> Option<String> {
    match name.split('.').collect::<Vec<_>>()[..] {
        ["_blocks", number, layer, leaf] => {
            let mut index = number.parse::<usize>().ok()?;
            for (stage, run) in RUNS.iter().enumerate() {
                if index < run.repeats {
                    return Some(format!("blocks.{stage}.{index}.{}.{leaf}", other(layers(run), 0, layer)?));
                }
                index -= run.repeats;
            }
            None
        }
        [layer, leaf] => Some(format!("{}.{leaf}", other(&LAYERS, 0, layer)?)),
        _ => None,
    }
}

/// The inverse of [`to_timm`].
pub(crate) fn from_timm(name: &str) -> Option<String> {
    match name.split('.').collect::<Vec<_>>()[..] {
        ["blocks", stage, index, layer, leaf] => {
            let (stage, index) = (stage.parse::<usize>().ok()?, index.parse::<usize>().ok()?);
            let run = RUNS.get(stage).filter(|run| index < run.repeats)?;
            let before: usize = RUNS[..stage].iter().map(|run| run.repeats).sum();
            Some(format!("_blocks.{}.{}.{leaf}", before + index, other(layers(run), 1, layer)?))
        }
        [layer, leaf] => Some(format!("{}.{leaf}", other(&LAYERS, 1, layer)?)),
        _ => None,
    }
}
