use frostline_engine::BatchNormMode;
use frostline_trainer::{Augment, Error};

use crate::setup::{bits, go_on, images, learner, options};

/// Nothing at random, and normalised on the device in place of the host: the same run, but for the
/// rounding of (x − mean) / std.
#[test]
fn augmenting_by_nothing_is_training_without() {
    let set = images(18);
    let run = |options| {
        let mut learner = learner(1);
        learner.fit(&set, &options, go_on).unwrap().losses()
    };
    let (plain, augmented) = (run(options(6)), run(options(6).augment(Augment::none())));
    for (plain, augmented) in plain.iter().zip(&augmented) {
        assert!((plain - augmented).abs() < 1e-3 * plain.abs(), "{plain} and {augmented}");
    }
    let moved = run(options(6).augment(Augment::none().translate(0.3)));
    assert!(
        (moved[0] - plain[0]).abs() > 1e-3,
        "a shift of the images changes the loss: {} and {}",
        moved[0],
        plain[0]
    );
}

#[test]
fn an_augmented_run_repeats_bit_for_bit_and_another_seed_is_another_run() {
    let set = images(18);
    let run = |seed| {
        let augment =
            Augment::none().resized_crop([0.5, 1.0]).vertical_flip(0.5).color_jitter(0.5, 0.5, 0.0, 0.0);
        let mut learner = learner(1);
        let losses = learner.fit(&set, &options(7).seed(seed).augment(augment), go_on).unwrap().losses();
        (losses, bits(&learner))
    };
    let (first, second) = (run(3), run(3));
    assert_eq!(first, second);
    assert_ne!(first.0, run(4).0);
}

/// Evaluation uses unchanged images: in a run of rate ~0 its results are the same with augmentation as
/// without.
#[test]
fn evaluation_is_not_augmented() {
    let set = images(18);
    let evaluate = |options: frostline_trainer::FitOptions<'_>| {
        let mut learner = learner(1);
        // Neither a step nor the batch's statistics may change what is evaluated.
        learner.set_batch_norm(BatchNormMode::Running);
        let history = learner.fit(&set, &options.lr(1e-30).validate(&set, 1), go_on).unwrap();
        (history.losses()[0], history.evaluations[0].1.predictions.clone())
    };
    let (plain, whole) = evaluate(options(1));
    let (turned, same) =
        evaluate(options(1).augment(Augment::none().vertical_flip(1.0).color_jitter(0.9, 0.0, 0.0, 0.0)));
    assert_eq!(whole, same);
    assert_ne!(plain, turned, "training did see other images");
}

#[test]
fn nonsense_is_refused_before_anything_runs() {
    let refused = learner(1).fit(&images(18), &options(2).augment(Augment::none().translate(7.0)), go_on);
    assert!(matches!(refused, Err(Error::Setting { name: "translate", .. })), "{refused:?}");
}
