//! The gradients of a batch against the sum of the gradients of its halves, at the sizes people use.
//!
//! Batch norms use their running statistics, so that images do not affect each other, and the gradient of the
//! logits is given: then the gradient of every parameter is a sum over the images, whatever batch they come
//! in. This detects a kernel that leaves out terms of a large batch, or sums too many terms at one place.
//!
//! The short list runs with the other tests. The long one is `make test-halves`; `FROSTLINE_HALVES`
//! chooses from it, as `resnet50:32:224` (name, batch, size), and `FROSTLINE_TUNING` the class of kernels.

use frostline_engine::tuning::{Class, Maker};
use frostline_engine::{
    BatchNormMode, Freeze, Gpu, Graph, Padding, Params, Plan, Result, Session, Shape, TensorId, Tuning,
};
use frostline_models::Model;
use frostline_twin::filler::{self, Block};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

static GPU: LazyLock<Arc<Gpu>> =
    LazyLock::new(|| Arc::new(Gpu::new().expect("an adapter (see README: `make setup`)")));

/// ‖of the batch − of the halves‖ / ‖of the batch‖, for every parameter. The order of summation differs, and
/// rounding switches a few ReLUs.
const TOLERANCE: f64 = 2e-5;

/// This adapter's tuning; with the kernels of GPUs, one with the same tile for every batch and no split of
/// a forward sum. Otherwise a batch would be summed forward in another order than its halves. This switches
/// ReLUs whose input is almost 0, and each of them is a complete term of a gradient (up to 2e-3 of a norm).
fn tuning() -> Tuning {
    let tuning = GPU.tuning().clone();
    if tuning.class == Class::Gpu { Tuning { maker: Maker::Other, fill: 1, ..tuning } } else { tuning }
}

type Gradients = BTreeMap<String, Vec<f32>>;
/// Records a network over images and returns its output.
type Record<'a> = &'a dyn Fn(&mut Graph, TensorId) -> TensorId;

/// A batch of `n` of `images`, of which each is `[side, side, channels]`, and its gradients.
fn gradients(
    record: Record,
    [side, channels]: [usize; 2],
    n: usize,
    images: &[f32],
    dy: &[f32],
) -> Gradients {
    let mut graph = Graph::new();
    let x = graph.input(n, side, side, channels);
    let output = record(&mut graph, x);
    let mut freeze = Freeze::none();
    freeze.batch_norm = BatchNormMode::Running;
    let tuning = tuning();
    let plan = Plan::gradient(&graph, output, &freeze, &tuning).unwrap();
    let names: Vec<String> = plan.trainable_names().map(str::to_owned).collect();
    let params = filled(&graph);
    let mut session = Session::new(&GPU, plan, &params, None).unwrap();
    let mut sums = Gradients::new();
    let outputs = graph.shape(output).count();
    for (images, dy) in images.chunks(n * side * side * channels).zip(dy.chunks(outputs)) {
        session.write_input(images).unwrap();
        session.write_grad_output(dy).unwrap();
        session.run().unwrap();
        for name in &names {
            let gradient = session.read_gradient(name).unwrap();
            let sum = sums.entry(name.clone()).or_insert_with(|| vec![0.0; gradient.len()]);
            sum.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
        }
    }
    sums
}

/// Weights with which neither values nor gradients grow or vanish from layer to layer.
fn filled(graph: &Graph) -> Params {
    let params = Params::new(&GPU, graph, 0).unwrap();
    for (name, shape) in params.tensors() {
        let torch = shape.torch();
        let (low, high) = match shape {
            Shape::Matrix { c_in, .. } => (-1.0 / (c_in as f32).sqrt(), 1.0 / (c_in as f32).sqrt()),
            _ => filler::parameter_range(name, &torch, Block::Bottleneck),
        };
        params.set(name, &filler::fill(name, torch.iter().product(), low, high)).unwrap();
    }
    params
}

/// The worst parameter and its error.
fn worst(record: Record, [side, channels]: [usize; 2], batch: usize, outputs: usize) -> (String, f64) {
    let images = filler::fill("input", batch * side * side * channels, -2.0, 2.0);
    let dy = filler::fill("dy", batch * outputs, -1.0, 1.0);
    let whole = gradients(record, [side, channels], batch, &images, &dy);
    let halves = gradients(record, [side, channels], batch / 2, &images, &dy);
    assert_eq!(whole.len(), halves.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let off = whole.iter().map(|(name, whole)| {
        let differences = whole.iter().zip(&halves[name]).map(|(a, b)| f64::from(*a) - f64::from(*b));
        let size = norm(&mut whole.iter().map(|&value| f64::from(value)));
        assert!(size.is_normal(), "the gradient of {name} has the norm {size}");
        (name.clone(), norm(&mut { differences }) / size)
    });
    off.max_by(|a, b| a.1.total_cmp(&b.1)).expect("parameters")
}

fn check(what: &str, record: Record, image: [usize; 2], batch: usize, outputs: usize) {
    let (name, off) = worst(record, image, batch, outputs);
    println!("{what}, batch {batch}, {:?}: {off:.1e} ({name})", GPU.tuning().class);
    assert!(off <= TOLERANCE, "{what}: the gradient of {name} is {off:e} off, allowed {TOLERANCE:e}");
}

fn check_network(name: &str, batch: usize, side: usize) {
    let model = Model::new(name).unwrap();
    let record = |graph: &mut Graph, x| model.record(graph, x).unwrap().output();
    let outputs = model.class_count().unwrap();
    check(&format!("{name} at {side}"), &record, [side, model.input_channels()], batch, outputs);
}

#[test]
fn the_networks_of_small_images() {
    check_network("resnet10", 32, 28);
    check_network("resnet20", 32, 32);
}

/// The first block of `layer1` of a ResNet-50 at 224, whose 1×1 convolutions see every pixel of the
/// batch as one row.
#[test]
fn the_first_bottleneck_of_resnet50() {
    fn block(graph: &mut Graph, x: TensorId) -> Result<TensorId> {
        let y = graph.conv2d(x, "conv1", 64, 1, 1, Padding::default())?;
        let y = graph.batch_norm(y, "bn1", 1e-5)?;
        let y = graph.relu(y, "relu1")?;
        let y = graph.conv2d(y, "conv2", 64, 3, 1, Padding::all(1))?;
        let y = graph.batch_norm(y, "bn2", 1e-5)?;
        let y = graph.relu(y, "relu2")?;
        let y = graph.conv2d(y, "conv3", 256, 1, 1, Padding::default())?;
        let y = graph.batch_norm(y, "bn3", 1e-5)?;
        let shortcut = graph.conv2d(x, "downsample.0", 256, 1, 1, Padding::default())?;
        let shortcut = graph.batch_norm(shortcut, "downsample.1", 1e-5)?;
        let sum = graph.add(y, shortcut, "add")?;
        let y = graph.relu(sum, "relu3")?;
        graph.global_avg_pool(y, "avgpool")
    }
    let record = |graph: &mut Graph, x| block(graph, x).unwrap();
    check("the first bottleneck of resnet50", &record, [56, 64], 24, 256);
}

/// The whole network, thin: its stem and its first blocks have as many pixels as in the real one.
#[test]
fn a_thin_resnet50_at_224() {
    let model = Model::new("resnet50").unwrap().width(8).classes(10);
    let record = |graph: &mut Graph, x| model.record(graph, x).unwrap().output();
    check("resnet50 with an eighth of its channels at 224", &record, [224, 3], 32, 10);
}

#[test]
#[ignore = "minutes to hours: `make test-halves`"]
fn every_network_at_its_size() {
    // The tensors of 28 photos in an EfficientNet-Lite0 are the first that llvmpipe does not bind.
    let all = "resnet10:32:28 resnet20:32:32 resnet18:32:224 efficientnet_lite0:26:224 resnet50:32:224 \
               resnet34:32:224 resnet101:32:224 resnet152:32:224";
    let chosen = std::env::var("FROSTLINE_HALVES").unwrap_or_else(|_| all.to_owned());
    for case in chosen.split_whitespace() {
        let [name, batch, side] = *case.split(':').collect::<Vec<_>>() else {
            panic!("not name:batch:size: {case}")
        };
        check_network(name, batch.parse().expect("a batch"), side.parse().expect("a size"));
    }
}
