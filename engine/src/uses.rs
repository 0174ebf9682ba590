//! How the ops of a graph use each tensor: which tensors need a gradient, and which must stay for backward.

use crate::fold::Purpose;
use crate::freeze::Freeze;
use crate::graph::{Graph, Node};
use crate::recorder::Use;
use crate::shape::Shape;
use crate::tensor::{InputKind, Role, Tensor};

/// How each tensor of `graph` is used.
pub(crate) fn uses(graph: &Graph, purpose: Purpose, freeze: &Freeze) -> Vec<Use> {
    let wanted = wanted(graph, purpose, freeze);
    let kept = kept(graph, &wanted);
    let mut uses: Vec<Use> =
        wanted.into_iter().zip(kept).map(|(wanted, kept)| Use { wanted, kept, ..Use::default() }).collect();
    for node in &graph.nodes {
        node.reads().for_each(|id| uses[id.index()].readers += 1);
        for (i, input) in node.inputs.iter().enumerate() {
            uses[input.index()].in_full |= node.op.reads_f32(i);
        }
    }
    uses
}

/// For every tensor, whether its gradient is a result of the plan (that of a trainable parameter, or of an
/// image), or leads to one.
pub(crate) fn wanted(graph: &Graph, purpose: Purpose, freeze: &Freeze) -> Vec<bool> {
    let goal = |tensor: &Tensor| match (purpose, tensor.role) {
        (Purpose::Training, Role::Parameter(_)) => !freeze.is_frozen(&tensor.name),
        (Purpose::InputGradient, Role::Input(InputKind::Images)) => {
            matches!(tensor.shape, Shape::Image { .. })
        }
        _ => false,
    };
    let mut wanted: Vec<bool> = graph.tensors.iter().map(goal).collect();
    for node in &graph.nodes {
        let leads = |(i, needed): (usize, bool)| needed && node.op.differentiable(i);
        let through_op = node.wants(&wanted).into_iter().enumerate().any(leads);
        let through_residual = node.fused.residual.is_some_and(|id| wanted[id.index()]);
        wanted[node.output.index()] = through_op || through_residual;
    }
    wanted
}

/// For every tensor, whether its value must stay until backward. A tensor that can be computed again from
/// kept tensors is not kept.
fn kept(graph: &Graph, wanted: &[bool]) -> Vec<bool> {
    let mut kept = vec![false; graph.tensors.len()];
    let with_backward = || graph.nodes.iter().filter(|node| wanted[node.output.index()]);
    for node in with_backward() {
        for input in node.op.keeps(&node.wants(wanted)) {
            kept[node.inputs[input].index()] = true;
        }
    }
    let again = |node: &Node, kept: &[bool]| {
        let source = node.inputs[0];
        let source_stays = kept[source.index()] || matches!(graph.tensor(source).role, Role::Input(_));
        node.op.recomputable(&node.fused) && source_stays
    };
    for node in with_backward() {
        kept[node.output.index()] &= !again(node, &kept);
    }
    kept
}
