//! The steps of planning: fold, record, choose formats, assign memory, sum the ledger.

use super::record::{backward, forward};
use super::{Input, Plan};
use crate::dispatch::{BufferId, Home, Phase};
use crate::error::{Error, Result};
use crate::fold::{Purpose, fold};
use crate::formats;
use crate::freeze::Freeze;
use crate::graph::Graph;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::memory::{assign, lifetimes};
use crate::optim::Optim;
use crate::recorder::Recorder;
use crate::tensor::{InputKind, Role, TensorId};
use crate::tuning::Tuning;
use crate::update;
use crate::uses::uses;
use std::collections::BTreeSet;

/// Kernels count in `u32`, and so does Vulkan when it binds a buffer.
const LARGEST_TENSOR: u64 = u32::MAX as u64;

impl Plan {
    /// The plan that computes `output` for `purpose`; with an optimiser, `output` is the loss of its steps.
    pub(super) fn build(
        graph: &Graph,
        output: TensorId,
        purpose: Purpose,
        freeze: &Freeze,
        optim: Option<&Optim>,
        tuning: &Tuning,
    ) -> Result<Self> {
        tuning.storage.check()?;
        // After this check no computation of sizes can overflow.
        if let Some(tensor) = graph.tensors.iter().find(|tensor| tensor.shape.bytes() > LARGEST_TENSOR) {
            let (tensor, bytes) = (tensor.name.clone(), tensor.shape.bytes());
            return Err(Error::TooLarge { tensor, bytes, limited: "kernels index", limit: LARGEST_TENSOR });
        }
        let folded = fold(graph, output, purpose, freeze);
        let uses = uses(&folded, purpose, freeze);
        match (purpose, uses[output.index()].wanted) {
            (Purpose::Training, false) => return Err(Error::NothingToTrain),
            (Purpose::InputGradient, false) => {
                return Err(Error::Graph(format!(
                    "`{}` does not depend on images of floats",
                    graph.tensor(output).name
                )));
            }
            _ => {}
        }
        let parameters = Layout::parameters(graph);
        let mut recorder = Recorder::new(&folded.tensors, output, tuning, uses);
        forward(&folded, &mut recorder)?;
        let mut trainable = Layout::default();
        let mut update_groups = vec![];
        let mut grad_output = None;
        if purpose != Purpose::Inference {
            recorder.scale_gradients(optim.is_some());
            // The backward pass starts at a loss without a given gradient; any other output needs one from
            // outside.
            let shape = graph.shape(output);
            let seed = optim.is_none().then(|| recorder.buffer("grad output", shape.bytes(), Home::Plan));
            grad_output = seed.map(|buffer| (buffer, shape));
            backward(&folded, &mut recorder, output, seed)?;
            let reached = folded.tensors.iter().enumerate().filter(|(id, tensor)| {
                matches!(tensor.role, Role::Parameter(_))
                    && recorder.gradients.contains_key(&TensorId(*id as u32))
            });
            trainable = Layout::new(reached.map(|(_, tensor)| (tensor.name.as_str(), tensor.shape)));
        }
        if let Some(optim) = optim {
            let summary = recorder.value(output);
            update_groups = update::record(&mut recorder, optim, &parameters, &trainable, summary)?;
        }

        let mut inputs = vec![];
        let mut grad_input = None;
        for (index, tensor) in folded.tensors.iter().enumerate() {
            let (id, shape) = (TensorId(index as u32), tensor.shape);
            let Role::Input(kind) = tensor.role else { continue };
            if recorder.used(id).readers == 0 {
                continue;
            }
            inputs.push(Input { kind, buffer: recorder.value(id), shape });
            if kind == InputKind::Images {
                grad_input = grad_input.or(recorder.gradients.get(&id).map(|&gradient| (gradient, shape)));
            }
        }
        // Labels are compared with the channels of the first input of the op that reads them.
        let labelled = |id: &TensorId| folded.tensor(*id).role == Role::Input(InputKind::Labels);
        let losses = folded.nodes.iter().filter(|node| node.inputs.iter().any(labelled));
        let classes = losses.map(|loss| folded.shape(loss.inputs[0]).channels()).min();
        let output_buffer = recorder.value(output);
        let history = recorder.saved.get(&(output, "history")).copied();
        let scaler = recorder.loss_scaler;
        // Buffers that the host reads, or writes directly.
        let labels = inputs.iter().filter(|input| input.kind == InputKind::Labels);
        let mut host: Vec<BufferId> = labels.map(|input| input.buffer).collect();
        host.push(output_buffer);
        host.extend(history.into_iter().chain(scaler).chain(grad_input.map(|(id, _)| id)));
        let weight_copies = (0..recorder.buffers.len()).filter(|&id| recorder.is_weight_copy(id)).collect();
        let (mut buffers, mut dispatches) = (recorder.buffers, recorder.dispatches);
        formats::choose(&mut buffers, &mut dispatches, tuning, &host)?;
        // Prologue first; the order within each phase stays.
        dispatches.sort_by_key(|dispatch| dispatch.phase != Phase::Prologue);
        let lifetimes = lifetimes(&buffers, &dispatches);
        let pool = assign(&buffers, &lifetimes);
        let mut plan = Self {
            pool,
            parameters,
            trainable,
            inputs,
            classes: classes.unwrap_or(usize::MAX),
            constants: recorder.constants,
            output: (output_buffer, graph.shape(output)),
            grad_output,
            grad_input,
            history,
            loss_scale: scaler.zip(tuning.storage.loss_scale()),
            optim: optim.cloned(),
            update_groups,
            submit_time: tuning.submit_time,
            ledger: Ledger::default(),
            unfrozen: None,
            cached: BTreeSet::new(),
            weight_copies,
            buffers,
            dispatches,
        };
        plan.ledger = plan.account();
        Ok(plan)
    }
}
