//! Plans of every network, in every form that a training run, an inference or a lesson takes.

use frostline_engine::ops::{Augment, CrossEntropy};
use frostline_engine::{BatchNormMode, Freeze, Graph, Optim, Plan, TensorId, Tuning};
use frostline_models::{Model, NAMES};

/// Images of a batch: few and many, because tiles depend on the number of pixels.
const BATCHES: [usize; 2] = [1, 32];

/// Calls `visit` with every plan for `tuning`: of all networks.
pub fn for_each(tuning: &Tuning, visit: &mut impl FnMut(Plan)) {
    for name in NAMES {
        let model = Model::new(name).expect("a network by its name");
        for batch in BATCHES {
            of_model(&model, batch, tuning, visit);
        }
    }
}

fn of_model(model: &Model, batch: usize, tuning: &Tuning, visit: &mut impl FnMut(Plan)) {
    let (graph, logits) = images(model, batch);
    visit(Plan::inference(&graph, logits, tuning).expect("inference"));
    visit(Plan::input_gradient(&graph, logits, tuning).expect("the gradient of the images"));
    visit(Plan::gradient(&graph, logits, &Freeze::none(), tuning).expect("a product with the Jacobian"));

    let sgd = Optim::sgd(0.1).momentum(0.9).weight_decay(1e-4);
    let (graph, loss) = plain(model, batch);
    for (freeze, optim) in
        freezes(model, &graph).into_iter().zip([sgd.clone(), Optim::adamw(1e-3)].iter().cycle())
    {
        visit(Plan::training(&graph, loss, &freeze, optim, tuning).expect("training"));
    }
    visit(
        Plan::training(&graph, loss, &Freeze::none(), &Optim::adamw(1e-3), tuning)
            .expect("training with AdamW"),
    );
    for (graph, loss) in [augmented(model, batch), margin(model, batch)] {
        visit(Plan::training(&graph, loss, &Freeze::none(), &sgd, tuning).expect("training"));
    }
}

/// Nothing, everything below the last stage of the body, and everything but the head; batch norms
/// frozen as well; and each way to normalise.
fn freezes(model: &Model, graph: &Graph) -> Vec<Freeze> {
    let groups = model.groups();
    let last = groups.iter().rev().find(|group| group.starts_with("layer") || group.starts_with("_blocks"));
    let below = Freeze::below(graph, last.expect("a body")).expect("a group of the model");
    let head = Freeze::below(graph, groups.last().expect("a head")).expect("a group of the model");
    let mut norms = Freeze::none();
    norms.freeze_batch_norm(graph);
    let normalised = |freeze: &Freeze, batch_norm| {
        let mut freeze = freeze.clone();
        freeze.batch_norm = batch_norm;
        freeze
    };
    vec![
        Freeze::none(),
        normalised(&Freeze::none(), BatchNormMode::Running),
        normalised(&norms, BatchNormMode::Batch),
        normalised(&below, BatchNormMode::Batch),
        norms,
        below,
        head,
    ]
}

fn images(model: &Model, batch: usize) -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let x = graph.input(batch, model.default_size(), model.default_size(), model.input_channels());
    let logits = model.record(&mut graph, x).expect("the network").output();
    (graph, logits)
}

fn plain(model: &Model, batch: usize) -> (Graph, TensorId) {
    let (mut graph, logits) = images(model, batch);
    let labels = graph.labels(batch);
    let loss = graph.cross_entropy(logits, labels, 0.1).expect("a loss");
    (graph, loss)
}

fn margin(model: &Model, batch: usize) -> (Graph, TensorId) {
    let (mut graph, logits) = images(model, batch);
    let labels = graph.labels(batch);
    let loss = graph.multi_margin(logits, labels, 1.0).expect("a loss");
    (graph, loss)
}

/// Images moved, coloured and mixed on the device, and classes of different weight.
fn augmented(model: &Model, batch: usize) -> (Graph, TensorId) {
    let (size, channels) = (model.default_size(), model.input_channels());
    let mut graph = Graph::new();
    let x = graph.input(batch, size + 32, size + 32, channels);
    let (mean, std) = (vec![0.5; channels], vec![0.25; channels]);
    let augment = Augment { size: [size, size], mean, std, interpolation: Default::default(), fill: 0.0 };
    let x = graph.augment(x, augment).expect("augmentation");
    let mixes = graph.mixes(batch);
    let x = graph.mixup(x, mixes).expect("mixup");
    let logits = model.record(&mut graph, x).expect("the network").output();
    let labels = graph.labels(batch);
    let class_weights = vec![1.0; graph.shape(logits).channels()];
    let op = CrossEntropy { label_smoothing: 0.1, class_weights };
    let loss = graph.record(op, "loss", &[logits, labels, mixes]).expect("a loss");
    (graph, loss)
}
