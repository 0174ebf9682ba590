//! Optimisers against their twins, through a whole training step of two linear layers.
//!
//! Each step is checked separately: its initial state (weights, gradients, moments) is read back, so that the
//! roundings of earlier steps do not accumulate.

mod common;

use common::GPU;
use frostline_engine::{Freeze, Graph, Group, Optim, Optimizer, Params, Plan, Rule, Session, TensorId};
use frostline_twin::adamw::AdamW;
use frostline_twin::sgd::Sgd;
use frostline_twin::{Array, compare, filler};
use std::collections::BTreeMap;

const ROWS: usize = 4;
const FEATURES: usize = 6;

/// input (4, 6) → a (5) → b (3) → loss
fn two_layers() -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let x = graph.input(ROWS, 1, 1, FEATURES);
    let labels = graph.labels(ROWS);
    let x = graph.linear(x, "a", 5).unwrap();
    let logits = graph.linear(x, "b", 3).unwrap();
    let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
    (graph, loss)
}

struct Run {
    optim: Optim,
    params: Params,
    optimizer: Optimizer,
    session: Session,
}

/// Weights by name and moments by slot and name.
struct State {
    weights: BTreeMap<String, Array>,
    moments: BTreeMap<(String, String), Array>,
}

impl Run {
    fn new(optim: Optim) -> Self {
        let (graph, loss) = two_layers();
        let plan = Plan::training(&graph, loss, &Freeze::none(), &optim, GPU.tuning()).unwrap();
        let params = Params::new(&GPU, &graph, 7).unwrap();
        let optimizer = Optimizer::new(&GPU, &plan).unwrap();
        let session = Session::new(&GPU, plan, &params, Some(&optimizer)).unwrap();
        session.write_input(&filler::fill("input", ROWS * FEATURES, -2.0, 2.0)).unwrap();
        session.write_labels(&filler::labels(ROWS, 3)).unwrap();
        Self { optim, params, optimizer, session }
    }

    fn step(&mut self, lr: f32) {
        self.session.begin_step(&mut self.optimizer, lr).unwrap();
        self.session.poison();
        common::run(&mut self.session);
    }

    fn state(&self) -> State {
        let array = |shape: Vec<usize>, values: Vec<f32>| Array::from_f32(&shape, &values);
        let weights = self
            .params
            .to_host()
            .unwrap()
            .into_iter()
            .map(|(name, shape, values)| (name, array(shape, values)));
        let moments = self.optimizer.to_host().unwrap().into_iter();
        let moments =
            moments.map(|(slot, name, shape, values)| ((slot.to_owned(), name), array(shape, values)));
        State { weights: weights.collect(), moments: moments.collect() }
    }

    /// Takes three steps, the rate changing from one to the next, and checks each parameter's.
    fn check(&mut self) {
        for (step, lr) in [(1, 0.1), (2, 0.05), (3, 0.2)] {
            let before = self.state();
            self.step(lr);
            let after = self.state();
            for (name, weight) in &before.weights {
                let group = self.optim.group_of(name).map(|index| self.optim.groups[index].clone());
                if group.as_ref().is_some_and(|group| group.frozen) {
                    assert_eq!(&after.weights[name], weight, "{name} is frozen");
                    assert!(self.session.read_gradient(name).is_err(), "{name} is frozen and has a gradient");
                    continue;
                }
                let rate = lr * group.as_ref().map_or(1.0, |group| group.rate);
                let decay = group.map_or(self.optim.weight_decay, |group| group.weight_decay);
                let gradient = Array::from_f32(&weight.shape, &self.session.read_gradient(name).unwrap());
                let moment =
                    |state: &State, slot: &str| state.moments[&(slot.to_owned(), name.clone())].clone();
                let check = |what: &str, got: &Array, expected: &frostline_twin::Value| {
                    compare::assert_close(
                        &format!("{:?} step {step} {name} {what}", self.optim.rule),
                        &got.to_f32(),
                        expected,
                    );
                };
                match self.optim.rule {
                    Rule::Sgd { momentum, nesterov } => {
                        let sgd = Sgd {
                            learning_rate: rate.into(),
                            momentum: momentum.into(),
                            weight_decay: decay.into(),
                            nesterov,
                        };
                        let expected = sgd.step(weight, &gradient, &moment(&before, "momentum_buffer"));
                        check("weight", &after.weights[name], &expected.weight);
                        check("velocity", &moment(&after, "momentum_buffer"), &expected.velocity);
                    }
                    Rule::AdamW { beta1, beta2, eps } => {
                        let adamw = AdamW {
                            learning_rate: rate.into(),
                            beta1,
                            beta2,
                            eps: eps.into(),
                            weight_decay: decay.into(),
                        };
                        let (mean, square) = (moment(&before, "exp_avg"), moment(&before, "exp_avg_sq"));
                        let expected = adamw.step(step, weight, &gradient, &mean, &square);
                        check("weight", &after.weights[name], &expected.weight);
                        check("mean", &moment(&after, "exp_avg"), &expected.mean);
                        check("mean square", &moment(&after, "exp_avg_sq"), &expected.mean_square);
                    }
                }
                assert_ne!(&after.weights[name], weight, "{name} moved");
            }
        }
    }
}

fn group(member: &str, rate: f32, weight_decay: f32, frozen: bool) -> Group {
    Group { members: vec![member.to_owned()], rate, weight_decay, frozen }
}

#[test]
fn sgd() {
    Run::new(Optim::sgd(0.1)).check();
    Run::new(Optim::sgd(0.1).weight_decay(0.3)).check();
    Run::new(Optim::sgd(0.1).momentum(0.9).weight_decay(0.01)).check();
    Run::new(Optim::sgd(0.1).momentum(0.9).nesterov().weight_decay(0.01)).check();
}

#[test]
fn adamw() {
    Run::new(Optim::adamw(0.1)).check();
    Run::new(Optim::adamw(0.1).weight_decay(0.0)).check();
}

/// A group inside a group: the later one has precedence.
#[test]
fn groups_have_their_own_rate_and_decay() {
    for optim in [Optim::sgd(0.1).momentum(0.9), Optim::adamw(0.1)] {
        Run::new(optim.group(group("a", 0.25, 0.5, false)).group(group("a.bias", 2.0, 0.0, false))).check();
    }
}

/// A gap between neighbours: the parameters around it are updated by separate dispatches.
#[test]
fn a_frozen_group_stays_as_it_is() {
    for frozen in ["a", "a.bias", "b.weight", "b.bias"] {
        let mut run = Run::new(Optim::sgd(0.1).momentum(0.9).group(group(frozen, 1.0, 0.0, true)));
        run.check();
        assert!(run.session.plan().trainable_names().all(|name| !name.starts_with(frozen)));
    }
}

/// After a loss that is not finite, weights and moments are unchanged, and can be inspected and saved.
#[test]
fn nothing_moves_after_a_loss_that_is_not_finite() {
    for optim in [Optim::sgd(0.1).momentum(0.9), Optim::adamw(0.1)] {
        let mut run = Run::new(optim);
        run.step(0.1);
        let before = run.state();
        let mut input = filler::fill("input", ROWS * FEATURES, -2.0, 2.0);
        input[FEATURES + 1] = f32::NAN;
        run.session.write_input(&input).unwrap();
        run.step(0.1);
        assert!(!run.session.read_summary().unwrap().loss.is_finite());
        let after = run.state();
        assert_eq!(after.weights, before.weights);
        assert_eq!(after.moments, before.moments);
    }
}

/// After unfreezing, layers that trained before keep their momentum and the others start at zero.
#[test]
fn moments_are_carried_over() {
    let mut run = Run::new(Optim::sgd(0.1).momentum(0.9).group(group("a", 1.0, 0.0, true)));
    run.step(0.1);
    let earlier = run.state().moments;
    let mut open = Run::new(Optim::sgd(0.1).momentum(0.9));
    open.optimizer.carry_over(&run.optimizer).unwrap();
    let moments = open.state().moments;
    let key = |name: &str| ("momentum_buffer".to_owned(), name.to_owned());
    for name in ["b.weight", "b.bias"] {
        assert_eq!(moments[&key(name)], earlier[&key(name)]);
        assert!(moments[&key(name)].data.iter().any(|value| *value != 0.0));
    }
    assert!(moments[&key("a.weight")].data.iter().all(|value| *value == 0.0));
    assert_eq!(open.optimizer.steps(), 1);
    open.check();
}

/// The gradients that a training plan computes are those of the twins, layer by layer.
#[test]
fn gradients_of_a_training_plan() {
    use frostline_twin::{linear, softmax_cross_entropy};
    let mut run = Run::new(Optim::sgd(0.1));
    let weights = run.state().weights;
    run.step(0.1);
    let x = Array::from_f32(&[ROWS, FEATURES], &filler::fill("input", ROWS * FEATURES, -2.0, 2.0));
    let forward = |x: &Array, layer: &str| {
        linear::forward(x, &weights[&format!("{layer}.weight")], Some(&weights[&format!("{layer}.bias")]))
    };
    let hidden = forward(&x, "a");
    let logits = forward(&hidden.value, "b");
    let dlogits = softmax_cross_entropy::backward(&logits.value, &filler::labels(ROWS, 3), 0.0);
    let dhidden = linear::backward_input(&dlogits.value, &weights["b.weight"]);
    let expected = [
        ("a.weight", linear::backward_weight(&x, &dhidden.value)),
        ("a.bias", linear::backward_bias(&dhidden.value)),
        ("b.weight", linear::backward_weight(&hidden.value, &dlogits.value)),
        ("b.bias", linear::backward_bias(&dlogits.value)),
    ];
    for (name, expected) in expected {
        let gradient = run.session.read_gradient(name).unwrap();
        let size = expected.terms.data.iter().fold(0.0, |a: f64, b| a.max(*b));
        for (got, expected) in gradient.iter().zip(&expected.value.data) {
            // Through four kernels that round: 1e-5 of the largest sum, a hundred roundings.
            assert!((f64::from(*got) - expected).abs() < 1e-5 * size, "{name}: {got} {expected}");
        }
    }
}
