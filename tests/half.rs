//! A network with activations stored as 16-bit floats: its cost, its difference from f32, its training, and
//! its failures.

mod common;

use common::{BATCH, gpu, session, small_resnet, step, varied_params};
use frostline_engine::{
    Freeze, Graph, Ledger, LossScale, Optim, Params, Plan, Session, Storage, TensorId, Tuning,
};
use frostline_models::Model;
use frostline_twin::filler;
use std::collections::BTreeMap;

fn recorded() -> (Graph, TensorId, TensorId) {
    let mut graph = Graph::new();
    let (logits, loss) = small_resnet(&mut graph).unwrap();
    (graph, logits, loss)
}

/// f32 and f16 on this adapter; `None`, with a message, if it has no 16-bit floats.
fn storages() -> Option<[Tuning; 2]> {
    let gpu = gpu();
    if !gpu.has_f16() {
        eprintln!("skipped: {} has no 16-bit floats", gpu.describe());
        return None;
    }
    Some([gpu.tuning().clone(), gpu.tuning().with_storage(Storage::f16())])
}

fn training(tuning: &Tuning, freeze: &Freeze, optim: &Optim) -> Plan {
    let (graph, _, loss) = recorded();
    Plan::training(&graph, loss, freeze, optim, tuning).unwrap()
}

#[test]
fn bytes_are_halved_and_predicted_exactly() {
    let Some(storages) = storages() else { return };
    let (graph, ..) = recorded();
    for freeze in [Freeze::none(), Freeze::below(&graph, "layer2").unwrap()] {
        let plans = storages.clone().map(|tuning| training(&tuning, &freeze, &Optim::sgd(0.1)));
        let [single, half]: [&Ledger; 2] = [plans[0].ledger(), plans[1].ledger()];
        assert_eq!(
            (half.parameter_bytes, half.gradient_bytes),
            (single.parameter_bytes, single.gradient_bytes)
        );
        assert_eq!(half.step.macs, single.step.macs);
        let predicted = half.step;
        let (mut session, mut optimizer) = session(&gpu(), plans[1].clone(), &varied_params(&gpu(), &graph));
        step(&mut session, &mut optimizer, 0.1);
        assert_eq!(session.executed(), predicted, "{freeze:?}");
    }
}

/// Planning ResNet-50 needs no device. At 32 images its activations are larger than everything that stays
/// f32: statistics, logits, and all buffers of the size of a weight. Masks are bits in both.
#[test]
fn pool_and_kept_bytes_of_a_resnet50_are_about_half() {
    let mut graph = Graph::new();
    let x = graph.input(32, 224, 224, 3);
    let labels = graph.labels(32);
    let logits = Model::new("resnet50").unwrap().record(&mut graph, x).unwrap().output();
    let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
    for tuning in [Tuning::subgroup(8), Tuning::portable()] {
        let plan = |storage| {
            Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.1), &tuning.with_storage(storage))
                .unwrap()
        };
        let (single, half) = (plan(Storage::F32), plan(Storage::f16()));
        let (single, half) = (single.ledger(), half.ledger());
        let pool = half.pool_bytes as f64 / single.pool_bytes as f64;
        let kept = half.kept_bytes as f64 / single.kept_bytes as f64;
        let mib = half.pool_bytes as f64 / f64::from(1 << 20);
        println!("{:?}: pool {mib:.0} MiB, {pool:.3} of f32's; kept {kept:.3}", tuning.class);
        assert!((0.45..0.60).contains(&pool), "{:?}: {pool}", tuning.class);
        assert!((0.49..0.55).contains(&kept), "{:?}: {kept}", tuning.class);
    }
}

/// Loss and gradients of one step.
fn one_step(tuning: &Tuning) -> (f32, BTreeMap<String, Vec<f32>>) {
    let (graph, ..) = recorded();
    let plan = training(tuning, &Freeze::none(), &Optim::sgd(0.1));
    let names: Vec<String> = plan.trainable_names().map(str::to_owned).collect();
    let (mut session, mut optimizer) = session(&gpu(), plan, &varied_params(&gpu(), &graph));
    session.poison();
    step(&mut session, &mut optimizer, 0.0);
    let loss = session.read_summary().unwrap().loss;
    (loss, names.into_iter().map(|name| (name.clone(), session.read_gradient(&name).unwrap())).collect())
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f32>| {
        values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    };
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

/// About twenty values are stored one after another on the way to the first layer's gradient. Each store has
/// an error of at most 2⁻¹¹; batch norms and differences of gradients increase it. The bound is 20·2⁻¹¹, a
/// hundredth.
#[test]
fn loss_and_gradients_stay_near_those_of_f32() {
    let Some(storages) = storages() else { return };
    let [(loss, gradients), (half_loss, half_gradients)] = storages.map(|tuning| one_step(&tuning));
    println!("loss {loss}, f16 {half_loss}");
    assert_ne!(loss, half_loss, "f16 does not show");
    assert!((half_loss - loss).abs() < 0.01 * loss, "{half_loss} is far from {loss}");
    for (name, gradient) in &gradients {
        let distance = distance(&half_gradients[name], gradient);
        println!("{name}: {distance:.5}");
        assert!(distance < 20.0 / 2048.0, "gradient of {name}: {distance}");
    }
}

/// Losses of the first `steps` steps on one batch.
fn losses(tuning: &Tuning, optim: &Optim, steps: u64) -> Vec<f32> {
    let (graph, ..) = recorded();
    let (mut session, mut optimizer) =
        session(&gpu(), training(tuning, &Freeze::none(), optim), &varied_params(&gpu(), &graph));
    (0..steps).for_each(|_| step(&mut session, &mut optimizer, optim.lr));
    session.read_history(steps, steps as usize).unwrap().iter().map(|summary| summary.loss).collect()
}

#[test]
fn it_trains_as_f32_does() {
    let Some(storages) = storages() else { return };
    for optim in [Optim::sgd(0.05).momentum(0.9), Optim::adamw(0.01)] {
        let [single, half] = storages.clone().map(|tuning| losses(&tuning, &optim, 20));
        println!("{single:?}\n{half:?}");
        let (first, last) = (single[0], single[19]);
        assert!(last < 0.5 * first, "f32 itself did not train: {single:?}");
        assert!((half[19] - last).abs() < 0.05 * first, "f16 ends at {}, f32 at {last}", half[19]);
    }
}

/// The host's view is f32 in either case, so inference needs no conversion.
#[test]
fn inference_stays_near_that_of_f32() {
    let (graph, logits, _) = recorded();
    let params = varied_params(&gpu(), &graph);
    let Some(storages) = storages() else { return };
    let [single, half] = storages.map(|tuning| {
        let plan = Plan::inference(&graph, logits, &tuning).unwrap();
        let mut session = Session::new(&gpu(), plan, &params, None).unwrap();
        session.write_input(&filler::fill("input", BATCH * 8 * 8 * 3, -2.0, 2.0)).unwrap();
        session.poison();
        session.run().unwrap();
        session.read_output().unwrap()
    });
    assert_ne!(single, half, "f16 does not show");
    assert!(distance(&half, &single) < 10.0 / 2048.0, "{half:?} is far from {single:?}");
}

/// The maximum of f16 is 65,504: larger values are infinite, and are detected like any value that is not
/// finite.
#[test]
fn an_activation_that_overflows_is_named() {
    let (graph, ..) = recorded();
    let Some([single, half]) = storages() else { return };
    let run = |tuning: &Tuning, params: &Params| {
        let (mut session, mut optimizer) =
            session(&gpu(), training(tuning, &Freeze::none(), &Optim::sgd(0.1)), params);
        step(&mut session, &mut optimizer, 0.1);
        (session.read_summary().unwrap().loss.is_finite(), session.first_not_finite().unwrap())
    };
    let params = varied_params(&gpu(), &graph);
    let weight = params.get("layer1.0.conv2.weight").unwrap();
    let large: Vec<f32> = weight.iter().map(|value| value * 1e6).collect();
    let before = |params: &Params| params.get("fc.weight").unwrap();
    params.set("layer1.0.conv2.weight", &large).unwrap();
    let head = before(&params);
    assert_eq!(run(&half, &params), (false, Some("layer1.0.conv2".to_owned())));
    assert_eq!(before(&params), head, "no weight changes after a loss that is not finite");
    assert_eq!(run(&single, &params), (true, None), "f32 has room for it");
}

/// A loss scale that is too large makes gradients infinite: such steps are skipped and halve it, and then the
/// network trains. Running statistics are updated in forward, as in PyTorch.
#[test]
fn a_loss_scale_that_is_too_large_falls_until_it_fits() {
    let Some([single, _]) = storages() else { return };
    let (graph, ..) = recorded();
    let loss_scale = LossScale { initial: 1 << 24, growth_interval: Some(2000) };
    let tuning = single.with_storage(Storage::F16 { loss_scale });
    let params = varied_params(&gpu(), &graph);
    let values = |names: &[&str]| names.iter().map(|name| params.get(name).unwrap()).collect::<Vec<_>>();
    let (weights, statistics) =
        (["conv1.weight", "fc.weight", "bn1.bias"], ["bn1.running_mean", "bn1.running_var"]);
    let (before, statistics_before) = (values(&weights), values(&statistics));
    let plan = training(&tuning, &Freeze::none(), &Optim::sgd(0.05).momentum(0.9));
    let (mut session, mut optimizer) = session(&gpu(), plan, &params);
    step(&mut session, &mut optimizer, 0.05);
    let first = session.read_summary().unwrap().loss;
    assert!(first.is_finite(), "only gradients overflow");
    assert_eq!(values(&weights), before, "the first step is not taken");
    assert_ne!(values(&statistics), statistics_before);
    for _ in 0..30 {
        step(&mut session, &mut optimizer, 0.05);
    }
    let (scale, last) = (optimizer.loss_scale().unwrap().unwrap(), session.read_summary().unwrap().loss);
    println!("{scale:?}, loss {first} to {last}");
    assert!((1..10).contains(&scale.skipped_steps), "{scale:?}");
    assert_eq!(scale.scale, (1 << 24) >> scale.skipped_steps);
    assert!(last < 0.5 * first, "it does not train: {first} to {last}");
}
