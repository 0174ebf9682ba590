//! The plan: a graph and a freeze turned, once, into a flat list of dispatches.

use crate::dispatch::{Buffer, BufferId, Dispatch, Home, Phase};
use crate::error::Result;
use crate::fold::Purpose;
use crate::freeze::Freeze;
use crate::graph::Graph;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::loss_scale::LossScale;
use crate::memory::Pool;
use crate::optim::Optim;
use crate::shape::Shape;
use crate::tensor::{InputKind, TensorId};
use crate::tuning::Tuning;
use std::collections::BTreeSet;
use std::time::Duration;

mod account;
mod build;
mod display;
mod record;

/// Tensors that the host gives for every batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub kind: InputKind,
    pub buffer: BufferId,
    pub shape: Shape,
}

/// A list of dispatches with their buffers: everything about a step except the device.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) pool: Pool,
    pub(crate) parameters: Layout,
    pub(crate) trainable: Layout,
    /// The inputs that some op reads.
    pub(crate) inputs: Vec<Input>,
    /// Labels are below this number.
    pub(crate) classes: usize,
    /// Values that the host writes once.
    pub(crate) constants: Vec<(BufferId, Vec<f32>)>,
    pub(crate) output: (BufferId, Shape),
    /// The buffer into which the host writes the gradient of the output, if it gives one.
    pub(crate) grad_output: Option<(BufferId, Shape)>,
    /// The buffer from which the host reads the gradient of the images, if it is computed.
    pub(crate) grad_input: Option<(BufferId, Shape)>,
    pub(crate) history: Option<BufferId>,
    /// The buffer of the loss scale and how it is set, if gradients have one.
    pub(crate) loss_scale: Option<(BufferId, LossScale)>,
    pub(crate) optim: Option<Optim>,
    /// Group of each update dispatch, in order.
    pub(crate) update_groups: Vec<Option<usize>>,
    /// See [`Tuning::submit_time`].
    pub(crate) submit_time: Option<Duration>,
    weight_copies: BTreeSet<usize>,
    ledger: Ledger,
    unfrozen: Option<Box<Ledger>>,
    /// Layers of the whole network whose outputs were computed once and cached; this plan does not contain
    /// them.
    cached: BTreeSet<String>,
}

impl Plan {
    /// The plan of a training step that lowers `loss`, where `freeze` (and the frozen groups of `optim`) stay
    /// unchanged.
    pub fn training(
        graph: &Graph,
        loss: TensorId,
        freeze: &Freeze,
        optim: &Optim,
        tuning: &Tuning,
    ) -> Result<Self> {
        optim.check()?;
        let mut freeze = freeze.clone();
        for group in optim.groups.iter().filter(|group| group.frozen) {
            for member in &group.members {
                freeze.freeze(graph, member)?;
            }
        }
        let mut plan = Self::build(graph, loss, Purpose::Training, &freeze, Some(optim), tuning)?;
        let mut open = Freeze::none();
        open.batch_norm = freeze.batch_norm;
        if freeze != open {
            let unfrozen = Optim { groups: vec![], ..optim.clone() };
            // `None` if it cannot be trained unfrozen, such as a batch norm over a single value.
            let unfrozen = Self::build(graph, loss, Purpose::Training, &open, Some(&unfrozen), tuning);
            plan.unfrozen = unfrozen.ok().map(|unfrozen| Box::new(unfrozen.ledger));
        }
        Ok(plan)
    }

    /// The plan that computes `output` from the input, with everything folded that can be.
    pub fn inference(graph: &Graph, output: TensorId, tuning: &Tuning) -> Result<Self> {
        Self::build(graph, output, Purpose::Inference, &Freeze::none(), None, tuning)
    }

    /// The plan that computes `output` and, from a gradient of it that the host gives, the gradients
    /// of all parameters that are not frozen (a vector-Jacobian product).
    pub fn gradient(graph: &Graph, output: TensorId, freeze: &Freeze, tuning: &Tuning) -> Result<Self> {
        Self::build(graph, output, Purpose::Training, freeze, None, tuning)
    }

    /// The plan that computes `output` and, from a gradient of it that the host gives, the gradient
    /// of the images: it shows on which pixels of a picture a value in the network depends (Simonyan et al.
    /// 2013, "Deep Inside Convolutional Networks"). Parameters and running statistics are constants, as in
    /// inference: the plan contains no kernel for their gradients.
    pub fn input_gradient(graph: &Graph, output: TensorId, tuning: &Tuning) -> Result<Self> {
        Self::build(graph, output, Purpose::InputGradient, &Freeze::none(), None, tuning)
    }

    /// What it costs.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The cost with nothing frozen, if something is frozen.
    pub fn unfrozen_ledger(&self) -> Option<&Ledger> {
        self.unfrozen.as_deref()
    }

    /// Declares that this plan, on stored outputs of a frozen stage, replaces `whole`, which runs on images:
    /// layers that only `whole` runs are printed as cached, and their cost counts as saved.
    pub fn part_of(mut self, whole: &Plan) -> Self {
        let mine = &self.ledger.layers;
        self.cached =
            whole.ledger.layers.keys().filter(|layer| !mine.contains_key(*layer)).cloned().collect();
        self.unfrozen = Some(Box::new(whole.unfrozen_ledger().unwrap_or(whole.ledger()).clone()));
        self
    }

    /// Names of the parameters that get a gradient, in model order.
    pub fn trainable_names(&self) -> impl Iterator<Item = &str> {
        self.trainable.iter().map(|(name, _)| name)
    }

    /// The dispatches: prologue first, then the step.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// A buffer of this plan; `None` if `id` is another plan's.
    pub fn buffer(&self, id: BufferId) -> Option<&Buffer> {
        self.buffers.get(id.index())
    }

    /// Bytes of the largest buffer: an adapter must be able to bind it completely
    /// ([`Gpu::largest_binding`](crate::Gpu::largest_binding)).
    pub fn largest_buffer(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.bytes).max().unwrap_or(0)
    }

    /// The dispatches, for tests that make one wrong on purpose.
    #[doc(hidden)]
    pub fn dispatches_mut(&mut self) -> &mut [Dispatch] {
        &mut self.dispatches
    }

    /// Whether a run changes parameters or running statistics; and whether it changes some that the prologue
    /// reads, for example when a frozen batch norm shares its statistics with one that trains.
    pub(crate) fn moves(&self) -> (bool, bool) {
        let of_model = |id: BufferId| match &self.buffer(id)?.home {
            Home::Parameter(name) | Home::Statistic(name) => Some(name.as_str()),
            _ => None,
        };
        let updated = self.trainable_names().filter(|_| self.optim.is_some());
        let written = self.dispatches.iter().flat_map(Dispatch::written).filter_map(of_model);
        let moved: BTreeSet<&str> = updated.chain(written).collect();
        let prologue = self.dispatches.iter().filter(|dispatch| dispatch.phase == Phase::Prologue);
        let mut read = prologue.flat_map(Dispatch::used).filter_map(of_model);
        (!moved.is_empty(), read.any(|name| moved.contains(name)))
    }

    /// Shape of the output.
    pub fn output_shape(&self) -> Shape {
        self.output.1
    }
}
