//! The walk over a graph that records a plan: forward, and backward up to the frostline.

use crate::context::{BackwardPass, Context, ForwardPass};
use crate::dispatch::{BufferId, Phase};
use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::recorder::Recorder;
use crate::tensor::TensorId;

/// The context of the op of `node` in `pass`.
fn context<'r, 'g, Pass>(
    recorder: &'r mut Recorder<'g>,
    node: &'g Node,
    pass: Pass,
) -> Context<'r, 'g, Pass> {
    Context {
        recorder,
        inputs: &node.inputs,
        fused: &node.fused,
        output: node.output,
        layer: &node.layer,
        pass,
    }
}

/// Records forward, from the first node.
pub(super) fn forward<'g>(graph: &'g Graph, recorder: &mut Recorder<'g>) -> Result<()> {
    graph.nodes.iter().try_for_each(|node| node.op.forward(&mut context(recorder, node, ForwardPass)))
}

/// Records backward, from the last node, whose gradient is in `seed` unless it is a loss, up to the frostline:
/// nodes whose output needs no gradient are skipped, and so is everything below them.
pub(super) fn backward<'g>(
    graph: &'g Graph,
    recorder: &mut Recorder<'g>,
    last: TensorId,
    seed: Option<BufferId>,
) -> Result<()> {
    recorder.phase = Phase::Backward;
    for node in graph.nodes.iter().rev() {
        let grad_output =
            if node.output == last { seed } else { recorder.gradients.get(&node.output).copied() };
        let reached = node.output == last || grad_output.is_some();
        if !reached || !recorder.used(node.output).wanted {
            continue;
        }
        let wants: Vec<bool> = node.inputs.iter().map(|&id| recorder.used(id).wanted).collect();
        for input in node.op.keeps(&wants) {
            recompute(graph, recorder, node.inputs[input])?;
        }
        node.op.backward(&mut context(recorder, node, BackwardPass { grad_output }))?;
        recorder.add_contributions(&node.layer)?;
    }
    recorder.bring_gradients_home()
}

/// Records `id` again, if it is computed and was not kept. All later readers use this value, too.
///
fn recompute<'g>(graph: &'g Graph, recorder: &mut Recorder<'g>, id: TensorId) -> Result<()> {
    let producer = graph.nodes.iter().find(|node| node.output == id && !recorder.used(id).kept);
    let Some(node) = producer else { return Ok(()) };
    recorder.forget_value(id);
    node.op.recompute(&mut context(recorder, node, BackwardPass { grad_output: None }))?;
    recorder.uses[id.index()].kept = true;
    Ok(())
}
