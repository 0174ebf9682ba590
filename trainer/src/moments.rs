//! The optimiser's state between one fit and the next.
//!
//! A change of freeze needs a new plan and with it a new optimiser. SGD's momentum is carried over for all
//! parameters that both have; newly unfrozen ones start at zero, as at the beginning of a run. AdamW divides
//! by 1 − βᵗ to correct averages that start at zero, and has one t for all parameters. A parameter unfrozen
//! at a late t would take steps up to (1 − β₁)/√(1 − β₂) ≈ 3 times too long. So when a parameter is unfrozen,
//! AdamW starts again for all parameters.

use std::sync::Arc;

use frostline_engine::{Gpu, LossScaleState, Optim, Optimizer, Plan, Rule};
use frostline_loader::{HostTensor, StateDict};

use crate::error::Result;

/// The location of the optimiser's state.
#[derive(Debug)]
pub(crate) enum Moments {
    /// There is none yet.
    None,
    /// On the device, of these parameters.
    Device { optimizer: Optimizer, slots: &'static [&'static str], parameters: Vec<String> },
    /// From a checkpoint: values by `<slot>.<parameter>`, the steps begun, and the loss scale.
    Host { state: StateDict, steps: u64, loss_scale: Option<LossScaleState> },
}

impl Moments {
    /// The state that `optimizer`, made for `plan`, holds.
    pub fn device(optimizer: Optimizer, plan: &Plan, optim: &Optim) -> Self {
        let parameters = plan.trainable_names().map(str::to_owned).collect();
        Self::Device { optimizer, slots: optim.slots(), parameters }
    }

    /// An optimiser for `plan` that continues from this state as far as possible.
    pub fn optimizer(&self, gpu: &Arc<Gpu>, plan: &Plan, optim: &Optim) -> Result<Optimizer> {
        let mut new = Optimizer::new(gpu, plan)?;
        let thaw_matters = matches!(optim.rule, Rule::AdamW { .. });
        let thawed = |known: &dyn Fn(&str) -> bool| plan.trainable_names().any(|name| !known(name));
        match self {
            Self::None => {}
            Self::Device { optimizer, slots, parameters } => {
                let known = |name: &str| parameters.iter().any(|other| other == name);
                if *slots == optim.slots() && !(thaw_matters && thawed(&known)) {
                    new.carry_over(optimizer)?;
                }
            }
            Self::Host { state, steps, loss_scale } => {
                let key = |slot: &str, name: &str| format!("{slot}.{name}");
                let known =
                    |name: &str| optim.slots().iter().all(|slot| state.contains_key(&key(slot, name)));
                let same_rule = plan.trainable_names().any(known);
                if same_rule && !(thaw_matters && thawed(&known)) {
                    new.go_on_from(*steps, *loss_scale);
                    for name in plan.trainable_names().filter(|name| known(name)) {
                        for slot in optim.slots() {
                            new.set(slot, name, &state[&key(slot, name)].data)?;
                        }
                    }
                }
            }
        }
        Ok(new)
    }

    /// Steps begun.
    pub fn steps(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Device { optimizer, .. } => optimizer.steps(),
            Self::Host { steps, .. } => *steps,
        }
    }

    /// The present loss scale, if gradients have one.
    pub async fn loss_scale(&self) -> Result<Option<LossScaleState>> {
        match self {
            Self::None => Ok(None),
            Self::Device { optimizer, .. } => Ok(optimizer.loss_scale_async().await?),
            Self::Host { loss_scale, .. } => Ok(*loss_scale),
        }
    }

    /// All values, by `<slot>.<parameter>`, as in checkpoints.
    pub async fn to_host(&self) -> Result<StateDict> {
        match self {
            Self::None => Ok(StateDict::new()),
            Self::Host { state, .. } => Ok(state.clone()),
            Self::Device { optimizer, .. } => {
                let mut state = StateDict::new();
                for (slot, name, shape, values) in optimizer.to_host_async().await? {
                    state.insert(format!("{slot}.{name}"), HostTensor::new(shape, values)?);
                }
                Ok(state)
            }
        }
    }
}
