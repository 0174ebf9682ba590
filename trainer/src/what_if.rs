//! The cost of every freeze depth, computed without a run. Needs no GPU.

use frostline_engine::{Freeze, Graph, Ledger, Optim, Plan, TensorId, Tuning};
use frostline_models::Model;
use serde::Serialize;

use crate::error::Result;

/// One freeze depth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Everything below this stage is frozen; nothing is below the first.
    pub freeze_below: String,
    /// Dispatches of a step.
    pub dispatches: u64,
    /// Multiply-accumulates of a step.
    pub macs: u64,
    /// Bytes of activations that forward keeps for backward.
    pub kept_bytes: u64,
    /// Bytes of the pool that activations and their gradients share.
    pub pool_bytes: u64,
    /// Bytes of the gradients, equal to the bytes of the trained parameters.
    pub gradient_bytes: u64,
    /// Bytes of pool, parameters, gradients and the optimiser's state.
    pub total_bytes: u64,
}

impl Depth {
    fn of(stage: String, ledger: &Ledger) -> Self {
        let Ledger { pool_bytes, parameter_bytes, gradient_bytes, optimizer_bytes, .. } = *ledger;
        Self {
            freeze_below: stage,
            dispatches: ledger.step.dispatches,
            macs: ledger.step.macs,
            kept_bytes: ledger.kept_bytes,
            pool_bytes,
            gradient_bytes,
            total_bytes: pool_bytes + parameter_bytes + gradient_bytes + optimizer_bytes,
        }
    }
}

/// A training step of `graph`, which `model` was recorded on and which ends in `loss`, for every stage of the
/// model below which everything can be frozen; the first row freezes nothing. `adjust` may change each
/// freeze, such as the mode of batch norms.
///
/// # Errors
/// [`Error::Engine`](crate::Error::Engine) for a graph that cannot be planned.
pub fn what_if(
    model: &Model,
    graph: &Graph,
    loss: TensorId,
    optim: &Optim,
    tuning: &Tuning,
    adjust: impl Fn(&mut Freeze),
) -> Result<Vec<Depth>> {
    let depth = |stage: String| {
        let mut freeze = Freeze::below(graph, &model.members(&stage)?[0])?;
        adjust(&mut freeze);
        let plan = Plan::training(graph, loss, &freeze, optim, tuning)?;
        Ok(Depth::of(stage, plan.ledger()))
    };
    model.stages().into_iter().map(depth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table agrees with the single plans, and freezing more never costs more.
    #[test]
    fn rows_are_the_plans_of_each_depth() {
        let model = Model::new("resnet10").unwrap().classes(4);
        let mut graph = Graph::new();
        let x = graph.input(2, 28, 28, 1);
        let labels = graph.labels(2);
        let logits = model.record(&mut graph, x).unwrap().output();
        let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
        let (optim, tuning) = (Optim::sgd(0.1).momentum(0.9), Tuning::portable());
        let table = what_if(&model, &graph, loss, &optim, &tuning, |_| {}).unwrap();
        assert_eq!(table.iter().map(|row| row.freeze_below.as_str()).collect::<Vec<_>>(), model.stages());

        let plan = |freeze: &Freeze| Plan::training(&graph, loss, freeze, &optim, &tuning).unwrap();
        let full = plan(&Freeze::none());
        assert_eq!(table[0], Depth::of("stem".to_owned(), full.ledger()));
        let below = plan(&Freeze::below(&graph, "layer3").unwrap());
        assert_eq!(table[3], Depth::of("layer3".to_owned(), below.ledger()));
        for pair in table.windows(2) {
            assert!(pair[1].macs < pair[0].macs && pair[1].kept_bytes < pair[0].kept_bytes, "{pair:?}");
            assert!(
                pair[1].dispatches < pair[0].dispatches && pair[1].gradient_bytes < pair[0].gradient_bytes,
                "{pair:?}"
            );
        }
    }
}
