use frostline_engine::Optim;
use frostline_trainer::{Augment, Error, FitOptions, Learner, Live, Schedule};
use pollster::block_on;

use crate::setup::{bits, go_on, gpu, images, learner, options};

fn constant(steps: u64) -> FitOptions<'static> {
    options(steps).schedule(Schedule::constant())
}

/// `steps` steps, read every third, and their losses.
fn run(live: &mut Live, steps: u64) -> Vec<f32> {
    let mut losses = vec![];
    for step in 0..steps {
        block_on(live.step()).unwrap();
        if step % 3 == 2 {
            losses.extend(block_on(live.read()).unwrap());
        }
    }
    losses.extend(block_on(live.read()).unwrap());
    losses.into_iter().map(|record| record.loss).collect()
}

fn frozen(stage: &str) -> Learner {
    let mut learner = learner(1);
    learner.freeze_below(stage).unwrap();
    learner
}

#[test]
fn steps_are_those_of_fit_to_the_bit() {
    let augmented = || constant(7).augment(Augment::none().translate(0.2).horizontal_flip(0.5));
    let mixed = || constant(7).mixup(0.4);
    for options in [constant(7), augmented(), mixed()] {
        let mut fitted = frozen("layer2");
        let history = fitted.fit(&images(18), &options, go_on).unwrap();
        let mut live = block_on(Live::start(frozen("layer2"), images(18), options)).unwrap();
        assert_eq!(run(&mut live, 7), history.losses());
        assert_eq!(bits(live.learner()), bits(&fitted));
        assert_eq!(live.steps(), 7);
    }
}

/// As a fit, a change of freeze and another fit that continues from the end of the first.
#[test]
fn the_frostline_moves_while_it_trains() {
    let mut live = block_on(Live::start(frozen("fc"), images(18), constant(9))).unwrap();
    let head = live.plan().ledger().step.dispatches;
    run(&mut live, 4);
    assert_eq!(live.executed().dispatches, 4 * head);
    let below = bits(live.learner());
    block_on(live.freeze_below("layer3")).unwrap();
    let more = live.plan().ledger().step.dispatches;
    assert!(more > head, "{more} dispatches, {head} with a frozen body");
    run(&mut live, 5);
    assert_eq!(live.executed().dispatches, 4 * head + 5 * more);
    let pairs = below.into_iter().zip(bits(live.learner()));
    let moved: Vec<String> = pairs.filter(|(old, new)| old != new).map(|(old, _)| old.0).collect();
    assert!(!moved.is_empty() && moved.iter().all(|name| !name.starts_with("layer2")), "{moved:?}");
    assert!(moved.iter().any(|name| name.starts_with("layer3")), "{moved:?}");

    // One run of fits that is stopped and continues with another freeze.
    let mut fitted = frozen("fc");
    let mut stop = |progress: &frostline_trainer::Progress<'_>| match progress.step {
        4 => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    };
    fitted.fit(&images(18), &constant(9), &mut stop).unwrap();
    fitted.freeze_below("layer3").unwrap();
    fitted.continue_fit(&images(18), &constant(9), go_on).unwrap();
    assert_eq!(bits(live.learner()), bits(&fitted));
}

#[test]
fn rates_and_images_change_and_what_is_wrong_changes_nothing() {
    let mut live = block_on(Live::start(frozen("layer4"), images(18), constant(1))).unwrap();
    run(&mut live, 2);
    let optim = live.optim().clone();
    block_on(live.set_rates(Optim { lr: 0.0, ..optim.clone() })).unwrap();
    let before = live.learner().params().get("fc.weight").unwrap();
    run(&mut live, 2);
    assert_eq!(live.learner().params().get("fc.weight").unwrap(), before, "a rate of 0 moves nothing");

    let error = block_on(live.set_rates(Optim { lr: f32::NAN, ..optim.clone() })).unwrap_err();
    assert!(error.to_string().contains("learning rate"), "{error}");
    assert_eq!(live.optim().lr, 0.0);
    let error = block_on(live.freeze_below("layer9")).unwrap_err();
    assert!(matches!(error, Error::UnknownGroup { .. }), "{error}");
    assert!(live.set_images(images(3)).unwrap_err().to_string().contains('4'), "fewer than a batch");
    let staged = live.learner().slice(optim, 0.1).unwrap();
    block_on(live.set_rates(staged)).unwrap();
    live.set_images(images(30)).unwrap();
    run(&mut live, 7);
    assert_ne!(live.learner().params().get("fc.weight").unwrap(), before);
}

/// The bytes are the file that a fit of these steps would save, and a program reads it.
#[test]
fn a_checkpoint_is_the_file_that_the_command_reads() {
    let mut live = block_on(Live::start(frozen("layer4"), images(18), constant(5))).unwrap();
    run(&mut live, 5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.safetensors");
    std::fs::write(&path, block_on(live.checkpoint()).unwrap()).unwrap();
    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(bits(&resumed), bits(live.learner()));
    assert_eq!(resumed.classes(), live.learner().classes());
    assert_eq!(resumed.logits(&images(6)).unwrap(), live.learner().logits(&images(6)).unwrap());
}
