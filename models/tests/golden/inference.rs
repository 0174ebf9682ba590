//! Logits and features in evaluation mode, with everything folded that can be.

use crate::support::{GPU, file, filled, golden, input, recorded, relative};
use frostline_engine::{Graph, Params, Plan, Session, TensorId};
use frostline_loader::HostTensor;
use frostline_loader::safetensors::{self, SafeFile};
use frostline_models::{Dialect, LoadOptions, Model, POOLED, Recorded, convert, guess, state_dict};
use frostline_twin::filler::{self, Block};
use std::collections::BTreeMap;

/// ‖error‖ / ‖value‖ that a network's output may have. PyTorch's own f32 has 3e-7 to 2e-6 against
/// its f64 here; a sum in another order has a similar error, a wrong padding or eps a far larger one.
const TOLERANCE: f64 = 1e-5;

fn run(graph: &Graph, output: TensorId, params: &Params, images: &[f32]) -> Vec<f32> {
    let plan = Plan::inference(graph, output, GPU.tuning()).unwrap();
    let mut session = Session::new(&GPU, plan, params, None).unwrap();
    session.write_input(images).unwrap();
    session.poison();
    session.run().unwrap();
    session.read_output().unwrap()
}

fn assert_output(name: &str, got: &[f32], file: &SafeFile, key: &str) {
    let exact = &file.tensors[key].data;
    let error = relative(got, exact);
    let torch = relative(&file.tensors[&format!("{key}_f32")].data, exact);
    println!("{name}: off by {error:.1e} of its norm, PyTorch in f32 by {torch:.1e}");
    assert!(error < TOLERANCE, "{name}: off by {error:e} of its norm");
}

/// Every stage's mean of absolute values: shows the first wrong stage of a wrong network.
fn assert_stages(
    graph: &Graph,
    recorded: &Recorded,
    params: &Params,
    images: &[f32],
    file: &SafeFile,
    prefix: &str,
) {
    let mut compared = 0;
    for (stage, &output) in &recorded.stages {
        let key = match stage.as_str() {
            "fc" => "logits",
            POOLED if file.tensors.contains_key(&format!("{prefix}features")) => "features",
            other => other,
        };
        let expected = file.tensors[&format!("{prefix}mean_abs.{key}")].data[0];
        let values = run(graph, output, params, images);
        let mean = values.iter().map(|v| f64::from(v.abs())).sum::<f64>() / values.len() as f64;
        let error = (mean / f64::from(expected) - 1.0).abs();
        assert!(error < TOLERANCE, "{stage}: mean of |x| is {mean}, should be {expected}");
        compared += 1;
    }
    assert_eq!(compared, recorded.stages.len());
}

#[test]
fn resnet18_at_224_gives_pytorchs_logits_and_stages() {
    let file = golden("resnet18_224");
    let (graph, recorded) = recorded(&Model::new("resnet18").unwrap(), 1, 224);
    let params = filled(&graph, Block::Basic);
    let images = input(1, 224);
    assert_stages(&graph, &recorded, &params, &images, &file, "");
    let logits = run(&graph, recorded.output(), &params, &images);
    assert_output("resnet18", &logits, &file, "logits");
}

#[test]
fn resnet50_at_224_gives_pytorchs_logits() {
    let file = golden("resnet50_224");
    let (graph, recorded) = recorded(&Model::new("resnet50").unwrap(), 1, 224);
    let params = filled(&graph, Block::Bottleneck);
    let logits = run(&graph, recorded.output(), &params, &input(1, 224));
    assert_output("resnet50", &logits, &file, "logits");
}

fn lite0(side: usize) -> (Graph, Recorded, Params) {
    let (graph, recorded) = recorded(&Model::new("efficientnet_lite0").unwrap().without_head(), 1, side);
    let params = Params::new(&GPU, &graph, 0).unwrap();
    let weights = safetensors::read(file("assets/efficientnet_lite0.safetensors")).unwrap().tensors;
    let report = state_dict::load(&params, &weights, &LoadOptions::strict()).unwrap();
    assert_eq!(report.loaded.len(), 245);
    (graph, recorded, params)
}

#[test]
fn lite0_gives_pytorchs_stages_and_features() {
    let file = golden("lite0");
    let (graph, recorded, params) = lite0(64);
    let images = input(1, 64);
    assert_stages(&graph, &recorded, &params, &images, &file, "filler.");
    let features = run(&graph, recorded.output(), &params, &images);
    assert_output("lite0 of the filler", &features, &file, "filler.features");
}

#[test]
fn lite0_gives_pytorchs_features_of_a_photo() {
    let file = golden("lite0");
    let (graph, recorded, params) = lite0(128);
    // Height, width, RGB: a session's order already.
    let images: Vec<f32> = file.tensors["photo.pixels"].data.iter().map(|x| (x - 127.0) / 128.0).collect();
    let features = run(&graph, recorded.output(), &params, &images);
    assert_output("lite0 of the panda", &features, &file, "photo.features");
}

/// timm's names are those of its class, and weights with these names give the same outputs.
#[test]
fn lite0_under_timms_names_gives_timms_logits() {
    let golden = golden("timm_lite0");
    let names: BTreeMap<String, String> = serde_json::from_str(&golden.metadata["names"]).unwrap();
    let mut ours = safetensors::read(file("assets/efficientnet_lite0.safetensors")).unwrap().tensors;
    for (name, shape) in [("_fc.weight", vec![6, 1280]), ("_fc.bias", vec![6])] {
        let data = filler::fill(name, shape.iter().product(), -0.05, 0.05);
        ours.insert(name.to_owned(), HostTensor { shape, data });
    }
    let theirs = convert(&ours, Dialect::TimmEfficientNet).unwrap();
    assert!(ours.keys().map(|name| &names[name]).eq(theirs.keys()), "{:?}", theirs.keys());

    let (graph, recorded) = recorded(&guess(&theirs).unwrap(), 1, 64);
    let params = Params::new(&GPU, &graph, 0).unwrap();
    state_dict::load(&params, &theirs, &LoadOptions::strict()).unwrap();
    let logits = run(&graph, recorded.output(), &params, &input(1, 64));
    assert_output("timm's lite0", &logits, &golden, "logits");
}

#[test]
fn a_cached_prefix_gives_the_whole_networks_logits() {
    let model = Model::new("resnet10").unwrap().in_channels(3).width(8).classes(5);
    let (graph, recorded) = recorded(&model, 2, 12);
    let params = Params::new(&GPU, &graph, 3).unwrap();
    let images = input(2, 12);
    let whole = run(&graph, recorded.output(), &params, &images);
    let shape = graph.shape(recorded.stages["layer2"]);
    let prefix = run(&graph, recorded.stages["layer2"], &params, &images);

    let mut rest = Graph::new();
    let frostline_engine::Shape::Image { n, h, w, c } = shape else { panic!("a stage gives images") };
    let x = rest.input(n, h, w, c);
    let output = model.record_from(&mut rest, "layer2", x).unwrap().output();
    let prefix = crate::support::nhwc(&prefix, n, c);
    // The same kernels on the same numbers: not a bit differs.
    assert_eq!(run(&rest, output, &params, &prefix), whole);
}
