//! Optimisers: their settings, parameter groups, and the dispatches that apply them.

use crate::error::{Error, Result};
use crate::freeze::in_group;
use crate::kernel::Kernel;
use crate::layout::Layout;
use crate::loss_scale;
use crate::record::{BufferId, Home, Phase, Recorder, Request, grid};

/// The largest part of the flat buffers that one dispatch updates: adapters bind 128 MiB at least.
const LARGEST_RUN: u64 = 64 << 20;

/// The rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `torch.optim.SGD`, dampening 0.
    Sgd {
        /// μ.
        momentum: f32,
        /// Looks one step ahead.
        nesterov: bool,
    },
    /// `torch.optim.AdamW`.
    AdamW {
        /// Decay of the mean gradient.
        beta1: f64,
        /// Decay of the mean squared gradient.
        beta2: f64,
        /// Added to the root.
        eps: f32,
    },
}

/// Parameters with their own settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Layer or parameter names: everything at or below them belongs to the group.
    pub members: Vec<String>,
    /// Factor on the learning rate.
    pub rate: f32,
    /// Weight decay λ of this group.
    pub weight_decay: f32,
    /// Gets no step (and, in [`crate::Plan::training`], no gradient).
    pub frozen: bool,
}

/// An optimiser's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Optim {
    /// The rule.
    pub rule: Rule,
    /// Learning rate of the first step.
    pub lr: f32,
    /// Weight decay λ of parameters in no group.
    pub weight_decay: f32,
    /// Groups; a parameter belongs to the last that names it.
    pub groups: Vec<Group>,
}

pub(crate) static SGD: Kernel = Kernel { file: "sgd", entry: "step" };
pub(crate) static ADAMW: Kernel = Kernel { file: "adamw", entry: "step" };

impl Optim {
    /// SGD without momentum or weight decay.
    pub fn sgd(lr: f32) -> Self {
        Self { rule: Rule::Sgd { momentum: 0.0, nesterov: false }, lr, weight_decay: 0.0, groups: vec![] }
    }

    /// AdamW with PyTorch's defaults: β 0.9 and 0.999, ε 1e-8, weight decay 0.01.
    pub fn adamw(lr: f32) -> Self {
        Self {
            rule: Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
            lr,
            weight_decay: 0.01,
            groups: vec![],
        }
    }

    /// Sets SGD's momentum.
    pub fn momentum(mut self, value: f32) -> Self {
        if let Rule::Sgd { momentum, .. } = &mut self.rule {
            *momentum = value;
        }
        self
    }

    /// Uses Nesterov's momentum.
    pub fn nesterov(mut self) -> Self {
        if let Rule::Sgd { nesterov, .. } = &mut self.rule {
            *nesterov = true;
        }
        self
    }

    /// Sets the weight decay.
    pub fn weight_decay(mut self, value: f32) -> Self {
        self.weight_decay = value;
        self
    }

    /// Adds a group.
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// The group that `parameter` belongs to.
    pub fn group_of(&self, parameter: &str) -> Option<usize> {
        self.groups.iter().rposition(|group| group.members.iter().any(|member| in_group(parameter, member)))
    }

    /// Names of the values an optimiser keeps per weight, as in PyTorch's state dict.
    pub fn slots(&self) -> &'static [&'static str] {
        match self.rule {
            Rule::Sgd { .. } => &["momentum_buffer"],
            Rule::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// Refuses settings that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let sane = |value: f32| value.is_finite() && value >= 0.0;
        let wrong = |name, value: f32, reason| Err(Error::Setting { name, value: value.to_string(), reason });
        if !sane(self.lr) {
            return wrong("learning rate", self.lr, "it must be a number of at least 0");
        }
        for decay in self.groups.iter().map(|group| group.weight_decay).chain([self.weight_decay]) {
            if !sane(decay) {
                return wrong("weight decay", decay, "it must be a number of at least 0");
            }
        }
        for group in &self.groups {
            if !sane(group.rate) {
                return wrong("factor on the learning rate", group.rate, "it must be a number of at least 0");
            }
        }
        match self.rule {
            Rule::Sgd { momentum, .. } if !(0.0..1.0).contains(&momentum) => {
                wrong("momentum", momentum, "it must lie in 0..1")
            }
            Rule::Sgd { momentum: 0.0, nesterov: true } => {
                wrong("momentum", 0.0, "Nesterov's rule needs a momentum above 0, such as 0.9")
            }
            Rule::AdamW { beta1, .. } if !(0.0..1.0).contains(&beta1) => {
                wrong("beta1", beta1 as f32, "it must lie in 0..1")
            }
            Rule::AdamW { beta2, .. } if !(0.0..1.0).contains(&beta2) => {
                wrong("beta2", beta2 as f32, "it must lie in 0..1")
            }
            Rule::AdamW { eps, .. } if !sane(eps) => wrong("eps", eps, "it must be a number of at least 0"),
            _ => Ok(()),
        }
    }

    /// The fields of `Params` that change with the rate and the step (counted from 1) for `group`.
    pub fn step_fields(&self, group: Option<usize>, lr: f32, step: u64) -> Vec<(&'static str, f32)> {
        let lr = lr * group.map_or(1.0, |index| self.groups[index].rate);
        match self.rule {
            Rule::Sgd { .. } => vec![("lr", lr)],
            Rule::AdamW { beta1, beta2, .. } => {
                let rest = |beta: f64| 1.0 - beta.powi(step.min(i32::MAX as u64) as i32);
                let step_size = (f64::from(lr) / rest(beta1)) as f32;
                vec![("lr", lr), ("step_size", step_size), ("correction", (1.0 / rest(beta2).sqrt()) as f32)]
            }
        }
    }
}

/// Neighbouring parameters with the same settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub group: Option<usize>,
    pub first: String,
    pub last: String,
}

/// Cuts the trainable parameters into runs that are contiguous in `all` and share a group.
pub(crate) fn runs(group_of: impl Fn(&str) -> Option<usize>, all: &Layout, trainable: &Layout) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
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
            _ => runs.push(Run { group, first: name.to_owned(), last: name.to_owned() }),
        }
        neighbour = true;
    }
    runs
}

/// Records one dispatch per run, and before them what moves the loss scale; returns the group of each run.
pub(crate) fn record(
    recorder: &mut Recorder<'_>,
    optim: &Optim,
    all: &Layout,
    trainable: &Layout,
    summary: BufferId,
) -> Vec<Option<usize>> {
    if let Some(scale) = recorder.tuning.storage.loss_scale() {
        loss_scale::record(recorder, scale, optim.rule, trainable, summary);
    }
    let scaler = recorder.loss_scaler();
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
        recorder.dispatch("optimizer", Phase::Update, request);
    }
    runs.into_iter().map(|run| run.group).collect()
}
