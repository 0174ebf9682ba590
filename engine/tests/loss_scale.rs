//! Dynamic loss scaling: which steps are taken, changes of the scale, and its effect on AdamW.

mod common;

use common::{GPU, tunings};
use frostline_engine::{
    Error, Freeze, Graph, LossScale, LossScaleState, Optim, Optimizer, Params, Plan, Rule,
};
use frostline_engine::{Session, Storage, Tuning};
use frostline_twin::adamw::AdamW;
use frostline_twin::{Array, compare, filler};

const ROWS: usize = 4;
const FEATURES: usize = 6;
const NAMES: [&str; 4] = ["a.weight", "a.bias", "b.weight", "b.bias"];

/// The tunings with 16-bit floats; none, with a message, if the adapter has no such floats.
fn half(loss_scale: LossScale) -> Vec<Tuning> {
    if !GPU.has_f16() {
        eprintln!("skipped: {} has no 16-bit floats", GPU.describe());
        return vec![];
    }
    tunings().iter().map(|tuning| tuning.with_storage(Storage::F16 { loss_scale })).collect()
}

fn growing(initial: u32, growth_interval: u32) -> LossScale {
    LossScale { initial, growth_interval: Some(growth_interval) }
}

/// input (4, 6) → a (5) → b (3) → loss. The gradient between a and b is stored as f16.
struct Run {
    params: Params,
    optimizer: Optimizer,
    session: Session,
}

/// Weights and moments.
type State = (Vec<Vec<f32>>, Vec<Vec<f32>>);

impl Run {
    fn new(optim: &Optim, tuning: &Tuning) -> Self {
        let mut graph = Graph::new();
        let (x, labels) = (graph.input(ROWS, 1, 1, FEATURES), graph.labels(ROWS));
        let x = graph.linear(x, "a", 5).unwrap();
        let logits = graph.linear(x, "b", 3).unwrap();
        let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
        let plan = Plan::training(&graph, loss, &Freeze::none(), optim, tuning).unwrap();
        let params = Params::new(&GPU, &graph, 7).unwrap();
        let optimizer = Optimizer::new(&GPU, &plan).unwrap();
        let session = Session::new(&GPU, plan, &params, Some(&optimizer)).unwrap();
        session.write_labels(&filler::labels(ROWS, 3)).unwrap();
        let run = Self { params, optimizer, session };
        run.input(filler::fill("input", ROWS * FEATURES, -2.0, 2.0));
        run
    }

    fn input(&self, values: Vec<f32>) {
        self.session.write_input(&values).unwrap();
    }

    fn step(&mut self, lr: f32) {
        self.session.begin_step(&mut self.optimizer, lr).unwrap();
        self.session.poison();
        self.session.run().unwrap();
    }

    fn scale(&self) -> LossScaleState {
        self.optimizer.loss_scale().unwrap().expect("f16 has a loss scale")
    }

    fn gradients(&self) -> Vec<Vec<f32>> {
        NAMES.map(|name| self.session.read_gradient(name).unwrap()).into()
    }

    fn state(&self) -> State {
        let weights = NAMES.map(|name| self.params.get(name).unwrap()).into();
        let moments = self.optimizer.to_host().unwrap().into_iter().map(|(.., values)| values).collect();
        (weights, moments)
    }

    /// The loss and all gradients are finite.
    fn is_finite(&self) -> bool {
        let loss = self.session.read_summary().unwrap().loss;
        loss.is_finite() && self.gradients().iter().flatten().all(|value| value.is_finite())
    }
}

fn state(scale: u32, good_steps: u32, skipped_steps: u32) -> LossScaleState {
    LossScaleState { scale, good_steps, skipped_steps }
}

/// From 2²⁴ on the scale falls until the gradients fit. Until then no weight and no moment changes.
#[test]
fn steps_whose_gradients_overflow_are_not_taken() {
    for optim in [Optim::sgd(0.1).momentum(0.9), Optim::adamw(0.1)] {
        for tuning in half(growing(1 << 24, 2000)) {
            let mut run = Run::new(&optim, &tuning);
            let mut expected = state(1 << 24, 0, 0);
            assert_eq!(run.scale(), expected);
            while expected.good_steps < 3 {
                let before = run.state();
                run.step(0.1);
                assert!(
                    run.session.read_summary().unwrap().loss.is_finite(),
                    "gradients overflow, the loss does not"
                );
                if run.is_finite() {
                    expected.good_steps += 1;
                    assert!(before.0.iter().zip(run.state().0).all(|(old, new)| *old != new), "{optim:?}");
                } else {
                    expected = state(expected.scale / 2, 0, expected.skipped_steps + 1);
                    assert_eq!(run.state(), before, "{optim:?}");
                }
                assert_eq!(run.scale(), expected);
            }
            assert!((2..14).contains(&expected.skipped_steps), "{expected:?}");
            let state = run.state();
            assert!(state.0.iter().chain(&state.1).flatten().all(|value| value.is_finite()));
        }
    }
}

/// Skipped steps have no effect: the run is that of a scale that fitted from the start.
#[test]
fn skipped_steps_leave_no_trace() {
    for optim in [Optim::sgd(0.1).momentum(0.9).weight_decay(0.1), Optim::adamw(0.1)] {
        let scales = [growing(1 << 24, 2000), LossScale::fixed(1024)].map(half);
        let [moving, fixed] = scales;
        for (moving, fixed) in moving.iter().zip(&fixed) {
            let (mut run, mut straight) = (Run::new(&optim, moving), Run::new(&optim, fixed));
            while run.scale().good_steps == 0 {
                run.step(0.1);
            }
            straight.step(0.1);
            for _ in 0..4 {
                assert_eq!(run.state(), straight.state(), "{optim:?}");
                run.step(0.1);
                straight.step(0.1);
            }
        }
    }
}

/// An input that is not a number spoils loss and gradients of one step; the next is taken again. A fixed
/// scale stays; a dynamic one falls to 1 and no further.
#[test]
fn a_loss_that_is_not_finite_skips_its_step() {
    let good = filler::fill("input", ROWS * FEATURES, -2.0, 2.0);
    let mut bad = good.clone();
    bad[FEATURES + 1] = f32::NAN;
    for (scale, after) in [(LossScale::fixed(256), 256), (growing(4, 2000), 1)] {
        for tuning in half(scale) {
            let mut run = Run::new(&Optim::sgd(0.1).momentum(0.9), &tuning);
            run.step(0.1);
            let before = run.state();
            run.input(bad.clone());
            (0..5).for_each(|_| run.step(0.1));
            assert_eq!((run.state(), run.scale()), (before.clone(), state(after, 0, 5)));
            run.input(good.clone());
            run.step(0.1);
            assert_eq!(run.scale(), state(after, 1, 5));
            assert_ne!(run.state(), before);
        }
    }
}

/// A fixed scale that overflows takes no step, and stays.
#[test]
fn a_fixed_scale_that_overflows_takes_no_step() {
    for tuning in half(LossScale::fixed(1 << 24)) {
        let mut run = Run::new(&Optim::adamw(0.1), &tuning);
        let before = run.state();
        (0..3).for_each(|_| run.step(0.1));
        assert_eq!((run.state(), run.scale()), (before, state(1 << 24, 0, 3)));
    }
}

#[test]
fn the_scale_doubles_after_an_interval_of_good_steps() {
    for tuning in half(growing(8, 3)) {
        let mut run = Run::new(&Optim::sgd(0.0), &tuning);
        for step in 1..=9 {
            run.step(0.0);
            assert_eq!(run.scale(), state(8 << (step / 3), step % 3, 0), "after {step} steps");
        }
    }
    // It rises to 2²⁴ and no further: with labels of weight 0, no gradient overflows.
    for tuning in half(growing(1 << 23, 1)) {
        let mut run = Run::new(&Optim::sgd(0.0), &tuning);
        run.session.write_labels(&[frostline_engine::ops::cross_entropy::IGNORED; ROWS]).unwrap();
        (0..4).for_each(|_| run.step(0.0));
        assert_eq!(run.scale(), state(1 << 24, 0, 0));
    }
}

/// Gradients are read as they are, whatever the scale was when they were computed.
#[test]
fn gradients_are_read_without_the_scale() {
    for (moving, fixed) in half(growing(64, 1)).iter().zip(&half(LossScale::fixed(1024))) {
        let (mut run, mut straight) = (Run::new(&Optim::sgd(0.0), moving), Run::new(&Optim::sgd(0.0), fixed));
        straight.step(0.0);
        let expected = straight.gradients();
        assert!(expected.iter().all(|gradient| gradient.iter().any(|value| *value != 0.0)));
        for step in 1..=5 {
            run.step(0.0);
            assert_eq!(run.scale().scale, 64 << step);
            // A power of two changes no digit, as long as no value is too small for f16.
            assert_eq!(run.gradients(), expected, "step {step}");
        }
    }
}

/// AdamW divides by 1 − βᵗ, t the steps that were taken: against f64, also late in a run.
#[test]
fn adamw_counts_the_steps_that_were_taken() {
    let optim = Optim::adamw(0.1);
    let Rule::AdamW { beta1, beta2, eps } = optim.rule else { unreachable!() };
    for tuning in half(LossScale::fixed(1024)) {
        for (begun, skipped) in
            [(0, 0), (1, 1), (2, 1), (5, 0), (7, 0), (60, 3), (498, 0), (500, 0), (3000, 7), (900_000, 0)]
        {
            let mut run = Run::new(&optim, &tuning);
            run.optimizer.go_on_from(begun, Some(state(1024, 0, skipped)));
            let before = run.state();
            run.step(0.1);
            assert_eq!(run.optimizer.steps(), begun + 1);
            let (taken, gradients, after) = (begun + 1 - u64::from(skipped), run.gradients(), run.state());
            for (i, name) in NAMES.iter().enumerate() {
                let array = |values: &[f32]| Array::from_f32(&[values.len()], values);
                let adamw = AdamW {
                    learning_rate: 0.1f32.into(),
                    beta1,
                    beta2,
                    eps: eps.into(),
                    weight_decay: 0.01f32.into(),
                };
                let zeros = Array::zeros(&[gradients[i].len()]);
                let expected =
                    adamw.step(taken as _, &array(&before.0[i]), &array(&gradients[i]), &zeros, &zeros);
                // 1 − βᵗ itself is off by some roundings, those of the driver's exp among them.
                let what = format!("{name}, step {begun} with {skipped} skipped");
                compare::assert_close_by(&what, &after.0[i], &expected.weight, 4.0 * compare::FACTOR);
            }
        }
    }
}

/// The state is transferred to another optimiser as far as possible.
#[test]
fn the_scale_is_carried_over() {
    let (optim, single) = (Optim::sgd(0.1).momentum(0.9), GPU.tuning());
    for tuning in half(growing(1 << 24, 2000)) {
        let mut run = Run::new(&optim, &tuning);
        (0..20).for_each(|_| run.step(0.1));
        let (earlier, skipped) = (run.scale(), u64::from(run.scale().skipped_steps));
        let carried = |tuning: &Tuning| {
            let mut next = Run::new(&optim, tuning);
            next.optimizer.carry_over(&run.optimizer).unwrap();
            (next.optimizer.loss_scale().unwrap(), next.optimizer.steps())
        };
        assert_eq!(carried(&tuning), (Some(earlier), 20));
        let fixed = single.with_storage(Storage::F16 { loss_scale: LossScale::fixed(512) });
        assert_eq!(carried(&fixed), (Some(LossScaleState { scale: 512, ..earlier }), 20));
        assert_eq!(carried(single), (None, 20 - skipped), "f32 counts the steps that were taken");
    }
}

/// A clone of an optimiser is the same optimiser.
#[test]
fn clones_share_their_steps() {
    let mut run = Run::new(&Optim::sgd(0.1).momentum(0.9), GPU.tuning());
    let handle = run.optimizer.clone();
    run.step(0.1);
    assert_eq!(handle.steps(), 1);
    assert_eq!(handle.to_host().unwrap(), run.optimizer.to_host().unwrap());
    assert_eq!(handle.loss_scale().unwrap(), None, "f32 needs none");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let mut graph = Graph::new();
    let (x, labels) = (graph.input(1, 1, 1, 4), graph.labels(1));
    let logits = graph.linear(x, "fc", 3).unwrap();
    let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
    for loss_scale in [LossScale::fixed(0), LossScale::fixed(1000), LossScale::fixed(1 << 25), growing(8, 0)]
    {
        let tuning = Tuning::portable().with_storage(Storage::F16 { loss_scale });
        let error = Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.1), &tuning).unwrap_err();
        assert!(matches!(&error, Error::Setting { name, .. } if name.contains("loss scale")), "{error}");
    }
}
