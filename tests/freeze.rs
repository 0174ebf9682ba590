//! Freezing, for any set of frozen parameters: the plan is what runs, a frozen parameter has no gradient
//! kernel and keeps every bit, and the remaining gradients are unchanged.

mod common;

use common::{gpu, session, small_resnet, step, varied_params};
use frostline_engine::dispatch::{Home, Phase};
use frostline_engine::{BatchNormMode, Freeze, Graph, Optim, Plan, Session, Storage, TensorId, Tuning};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};

/// A freeze as a test draws it.
#[derive(Clone, Debug)]
struct Mask {
    frozen: BTreeSet<String>,
    batch_norm: BatchNormMode,
}

impl Mask {
    fn freeze(&self) -> Freeze {
        let mut freeze = Freeze::names(self.frozen.iter().map(String::as_str));
        freeze.batch_norm = self.batch_norm;
        freeze
    }

    /// Whether batch norm `layer` uses its running statistics: the rule once more, in one line.
    fn runs(&self, layer: &str) -> bool {
        let frozen = |what: &str| self.frozen.contains(&format!("{layer}.{what}"));
        match self.batch_norm {
            BatchNormMode::Running => true,
            BatchNormMode::Batch => false,
            BatchNormMode::FollowFreeze => frozen("weight") && frozen("bias"),
        }
    }
}

fn recorded() -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let (_, loss) = small_resnet(&mut graph).unwrap();
    (graph, loss)
}

fn names(graph: &Graph) -> Vec<String> {
    graph.parameter_names().into_iter().map(str::to_owned).collect()
}

/// Any parameters; whole groups; everything below or except a group; a single tensor frozen or trained; all
/// batch norm weights, or all their biases.
fn masks(graph: &Graph) -> impl Strategy<Value = Mask> + use<> {
    let all = names(graph);
    let groups = vec!["conv1", "bn1", "layer1", "layer2", "fc"];
    let (below, but) = (graph.clone(), graph.clone());
    let in_groups = |all: &[String], groups: &[&str]| -> Vec<String> {
        all.iter().filter(|name| groups.contains(&name.split('.').next().unwrap_or(""))).cloned().collect()
    };
    let of_norms = |what: &'static str, all: &[String]| -> Vec<String> {
        all.iter()
            .filter(|name| (name.contains("bn") || name.contains("downsample.1")) && name.ends_with(what))
            .cloned()
            .collect()
    };
    let (weights, biases) = (of_norms("weight", &all), of_norms("bias", &all));
    let (for_groups, for_one) = (all.clone(), all.clone());
    let frozen = prop_oneof![
        4 => subsequence(all.clone(), 0..all.len()),
        2 => subsequence(groups.clone(), 0..groups.len()).prop_map(move |some| in_groups(&for_groups, &some)),
        1 => select(groups.clone()).prop_map(move |group| Freeze::below(&below, group).unwrap().frozen_names().map(str::to_owned).collect()),
        1 => select(groups).prop_map(move |group| Freeze::all_but(&but, group).unwrap().frozen_names().map(str::to_owned).collect()),
        2 => select(all.clone()).prop_map(|one| vec![one]),
        2 => select(all).prop_map(move |one| for_one.iter().filter(|name| **name != one).cloned().collect()),
        1 => select(vec![weights, biases]),
    ];
    let modes = select(vec![BatchNormMode::FollowFreeze, BatchNormMode::Batch, BatchNormMode::Running]);
    (frozen, modes).prop_map(|(frozen, batch_norm)| Mask { frozen: frozen.into_iter().collect(), batch_norm })
}

/// The same `cases` masks in every run; a failing one is shrunk before it is shown.
fn for_masks(cases: u32, graph: &Graph, check: impl Fn(Mask)) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&masks(graph), |mask| {
        check(mask);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn plan(graph: &Graph, loss: TensorId, mask: &Mask, tuning: &Tuning) -> Plan {
    Plan::training(graph, loss, &mask.freeze(), &Optim::sgd(0.1).momentum(0.9), tuning).unwrap()
}

/// No dispatch writes a frozen parameter or its gradient, or a running statistic that stays.
fn check_writes(graph: &Graph, mask: &Mask, plan: &Plan) {
    let all = names(graph);
    let within = |first: &str, last: &str| -> Vec<String> {
        let place = |name: &str| all.iter().position(|other| other == name).unwrap();
        all[place(first)..=place(last)].to_vec()
    };
    for dispatch in plan.dispatches() {
        for buffer in dispatch.written().filter_map(|id| plan.buffer(id)) {
            let touched = match &buffer.home {
                Home::Parameter(name) | Home::Gradient(name) => vec![name.clone()],
                Home::ParameterRun(first, last)
                | Home::GradientRun(first, last)
                | Home::MomentRun(_, first, last) => within(first, last),
                Home::Statistic(name) => {
                    let layer = name.rsplit_once('.').unwrap().0;
                    assert!(!mask.runs(layer), "{dispatch:?} writes {name}, which stays");
                    vec![]
                }
                Home::Pool | Home::Plan | Home::LossScaler => vec![],
            };
            for name in touched {
                assert!(!mask.frozen.contains(&name), "{dispatch:?} writes {name}, which is frozen");
            }
        }
    }
}

/// Weight gradients are dispatched for exactly the trainable weights.
fn check_weight_gradients(graph: &Graph, mask: &Mask, plan: &Plan) {
    let is_convolution = |name: &&str| {
        name.ends_with(".weight")
            && (name.contains("conv") || name.contains("downsample.0") || name.starts_with("fc"))
    };
    let expected: Vec<&str> = graph
        .parameter_names()
        .into_iter()
        .filter(is_convolution)
        .filter(|name| !mask.frozen.contains(*name))
        .filter_map(|name| name.strip_suffix(".weight"))
        .collect();
    // `conv2d.wgsl` and related files, such as `conv2d_tiled.wgsl`.
    let weight_gradient = |kernel: &str| kernel.starts_with("conv2d") && kernel.ends_with(".backward_weight");
    let dispatches =
        plan.dispatches().iter().filter(|dispatch| weight_gradient(&dispatch.variant.kernel.name()));
    let mut planned: Vec<&str> = dispatches.map(|dispatch| dispatch.layer.as_str()).collect();
    planned.reverse(); // backward runs from the last layer
    let in_model_order = |layers: &mut Vec<&str>| {
        layers.sort_by_key(|layer| graph.parameter_names().iter().position(|name| name.starts_with(layer)))
    };
    in_model_order(&mut planned);
    assert_eq!(planned, expected);
    let trainable: Vec<&str> = plan.trainable_names().collect();
    let rest: Vec<&str> =
        graph.parameter_names().into_iter().filter(|name| !mask.frozen.contains(*name)).collect();
    assert_eq!(trainable, rest, "what gets a gradient");
}

/// No result is unused: each dispatch writes a buffer that a later one or the host reads.
fn check_nothing_is_wasted(plan: &Plan) {
    let mut needed = BTreeSet::new();
    for dispatch in plan.dispatches().iter().rev() {
        let reaches_the_host = |id| plan.buffer(id).is_some_and(|buffer| buffer.home != Home::Pool);
        assert!(
            dispatch.written().any(|id| needed.contains(&id) || reaches_the_host(id)),
            "nothing reads the output of {dispatch:?}"
        );
        needed.extend(dispatch.used());
    }
}

#[test]
fn a_plan_dispatches_what_the_mask_leaves_and_predicts_its_cost_exactly() {
    let (graph, loss) = recorded();
    let gpu = gpu();
    let params = varied_params(&gpu, &graph);
    for_masks(220, &graph, |mask| {
        for tuning in &[
            Tuning::subgroup(8),
            Tuning::gpu(),
            Tuning::portable(),
            Tuning::portable().with_storage(Storage::f16()),
        ] {
            let plan = plan(&graph, loss, &mask, tuning);
            check_writes(&graph, &mask, &plan);
            check_weight_gradients(&graph, &mask, &plan);
            check_nothing_is_wasted(&plan);
        }
        let plan = plan(&graph, loss, &mask, gpu.tuning());
        let predicted = plan.ledger().step;
        let (mut session, mut optimizer) = session(&gpu, plan, &params);
        step(&mut session, &mut optimizer, 0.0);
        assert_eq!(session.executed(), predicted, "after one step");
        step(&mut session, &mut optimizer, 0.0);
        let mut twice = predicted;
        twice += predicted;
        assert_eq!(session.executed(), twice, "after two steps");
    });
}

type Values = BTreeMap<String, Vec<u32>>;

/// All parameters and statistics, as bits.
fn bits(params: &frostline_engine::Params) -> Values {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    params.to_host().unwrap().into_iter().map(|(name, _, values)| (name, bits(values))).collect()
}

fn check_two_steps(graph: &Graph, loss: TensorId, mask: &Mask, tuning: &Tuning) {
    let gpu = gpu();
    let params = varied_params(&gpu, graph);
    let before = bits(&params);
    let (mut session, mut optimizer) = session(&gpu, plan(graph, loss, mask, tuning), &params);
    for _ in 0..2 {
        session.poison();
        step(&mut session, &mut optimizer, 0.1);
        assert_finite(&session);
    }
    let after = bits(&params);
    for (name, old) in &before {
        let (layer, what) = name.rsplit_once('.').unwrap();
        let stays = if what.starts_with("running") { mask.runs(layer) } else { mask.frozen.contains(name) };
        assert_eq!(stays, after[name] == *old, "{name} should {}", if stays { "stay" } else { "move" });
    }
}

fn assert_finite(session: &Session) {
    assert!(session.read_summary().unwrap().loss.is_finite());
    for name in session.plan().trainable_names() {
        let gradient = session.read_gradient(name).unwrap();
        assert!(gradient.iter().all(|value| value.is_finite()), "the gradient of {name}: {gradient:?}");
    }
}

#[test]
fn what_is_frozen_keeps_every_bit_and_what_is_not_moves() {
    let (graph, loss) = recorded();
    for_masks(25, &graph, |mask| check_two_steps(&graph, loss, &mask, gpu().tuning()));
    for_masks(6, &graph, |mask| check_two_steps(&graph, loss, &mask, &Tuning::portable()));
    for_masks(6, &graph, |mask| {
        check_two_steps(&graph, loss, &mask, &gpu().tuning().with_storage(Storage::f16()))
    });
}

fn gradients(graph: &Graph, loss: TensorId, mask: &Mask, tuning: &Tuning) -> BTreeMap<String, Vec<f32>> {
    let gpu = gpu();
    let params = varied_params(&gpu, graph);
    let (mut session, mut optimizer) = session(&gpu, plan(graph, loss, mask, tuning), &params);
    session.poison();
    step(&mut session, &mut optimizer, 0.0);
    let names: Vec<String> = session.plan().trainable_names().map(str::to_owned).collect();
    names.into_iter().map(|name| (name.clone(), session.read_gradient(&name).unwrap())).collect()
}

#[test]
fn the_gradients_that_remain_are_those_of_the_unfrozen_run() {
    let (graph, loss) = recorded();
    let gpu = gpu();
    let tuning = gpu.tuning();
    let open = |batch_norm| gradients(&graph, loss, &Mask { frozen: BTreeSet::new(), batch_norm }, tuning);
    let (batch, running) = (open(BatchNormMode::Batch), open(BatchNormMode::Running));
    for_masks(40, &graph, |mask| {
        let (mode, unfrozen) = match mask.batch_norm {
            BatchNormMode::Running => (BatchNormMode::Running, &running),
            BatchNormMode::Batch | BatchNormMode::FollowFreeze => (BatchNormMode::Batch, &batch),
        };
        let remaining = gradients(&graph, loss, &Mask { batch_norm: mode, ..mask }, tuning);
        assert!(!remaining.is_empty());
        for (name, gradient) in &remaining {
            assert_eq!(gradient, &unfrozen[name], "{name}, {mode:?}");
        }
    });
}

#[test]
fn backward_shrinks_with_the_freeze_and_the_plan_shows_what_is_missing() {
    let mut graph = Graph::new();
    let x = graph.input(1, 64, 64, 3);
    let labels = graph.labels(1);
    let recorded =
        frostline_models::Model::new("resnet18").unwrap().classes(10).record(&mut graph, x).unwrap();
    let loss = graph.cross_entropy(recorded.output(), labels, 0.0).unwrap();
    for tuning in &[Tuning::subgroup(8), Tuning::portable()] {
        let plan = |freeze: Freeze| Plan::training(&graph, loss, &freeze, &Optim::sgd(0.1), tuning).unwrap();
        let all = plan(Freeze::none());
        let layer4 = plan(Freeze::below(&graph, "layer4").unwrap());
        let fc = plan(Freeze::below(&graph, "fc").unwrap());
        let conv1 = plan(Freeze::all_but(&graph, "conv1").unwrap());
        let cost = |plan: &Plan| (plan.ledger().backward_dispatches, plan.ledger().backward_macs);
        let [all_cost, layer4_cost, fc_cost, conv1_cost] = [&all, &layer4, &fc, &conv1].map(cost);
        assert!(
            all_cost > layer4_cost && layer4_cost.1 < all_cost.1 && layer4_cost > fc_cost,
            "{all_cost:?} {layer4_cost:?} {fc_cost:?}"
        );
        assert!(fc_cost.0 <= 4, "the loss, fc's weight and bias (in parts, added up): {fc_cost:?}");
        assert!(conv1_cost < all_cost && conv1_cost.1 < all_cost.1, "{conv1_cost:?}");

        assert!(!all.to_string().contains("−conv2d"), "nothing is skipped:\n{all}");
        let row = |plan: &Plan, layer: &str| {
            plan.to_string()
                .lines()
                .find(|line| line.split_whitespace().next() == Some(layer))
                .unwrap()
                .to_owned()
        };
        let frozen = row(&layer4, "layer3.1.conv2");
        for kernel in ["−conv2d.backward_weight", "−conv2d.backward_input"] {
            assert!(frozen.contains(kernel), "{frozen}");
        }
        assert!(!row(&layer4, "layer4.1.conv2").contains('−'), "layer4 trains");
        let passed = row(&conv1, "layer3.1.conv2");
        assert!(
            passed.contains("−conv2d.backward_weight") && passed.contains(" conv2d.backward_input"),
            "dx goes on to conv1: {passed}"
        );
        for plan in [&layer4, &fc, &conv1] {
            println!("{plan}\n");
        }
        assert!(
            conv1.dispatches().iter().any(|dispatch| dispatch.phase == Phase::Prologue),
            "frozen batch norms are folded once"
        );
    }
}
