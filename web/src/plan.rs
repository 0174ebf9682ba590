//! A plan as pages show it: the dispatches of a step, those that freezing removed among them.

use crate::fault::Result;
use frostline_engine::freeze::in_group;
use frostline_engine::record::{Dispatch, Phase};
use frostline_engine::{Ledger, Plan};
use frostline_models::Model;
use serde::Serialize;

/// A dispatch, made or left out.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    kernel: String,
    file: &'static str,
    layer: String,
    stage: Option<String>,
    phase: &'static str,
    present: bool,
    macs: u64,
    grid: [u32; 3],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StageRow {
    name: String,
    frozen: bool,
    kernels: usize,
    skipped: usize,
    kept_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    dispatches: u64,
    forward: u64,
    backward: u64,
    update: u64,
    macs: u64,
    kept_bytes: u64,
    pool_bytes: u64,
    parameter_bytes: u64,
    gradient_bytes: u64,
    optimizer_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    freeze_below: &'a str,
    batch: usize,
    dispatches: &'a [Row],
    stages: Vec<StageRow>,
    ledger: Counts,
    unfrozen: Counts,
}

impl From<&Ledger> for Counts {
    fn from(ledger: &Ledger) -> Self {
        Self {
            dispatches: ledger.step.dispatches,
            forward: ledger.forward_dispatches,
            backward: ledger.backward_dispatches,
            update: ledger.update_dispatches,
            macs: ledger.step.macs,
            kept_bytes: ledger.kept_bytes,
            pool_bytes: ledger.pool_bytes,
            parameter_bytes: ledger.parameter_bytes,
            gradient_bytes: ledger.gradient_bytes,
            optimizer_bytes: ledger.optimizer_bytes,
        }
    }
}

/// Every dispatch of a step of `plan`, and at their places those of `unfrozen` that it does not make. Both are
/// in the order forward, backward, update; within a phase, dispatches of the same kernel and layer stand for
/// each other.
pub fn rows(model: &Model, plan: &Plan, unfrozen: &Plan) -> Result<Vec<Row>> {
    let stages = stages(model)?;
    let mut mine: Vec<&Dispatch> = step(plan).collect();
    let same = |a: &Dispatch, b: &Dispatch| {
        a.variant.kernel == b.variant.kernel && a.layer == b.layer && a.phase == b.phase
    };
    let mut rows: Vec<Row> = vec![];
    for full in step(unfrozen) {
        match mine.iter().position(|dispatch| same(dispatch, full)) {
            // Those before it are only in the frozen step.
            Some(at) => rows.extend(mine.drain(..=at).map(|dispatch| row(&stages, dispatch, true))),
            None => {
                let before = mine.iter().take_while(|dispatch| dispatch.phase < full.phase).count();
                rows.extend(mine.drain(..before).map(|dispatch| row(&stages, dispatch, true)));
                rows.push(row(&stages, full, false));
            }
        }
    }
    rows.extend(mine.into_iter().map(|dispatch| row(&stages, dispatch, true)));
    Ok(rows)
}

/// The JSON of `plan` beside `unfrozen`, the same step with nothing frozen.
pub fn json(model: &Model, plan: &Plan, unfrozen: &Plan, freeze_below: &str, batch: usize) -> Result<String> {
    let rows = rows(model, plan, unfrozen)?;
    let known = stages(model)?;
    let first = known.iter().position(|(name, _)| name == freeze_below).unwrap_or(0);
    let stages = known.iter().enumerate().map(|(place, (name, members))| {
        let of_stage = |present| {
            rows.iter().filter(|row| row.stage.as_deref() == Some(name) && row.present == present).count()
        };
        let mine = plan.ledger().layers.iter().filter(|(layer, _)| belongs(members, layer));
        StageRow {
            name: name.clone(),
            frozen: place < first,
            kernels: of_stage(true),
            skipped: of_stage(false),
            kept_bytes: mine.map(|(_, layer)| layer.kept_bytes).sum(),
        }
    });
    Ok(serde_json::to_string(&View {
        freeze_below,
        batch,
        stages: stages.collect(),
        ledger: plan.ledger().into(),
        unfrozen: unfrozen.ledger().into(),
        dispatches: &rows,
    })?)
}

fn stages(model: &Model) -> Result<Vec<(String, Vec<String>)>> {
    model.stages().into_iter().map(|stage| Ok((stage.clone(), model.members(&stage)?))).collect()
}

fn belongs(members: &[String], layer: &str) -> bool {
    members.iter().any(|member| in_group(layer, member))
}

/// The prologue runs once and is no part of a step.
fn step(plan: &Plan) -> impl Iterator<Item = &Dispatch> {
    plan.dispatches().iter().filter(|dispatch| dispatch.phase != Phase::Prologue)
}

fn row(stages: &[(String, Vec<String>)], dispatch: &Dispatch, present: bool) -> Row {
    let stage = stages.iter().find(|(_, members)| belongs(members, &dispatch.layer));
    Row {
        kernel: dispatch.variant.kernel.name(),
        file: dispatch.variant.kernel.file,
        layer: dispatch.layer.clone(),
        stage: stage.map(|(name, _)| name.clone()),
        phase: match dispatch.phase {
            Phase::Prologue => "prologue",
            Phase::Forward => "forward",
            Phase::Backward => "backward",
            Phase::Update => "update",
        },
        present,
        macs: dispatch.macs,
        grid: dispatch.grid,
    }
}
