//! The dispatches that apply an optimiser, and those that update the loss scale before it.

use crate::dispatch::{BufferId, Home, Phase, grid};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::layout::Layout;
use crate::loss_scale::LossScale;
use crate::optim::{Optim, Rule};
use crate::recorder::Recorder;
use crate::request::Request;

pub(crate) static SGD: Kernel = Kernel { file: "sgd", entry: "step" };
pub(crate) static ADAMW: Kernel = Kernel { file: "adamw", entry: "step" };
static CHECK_GRADIENTS: Kernel = Kernel { file: "loss_scale", entry: "check" };
pub(crate) static MOVE_LOSS_SCALE: Kernel = Kernel { file: "loss_scale", entry: "update" };

/// The largest part of the flat buffers that one dispatch updates: every adapter can bind at least 128 MiB.
const LARGEST_RUN: u64 = 64 << 20;

/// Invocations of a workgroup of `loss_scale.check`, and the number of vec4 that each of them reads.
const WORKGROUP: u32 = 64;
const PER_INVOCATION: u32 = 16;

/// Terms of the series in `loss_scale.update`, once for each of AdamW's averages.
const MOVE_TURNS: usize = 2 * 8;

/// Neighbouring parameters with the same settings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UpdateRun {
    group: Option<usize>,
    first: String,
    last: String,
}

/// Cuts the trainable parameters into runs that are contiguous in `all` and share a group.
fn runs(group_of: impl Fn(&str) -> Option<usize>, all: &Layout, trainable: &Layout) -> Vec<UpdateRun> {
    let mut runs: Vec<UpdateRun> = vec![];
    let mut neighbour = false;
    for (name, _) in all.iter() {
        if trainable.get(name).is_none() {
            neighbour = false;
            continue;
        }
        let group = group_of(name);
        match runs.last_mut() {
            Some(run)
                if neighbour
                    && run.group == group
                    && all.run(&run.first, name).is_some_and(|(_, bytes)| bytes <= LARGEST_RUN) =>
            {
                run.last = name.to_owned();
            }
            _ => runs.push(UpdateRun { group, first: name.to_owned(), last: name.to_owned() }),
        }
        neighbour = true;
    }
    runs
}

/// Records one dispatch per run, and before them those that update the loss scale; returns the group of each
/// run.
pub(crate) fn record(
    recorder: &mut Recorder<'_>,
    optim: &Optim,
    all: &Layout,
    trainable: &Layout,
    summary: BufferId,
) -> Result<Vec<Option<usize>>> {
    if let Some(scale) = recorder.tuning.storage.loss_scale() {
        move_loss_scale(recorder, scale, optim.rule, trainable, summary)?;
    }
    let scaler = recorder.loss_scaler;
    let runs = runs(|name| optim.group_of(name), all, trainable);
    for run in &runs {
        let bytes = all.run(&run.first, &run.last).map_or(0, |(_, bytes)| bytes);
        let range =
            if run.first == run.last { run.first.clone() } else { format!("{} … {}", run.first, run.last) };
        let (first, last) = (run.first.clone(), run.last.clone());
        let parameter = recorder.buffer(&range, bytes, Home::ParameterRun(first.clone(), last.clone()));
        let gradient =
            recorder.buffer(format!("grad {range}"), bytes, Home::GradientRun(first.clone(), last.clone()));
        let weight_decay = run.group.map_or(optim.weight_decay, |index| optim.groups[index].weight_decay);
        let kernel = if matches!(optim.rule, Rule::Sgd { .. }) { SGD } else { ADAMW };
        let size4 = (bytes / 16) as usize;
        let mut request = Request::new(kernel, grid(size4, 64))
            .bind(&[("gradient", gradient), ("summary", summary), ("parameter", parameter)])
            .params(&[("size4", size4)])
            .float("weight_decay", weight_decay)
            .scaled(scaler);
        for (slot, name) in optim.slots().iter().enumerate() {
            let label = format!("{name} {range}");
            let moment = recorder.buffer(label, bytes, Home::MomentRun(slot, first.clone(), last.clone()));
            request = request.bind(&[(name, moment)]);
        }
        request = match optim.rule {
            Rule::Sgd { momentum, nesterov } => {
                request.float("momentum", momentum).params(&[("nesterov", nesterov as usize)])
            }
            Rule::AdamW { beta1, beta2, eps } => request
                .float("beta1", beta1 as f32)
                .float("beta2", beta2 as f32)
                .float("rest1", (1.0 - beta1) as f32)
                .float("rest2", (1.0 - beta2) as f32)
                .float("eps", eps),
        };
        for (name, value) in optim.step_fields(run.group, optim.lr, 1) {
            request = request.float(name, value);
        }
        recorder.dispatch("optimizer", Phase::Update, request)?;
    }
    Ok(runs.into_iter().map(|run| run.group).collect())
}

/// Records what happens between backward and the optimiser: the check of every gradient of `trainable` and of
/// the loss in `summary`, and the update of the scale.
fn move_loss_scale(
    recorder: &mut Recorder<'_>,
    scale: LossScale,
    rule: Rule,
    trainable: &Layout,
    summary: BufferId,
) -> Result<()> {
    let overflow = recorder.buffer("gradient overflow", 16, Home::Plan);
    for run in runs(|_| None, trainable, trainable) {
        let bytes = trainable.run(&run.first, &run.last).map_or(0, |(_, bytes)| bytes);
        let home = Home::GradientRun(run.first.clone(), run.last.clone());
        let gradient = recorder.buffer(format!("grad {} … {}", run.first, run.last), bytes, home);
        let size4 = (bytes / 16) as usize;
        let request = Request::new(CHECK_GRADIENTS, grid(size4.div_ceil(PER_INVOCATION as usize), WORKGROUP))
            .bind(&[("gradient", gradient), ("overflow", overflow)])
            .params(&[("size4", size4)])
            .turns(PER_INVOCATION as usize);
        recorder.dispatch("optimizer", Phase::Update, request)?;
    }
    // 1 − βᵗ = 1 − e^(−t·decay); β = 0 decays at once.
    let decay = |beta: f64| (-beta.ln()).min(1e6) as f32;
    let [decay1, decay2] = match rule {
        Rule::Sgd { .. } => [0.0; 2],
        Rule::AdamW { beta1, beta2, .. } => [decay(beta1), decay(beta2)],
    };
    let request = Request::new(MOVE_LOSS_SCALE, [1; 3])
        .bind(&[("summary", summary), ("overflow", overflow)])
        .bind_if("scaler", recorder.loss_scaler)
        .params(&[("step", 1), ("growth_interval", scale.growth_interval.unwrap_or(0) as usize)])
        .float("decay1", decay1)
        .float("decay2", decay2)
        .turns(MOVE_TURNS);
    recorder.dispatch("optimizer", Phase::Update, request)
}
