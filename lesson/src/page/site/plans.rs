//! The dispatches of a training step of the embedded ResNet-10 for every freeze: the same plan that a run
//! executes. Planning needs no GPU, so every reader can move the freeze and see which kernels disappear.

use crate::error::Result;
use frostline_engine::dispatch::{Dispatch, Phase};
use frostline_engine::freeze::in_group;
use frostline_engine::{Freeze, Graph, Ledger, Optim, Plan, Tuning};
use frostline_models::Model;
use serde_json::{Value, json};

/// Images in a step.
const BATCH: usize = 16;
/// Side of the images in pixels.
const SIDE: usize = 28;
/// Digits.
const CLASSES: usize = 10;

/// A plan for each stage below which everything is frozen, in the format of `engine.js`.
pub(super) fn plans() -> Result<Value> {
    let model = Model::new("resnet10")?.classes(CLASSES);
    let mut graph = Graph::new();
    let x = graph.input(BATCH, SIDE, SIDE, model.input_channels());
    let labels = graph.labels(BATCH);
    let logits = model.record(&mut graph, x)?.output();
    let loss = graph.cross_entropy(logits, labels, 0.0)?;
    let optim = Optim::sgd(0.02).momentum(0.9);
    let stages: Vec<(String, Vec<String>)> = model
        .stages()
        .into_iter()
        .map(|stage| Ok((stage.clone(), model.members(&stage)?)))
        .collect::<Result<_>>()?;
    let plan = |freeze: &Freeze| Plan::training(&graph, loss, freeze, &optim, &Tuning::gpu());
    let open = plan(&Freeze::none())?;
    let trains = stages.iter().filter(|(_, members)| {
        graph.parameter_names().iter().any(|name| members.iter().any(|member| in_group(name, member)))
    });
    let mut plans = vec![];
    for (stage, members) in trains {
        let mine = plan(&Freeze::below(&graph, &members[0])?)?;
        plans.push(one(stage, &mine, &open, &stages));
    }
    Ok(json!({ "network": "resnet10", "side": SIDE, "classes": CLASSES, "plans": plans }))
}

fn one(below: &str, mine: &Plan, open: &Plan, stages: &[(String, Vec<String>)]) -> Value {
    let stage_of = |layer: &str| {
        stages
            .iter()
            .find(|(_, members)| members.iter().any(|member| in_group(layer, member)))
            .map(|(name, _)| name)
    };
    let step = |plan: &Plan| -> Vec<Dispatch> {
        plan.dispatches().iter().filter(|dispatch| dispatch.phase != Phase::Prologue).cloned().collect()
    };
    let (ours, all) = (step(mine), step(open));
    let dispatches: Vec<Value> = merged(&ours, &all)
        .into_iter()
        .map(|(dispatch, present)| {
            let kernel = dispatch.variant.kernel;
            json!({
                "kernel": kernel.name(), "file": kernel.file, "layer": dispatch.layer,
                "stage": stage_of(&dispatch.layer), "phase": phase(dispatch.phase), "present": present,
                "macs": dispatch.macs, "bytes": dispatch.bytes_read + dispatch.bytes_written,
            })
        })
        .collect();
    json!({
        "freezeBelow": below, "batch": BATCH, "dispatches": dispatches,
        "stages": stages.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "ledger": ledger(mine.ledger()), "unfrozen": ledger(open.ledger()),
    })
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Prologue => "prologue",
        Phase::Forward => "forward",
        Phase::Backward => "backward",
        Phase::Update => "update",
    }
}

fn ledger(ledger: &Ledger) -> Value {
    json!({
        "dispatches": ledger.step.dispatches, "forward": ledger.forward_dispatches,
        "backward": ledger.backward_dispatches, "update": ledger.update_dispatches, "macs": ledger.step.macs,
        "keptBytes": ledger.kept_bytes, "poolBytes": ledger.pool_bytes,
        "parameterBytes": ledger.parameter_bytes, "gradientBytes": ledger.gradient_bytes,
        "optimizerBytes": ledger.optimizer_bytes,
    })
}

/// The dispatches of `mine` in order, and between them those that are only in `all`, at their positions
/// there: the longest common subsequence of the two lists.
fn merged<'a>(mine: &'a [Dispatch], all: &'a [Dispatch]) -> Vec<(&'a Dispatch, bool)> {
    let same = |a: &Dispatch, b: &Dispatch| {
        a.layer == b.layer && a.phase == b.phase && a.variant.kernel == b.variant.kernel
    };
    // longest[i][j]: of mine[i..] and all[j..].
    let mut longest = vec![vec![0u32; all.len() + 1]; mine.len() + 1];
    for i in (0..mine.len()).rev() {
        for j in (0..all.len()).rev() {
            longest[i][j] = if same(&mine[i], &all[j]) {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, vec![]);
    while i < mine.len() || j < all.len() {
        if i < mine.len() && j < all.len() && same(&mine[i], &all[j]) {
            found.push((&mine[i], true));
            (i, j) = (i + 1, j + 1);
        } else if j < all.len() && (i == mine.len() || longest[i][j + 1] >= longest[i + 1][j]) {
            found.push((&all[j], false));
            j += 1;
        } else {
            found.push((&mine[i], true));
            i += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels that the page counts as present are those that the plan dispatches; present and absent
    /// kernels together are at least those of the unfrozen step.
    #[test]
    fn bars_are_the_ledger() {
        let found = plans().unwrap();
        let plans = found["plans"].as_array().unwrap();
        let names: Vec<_> = plans.iter().map(|plan| plan["freezeBelow"].as_str().unwrap()).collect();
        assert_eq!(names, ["stem", "layer1", "layer2", "layer3", "layer4", "fc"]);
        let mut before = u64::MAX;
        for plan in plans {
            let dispatches = plan["dispatches"].as_array().unwrap();
            let present = dispatches.iter().filter(|one| one["present"] == true).count() as u64;
            assert_eq!(present, plan["ledger"]["dispatches"].as_u64().unwrap());
            assert!(dispatches.len() as u64 >= plan["unfrozen"]["dispatches"].as_u64().unwrap());
            assert!(present < before, "freezing more dispatches less");
            before = present;
        }
        assert!(plans[0]["dispatches"].as_array().unwrap().iter().all(|one| one["present"] == true));
        assert!(plans[5]["dispatches"].as_array().unwrap().iter().any(|one| {
            one["present"] == false && one["kernel"].as_str().unwrap().contains("backward_weight")
        }));
    }
}
