//! A plan on the device, and the time of some of its dispatches.

use super::{Outcome, wall};
use frostline::engine::dispatch::{Dispatch, Phase};
use frostline::engine::{Gpu, Graph, Optimizer, Params, Plan, Session};
use std::sync::Arc;
use std::time::Duration;

/// Runs a plan and adds up the dispatches that count.
pub struct Timer {
    gpu: Arc<Gpu>,
    session: Session,
    /// Whether each dispatch of the step counts.
    counted: Vec<bool>,
}

impl Timer {
    /// Puts `plan` of `graph` on the device and runs it once, which compiles its kernels.
    pub fn new(
        gpu: &Arc<Gpu>,
        graph: &Graph,
        plan: Plan,
        counts: impl Fn(&Dispatch) -> bool,
    ) -> Outcome<Self> {
        let params = Params::new(gpu, graph, 0)?;
        let updates = plan.ledger().update_dispatches > 0;
        let optimizer = if updates { Some(Optimizer::new(gpu, &plan)?) } else { None };
        let counted = step(&plan).map(counts).collect();
        let mut session = Session::new(gpu, plan, &params, optimizer.as_ref())?;
        session.run()?;
        gpu.wait()?;
        Ok(Self { gpu: gpu.clone(), session, counted })
    }

    /// How long the dispatches that count take, by the device's clock; where it has none, how long
    /// the whole plan takes by the host's.
    pub fn sample(&mut self) -> Outcome<Duration> {
        let rows = self.session.profile()?;
        if rows.is_empty() {
            let mut outcome = Ok(());
            let time = wall(|| outcome = self.session.run().and_then(|()| self.gpu.wait()));
            return Ok(outcome.map(|()| time)?);
        }
        let milliseconds: f64 =
            rows.iter().zip(&self.counted).filter(|(_, counted)| **counted).map(|((_, time), _)| time).sum();
        Ok(Duration::from_secs_f64(milliseconds / 1e3))
    }
}

/// The dispatches of a step: all but the prologue.
pub fn step(plan: &Plan) -> impl Iterator<Item = &Dispatch> {
    plan.dispatches().iter().filter(|dispatch| dispatch.phase != Phase::Prologue)
}
