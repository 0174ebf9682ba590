//! Rates: the range test, rates per stage, and gradual unfreezing.

use std::ops::ControlFlow;

use frostline_engine::Optim;
use frostline_trainer::{Error, Learner, LrRange};

use crate::setup::{bits, go_on, gpu, images, learner, options};

#[test]
fn a_range_test_leaves_no_trace() {
    let (set, settings) = (images(18), options(4));
    let continued = |test: bool| {
        let mut learner = learner(1);
        learner.fit(&set, &settings, go_on).unwrap();
        let before = bits(&learner);
        if test {
            let curve =
                learner.find_lr(&set, &settings, LrRange { steps: 30, ..LrRange::default() }).unwrap();
            assert!(curve.points.len() > 5, "{curve:?}");
            assert_eq!(curve.points[0].lr, 1e-7);
            assert!(curve.points.windows(2).all(|pair| pair[0].lr < pair[1].lr));
            assert!(bits(&learner) == before, "weights and running statistics are the same bits");
        }
        // Momentum as well: the fit goes on as if there had been no test.
        (learner.fit(&set, &settings, go_on).unwrap().losses(), bits(&learner))
    };
    assert!(continued(true) == continued(false));
}

#[test]
fn an_exploding_loss_ends_a_range_test() {
    let mut learner = learner(1);
    let before = bits(&learner);
    let range = LrRange { start: 1e-3, end: 1e20, steps: 60 };
    let curve = learner.find_lr(&images(18), &options(1), range).unwrap();
    assert!(curve.points.len() < 60, "it went on to {:?}", curve.points.last());
    assert!(curve.points.iter().all(|point| point.loss.is_finite()));
    assert!(bits(&learner) == before);
    for range in
        [LrRange { start: 0.0, ..range }, LrRange { end: 1e-4, ..range }, LrRange { steps: 1, ..range }]
    {
        assert!(matches!(learner.find_lr(&images(18), &options(1), range), Err(Error::Setting { .. })));
    }
}

fn rates(learner: &frostline_trainer::Learner, optim: &Optim) -> Vec<f32> {
    learner.rates(optim).unwrap().into_iter().map(|(_, rate)| rate).collect()
}

#[track_caller]
fn near(found: &[f32], expected: &[f32]) {
    let close = |(a, b): (&f32, &f32)| (a / b - 1.0).abs() < 1e-4;
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(close),
        "{found:?}, expected {expected:?}"
    );
}

#[test]
fn stages_get_their_rates() {
    let learner = learner(1);
    let sgd = || Optim::sgd(0.5).weight_decay(0.01);
    near(&rates(&learner, &sgd()), &[0.5; 6]);
    let graded = learner.layer_decay(sgd(), 0.1).unwrap();
    near(&rates(&learner, &graded), &[5e-6, 5e-5, 5e-4, 5e-3, 5e-2, 0.5]);
    assert!(graded.groups.iter().all(|group| group.weight_decay == 0.01 && !group.frozen));
    near(&rates(&learner, &learner.slice(sgd(), 0.1).unwrap()), &[0.01, 0.01, 0.01, 0.01, 0.01, 0.1]);
    let sliced = learner.slice(sgd(), 1e-6..1e-1).unwrap();
    near(&rates(&learner, &sliced), &[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]);
    // The base rate scales all groups.
    near(&rates(&learner, &Optim { lr: 0.2, ..sliced }), &[2e-6, 2e-5, 2e-4, 2e-3, 2e-2, 2e-1]);
    for wrong in [0.0, -1.0, f32::NAN] {
        assert!(matches!(learner.slice(sgd(), wrong), Err(Error::Setting { .. })));
        assert!(matches!(learner.slice(sgd(), wrong..0.1), Err(Error::Setting { .. })));
        assert!(matches!(learner.layer_decay(sgd(), wrong), Err(Error::Setting { .. })));
    }
}

#[test]
fn a_stage_moves_as_far_as_its_rate_lets_it() {
    let set = images(18);
    let moved = |decay| {
        let mut learner = learner(1);
        let optim = learner.layer_decay(Optim::sgd(0.01), decay).unwrap();
        let before = learner.snapshot().unwrap();
        learner.fit(&set, &options(1).optim(optim), go_on).unwrap();
        learner.updates_since(&before).unwrap()
    };
    // One step without momentum: the update is rate × gradient, so half the rate is half of it.
    let (flat, graded) = (moved(1.0), moved(0.5));
    for (place, (flat, graded)) in flat.iter().zip(&graded).enumerate() {
        let expected = 0.5f64.powi(5 - place as i32);
        assert_eq!(flat.stage, graded.stage);
        let ratio = graded.relative / flat.relative;
        assert!((ratio / expected - 1.0).abs() < 0.05, "{}: {ratio}, expected {expected}", flat.stage);
    }
    let mut learner = learner(1);
    learner.freeze_below("layer4").unwrap();
    let before = learner.snapshot().unwrap();
    learner.fit(&set, &options(2), go_on).unwrap();
    let updates = learner.updates_since(&before).unwrap();
    assert!(
        updates
            .iter()
            .all(|update| (update.relative > 0.0) == ["layer4", "fc"].contains(&update.stage.as_str())),
        "{updates:?}"
    );
}

#[test]
fn stages_thaw_one_by_one() {
    let set = images(18);
    let mut learner = learner(1);
    let start = bits(&learner);
    let mut seen: Vec<(String, u64)> = vec![];
    let mut at_layer4 = vec![];
    let phases = learner
        .fit_gradually(&set, &options(8), &["fc", "layer4", "layer3"], |stage, progress| {
            seen.push((stage.to_owned(), progress.step));
            ControlFlow::Continue(())
        })
        .unwrap();
    at_layer4.extend(phases.iter().map(|phase| (phase.from.as_str(), phase.history.records.len())));
    assert_eq!(at_layer4, [("fc", 2), ("layer4", 3), ("layer3", 3)], "8 steps in all");
    assert_eq!(
        seen.iter().filter(|(stage, _)| stage == "layer4").map(|(_, step)| *step).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    let end = bits(&learner);
    for ((name, before), (_, after)) in start.iter().zip(&end) {
        let open = ["layer3.", "layer4.", "fc."].iter().any(|stage| name.starts_with(stage));
        assert_eq!(before != after, open, "{name}");
    }
    assert!(
        learner.frozen().all(|name| !name.starts_with("layer3"))
            && learner.frozen().any(|name| name.starts_with("layer2"))
    );

    for (stages, steps) in [(&["layer4", "fc"][..], 8), (&[][..], 8), (&["fc", "layer4"][..], 1)] {
        let result = learner.fit_gradually(&set, &options(steps), stages, |_, _| ControlFlow::Continue(()));
        assert!(matches!(result, Err(Error::Setting { .. })), "{stages:?}");
    }
    let result =
        learner.fit_gradually(&set, &options(8), &["fc", "layer9"], |_, _| ControlFlow::Continue(()));
    assert!(matches!(result, Err(Error::UnknownGroup { .. })));
    assert!(bits(&learner) == end, "wrong settings train nothing");

    // A stopped phase is the last.
    let phases =
        learner.fit_gradually(&set, &options(8), &["fc", "layer4"], |_, _| ControlFlow::Break(())).unwrap();
    assert_eq!(phases.len(), 1);
    assert!(!phases[0].history.finished);
}

#[test]
fn a_gradual_fit_resumes_in_the_phase_it_was_stopped_in() {
    let (set, stages, options) = (images(18), ["fc", "layer4", "layer3"], options(8));
    let mut whole = learner(1);
    whole.fit_gradually(&set, &options, &stages, |_, _| ControlFlow::Continue(())).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    // In the middle of a phase, and at the end of one.
    for (phase, step) in [("layer4", 2), ("fc", 2)] {
        let mut interrupted = learner(1);
        interrupted
            .fit_gradually(&set, &options, &stages, |stage, progress| {
                match (stage, progress.step) == (phase, step) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })
            .unwrap();
        interrupted.save(&path).unwrap();
        let mut resumed = Learner::resume(gpu(), &path).unwrap();
        let error = resumed
            .continue_gradually(&set, &options, &["layer3", "layer2"][..1], |_, _| ControlFlow::Continue(()));
        assert!(matches!(error, Err(Error::OtherRun { .. })), "{error:?}");
        let rest =
            resumed.continue_gradually(&set, &options, &stages, |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(rest[0].from, phase);
        assert!(bits(&resumed) == bits(&whole), "stopped in {phase} at {step}");
    }
}
