//! A network by name: its settings, its stages, and how it is recorded.

use crate::efficientnet;
use crate::error::{Error, Result};
use crate::resnet::{Block, ResNet, Stem};
use frostline_engine::{Graph, Shape, TensorId};
use indexmap::IndexMap;
use std::fmt;

/// Key of [`Recorded::stages`] for the mean over the image: the features that `fc` reads.
pub const POOLED: &str = "avgpool";

/// Suffix of the name of a Bottleneck network with the stride of the paper.
const V1: &str = "_v1";

/// The last stage, the linear classifier.
const HEAD: &str = "fc";

/// The names that [`Model::new`] accepts.
///
/// | name | stem | blocks | widths | made for |
/// |---|---|---|---|---|
/// | `resnet18`, `resnet34` | 7×7/2, max-pool | BasicBlock 2-2-2-2, 3-4-6-3 | 64 … 512 | 3×224×224 |
/// | `resnet50`, `resnet101`, `resnet152` | the same | Bottleneck 3-4-6-3, 3-4-23-3, 3-8-36-3 | 256 … 2048 | 3×224×224 |
/// | `resnet50_v1`, `resnet101_v1`, `resnet152_v1` | the same | the same, the stride in a Bottleneck's first 1×1 | the same | 3×224×224 |
/// | `resnet10` | 3×3/1 | BasicBlock 1-1-1-1 | 16 … 128 | 1×28×28 |
/// | `resnet10_photo` | 7×7/2, max-pool | BasicBlock 1-1-1-1 | 32 … 256 | 3×96×96 |
/// | `resnet20` | 3×3/1 | BasicBlock 3-3-3 | 16 … 64 | 3×32×32 |
/// | `efficientnet_lite0` | 3×3/2 | 16 inverted residuals | 16 … 320, 1280 | 3×224×224 |
///
/// All take any other image size too. `resnet10` and `resnet10_photo` are not torchvision networks: they are
/// the networks of the chapters. `resnet20` is He et al.'s for CIFAR with 1×1 convolutions as shortcuts.
pub const NAMES: [&str; 12] = [
    "resnet10",
    "resnet10_photo",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet50_v1",
    "resnet101_v1",
    "resnet152_v1",
    "efficientnet_lite0",
];

/// A part of a network that has one output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub name: String,
    /// First parts of the names of its parameters.
    pub members: Vec<String>,
    /// Of its output.
    pub channels: usize,
}

impl Stage {
    pub fn new(name: &str, members: &[&str], channels: usize) -> Self {
        Self { name: name.to_owned(), members: members.iter().map(|&m| m.to_owned()).collect(), channels }
    }
}

/// A network's sizes and settings. Builders are checked when it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    name: String,
    body: Body,
    in_channels: usize,
    classes: Option<usize>,
    default_size: usize,
    /// A builder that this network does not have, and its value.
    refused: Option<(&'static str, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    ResNet(ResNet),
    EfficientNetLite0,
}

/// What recording gave.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The output of every recorded stage by name, in order, including [`POOLED`], and `fc` if there is a
    /// head.
    pub stages: IndexMap<String, TensorId>,
    /// The mean over the image: (N, channels), as images of 1 × 1 pixel.
    pub features: TensorId,
    /// One number per class, unless the model has no head.
    pub logits: Option<TensorId>,
}

impl Recorded {
    /// The last tensor: logits if there are any, else features.
    pub fn output(&self) -> TensorId {
        self.logits.unwrap_or(self.features)
    }
}

impl Model {
    /// The network `name` (see [`NAMES`]) as its paper has it: 1,000 classes (`resnet10`,
    /// `resnet10_photo`, `resnet20`: 10), RGB images (`resnet10`: grey).
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn new(name: &str) -> Result<Self> {
        let photo = |block, blocks| (Body::ResNet(ResNet::new(block, blocks, 64, Stem::Photo)), 3, 1000, 224);
        let small = |blocks| Body::ResNet(ResNet::new(Block::Basic, blocks, 16, Stem::Small));
        let (plain, stride_first) = name.strip_suffix(V1).map_or((name, false), |plain| (plain, true));
        let (mut body, in_channels, classes, default_size) = match plain {
            "resnet10" => (small(&[1, 1, 1, 1]), 1, 10, 28),
            "resnet10_photo" => {
                (Body::ResNet(ResNet::new(Block::Basic, &[1, 1, 1, 1], 32, Stem::Photo)), 3, 10, 96)
            }
            "resnet20" => (small(&[3, 3, 3]), 3, 10, 32),
            "resnet18" => photo(Block::Basic, &[2, 2, 2, 2]),
            "resnet34" => photo(Block::Basic, &[3, 4, 6, 3]),
            "resnet50" => photo(Block::Bottleneck, &[3, 4, 6, 3]),
            "resnet101" => photo(Block::Bottleneck, &[3, 4, 23, 3]),
            "resnet152" => photo(Block::Bottleneck, &[3, 8, 36, 3]),
            "efficientnet_lite0" => (Body::EfficientNetLite0, 3, 1000, 224),
            _ => {
                return Err(Error::UnknownModel { name: name.to_owned(), known: NAMES.join(", ") });
            }
        };
        match &mut body {
            Body::ResNet(resnet) if resnet.block == Block::Bottleneck => resnet.stride_first = stride_first,
            _ if stride_first => {
                return Err(Error::UnknownModel { name: name.to_owned(), known: NAMES.join(", ") });
            }
            _ => {}
        }
        Ok(Self {
            name: name.to_owned(),
            body,
            in_channels,
            classes: Some(classes),
            default_size,
            refused: None,
        })
    }

    /// Sets the number of classes, and puts a head on if there was none.
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Removes the classifier: the output is the pooled features.
    pub fn without_head(mut self) -> Self {
        self.classes = None;
        self
    }

    /// Sets the channels of the images: 3 for RGB, 1 for grey.
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = channels;
        self
    }

    /// Sets the channels of the stem, of which all other widths are multiples. ResNets only.
    pub fn width(mut self, width: usize) -> Self {
        match &mut self.body {
            Body::ResNet(resnet) => resnet.width = width,
            Body::EfficientNetLite0 => self.refused = Some(("width", width)),
        }
        self
    }

    /// Sets the stride of the first convolution, 2 to reduce a small network's computation to a quarter on
    /// larger images. ResNets only.
    pub fn stem_stride(mut self, stride: usize) -> Self {
        match &mut self.body {
            Body::ResNet(resnet) => resnet.stem_stride = stride,
            Body::EfficientNetLite0 => self.refused = Some(("stem_stride", stride)),
        }
        self
    }

    /// The name that it was created with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model `name` with these sizes, if its weights have the same names and shapes: `resnet50` and
    /// `resnet50_v1` do, and weights do not determine which of the two they belong to. `None` for another
    /// network.
    pub fn called(self, name: &str) -> Option<Self> {
        if self.name == name {
            return Some(self);
        }
        let plain = |name: &str| name.strip_suffix(V1).unwrap_or(name).to_owned();
        let Self { body: Body::ResNet(mut resnet), .. } = self else { return None };
        if plain(&self.name) != plain(name) || resnet.block != Block::Bottleneck {
            return None;
        }
        resnet.stride_first = name.ends_with(V1);
        Some(Self { name: name.to_owned(), body: Body::ResNet(resnet), ..self })
    }

    /// The name; for the paper's variant, the name of the network with the same names and shapes of weights.
    pub(crate) fn plain_name(&self) -> &str {
        self.name.strip_suffix(V1).unwrap_or(&self.name)
    }

    /// Side of the square images it was designed for, in pixels.
    pub fn default_size(&self) -> usize {
        self.default_size
    }

    /// Number of channels of its input images.
    pub fn input_channels(&self) -> usize {
        self.in_channels
    }

    /// Stride of the first convolution if [`Model::stem_stride`] sets it. A checkpoint must store it in
    /// addition to its weights, whose shapes determine all other settings.
    pub fn first_stride(&self) -> Option<usize> {
        self.resnet().map(|resnet| resnet.stem_stride)
    }

    /// Number of classes, if it has a head.
    pub fn class_count(&self) -> Option<usize> {
        self.classes
    }

    /// Number of pooled features, which a head reads.
    pub fn feature_count(&self) -> usize {
        self.body_stages().last().map_or(0, |stage| stage.channels)
    }

    /// Stages with parameters, from the image on: `stem`, `layer1` … `fc`.
    pub fn stages(&self) -> Vec<String> {
        self.all_stages().into_iter().map(|stage| stage.name).collect()
    }

    /// First parts of parameter names, in model order: `conv1`, `bn1`, `layer1` … `fc`.
    pub fn groups(&self) -> Vec<String> {
        self.all_stages().into_iter().flat_map(|stage| stage.members).collect()
    }

    /// The groups that stage `stage` consists of, in model order. The engine's `Freeze::below`
    /// and `Freeze::freeze` take groups: freezing below a stage is freezing below its first group.
    ///
    /// # Errors
    /// [`Error::UnknownStage`].
    pub fn members(&self, stage: &str) -> Result<Vec<String>> {
        let found = self.all_stages().into_iter().find(|known| known.name == stage);
        found.map(|stage| stage.members).ok_or_else(|| self.unknown_stage(stage, self.stages()))
    }

    /// Records the whole network on the images `x`.
    ///
    /// # Errors
    /// [`Error::Input`] if `x` has another number of channels; [`Error::Setting`] for invalid settings;
    /// [`Error::Engine`] if the image is too small or the graph already has parameters of these names.
    pub fn record(&self, graph: &mut Graph, x: TensorId) -> Result<Recorded> {
        self.check()?;
        let advice = "use `.in_channels(…)`, or give images with that number of channels";
        self.check_input(graph, x, "the input", self.in_channels, advice)?;
        self.record_body(graph, 0, x)
    }

    /// Records the part after `stage`, on `x`, which replaces that stage's output: `stem`, `layer1` … or
    /// [`POOLED`]. Parameters have the same names as in the whole network.
    ///
    /// # Errors
    /// [`Error::UnknownStage`]; otherwise as [`Model::record`].
    pub fn record_from(&self, graph: &mut Graph, stage: &str, x: TensorId) -> Result<Recorded> {
        self.check()?;
        let body = self.body_stages();
        let place = format!("what comes after {stage}");
        let advice = format!("record an input with the shape of {stage}'s output");
        if stage == POOLED && self.classes.is_some() {
            self.check_input(graph, x, &place, self.feature_count(), &advice)?;
            return self.record_head(graph, x, IndexMap::new());
        }
        let Some(index) = body.iter().position(|known| known.name == stage) else {
            let mut known: Vec<String> = body.into_iter().map(|stage| stage.name).collect();
            known.extend(self.classes.map(|_| POOLED.to_owned()));
            return Err(self.unknown_stage(stage, known));
        };
        self.check_input(graph, x, &place, body[index].channels, &advice)?;
        self.record_body(graph, index + 1, x)
    }

    /// Records the body from stage `first` on, the mean and the head.
    fn record_body(&self, graph: &mut Graph, first: usize, x: TensorId) -> Result<Recorded> {
        let mut stages = IndexMap::new();
        let mut x = x;
        for (index, stage) in self.body_stages().into_iter().enumerate().skip(first) {
            x = match &self.body {
                Body::ResNet(resnet) => resnet.record(graph, index, x)?,
                Body::EfficientNetLite0 => efficientnet::record(graph, index, x)?,
            };
            stages.insert(stage.name, x);
        }
        let features = graph.global_avg_pool(x, POOLED)?;
        stages.insert(POOLED.to_owned(), features);
        self.record_head(graph, features, stages)
    }

    fn record_head(
        &self,
        graph: &mut Graph,
        features: TensorId,
        mut stages: IndexMap<String, TensorId>,
    ) -> Result<Recorded> {
        let mut logits = None;
        if let Some(classes) = self.classes {
            let output = graph.linear(features, self.head_group(), classes)?;
            stages.insert(HEAD.to_owned(), output);
            logits = Some(output);
        }
        Ok(Recorded { stages, features, logits })
    }

    pub(crate) fn resnet(&self) -> Option<&ResNet> {
        match &self.body {
            Body::ResNet(resnet) => Some(resnet),
            Body::EfficientNetLite0 => None,
        }
    }

    fn head_group(&self) -> &'static str {
        match self.body {
            Body::ResNet(_) => "fc",
            Body::EfficientNetLite0 => "_fc",
        }
    }

    fn body_stages(&self) -> Vec<Stage> {
        match &self.body {
            Body::ResNet(resnet) => resnet.stages(),
            Body::EfficientNetLite0 => efficientnet::stages(),
        }
    }

    fn all_stages(&self) -> Vec<Stage> {
        let mut stages = self.body_stages();
        stages.extend(self.classes.map(|classes| Stage::new(HEAD, &[self.head_group()], classes)));
        stages
    }

    /// Fails for invalid settings.
    fn check(&self) -> Result<()> {
        let wrong =
            |setting, value, reason| Err(Error::Setting { model: self.name.clone(), setting, value, reason });
        if let Some((setting, value)) = self.refused {
            return wrong(setting, value, "only ResNets have this setting; leave it out");
        }
        let mut sizes = vec![("in_channels", self.in_channels)];
        sizes.extend(self.classes.map(|classes| ("classes", classes)));
        if let Body::ResNet(resnet) = &self.body {
            sizes.extend([("width", resnet.width), ("stem_stride", resnet.stem_stride)]);
        }
        for (setting, value) in sizes {
            // The upper limit keeps sizes from overflowing when they are multiplied.
            if !(1..=1 << 16).contains(&value) {
                return wrong(setting, value, "it must be in 1..=65536");
            }
        }
        Ok(())
    }

    fn check_input(
        &self,
        graph: &Graph,
        x: TensorId,
        place: &str,
        expected: usize,
        advice: &str,
    ) -> Result<()> {
        match graph.shape(x) {
            Shape::Image { c, .. } if c == expected => Ok(()),
            other => Err(Error::Input {
                model: self.name.clone(),
                place: place.to_owned(),
                expected,
                got: other.to_string(),
                advice: advice.to_owned(),
            }),
        }
    }

    fn unknown_stage(&self, stage: &str, known: Vec<String>) -> Error {
        Error::UnknownStage { model: self.name.clone(), stage: stage.to_owned(), known: known.join(", ") }
    }
}

impl fmt::Display for Model {
    /// Such as `resnet18 (width 64, 3 channels, 1000 classes)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.name)?;
        if let Body::ResNet(resnet) = &self.body {
            write!(f, "width {}, ", resnet.width)?;
        }
        let channels = if self.in_channels == 1 { "channel" } else { "channels" };
        write!(f, "{} {channels}, ", self.in_channels)?;
        match self.classes {
            Some(classes) => write!(f, "{classes} classes)"),
            None => write!(f, "no head)"),
        }
    }
}
