//! The fields of the uniforms that change from step to step.

use super::UNIFORM;
use crate::dispatch::Dispatch;
use crate::error::{Error, Result};
use crate::kernel::reflect;
use crate::ops::cross_entropy::MEAN;
use crate::plan::Plan;
use crate::update::{ADAMW, MOVE_LOSS_SCALE, SGD};

/// Byte offsets, in the uniforms, of fields that change from step to step.
pub(super) struct Changing {
    /// Group of each update, and its fields in the order of [`crate::Optim::step_fields`].
    pub updates: Vec<(Option<usize>, Vec<u64>)>,
    /// The field with the row of the history that the loss writes.
    pub slot: Option<u64>,
    /// The field with the number of the step for the loss scale's kernel.
    pub step: Option<u64>,
}

impl Changing {
    pub fn of(plan: &Plan) -> Result<Self> {
        let offset = |at: usize, name: &str| {
            let reflection = reflect(plan.dispatches[at].variant.kernel)?;
            let field =
                reflection.fields.get(name).map(|&(offset, _)| at as u64 * UNIFORM + u64::from(offset));
            field.ok_or_else(|| Error::Graph(format!("the kernel of dispatch {at} has no field `{name}`")))
        };
        let positions = |wanted: &dyn Fn(&Dispatch) -> bool| -> Vec<usize> {
            plan.dispatches
                .iter()
                .enumerate()
                .filter(|(_, dispatch)| wanted(dispatch))
                .map(|(at, _)| at)
                .collect()
        };
        let mut updates = vec![];
        if let Some(optim) = &plan.optim {
            let steps = positions(&|dispatch| [SGD, ADAMW].contains(&dispatch.variant.kernel));
            for (at, &group) in steps.into_iter().zip(&plan.update_groups) {
                let fields = optim.step_fields(group, optim.lr, 1);
                updates
                    .push((group, fields.iter().map(|(name, _)| offset(at, name)).collect::<Result<_>>()?));
            }
        }
        let means = positions(&|dispatch| dispatch.variant.kernel == MEAN);
        let slot = means.first().map(|&at| offset(at, "slot")).transpose()?;
        let counters = positions(&|dispatch| dispatch.variant.kernel == MOVE_LOSS_SCALE);
        let step = counters.first().map(|&at| offset(at, "step")).transpose()?;
        Ok(Self { updates, slot, step })
    }
}
