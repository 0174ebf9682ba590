//! Common code of the repository's tests: a network small enough to run hundreds of times.
#![allow(dead_code, reason = "every test file uses its own part")]

use frostline_engine::{Error, Gpu, Graph, Optimizer, Padding, Params, Plan, Session, Shape, TensorId};
use frostline_twin::filler;
use std::sync::{Arc, OnceLock};

/// Images per batch.
pub const BATCH: usize = 2;

/// The adapter of this machine, opened once per process so that kernels compile once.
pub fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| Arc::new(Gpu::new().expect("an adapter; `make setup` installs a software one")))
        .clone()
}

/// A ResNet of two blocks on 8×8 images, one with an identity shortcut and one with `downsample`;
/// widths 4 and 8, five classes. Returns the logits and the loss.
pub fn small_resnet(graph: &mut Graph) -> Result<(TensorId, TensorId), Error> {
    let x = graph.input(BATCH, 8, 8, 3);
    let labels = graph.labels(BATCH);
    let x = graph.conv2d(x, "conv1", 4, 3, 1, Padding::all(1))?;
    let x = graph.batch_norm(x, "bn1", 1e-5)?;
    let x = graph.relu(x, "relu")?;
    let x = graph.max_pool2d(x, "maxpool", 3, 2, 1)?;
    let x = block(graph, x, "layer1.0", 4, 1)?;
    let x = block(graph, x, "layer2.0", 8, 2)?;
    let features = graph.global_avg_pool(x, "avgpool")?;
    let logits = graph.linear(features, "fc", 5)?;
    let loss = graph.cross_entropy(logits, labels, 0.0)?;
    Ok((logits, loss))
}

fn block(graph: &mut Graph, x: TensorId, name: &str, width: usize, stride: usize) -> Result<TensorId, Error> {
    let y = graph.conv2d(x, &format!("{name}.conv1"), width, 3, stride, Padding::all(1))?;
    let y = graph.batch_norm(y, &format!("{name}.bn1"), 1e-5)?;
    let y = graph.relu(y, &format!("{name}.relu1"))?;
    let y = graph.conv2d(y, &format!("{name}.conv2"), width, 3, 1, Padding::all(1))?;
    let y = graph.batch_norm(y, &format!("{name}.bn2"), 1e-5)?;
    let mut shortcut = x;
    if stride != 1 {
        shortcut = graph.conv2d(x, &format!("{name}.downsample.0"), width, 1, stride, Padding::default())?;
        shortcut = graph.batch_norm(shortcut, &format!("{name}.downsample.1"), 1e-5)?;
    }
    let sum = graph.add(y, shortcut, &format!("{name}.add"))?;
    graph.relu(sum, &format!("{name}.relu2"))
}

/// Distinct parameters of `graph`: batch norms do not start at 1 and 0, because a dropped weight would not be
/// detected then.
pub fn varied_params(gpu: &Arc<Gpu>, graph: &Graph) -> Params {
    let params = Params::new(gpu, graph, 3).unwrap();
    let vectors: Vec<(String, usize)> = params
        .tensors()
        .filter(|(_, shape)| matches!(shape, Shape::Vector { .. }))
        .map(|(name, shape)| (name.to_owned(), shape.count()))
        .collect();
    for (name, count) in vectors {
        let (low, high) =
            if name.ends_with("weight") || name.ends_with("var") { (0.5, 1.5) } else { (-0.3, 0.3) };
        params.set(&name, &filler::fill(&name, count, low, high)).unwrap();
    }
    params
}

/// `plan` of [`small_resnet`] on the device with a batch in place.
pub fn session(gpu: &Arc<Gpu>, plan: Plan, params: &Params) -> (Session, Optimizer) {
    let optimizer = Optimizer::new(gpu, &plan).unwrap();
    let session = Session::new(gpu, plan, params, Some(&optimizer)).unwrap();
    session.write_input(&filler::fill("input", BATCH * 8 * 8 * 3, -2.0, 2.0)).unwrap();
    session.write_labels(&filler::labels(BATCH, 5)).unwrap();
    (session, optimizer)
}

/// One step with the learning rate `lr`.
pub fn step(session: &mut Session, optimizer: &mut Optimizer, lr: f32) {
    session.begin_step(optimizer, lr).unwrap();
    session.run().unwrap();
}
