//! A small residual network overfits eight images; no kernel reads memory that was not written.

use frostline_engine::{Freeze, Gpu, Graph, Optim, Optimizer, Padding, Params, Plan, Session, TensorId};
use frostline_twin::filler;
use std::sync::Arc;

fn small_resnet(graph: &mut Graph, n: usize) -> Result<(TensorId, TensorId), frostline_engine::Error> {
    let x = graph.input(n, 9, 11, 3);
    let labels = graph.labels(n);
    let x = graph.conv2d(x, "conv1", 8, 3, 1, Padding::all(1))?;
    let x = graph.batch_norm(x, "bn1", 1e-5)?;
    let x = graph.relu(x, "relu")?;
    let x = graph.max_pool2d(x, "maxpool", 3, 2, 1)?;
    let y = graph.conv2d(x, "layer1.0.conv1", 12, 3, 2, Padding::all(1))?;
    let y = graph.batch_norm(y, "layer1.0.bn1", 1e-5)?;
    let y = graph.relu(y, "layer1.0.relu1")?;
    let y = graph.conv2d(y, "layer1.0.conv2", 12, 3, 1, Padding::all(1))?;
    let y = graph.batch_norm(y, "layer1.0.bn2", 1e-5)?;
    let skip = graph.conv2d(x, "layer1.0.downsample.0", 12, 1, 2, Padding::default())?;
    let skip = graph.batch_norm(skip, "layer1.0.downsample.1", 1e-5)?;
    let y = graph.add(y, skip, "layer1.0.add")?;
    let y = graph.relu(y, "layer1.0.relu2")?;
    let features = graph.global_avg_pool(y, "avgpool")?;
    let logits = graph.linear(features, "fc", 5)?;
    Ok((logits, graph.cross_entropy(logits, labels, 0.0)?))
}

#[test]
fn a_small_resnet_overfits_eight_images() {
    let gpu = Arc::new(Gpu::new().expect("an adapter (see README: `make setup`)"));
    let mut graph = Graph::new();
    let (_, loss) = small_resnet(&mut graph, 8).unwrap();
    let optim = Optim::sgd(0.1).momentum(0.9);
    let plan = Plan::training(&graph, loss, &Freeze::none(), &optim, gpu.tuning()).unwrap();
    let params = Params::new(&gpu, &graph, 1).unwrap();
    let mut optimizer = Optimizer::new(&gpu, &plan).unwrap();
    let mut session = Session::new(&gpu, plan, &params, Some(&optimizer)).unwrap();
    session.write_input(&filler::fill("input", 8 * 9 * 11 * 3, -2.0, 2.0)).unwrap();
    session.write_labels(&filler::labels(8, 5)).unwrap();
    session.poison();
    for _ in 0..60 {
        session.begin_step(&mut optimizer, 0.1).unwrap();
        session.run().unwrap();
    }
    let history = session.read_history(60, 60).unwrap();
    assert!((history[0].loss - 5f32.ln()).abs() < 1.0, "starts near chance: {}", history[0].loss);
    assert!(history[59].loss < 0.05, "overfits: {:?}", history.iter().map(|s| s.loss).collect::<Vec<_>>());
    assert_eq!(history[59].correct, 8.0);
}
