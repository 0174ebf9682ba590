//! Plans of every network, batch and class of kernels, without an adapter: none is refused, and no dispatch
//! has more loop iterations or workgroups than adapters allow.

use frostline_engine::dispatch::{Dispatch, MOST_TURNS};
use frostline_engine::ops::Conv2d;
use frostline_engine::tuning::{Algorithm, Fragments, Measured, Pass, Tiles};
use frostline_engine::{Freeze, Graph, Optim, Plan, Storage, TensorId, Tuning};
use frostline_models::Model;
use std::any::Any;
use std::sync::Arc;

/// Workgroups of one dimension that every adapter allows.
const MOST_WORKGROUPS: u32 = 65_535;

/// Batches for networks that only repeat the blocks of others.
const BATCHES: [usize; 14] = [1, 2, 3, 8, 11, 16, 24, 32, 63, 64, 100, 128, 168, 256];

fn graph(model: &Model, batch: usize) -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let x = graph.input(batch, 224, 224, model.input_channels());
    let logits = model.record(&mut graph, x).unwrap().output();
    let labels = graph.labels(batch);
    let loss = graph.cross_entropy(logits, labels, 0.1).unwrap();
    (graph, loss)
}

fn check(name: &str, batch: usize, (graph, loss): &(Graph, TensorId), tuning: &Tuning, what: &str) {
    let plan = Plan::training(graph, *loss, &Freeze::none(), &Optim::sgd(0.1), tuning);
    let plan = plan.unwrap_or_else(|error| panic!("{name}, batch {batch}, {what}: {error}"));
    for Dispatch { variant, layer, grid, turns, .. } in plan.dispatches() {
        let of = || format!("{name}, batch {batch}, {what}: {} of {layer}", variant.kernel.name());
        assert!(*turns <= MOST_TURNS, "{}: {turns} loop turns", of());
        assert!(
            grid.iter().all(|&groups| (1..=MOST_WORKGROUPS).contains(&groups)),
            "{}: {grid:?} workgroups",
            of()
        );
    }
}

/// `tuning`, with every convolution of `graph` done in `tiles`.
fn in_tiles(graph: &Graph, tiles: Tiles, tuning: &Tuning) -> Tuning {
    let mut measured = Measured::default();
    for node in graph.nodes() {
        let op: &dyn Any = &*node.op;
        let Some(op) = op.downcast_ref::<Conv2d>() else { continue };
        for pass in [Pass::Forward, Pass::BackwardInput, Pass::BackwardWeight] {
            let conv = op.conv(pass, graph.shape(node.inputs[0]), graph.shape(node.inputs[1])).unwrap();
            measured.insert(&conv, Algorithm::Tiled(tiles));
        }
    }
    Tuning { measured: Some(Arc::new(measured)), ..tuning.clone() }
}

fn check_all(name: &str, batches: impl IntoIterator<Item = usize>) {
    let model = Model::new(name).unwrap();
    let cooperative = |size, lanes| Tuning { fragments: Some(Fragments { size, lanes }), ..Tuning::gpu() };
    let half = Storage::f16();
    let mut classes = vec![
        (Tuning::portable(), "portable".to_owned()),
        (Tuning::gpu(), "gpu".to_owned()),
        (Tuning::gpu().with_storage(half), "gpu, f16".to_owned()),
        (cooperative(8, 32), "cooperative, 8".to_owned()),
        (cooperative(16, 32).with_storage(half), "cooperative, 16".to_owned()),
    ];
    classes.extend([4, 8, 16, 32].map(|size| (Tuning::subgroup(size), format!("subgroup {size}"))));
    for batch in batches {
        let graph = graph(&model, batch);
        for (tuning, what) in &classes {
            check(name, batch, &graph, tuning, what);
        }
    }
    for batch in [1, 32, 256] {
        let graph = graph(&model, batch);
        for tiles in Tiles::all() {
            check(name, batch, &graph, &in_tiles(&graph.0, tiles, &Tuning::gpu()), &format!("{tiles:?}"));
        }
    }
}

#[test]
fn of_small_networks() {
    check_all("resnet10", 1..=256);
    check_all("resnet20", 1..=256);
}

#[test]
fn of_resnet18() {
    check_all("resnet18", 1..=256);
}

#[test]
fn of_resnet50() {
    check_all("resnet50", 1..=256);
}

#[test]
fn of_efficientnet() {
    check_all("efficientnet_lite0", 1..=256);
}

#[test]
fn of_deeper_resnets() {
    for name in ["resnet34", "resnet101", "resnet152"] {
        check_all(name, BATCHES);
    }
}
