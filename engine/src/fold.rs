//! Folding: fewer kernels for the same result.
//!
//! - A completely frozen batch norm that uses its running statistics is a scale and a shift per channel: it
//!   moves into the epilogue of the convolution before it. So a frozen prefix, and all of inference, run
//!   without batch norm kernels.
//! - An addition and an activation move into the epilogue of the op before them, if no other op reads that
//!   op's output. An activation whose backward pass reads its input (silu) moves only if no gradient is
//!   needed, because that input does not exist after folding.

use crate::freeze::{BatchNormMode, Freeze};
use crate::fused::Part;
use crate::graph::{Graph, Node};
use crate::ops::{BatchNorm, Stats};
use crate::tensor::TensorId;
use crate::uses::wanted;
use std::any::Any;
use std::sync::Arc;

/// The purpose of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Gradients of the parameters that are not frozen.
    Training,
    /// There are none.
    Inference,
    /// Gradients of the images; parameters and running statistics are constants, as in inference.
    InputGradient,
}

/// The folded `graph`, without nodes that `output` does not need.
pub(crate) fn fold(graph: &Graph, output: TensorId, purpose: Purpose, freeze: &Freeze) -> Graph {
    let (consumers, wanted) = (consumers(graph, output), wanted(graph, purpose, freeze));
    let mut folder = Folder { graph, consumers, wanted, output, nodes: vec![] };
    for node in &graph.nodes {
        if folder.consumers[node.output.index()] > 0 || node.output == output {
            folder.push(node, purpose, freeze);
        }
    }
    Graph { tensors: graph.tensors.clone(), nodes: folder.nodes }
}

/// For every tensor, the number of needed nodes that read it.
fn consumers(graph: &Graph, output: TensorId) -> Vec<usize> {
    let mut count = vec![0; graph.tensors.len()];
    for node in graph.nodes.iter().rev() {
        if node.output == output || count[node.output.index()] > 0 {
            for tensor in node.reads() {
                count[tensor.index()] += 1;
            }
        }
    }
    count
}

struct Folder<'g> {
    graph: &'g Graph,
    consumers: Vec<usize>,
    /// For every tensor, whether it needs a gradient.
    wanted: Vec<bool>,
    output: TensorId,
    nodes: Vec<Node>,
}

impl Folder<'_> {
    fn push(&mut self, node: &Node, purpose: Purpose, freeze: &Freeze) {
        let any: &dyn Any = &*node.op;
        let (node, moves) = match any.downcast_ref::<BatchNorm>() {
            None => (node.clone(), true),
            Some(norm) => {
                let stats = self.statistics_of(node, purpose, freeze);
                let constant = purpose != Purpose::Training || self.all_frozen(node, freeze);
                let op = Arc::new(BatchNorm { stats, ..norm.clone() });
                (Node { op, ..node.clone() }, constant)
            }
        };
        let folded = if moves { self.move_into_producer(&node) } else { None };
        self.nodes.push(folded.unwrap_or(node));
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

    /// `node` at the end of the op that computes one of its inputs, if that op can include it and no other op
    /// reads that input; that op's node is removed.
    fn move_into_producer(&mut self, node: &Node) -> Option<Node> {
        node.op.as_part(&node.inputs).into_iter().find_map(|(input, part)| {
            let id = node.inputs[input];
            let stays = matches!(part, Part::Activation(activation) if activation.backward_reads_input())
                && self.wanted[node.output.index()];
            if stays || self.consumers[id.index()] != 1 || id == self.output {
                return None;
            }
            let at = self.nodes.iter().position(|producer| producer.output == id)?;
            let producer = &self.nodes[at];
            let fused = producer.fused.with(part).filter(|_| producer.op.can_take(part, &producer.fused))?;
            Some(Node { fused, output: node.output, ..self.nodes.remove(at) })
        })
    }
}
