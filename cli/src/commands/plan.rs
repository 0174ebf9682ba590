//! `frostline plan`: the cost of a freeze, computed without a run. Needs no GPU.

mod roofline;

use crate::{Output, Result};
use clap::{Args, ValueEnum};
use frostline_engine::freeze::in_group;
use frostline_engine::roofline::PublishedCard;
use frostline_engine::{BatchNormMode, Freeze, Graph, Optim, Tuning};
use frostline_models::Model;
use frostline_trainer::{Depth, what_if};
use indicatif::BinaryBytes;
use serde_json::{Value, json};

/// The flags.
#[derive(Args, Debug)]
pub struct Plan {
    /// The network, such as resnet18 or resnet50.
    #[arg(long, default_value = "resnet50")]
    model: String,
    /// Side of the square images in pixels; by default that of the network.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16384))]
    size: Option<u32>,
    /// Images per step.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Classes; the network's own by default.
    #[arg(long)]
    classes: Option<usize>,
    /// Freeze everything before this stage or group.
    #[arg(long, value_name = "GROUP", conflicts_with = "only")]
    freeze_below: Option<String>,
    /// Freeze everything except this stage or group.
    #[arg(long, value_name = "GROUP")]
    only: Option<String>,
    /// Mode of batch norms; by default frozen ones use their running statistics.
    #[arg(long)]
    bn: Option<Bn>,
    /// Kernel shapes to plan with.
    #[arg(long, value_enum, default_value_t = Kernels::Gpu)]
    tuning: Kernels,
    /// Print the shortest possible time of a step on this card, and which kernels are too small to fill it.
    #[arg(long, value_name = "CARD", conflicts_with = "tuning", value_parser = roofline::card)]
    roofline: Option<PublishedCard>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bn {
    /// Freeze all of them: weights, biases and running statistics.
    Running,
    /// All of them use the batch's statistics, frozen or not.
    Batch,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kernels {
    /// What GPUs run.
    Gpu,
    /// Kernels that run on every adapter.
    Portable,
    /// Kernels for a software driver with subgroups of 8 lanes: weights are copied into textures.
    Subgroup,
}

impl Plan {
    /// Plans, and prints plan and ledger.
    ///
    /// # Errors
    /// For an unknown model or group, or a size that does not fit.
    pub fn run(&self, output: &Output) -> Result<()> {
        let arguments = self;
        let mut model = Model::new(&arguments.model)?;
        if let Some(classes) = arguments.classes {
            model = model.classes(classes);
        }
        let size = arguments.size.map_or(model.default_size(), |size| size as usize);
        let batch = arguments.batch as usize;
        let mut graph = Graph::new();
        let channels = model.input_channels();
        let pixels = graph.pixels(batch, size, size, channels);
        let x = graph.normalize(pixels, &vec![0.5; channels], &vec![0.5; channels])?;
        let labels = graph.labels(batch);
        let recorded = model.record(&mut graph, x)?;
        let loss = graph.cross_entropy(recorded.output(), labels, 0.0)?;

        let freeze = freeze(arguments, &model, &graph)?;
        let tuning = match (arguments.roofline, arguments.tuning) {
            (Some(card), _) => card.tuning(),
            (None, Kernels::Gpu) => Tuning::gpu(),
            (None, Kernels::Portable) => Tuning::portable(),
            (None, Kernels::Subgroup) => Tuning::subgroup(8),
        };
        let optim = Optim::sgd(0.01).momentum(0.9);
        let plan = frostline_engine::Plan::training(&graph, loss, &freeze, &optim, &tuning)?;
        let title = format!("{model}, {batch} × {size} × {size}, {}", describe(arguments));
        if let Some(card) = arguments.roofline {
            let bounds = card.bounds(&plan);
            output.say(format_args!("{title}\n\n{}", roofline::table(&card, &bounds)))?;
            return output.json(&json!({ "model": model.name(), "card": card, "kernels": bounds }));
        }
        let depths =
            what_if(&model, &graph, loss, &optim, &tuning, |freeze| arguments.freeze_norms(&graph, freeze))?;
        output.say(format_args!("{title}\n\n{plan}\n\n{}", table(&depths)))?;
        let mut value =
            json!({ "model": model.name(), "size": size, "batch": batch, "freeze": describe(arguments) });
        merge(&mut value, json!(plan.ledger()));
        if let Some(unfrozen) = plan.unfrozen_ledger() {
            let mut unfrozen = json!(unfrozen);
            unfrozen.as_object_mut().map(|ledger| ledger.shift_remove("layers"));
            value["unfrozen"] = unfrozen;
        }
        value["what_if"] = json!(depths);
        output.json(&value)
    }

    fn freeze_norms(&self, graph: &Graph, freeze: &mut Freeze) {
        match self.bn {
            Some(Bn::Running) => freeze.freeze_batch_norm(graph),
            Some(Bn::Batch) => freeze.batch_norm = BatchNormMode::Batch,
            None => {}
        }
    }
}

/// The cost of each freeze depth, one line per depth.
fn table(depths: &[Depth]) -> String {
    let bytes = |count: u64| BinaryBytes(count).to_string();
    let mut lines = vec![format!(
        "{:<18} {:>10} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "what if frozen …", "dispatches", "million MACs", "kept", "pool", "gradients", "in all"
    )];
    for (i, depth) in depths.iter().enumerate() {
        let stage = if i == 0 { "nothing".to_owned() } else { format!("below {}", depth.freeze_below) };
        let [kept, pool, gradients, all] =
            [depth.kept_bytes, depth.pool_bytes, depth.gradient_bytes, depth.total_bytes].map(bytes);
        let (dispatches, macs) = (depth.dispatches, depth.macs / 1_000_000);
        lines.push(format!(
            "{stage:<18} {dispatches:>10} {macs:>12} {kept:>12} {pool:>12} {gradients:>12} {all:>12}"
        ));
    }
    lines.join("\n")
}

fn freeze(arguments: &Plan, model: &Model, graph: &Graph) -> Result<Freeze, crate::Error> {
    // A stage may be several groups: a ResNet's `stem` is `conv1` and `bn1`.
    let groups = |name: &str| model.members(name).unwrap_or_else(|_| vec![name.to_owned()]);
    let mut freeze = match (&arguments.freeze_below, &arguments.only) {
        (Some(stage), _) => Freeze::below(graph, &groups(stage)[0])?,
        (_, Some(stage)) => {
            let groups = groups(stage);
            Freeze::all_but(graph, &groups[0])?; // an error for an unknown name
            let trains = |parameter: &&str| groups.iter().any(|group| in_group(parameter, group));
            Freeze::names(graph.parameter_names().into_iter().filter(|name| !trains(name)))
        }
        (None, None) => Freeze::none(),
    };
    arguments.freeze_norms(graph, &mut freeze);
    Ok(freeze)
}

fn describe(arguments: &Plan) -> String {
    let frozen = match (&arguments.freeze_below, &arguments.only) {
        (Some(stage), _) => format!("frozen below {stage}"),
        (_, Some(stage)) => format!("only {stage} trains"),
        (None, None) => "nothing frozen".to_owned(),
    };
    let norms = match arguments.bn {
        Some(Bn::Running) => ", batch norms frozen",
        Some(Bn::Batch) => ", batch norms on batch statistics",
        None => "",
    };
    frozen + norms
}

fn merge(value: &mut Value, ledger: Value) {
    if let (Some(into), Value::Object(from)) = (value.as_object_mut(), ledger) {
        into.extend(from);
    }
}
