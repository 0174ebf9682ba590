//! Folding: fewer kernels for the same result.
//!
//! - A batch norm that is frozen whole and uses its running statistics is a scale and a shift per channel: it
//!   moves into the epilogue of the convolution before it. So a frozen prefix, and all of inference, run
//!   without any batch norm kernel.
//! - An addition and an activation move into the epilogue of the op before them, if no other op reads that
//!   op's output.

use crate::freeze::{BatchNormMode, Freeze};
use crate::graph::{Graph, Node};
use crate::ops::{Activation, Add, BatchNorm, Conv2d, DepthwiseConv2d, Op, Relu, Stats};
use crate::tensor::TensorId;
use std::any::Any;
use std::sync::Arc;

/// What the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Gradients go to the parameters that are not frozen.
    Training,
    /// There are none.
    Inference,
    /// They go to the images; parameters and running statistics are constants, as in inference.
    InputGradient,
}

/// `graph` without what `output` does not need, folded.
pub(crate) fn fold(graph: &Graph, output: TensorId, purpose: Purpose, freeze: &Freeze) -> Graph {
    let mut folder = Folder { graph, consumers: consumers(graph, output), output, nodes: vec![] };
    for node in &graph.nodes {
        if folder.consumers[node.output.index()] > 0 || node.output == output {
            folder.push(node, purpose, freeze);
        }
    }
    Graph { tensors: graph.tensors.clone(), nodes: folder.nodes }
}

/// How many needed nodes read each tensor.
fn consumers(graph: &Graph, output: TensorId) -> Vec<usize> {
    let mut count = vec![0; graph.tensors.len()];
    for node in graph.nodes.iter().rev() {
        if node.output == output || count[node.output.index()] > 0 {
            for input in &node.inputs {
                count[input.index()] += 1;
            }
        }
    }
    count
}

struct Folder<'g> {
    graph: &'g Graph,
    consumers: Vec<usize>,
    output: TensorId,
    nodes: Vec<Node>,
}

fn downcast<T: 'static>(op: &Arc<dyn Op>) -> Option<&T> {
    let any: &dyn Any = &**op;
    any.downcast_ref()
}

impl Folder<'_> {
    fn push(&mut self, node: &Node, purpose: Purpose, freeze: &Freeze) {
        let folded = if let Some(norm) = downcast::<BatchNorm>(&node.op) {
            let stats = self.statistics_of(node, purpose, freeze);
            let norm = BatchNorm { stats, ..norm.clone() };
            let constant =
                stats == Stats::Running && (purpose != Purpose::Training || self.all_frozen(node, freeze));
            let folded = if constant { self.norm_into_convolution(node, &norm) } else { None };
            folded.or_else(|| Some(Node { op: Arc::new(norm), ..node.clone() }))
        } else if downcast::<Add>(&node.op).is_some() {
            self.addition_into_branch(node)
        } else if let Some(relu) = downcast::<Relu>(&node.op) {
            self.activation_into_op(node, relu.activation)
        } else {
            None
        };
        self.nodes.push(folded.unwrap_or_else(|| node.clone()));
    }

    fn all_frozen(&self, norm: &Node, freeze: &Freeze) -> bool {
        norm.inputs[1..3].iter().all(|&id| freeze.is_frozen(&self.graph.tensor(id).name))
    }

    fn statistics_of(&self, norm: &Node, purpose: Purpose, freeze: &Freeze) -> Stats {
        match (purpose, freeze.batch_norm) {
            (Purpose::Inference | Purpose::InputGradient, _) | (_, BatchNormMode::Running) => Stats::Running,
            (_, BatchNormMode::Batch) => Stats::Batch,
            (_, BatchNormMode::FollowFreeze) if self.all_frozen(norm, freeze) => Stats::Running,
            (_, BatchNormMode::FollowFreeze) => Stats::Batch,
        }
    }

    /// The node that computes `id`, if the one who asks is its only reader: it is taken out.
    fn take_producer(&mut self, id: TensorId, fits: impl Fn(&Arc<dyn Op>) -> bool) -> Option<Node> {
        if self.consumers[id.index()] != 1 || id == self.output {
            return None;
        }
        let at = self.nodes.iter().position(|node| node.output == id && fits(&node.op))?;
        Some(self.nodes.remove(at))
    }

    fn norm_into_convolution(&mut self, node: &Node, norm: &BatchNorm) -> Option<Node> {
        let plain = |op: &Arc<dyn Op>| {
            downcast::<Conv2d>(op).is_some_and(|c| {
                c.norm.is_none() && !c.bias && c.activation == Activation::None && !c.residual
            }) || downcast::<DepthwiseConv2d>(op)
                .is_some_and(|c| c.norm.is_none() && c.activation == Activation::None)
        };
        let producer = self.take_producer(node.inputs[0], plain)?;
        let op: Arc<dyn Op> = match downcast::<Conv2d>(&producer.op) {
            Some(conv) => Arc::new(Conv2d { norm: Some(norm.clone()), ..conv.clone() }),
            None => {
                let conv = downcast::<DepthwiseConv2d>(&producer.op)?;
                Arc::new(DepthwiseConv2d { norm: Some(norm.clone()), ..conv.clone() })
            }
        };
        let inputs = producer.inputs.iter().chain(&node.inputs[1..5]).copied().collect();
        Some(Node { op, inputs, output: node.output, layer: producer.layer })
    }

    fn addition_into_branch(&mut self, node: &Node) -> Option<Node> {
        let takes_residual = |op: &Arc<dyn Op>| {
            downcast::<Conv2d>(op).is_some_and(|c| !c.residual && c.activation == Activation::None)
                || downcast::<BatchNorm>(op).is_some_and(|b| !b.residual && b.activation == Activation::None)
        };
        let [a, b] = [node.inputs[0], node.inputs[1]];
        if a == b {
            return None;
        }
        let (producer, other) = match self.take_producer(a, takes_residual) {
            Some(producer) => (producer, b),
            None => (self.take_producer(b, takes_residual)?, a),
        };
        let op: Arc<dyn Op> = match downcast::<Conv2d>(&producer.op) {
            Some(conv) => Arc::new(Conv2d { residual: true, ..conv.clone() }),
            None => Arc::new(BatchNorm { residual: true, ..downcast::<BatchNorm>(&producer.op)?.clone() }),
        };
        let inputs = producer.inputs.iter().chain([&other]).copied().collect();
        Some(Node { op, inputs, output: node.output, layer: producer.layer })
    }

    fn activation_into_op(&mut self, node: &Node, activation: Activation) -> Option<Node> {
        let ends_plain = |op: &Arc<dyn Op>| {
            downcast::<Conv2d>(op).is_some_and(|c| c.activation == Activation::None)
                || downcast::<DepthwiseConv2d>(op)
                    .is_some_and(|c| c.activation == Activation::None && c.norm.is_some())
                || downcast::<BatchNorm>(op).is_some_and(|b| b.activation == Activation::None)
                || downcast::<Add>(op).is_some_and(|a| a.activation == Activation::None)
        };
        let producer = self.take_producer(node.inputs[0], ends_plain)?;
        let op: Arc<dyn Op> = if let Some(conv) = downcast::<Conv2d>(&producer.op) {
            Arc::new(Conv2d { activation, ..conv.clone() })
        } else if let Some(conv) = downcast::<DepthwiseConv2d>(&producer.op) {
            Arc::new(DepthwiseConv2d { activation, ..conv.clone() })
        } else if let Some(norm) = downcast::<BatchNorm>(&producer.op) {
            Arc::new(BatchNorm { activation, ..norm.clone() })
        } else {
            Arc::new(Add { activation })
        };
        Some(Node { op, output: node.output, ..producer })
    }
}
