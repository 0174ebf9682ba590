//! Residual networks: a stem, then stages of blocks `y = relu(f(x) + shortcut(x))`.
//!
//! He et al., *Deep Residual Learning for Image Recognition* (2015), in torchvision's form: the Bottleneck's
//! stride is that of its 3×3 convolution ("v1.5"); in the paper it is that of its first 1×1 ("v1"). A
//! shortcut that must change its size is a 1×1 convolution with batch norm, `downsample.0` and `.1`.

use crate::model::Stage;
use frostline_engine::{Graph, Padding, Result, TensorId};

/// torchvision's batch norm eps.
const EPS: f32 = 1e-5;

/// What f(x) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1 down to `width`, 3×3, 1×1 up to four times `width`.
    Bottleneck,
}

/// The layers before the first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    /// 7×7 and a 3×3 max-pool of stride 2: for photos, which are large.
    Photo,
    /// 3×3 alone: for images of a few dozen pixels, which are too small to be halved twice.
    Small,
}

/// The sizes of a residual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResNet {
    pub block: Block,
    /// Blocks in each stage; every stage but the first halves height and width.
    pub blocks: &'static [usize],
    /// Channels of the stem and the first stage's 3×3 convolutions; doubles with every stage.
    pub width: usize,
    pub stem: Stem,
    /// Stride of the stem's convolution.
    pub stem_stride: usize,
    /// Whether a Bottleneck has its stride in the first 1×1 convolution, as in the paper, and not in the 3×3.
    pub stride_first: bool,
}

impl ResNet {
    pub fn new(block: Block, blocks: &'static [usize], width: usize, stem: Stem) -> Self {
        let stem_stride = if stem == Stem::Photo { 2 } else { 1 };
        Self { block, blocks, width, stem, stem_stride, stride_first: false }
    }

    pub fn stages(&self) -> Vec<Stage> {
        let mut stages = vec![Stage::new("stem", &["conv1", "bn1"], self.width)];
        for number in 1..=self.blocks.len() {
            let name = format!("layer{number}");
            stages.push(Stage::new(&name, &[&name], self.c_out(number)));
        }
        stages
    }

    /// Records stage `index` of [`ResNet::stages`].
    pub fn record(&self, graph: &mut Graph, index: usize, x: TensorId) -> Result<TensorId> {
        if index == 0 {
            return self.record_stem(graph, x);
        }
        let mut x = x;
        for number in 0..self.blocks[index - 1] {
            let stride = if index > 1 && number == 0 { 2 } else { 1 };
            x = self.record_block(graph, &format!("layer{index}.{number}"), index, stride, x)?;
        }
        Ok(x)
    }

    fn c_out(&self, stage: usize) -> usize {
        let expansion = if self.block == Block::Bottleneck { 4 } else { 1 };
        self.scaled(stage).saturating_mul(expansion)
    }

    /// Channels of stage `stage`'s 3×3 convolutions. Saturating, because a guessed width may be any number,
    /// and is refused only when the network is recorded.
    fn scaled(&self, stage: usize) -> usize {
        self.width.saturating_mul(1 << (stage - 1))
    }

    fn record_stem(&self, graph: &mut Graph, x: TensorId) -> Result<TensorId> {
        let (kernel, padding) = if self.stem == Stem::Photo { (7, 3) } else { (3, 1) };
        let x = graph.conv2d(x, "conv1", self.width, kernel, self.stem_stride, Padding::all(padding))?;
        let x = graph.batch_norm(x, "bn1", EPS)?;
        let x = graph.relu(x, "relu")?;
        match self.stem {
            Stem::Photo => graph.max_pool2d(x, "maxpool", 3, 2, 1),
            Stem::Small => Ok(x),
        }
    }

    fn record_block(
        &self,
        graph: &mut Graph,
        name: &str,
        stage: usize,
        stride: usize,
        x: TensorId,
    ) -> Result<TensorId> {
        let (width, c_out) = (self.scaled(stage), self.c_out(stage));
        // (channels, kernel, stride) of each convolution.
        let convolutions = match self.block {
            Block::Basic => vec![(width, 3, stride), (width, 3, 1)],
            Block::Bottleneck if self.stride_first => vec![(width, 1, stride), (width, 3, 1), (c_out, 1, 1)],
            Block::Bottleneck => vec![(width, 1, 1), (width, 3, stride), (c_out, 1, 1)],
        };
        let last = convolutions.len();
        let mut y = x;
        for (number, (channels, kernel, stride)) in (1..).zip(convolutions) {
            let padding = Padding::all(kernel / 2);
            y = graph.conv2d(y, &format!("{name}.conv{number}"), channels, kernel, stride, padding)?;
            y = graph.batch_norm(y, &format!("{name}.bn{number}"), EPS)?;
            if number < last {
                y = graph.relu(y, &format!("{name}.relu{number}"))?;
            }
        }
        // Recorded after the branch: parameters are stored in the order in which they are recorded, and
        // torchvision lists `downsample` last.
        let mut shortcut = x;
        if stride != 1 || graph.shape(x).channels() != c_out {
            shortcut =
                graph.conv2d(x, &format!("{name}.downsample.0"), c_out, 1, stride, Padding::default())?;
            shortcut = graph.batch_norm(shortcut, &format!("{name}.downsample.1"), EPS)?;
        }
        let sum = graph.add(y, shortcut, &format!("{name}.add"))?;
        graph.relu(sum, &format!("{name}.relu{last}"))
    }
}
