//! Optimisers: their settings and parameter groups.

use crate::error::{Error, Result};
use crate::freeze::in_group;

/// The rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `torch.optim.SGD`, dampening 0.
    Sgd {
        /// μ.
        momentum: f32,
        /// Whether to use Nesterov's momentum.
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
    /// Whether the group gets no step (and, in [`crate::Plan::training`], no gradient).
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

    /// Names of the values that an optimiser keeps per weight, as in PyTorch's state dict.
    pub fn slots(&self) -> &'static [&'static str] {
        match self.rule {
            Rule::Sgd { .. } => &["momentum_buffer"],
            Rule::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// Fails for invalid settings.
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
                wrong("momentum", momentum, "it must be in 0..1")
            }
            Rule::Sgd { momentum: 0.0, nesterov: true } => {
                wrong("momentum", 0.0, "Nesterov's rule needs a momentum above 0, such as 0.9")
            }
            Rule::AdamW { beta1, .. } if !(0.0..1.0).contains(&beta1) => {
                wrong("beta1", beta1 as f32, "it must be in 0..1")
            }
            Rule::AdamW { beta2, .. } if !(0.0..1.0).contains(&beta2) => {
                wrong("beta2", beta2 as f32, "it must be in 0..1")
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
