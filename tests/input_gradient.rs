//! The gradient of the images: it equals that of the same images recorded as a parameter, it matches central
//! differences, and no computation is for parameters.

mod common;

use common::{BATCH, gpu, small_resnet, varied_params};
use frostline_engine::dispatch::{Home, Phase};
use frostline_engine::{Graph, Padding, Params, Plan, Session, Storage, TensorId, Tuning};
use frostline_twin::filler;
use std::sync::Arc;

/// A network on images of `small_resnet`'s size, and the outputs that are tested.
type Record = fn(&mut Graph) -> TensorId;

fn resnet(graph: &mut Graph) -> TensorId {
    small_resnet(graph).unwrap().0
}

/// The ops of EfficientNet that a ResNet does not have, with the image read twice.
fn inverted_residual(graph: &mut Graph) -> TensorId {
    let image = graph.input(BATCH, 8, 8, 3);
    let x = graph.conv2d(image, "expand", 6, 1, 1, Padding::default()).unwrap();
    let x = graph.batch_norm(x, "bn0", 1e-3).unwrap();
    let x = graph.relu6(x, "relu6").unwrap();
    let x = graph.depthwise_conv2d(x, "depthwise", 3, 1, Padding::same(8, 8, 3, 1)).unwrap();
    let x = graph.batch_norm(x, "bn1", 1e-3).unwrap();
    let x = graph.conv2d(x, "project", 3, 1, 1, Padding::default()).unwrap();
    graph.add(x, image, "add").unwrap()
}

fn image() -> Vec<f32> {
    filler::fill("input", BATCH * 8 * 8 * 3, -2.0, 2.0)
}

/// A gradient of `count` numbers, each different.
fn seed(count: usize) -> Vec<f32> {
    filler::fill("seed", count, -1.0, 1.0)
}

fn session(graph: &Graph, output: TensorId, params: &Params, tuning: &Tuning) -> Session {
    let session =
        Session::new(&gpu(), Plan::input_gradient(graph, output, tuning).unwrap(), params, None).unwrap();
    session.poison();
    session.write_grad_output(&seed(graph.shape(output).count())).unwrap();
    session
}

fn gradient(session: &mut Session, image: &[f32]) -> Vec<f32> {
    session.write_input(image).unwrap();
    session.run().unwrap();
    session.read_input_gradient().unwrap()
}

/// Σ output · seed, in f64.
fn value(session: &mut Session, image: &[f32]) -> f64 {
    session.write_input(image).unwrap();
    session.run().unwrap();
    let output = session.read_output().unwrap();
    output.iter().zip(seed(output.len())).map(|(y, s)| f64::from(*y) * f64::from(s)).sum()
}

fn networks() -> Vec<(&'static str, Graph, TensorId, Arc<Params>)> {
    let record = |(name, record): (&'static str, Record)| {
        let mut graph = Graph::new();
        let output = record(&mut graph);
        let params = Arc::new(varied_params(&gpu(), &graph));
        (name, graph, output, params)
    };
    [("ResNet", resnet as Record), ("inverted residual", inverted_residual)].map(record).into()
}

/// Along the gradient itself, so that every element counts. The networks have kinks, but a step of a
/// hundredth of the images' size crosses few of them.
#[test]
fn central_differences_measure_what_the_plan_computes() {
    for (name, graph, output, params) in networks() {
        for tuning in [gpu().tuning().clone(), Tuning::portable()] {
            let mut session = session(&graph, output, &params, &tuning);
            let gradient = gradient(&mut session, &image());
            assert_eq!(gradient.len(), image().len());
            let length = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(length > 0.1, "{name}: {length}");
            let eps = 0.02;
            let moved = |sign: f64| -> Vec<f32> {
                let step =
                    |(x, g): (&f32, &f32)| (f64::from(*x) + sign * eps * f64::from(*g) / length) as f32;
                image().iter().zip(&gradient).map(step).collect()
            };
            let measured =
                (value(&mut session, &moved(1.0)) - value(&mut session, &moved(-1.0))) / (2.0 * eps);
            assert!(
                (measured / length - 1.0).abs() < 0.01,
                "{name}: the plan gives {length}, differences give {measured}"
            );
        }
    }
}

/// Only pixels in the receptive field have a gradient: that of one value of the first convolution's output is
/// the filter itself.
#[test]
fn the_gradient_of_one_number_is_the_filter_that_made_it() {
    let mut graph = Graph::new();
    let x = graph.input(1, 5, 5, 3);
    let output = graph.conv2d(x, "conv", 4, 3, 1, Padding::all(1)).unwrap();
    let params = varied_params(&gpu(), &graph);
    let mut session =
        Session::new(&gpu(), Plan::input_gradient(&graph, output, gpu().tuning()).unwrap(), &params, None)
            .unwrap();
    let (channel, row, column) = (2, 3, 1);
    let mut one = vec![0.0; 4 * 5 * 5];
    one[channel * 25 + row * 5 + column] = 1.0;
    session.write_grad_output(&one).unwrap();
    let gradient = gradient(&mut session, &[0.5; 75]);
    let weight = params.get("conv.weight").unwrap();
    for (y, x, c) in (0..75_usize).map(|i| (i / 15, i / 3 % 5, i % 3)) {
        let (ky, kx) = ((y + 1).wrapping_sub(row), (x + 1).wrapping_sub(column));
        let expected = if ky < 3 && kx < 3 { weight[((channel * 3 + c) * 3 + ky) * 3 + kx] } else { 0.0 };
        assert_eq!(gradient[(y * 5 + x) * 3 + c], expected, "row {y}, column {x}, channel {c}");
    }
}

#[test]
fn no_parameter_gets_a_gradient_and_none_changes() {
    let gpu = gpu();
    for (name, graph, output, params) in networks() {
        for tuning in [
            Tuning::subgroup(8),
            Tuning::gpu(),
            Tuning::portable(),
            Tuning::portable().with_storage(Storage::f16()),
        ] {
            let plan = Plan::input_gradient(&graph, output, &tuning).unwrap();
            assert_eq!(plan.trainable_names().count(), 0);
            assert_eq!(plan.ledger().gradient_bytes, 0);
            for dispatch in plan.dispatches() {
                let kernel = dispatch.variant.kernel.name();
                assert!(
                    !kernel.contains("weight") || dispatch.phase == Phase::Prologue,
                    "{name}: {kernel} of {}",
                    dispatch.layer
                );
                assert!(!kernel.contains("statistics"), "{name}: {kernel} of {}", dispatch.layer);
                for home in dispatch.written().map(|id| &plan.buffer(id).unwrap().home) {
                    assert!(
                        matches!(home, Home::Pool | Home::Plan),
                        "{name}: {kernel} of {} writes {home:?}",
                        dispatch.layer
                    );
                }
            }
        }
        let before = params.to_host().unwrap();
        let mut session = session(&graph, output, &params, gpu.tuning());
        let first = gradient(&mut session, &image());
        assert_eq!(session.executed(), session.plan().ledger().step, "{name}");
        assert_eq!(gradient(&mut session, &image()), first, "{name}: the same bits again");
        assert_eq!(params.to_host().unwrap(), before, "{name}");
        let error = session.read_gradient("conv1.weight").unwrap_err().to_string();
        assert!(error.contains("conv1.weight"), "{error}");
    }
}

#[test]
fn plans_without_a_gradient_of_images_say_so() {
    let mut graph = Graph::new();
    let output = resnet(&mut graph);
    let params = varied_params(&gpu(), &graph);
    let session =
        Session::new(&gpu(), Plan::inference(&graph, output, gpu().tuning()).unwrap(), &params, None)
            .unwrap();
    assert!(session.read_input_gradient().unwrap_err().to_string().contains("no gradient of images"));
}
