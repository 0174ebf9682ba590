//! Sessions over the same parameters: each uses values that were set, or changed by another session, without
//! a notification.

mod common;

use common::{GPU, tunings};
use frostline_engine::{Freeze, Graph, Optim, Optimizer, Padding, Params, Plan, Session, TensorId, Tuning};
use frostline_twin::filler;

const BATCH: usize = 4;

/// conv → batch norm → relu → conv → batch norm → average → fc → loss. Returns the logits and the loss.
fn network() -> (Graph, TensorId, TensorId) {
    let mut graph = Graph::new();
    let (x, labels) = (graph.input(BATCH, 6, 6, 3), graph.labels(BATCH));
    let x = graph.conv2d(x, "conv1", 8, 3, 1, Padding::all(1)).unwrap();
    let x = graph.batch_norm(x, "bn1", 1e-5).unwrap();
    let x = graph.relu(x, "relu").unwrap();
    let x = graph.conv2d(x, "conv2", 8, 3, 1, Padding::all(1)).unwrap();
    let x = graph.batch_norm(x, "bn2", 1e-5).unwrap();
    let x = graph.global_avg_pool(x, "avgpool").unwrap();
    let logits = graph.linear(x, "fc", 3).unwrap();
    let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
    (graph, logits, loss)
}

fn input() -> Vec<f32> {
    filler::fill("input", BATCH * 6 * 6 * 3, -2.0, 2.0)
}

fn inference(tuning: &Tuning, params: &Params) -> Session {
    let (graph, logits, _) = network();
    let session = Session::new(&GPU, Plan::inference(&graph, logits, tuning).unwrap(), params, None).unwrap();
    session.write_input(&input()).unwrap();
    session
}

fn logits(session: &mut Session) -> Vec<f32> {
    session.run().unwrap();
    session.read_output().unwrap()
}

fn training(tuning: &Tuning, params: &Params, freeze: &Freeze) -> (Session, Optimizer) {
    let (graph, _, loss) = network();
    let plan = Plan::training(&graph, loss, freeze, &Optim::sgd(0.1), tuning).unwrap();
    let optimizer = Optimizer::new(&GPU, &plan).unwrap();
    let session = Session::new(&GPU, plan, params, Some(&optimizer)).unwrap();
    session.write_input(&input()).unwrap();
    session.write_labels(&filler::labels(BATCH, 3)).unwrap();
    (session, optimizer)
}

fn step((session, optimizer): &mut (Session, Optimizer)) {
    session.begin_step(optimizer, 0.1).unwrap();
    session.run().unwrap();
}

/// Values folded into the convolutions of one session are computed again after steps of another, and after
/// values were set: the logits are those of a new session.
#[test]
fn inference_sees_what_training_moved() {
    for tuning in &tunings() {
        let (graph, ..) = network();
        let params = Params::new(&GPU, &graph, 3).unwrap();
        let (mut trained, mut known) =
            (training(tuning, &params, &Freeze::none()), inference(tuning, &params));
        let mut seen = vec![logits(&mut known)];
        for _ in 0..2 {
            step(&mut trained);
            seen.push(logits(&mut known));
            assert_eq!(seen.last(), Some(&logits(&mut inference(tuning, &params))), "{:?}", tuning.class);
        }
        for (name, values) in [("bn1.running_var", vec![2.0; 8]), ("conv2.weight", vec![0.1; 8 * 8 * 9])] {
            // Through another handle on the same values.
            params.clone().set(name, &values).unwrap();
            seen.push(logits(&mut known));
            assert_eq!(
                seen.last(),
                Some(&logits(&mut inference(tuning, &params))),
                "{name}, {:?}",
                tuning.class
            );
        }
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "nothing moved");
    }
}

/// Two training sessions that freeze different layers take turns: each uses the weights that the other has
/// trained. The weights are those of new sessions for every step.
#[test]
fn sessions_that_take_turns() {
    let freezes = [
        Freeze::names(["conv1.weight", "bn1.weight", "bn1.bias"]),
        Freeze::names(["conv2.weight", "bn2.weight", "bn2.bias"]),
    ];
    for tuning in &tunings() {
        let (graph, ..) = network();
        let [kept, anew] = [(); 2].map(|()| Params::new(&GPU, &graph, 3).unwrap());
        let mut sessions = freezes.each_ref().map(|freeze| training(tuning, &kept, freeze));
        for turn in 0..3 {
            for (session, freeze) in sessions.iter_mut().zip(&freezes) {
                step(session);
                step(&mut training(tuning, &anew, freeze));
                assert_eq!(
                    kept.to_host().unwrap(),
                    anew.to_host().unwrap(),
                    "turn {turn}, {:?}",
                    tuning.class
                );
            }
        }
    }
}

/// A single session computes values that depend on frozen parameters once, for any number of steps.
#[test]
fn own_steps_do_not_repeat_the_prologue() {
    let (graph, ..) = network();
    let freeze = Freeze::below(&graph, "conv2").unwrap();
    let params = Params::new(&GPU, &graph, 3).unwrap();
    let mut trained = training(GPU.tuning(), &params, &freeze);
    assert!(trained.0.plan().ledger().prologue.dispatches > 0);
    let mut known = vec![];
    for _ in 0..3 {
        step(&mut trained);
        known.push(trained.0.prologues());
    }
    assert_eq!(known, [1, 1, 1]);
    params.set("conv1.weight", &params.get("conv1.weight").unwrap()).unwrap();
    step(&mut trained);
    assert_eq!(trained.0.prologues(), 2);
}
