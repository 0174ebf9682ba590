//! The cases of the kernel benchmark: every shape in ResNet-18 and ResNet-50, once.

use super::Outcome;
use frostline::engine::dispatch::{Dispatch, Phase};
use frostline::engine::graph::Node;
use frostline::engine::ops::Padding;
use frostline::engine::tensor::Init;
use frostline::engine::{Freeze, Graph, Optim, Plan, Result, Shape, TensorId, Tuning};
use frostline::models::Model;

/// Images in a batch, and their side.
const BATCH: usize = 8;
const SIDE: usize = 224;
/// The networks whose shapes are measured. A shape that both have is listed with the first.
pub const NETWORKS: [&str; 2] = ["resnet18", "resnet50"];
/// The layer whose dispatches are measured.
const LAYER: &str = "measured";

/// Which part of an op is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Forward,
    BackwardInput,
    BackwardWeight,
    /// All gradients of the op at once.
    Backward,
    Update,
}

impl Pass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::BackwardInput => "backward_input",
            Self::BackwardWeight => "backward_weight",
            Self::Backward => "backward",
            Self::Update => "update",
        }
    }

    fn phase(self) -> Phase {
        match self {
            Self::Forward => Phase::Forward,
            Self::Update => Phase::Update,
            Self::BackwardInput | Self::BackwardWeight | Self::Backward => Phase::Backward,
        }
    }
}

/// An op alone, with its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Conv2d {
        c_out: usize,
        kernel: usize,
        stride: usize,
    },
    MaxPool2d,
    /// Batch norm on the batch's statistics with the ReLU behind it.
    BatchNorm,
    Sgd,
    AdamW,
}

/// One op of one size on images of `x`.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    pub x: [usize; 4],
    /// How many layers of each of [`NETWORKS`] are of this size.
    pub layers: [usize; NETWORKS.len()],
}

/// All cases.
///
/// # Errors
/// If a network cannot be recorded.
pub fn all() -> Outcome<Vec<Case>> {
    let mut cases: Vec<Case> = vec![];
    for (network, name) in NETWORKS.iter().enumerate() {
        let mut graph = Graph::new();
        let images = graph.input(BATCH, SIDE, SIDE, 3);
        Model::new(name)?.record(&mut graph, images)?;
        for node in graph.nodes() {
            let Some((kind, x)) = read(&graph, node) else { continue };
            match cases.iter_mut().find(|case| case.kind == kind && case.x == x) {
                Some(case) => case.layers[network] += 1,
                None => {
                    let mut layers = [0; NETWORKS.len()];
                    layers[network] = 1;
                    cases.push(Case { kind, x, layers });
                }
            }
        }
    }
    cases.sort_by_key(|case| match case.kind {
        Kind::Conv2d { .. } => 0,
        Kind::MaxPool2d => 1,
        _ => 2,
    });
    // A linear layer of 4,000 classes: about as many weights as ResNet-18 has.
    cases.extend([Kind::Sgd, Kind::AdamW].map(|kind| Case {
        kind,
        x: [1, 1, 1, 2800],
        layers: [0; NETWORKS.len()],
    }));
    Ok(cases)
}

/// The case of a layer. The stride follows from the sizes: all of these networks pad by half the kernel.
fn read(graph: &Graph, node: &Node) -> Option<(Kind, [usize; 4])> {
    let Shape::Image { n, h, w, c } = graph.shape(node.inputs[0]) else { return None };
    let kind = match node.op.name() {
        "conv2d" => {
            let (Shape::Filter { kh, c_out, .. }, Shape::Image { h: h_out, .. }) =
                (graph.shape(node.inputs[1]), graph.shape(node.output))
            else {
                return None;
            };
            Kind::Conv2d { c_out, kernel: kh, stride: h.div_ceil(h_out) }
        }
        "max_pool2d" => Kind::MaxPool2d,
        "batch_norm" => Kind::BatchNorm,
        _ => return None,
    };
    Some((kind, [n, h, w, c]))
}

impl Case {
    pub fn op(&self) -> &'static str {
        match self.kind {
            Kind::Conv2d { .. } => "conv2d",
            Kind::MaxPool2d => "max_pool2d",
            Kind::BatchNorm => "batch_norm+relu",
            Kind::Sgd => "sgd",
            Kind::AdamW => "adamw",
        }
    }

    /// Its sizes: `3x3s2 64-128 at 56` is a 3×3 convolution of stride 2, from 64 to 128 channels, on
    /// images of 56×56.
    pub fn shape(&self) -> String {
        let [_, h, _, c] = self.x;
        match self.kind {
            Kind::Conv2d { c_out, kernel, stride } => {
                format!("{kernel}x{kernel}s{stride} {c}-{c_out} at {h}")
            }
            Kind::MaxPool2d | Kind::BatchNorm => format!("{c} at {h}"),
            Kind::Sgd | Kind::AdamW => format!("{:.1} M weights", (c + 1) as f64 * CLASSES as f64 / 1e6),
        }
    }

    /// The first network that has it; the optimiser's belong to none.
    pub fn network(&self) -> &'static str {
        self.layers.iter().position(|layers| *layers > 0).map_or("optimizer", |network| NETWORKS[network])
    }

    /// The measured passes. The gradient of the photo is not needed, so the first convolution has no
    /// `backward_input`.
    pub fn passes(&self) -> &'static [Pass] {
        match self.kind {
            Kind::Conv2d { .. } if self.x[3] == 3 => &[Pass::Forward, Pass::BackwardWeight],
            Kind::Conv2d { .. } => &[Pass::Forward, Pass::BackwardInput, Pass::BackwardWeight],
            Kind::MaxPool2d | Kind::BatchNorm => &[Pass::Forward, Pass::Backward],
            Kind::Sgd | Kind::AdamW => &[Pass::Update],
        }
    }

    /// Multiply-accumulates of a convolution by its definition, independent of the algorithm; each of its
    /// gradients takes as many.
    pub fn macs(&self) -> Option<u64> {
        let [n, h, w, c] = self.x;
        let Kind::Conv2d { c_out, kernel, stride } = self.kind else { return None };
        Some((n * h.div_ceil(stride) * w.div_ceil(stride) * c * c_out * kernel * kernel) as u64)
    }

    /// A graph with this op and the plan that dispatches `pass` of it. The surrounding ops place its tensors
    /// as in a network: in the pool, not in buffers of the host.
    pub fn plan(&self, pass: Pass, tuning: &Tuning) -> Result<(Graph, Plan)> {
        let mut graph = Graph::new();
        let [n, h, w, c] = self.x;
        let mut x = graph.input(n, h, w, c);
        if let Kind::Sgd | Kind::AdamW = self.kind {
            let labels = graph.labels(n);
            let logits = graph.linear(x, LAYER, CLASSES)?;
            let loss = graph.cross_entropy(logits, labels, 0.0)?;
            let optim =
                if self.kind == Kind::Sgd { Optim::sgd(0.01).momentum(0.9) } else { Optim::adamw(0.01) };
            let plan = Plan::training(&graph, loss, &Freeze::none(), &optim, tuning)?;
            return Ok((graph, plan));
        }
        if let Pass::BackwardInput | Pass::Backward = pass {
            // An image that needs a gradient, with an addition between, which passes gradients on.
            let image = graph.parameter("image", Shape::Image { n, h, w, c }, Init::Uniform { fan_in: 1 })?;
            x = graph.add(x, image, "sum")?;
        }
        let y = self.record(&mut graph, x)?;
        let output = graph.global_avg_pool(y, "mean")?;
        let training = pass != Pass::Forward || self.kind == Kind::BatchNorm;
        let plan = match (training, pass) {
            (false, _) => Plan::inference(&graph, output, tuning),
            (true, Pass::BackwardInput) => {
                Plan::gradient(&graph, output, &Freeze::all_but(&graph, "image")?, tuning)
            }
            (true, _) => Plan::gradient(&graph, output, &Freeze::none(), tuning),
        }?;
        Ok((graph, plan))
    }

    fn record(&self, graph: &mut Graph, x: TensorId) -> Result<TensorId> {
        match self.kind {
            Kind::Conv2d { c_out, kernel, stride } => {
                graph.conv2d(x, LAYER, c_out, kernel, stride, Padding::all(kernel / 2))
            }
            Kind::MaxPool2d => graph.max_pool2d(x, LAYER, 3, 2, 1),
            _ => {
                let y = graph.batch_norm(x, LAYER, 1e-5)?;
                graph.relu(y, "relu")
            }
        }
    }
}

/// Classes of the linear layer whose update is measured.
const CLASSES: usize = 4000;

/// Whether `dispatch` belongs to `pass` of the measured op.
pub fn counts(pass: Pass, dispatch: &Dispatch) -> bool {
    dispatch.phase == pass.phase() && (pass == Pass::Update || dispatch.layer == LAYER)
}
