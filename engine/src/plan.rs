//! The plan: a graph and a freeze turned, once, into a flat list of dispatches.

use crate::context::{BackwardPass, Context, ForwardPass};
use crate::dispatch::{Binding, Buffer, BufferId, Dispatch, Home, Phase};
use crate::error::{Error, Result};
use crate::fold::{Purpose, fold};
use crate::formats;
use crate::freeze::Freeze;
use crate::graph::{Graph, Node};
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::loss_scale::LossScale;
use crate::memory::{Pool, assign, lifetimes};
use crate::optim::Optim;
use crate::recorder::Recorder;
use crate::shape::Shape;
use crate::tensor::{Role, TensorId};
use crate::tuning::Tuning;
use crate::update;
use crate::uses::uses;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Kernels count in `u32`, and so does Vulkan when it binds a buffer.
const LARGEST_TENSOR: u64 = u32::MAX as u64;

/// A list of dispatches with their buffers: everything about a step except the device.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) pool: Pool,
    pub(crate) parameters: Layout,
    pub(crate) trainable: Layout,
    pub(crate) inputs: Vec<(BufferId, Shape)>,
    /// Where the transforms of [`crate::ops::Augment`] go, and the shape of the images they are for.
    pub(crate) transforms: Option<(BufferId, Shape)>,
    /// Where what [`crate::ops::Mixup`] mixes goes, and for how many images.
    pub(crate) mixes: Option<(BufferId, usize)>,
    /// What the host writes once.
    pub(crate) constants: Vec<(BufferId, Vec<f32>)>,
    /// Buffer, images and classes.
    pub(crate) labels: Option<(BufferId, usize, usize)>,
    pub(crate) output: (BufferId, Shape),
    /// Where the host puts the gradient of the output, if it gives one.
    pub(crate) grad_output: Option<(BufferId, Shape)>,
    /// Where the host finds the gradient of the images, if it is computed.
    pub(crate) grad_input: Option<(BufferId, Shape)>,
    pub(crate) history: Option<BufferId>,
    /// Where the loss scale that gradients carry is, and how it is set, if they carry one.
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
    /// The plan of a training step that lowers `loss`, with `freeze` (and the frozen groups of
    /// `optim`) left as they are.
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
            // None if it cannot be trained unfrozen, such as a batch norm over a single value.
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
    /// of the images: what of a picture a number inside the network depends on (Simonyan et al. 2013,
    /// "Deep Inside Convolutional Networks"). Parameters and running statistics are constants, as in
    /// inference: no kernel for a gradient of theirs is in the plan.
    pub fn input_gradient(graph: &Graph, output: TensorId, tuning: &Tuning) -> Result<Self> {
        Self::build(graph, output, Purpose::InputGradient, &Freeze::none(), None, tuning)
    }

    /// What it costs.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What it would cost with nothing frozen, if something is.
    pub fn unfrozen_ledger(&self) -> Option<&Ledger> {
        self.unfrozen.as_deref()
    }

    /// Says that this plan, on stored outputs of a frozen stage, does in a step what `whole` does on
    /// images: layers that only `whole` runs are printed as cached, and what they cost counts as
    /// saved.
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

    /// A buffer of this plan; none if `id` is another plan's.
    pub fn buffer(&self, id: BufferId) -> Option<&Buffer> {
        self.buffers.get(id.index())
    }

    /// Bytes of the largest buffer: an adapter must be able to bind it whole
    /// ([`Gpu::largest_binding`](crate::Gpu::largest_binding)).
    pub fn largest_buffer(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.bytes).max().unwrap_or(0)
    }

    /// The dispatches, for tests that make one wrong on purpose.
    #[doc(hidden)]
    pub fn dispatches_mut(&mut self) -> &mut [Dispatch] {
        &mut self.dispatches
    }

    /// Whether a run changes parameters or running statistics; and whether it changes some that the
    /// prologue reads, as where a frozen batch norm shares its statistics with one that trains.
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

    fn build(
        graph: &Graph,
        output: TensorId,
        purpose: Purpose,
        freeze: &Freeze,
        optim: Option<&Optim>,
        tuning: &Tuning,
    ) -> Result<Self> {
        tuning.storage.check()?;
        // Sizes are computed freely from here on: nothing that passes can overflow.
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
        for node in &folded.nodes {
            node.op.forward(&mut context(&mut recorder, node, ForwardPass))?;
        }
        let mut trainable = Layout::default();
        let mut update_groups = vec![];
        let mut grad_output = None;
        if purpose != Purpose::Inference {
            recorder.scale_gradients(optim.is_some());
            // A loss is its own start; any other output needs a gradient from outside.
            let seed = optim
                .is_none()
                .then(|| recorder.buffer("grad output", graph.shape(output).bytes(), Home::Plan));
            grad_output = seed.map(|buffer| (buffer, graph.shape(output)));
            backward(&folded, &mut recorder, output, seed)?;
            let reached = |name: &str| {
                let id = folded
                    .tensors
                    .iter()
                    .position(|t| t.name == name && matches!(t.role, Role::Parameter(_)));
                id.is_some_and(|id| recorder.gradients.contains_key(&TensorId(id as u32)))
            };
            trainable = Layout::new(
                parameters.iter().filter(|(name, _)| reached(name)).map(|(name, slice)| (name, slice.shape)),
            );
        }
        if let Some(optim) = optim {
            let summary = recorder.value(output);
            update_groups = update::record(&mut recorder, optim, &parameters, &trainable, summary)?;
        }

        let mut inputs = vec![];
        let mut labels = None;
        let mut transforms = None;
        let mut mixes = None;
        let mut grad_input = None;
        for index in 0..folded.tensors.len() {
            if folded.tensors[index].role == Role::Input {
                let shape = folded.tensors[index].shape;
                let buffer = recorder.value(TensorId(index as u32));
                let augmented = augmented(&folded, TensorId(index as u32));
                match shape {
                    Shape::Image { n, .. } if is_mixes(&folded, TensorId(index as u32)) => {
                        mixes = Some((buffer, n))
                    }
                    _ if augmented.is_some() => transforms = augmented.map(|images| (buffer, images)),
                    Shape::Labels { n } => {
                        labels = Some((buffer, n, classes(&folded, TensorId(index as u32))))
                    }
                    shape => {
                        let gradient = recorder.gradients.get(&TensorId(index as u32)).copied();
                        grad_input = grad_input.or(gradient.map(|gradient| (gradient, shape)));
                        inputs.push((buffer, shape));
                    }
                }
            }
        }
        let output_buffer = recorder.value(output);
        let history = recorder.saved.get(&(output, "history")).copied();
        let given = labels.map(|(id, ..)| id);
        let scaler = recorder.loss_scaler;
        let given = given.into_iter().chain(scaler);
        let host: Vec<BufferId> = [output_buffer]
            .into_iter()
            .chain(history)
            .chain(given)
            .chain(grad_input.map(|(id, _)| id))
            .collect();
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
            transforms,
            mixes,
            constants: recorder.constants,
            labels,
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

    /// Adds the ledger up from the list of dispatches.
    fn account(&self) -> Ledger {
        let mut ledger = Ledger {
            pool_bytes: self.pool.bytes(),
            parameter_bytes: self.parameters.bytes(),
            gradient_bytes: self.trainable.bytes(),
            optimizer_bytes: self.trainable.bytes()
                * self.optim.as_ref().map_or(0, |optim| optim.slots().len() as u64),
            ..Ledger::default()
        };
        for dispatch in &self.dispatches {
            ledger.add(dispatch);
        }
        for (layer, bytes) in self.kept() {
            ledger.kept_bytes += bytes;
            if let Some(row) = ledger.layers.get_mut(&layer) {
                row.kept_bytes += bytes;
            }
        }
        ledger
    }

    /// Layer and bytes of everything computed (or given) before backward that backward reads.
    fn kept(&self) -> Vec<(String, u64)> {
        let mut writer: Vec<Option<&Dispatch>> = vec![None; self.buffers.len()];
        let mut read = vec![false; self.buffers.len()];
        for dispatch in self.dispatches.iter().filter(|dispatch| dispatch.phase != Phase::Update) {
            for &Binding { buffer, written, .. } in &dispatch.bindings {
                let Some(id) = buffer else { continue };
                match dispatch.phase {
                    Phase::Forward if written => writer[id.index()] = Some(dispatch),
                    Phase::Backward => read[id.index()] = true,
                    _ => {}
                }
            }
        }
        let mut kept = vec![];
        for (id, buffer) in
            self.buffers.iter().enumerate().filter(|(id, _)| read[*id] && !self.weight_copies.contains(id))
        {
            let input = self.inputs.iter().any(|(input, _)| input.index() == id);
            match (writer[id], &buffer.home) {
                (Some(dispatch), Home::Pool) => kept.push((dispatch.layer.clone(), buffer.bytes)),
                _ if input => kept.push(("input".to_owned(), buffer.bytes)),
                _ => {}
            }
        }
        kept
    }
}

/// How many classes `labels` choose from: the channels of the logits they are compared with.
fn classes(graph: &Graph, labels: TensorId) -> usize {
    let reader = graph.nodes.iter().find(|node| node.inputs.get(1) == Some(&labels));
    reader.map_or(usize::MAX, |node| graph.shape(node.inputs[0]).channels())
}

/// The shape of the images that `transforms` are for, if it is an input of that kind.
fn augmented(graph: &Graph, transforms: TensorId) -> Option<Shape> {
    let reader = graph
        .nodes
        .iter()
        .find(|node| node.op.name() == "augment" && node.inputs.get(1) == Some(&transforms));
    reader.map(|node| graph.shape(node.inputs[0]))
}

/// Whether `id` contains what images, or labels, are mixed with.
fn is_mixes(graph: &Graph, id: TensorId) -> bool {
    let reads = |op: &str, input: usize| {
        graph.nodes.iter().any(|node| node.op.name() == op && node.inputs.get(input) == Some(&id))
    };
    reads("mixup", 1) || reads("cross_entropy", 2)
}

/// What the op of `node` can use in `pass`.
fn context<'r, 'g, Pass>(
    recorder: &'r mut Recorder<'g>,
    node: &'g Node,
    pass: Pass,
) -> Context<'r, 'g, Pass> {
    Context { recorder, inputs: &node.inputs, output: node.output, layer: &node.layer, pass }
}

/// Records backward, from the last node, whose gradient is in `seed` unless it is a loss, up to the frostline:
/// nodes whose output needs no gradient are skipped, and so is everything below them.
fn backward<'g>(
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

/// Records `id` once more, if it is computed and was not kept. From here on it is an ordinary value for all
/// other readers too.
fn recompute<'g>(graph: &'g Graph, recorder: &mut Recorder<'g>, id: TensorId) -> Result<()> {
    let producer = graph.nodes.iter().find(|node| node.output == id && !recorder.used(id).kept);
    let Some(node) = producer else { return Ok(()) };
    recorder.forget_value(id);
    node.op.recompute(&mut context(recorder, node, BackwardPass { grad_output: None }))?;
    recorder.uses[id.index()].kept = true;
    Ok(())
}

impl fmt::Display for Plan {
    /// The lesson in one table: forward and backward kernels of every layer, and the missing ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = &self.ledger;
        let short = |kernels: &[String]| {
            kernels.iter().map(|name| name.replace("batch_norm", "bn")).collect::<Vec<_>>().join(" ")
        };
        writeln!(f, "{:<24} {:>9}  forward | backward (− = skipped, its layer is frozen)", "layer", "kept")?;
        // A batch norm that was folded away has no row in the frozen plan; the unfrozen plan has
        // one.
        let full = self.unfrozen.as_deref().unwrap_or(ledger);
        let layers =
            full.layers.keys().chain(ledger.layers.keys().filter(|layer| !full.layers.contains_key(*layer)));
        for layer in layers {
            let row = ledger.layers.get(layer).cloned().unwrap_or_default();
            let forward = match row.forward_kernels.is_empty() {
                true if self.cached.contains(layer) => "(cached)".to_owned(),
                true => "(folded)".to_owned(),
                false => short(&row.forward_kernels),
            };
            let skipped = ledger.skipped_kernels(full, layer);
            write!(
                f,
                "{layer:<24} {:>9}  {forward} | {}",
                bytes(row.kept_bytes),
                short(&row.backward_kernels)
            )?;
            for kernel in skipped {
                write!(f, " −{}", kernel.replace("batch_norm", "bn"))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\n{:<34} {:>12} {:>12}", "a step", "this plan", "unfrozen")?;
        let counts = [
            ("forward dispatches", ledger.forward_dispatches, full.forward_dispatches),
            ("backward dispatches", ledger.backward_dispatches, full.backward_dispatches),
            ("update dispatches", ledger.update_dispatches, full.update_dispatches),
            ("million multiply-accumulates", ledger.step.macs / 1_000_000, full.step.macs / 1_000_000),
        ];
        for (name, mine, other) in counts {
            writeln!(f, "{name:<34} {mine:>12} {other:>12}")?;
        }
        let sizes = [
            (
                "read and written",
                ledger.step.bytes_read + ledger.step.bytes_written,
                full.step.bytes_read + full.step.bytes_written,
            ),
            ("activations kept for backward", ledger.kept_bytes, full.kept_bytes),
            ("pool", ledger.pool_bytes, full.pool_bytes),
            ("gradients", ledger.gradient_bytes, full.gradient_bytes),
            ("optimizer state", ledger.optimizer_bytes, full.optimizer_bytes),
            ("parameters", ledger.parameter_bytes, full.parameter_bytes),
        ];
        for (name, mine, other) in sizes {
            writeln!(f, "{name:<34} {:>12} {:>12}", bytes(mine), bytes(other))?;
        }
        write!(
            f,
            "{:<34} {:>12} {:>12}",
            "once, before the first step", ledger.prologue.dispatches, full.prologue.dispatches
        )
    }
}

/// Bytes for people.
fn bytes(count: u64) -> String {
    match count {
        0 => "-".to_owned(),
        1..=9_999 => format!("{count} B"),
        10_000..=999_999 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.2} MiB", count as f64 / (1 << 20) as f64),
    }
}
