use frostline_engine::BatchNormMode;
use frostline_loader::ImageSet;
use frostline_trainer::{Augment, Error, FitOptions, balanced_class_weights};

use crate::setup::{bits, go_on, images, learner, options};

/// With an α of nearly 0 a share is 0 or 1: every image is another one or itself, and so is its label.
/// Batch norms aside, such a batch is an ordinary one in another order.
#[test]
fn a_share_of_all_or_nothing_is_training_without() {
    let set = images(18);
    let run = |options: FitOptions<'_>| {
        let mut learner = learner(1);
        learner.set_batch_norm(BatchNormMode::Running);
        let history = learner.fit(&set, &options.batch(18), go_on).unwrap();
        (history.losses(), history.records.iter().map(|record| record.accuracy).collect::<Vec<_>>())
    };
    let ((plain, hits), (mixed, mixed_hits)) = (run(options(5)), run(options(5).mixup(1e-4)));
    for (plain, mixed) in plain.iter().zip(&mixed) {
        assert!((plain - mixed).abs() < 1e-4 * plain, "{plain} and {mixed}");
    }
    assert_eq!(hits, mixed_hits);
    let (losses, hits) = run(options(5).mixup(1.0));
    assert!(
        losses.iter().zip(&plain).all(|(mixed, plain)| (mixed - plain).abs() > 1e-3),
        "{losses:?} {plain:?}"
    );
    assert!(hits.iter().any(|hits| (hits * 18.0).fract() > 1e-3), "shares of hits are counted: {hits:?}");
}

#[test]
fn a_mixed_run_learns_repeats_bit_for_bit_and_another_seed_is_another_run() {
    let set = images(18);
    let run = |seed, augment: bool| {
        let mut options = options(40).seed(seed).mixup(0.2).validate(&set, 40);
        if augment {
            options = options.augment(Augment::none().horizontal_flip(0.5));
        }
        let mut learner = learner(1);
        let history = learner.fit(&set, &options, go_on).unwrap();
        (history.losses(), bits(&learner), history.best.unwrap().accuracy)
    };
    let first = run(3, false);
    assert!(first.2 > 0.7, "accuracy {}", first.2);
    assert_eq!(run(3, false), first);
    assert_ne!(run(4, false).0, first.0);
    assert_ne!(run(3, true).0, first.0);
}

#[test]
fn mixup_and_frozen_outputs_do_not_go_together() {
    let set = images(18);
    let mut learner = learner(1);
    learner.freeze_below("fc").unwrap();
    let error = learner.fit(&set, &options(2).mixup(0.2).cache_frozen(true), go_on).unwrap_err();
    assert!(matches!(&error, Error::StochasticCache { what } if what == "mixup"), "{error}");
    let error = learner.fit(&set, &options(2).mixup(-1.0), go_on).unwrap_err();
    assert!(matches!(error, Error::Setting { name: "mixup, alpha", .. }), "{error}");
}

#[test]
fn a_mixed_step_has_one_dispatch_more() {
    let learner = learner(1);
    let steps = |options| {
        let plan = learner.training_plan(&options).unwrap();
        plan.dispatches().iter().map(|dispatch| dispatch.variant.kernel.name()).collect::<Vec<_>>()
    };
    let (plain, mut mixed) = (steps(options(1)), steps(options(1).mixup(0.2)));
    let at = mixed.iter().position(|kernel| kernel == "mixup.forward").unwrap();
    mixed.remove(at);
    assert_eq!(mixed, plain);
}

/// 15 images of a row, 2 of a column and 1 of neither.
fn imbalanced() -> ImageSet {
    let mut set = images(54);
    let (size, keep): (usize, Vec<usize>) = (64, (0..15).map(|i| 3 * i).chain([1, 22, 5]).collect());
    set.images = keep.iter().flat_map(|&i| set.images[size * i..size * (i + 1)].to_vec()).collect();
    set.labels = keep.iter().map(|&i| set.labels[i]).collect();
    set
}

/// With all images in a batch, a loss by weight is the mean of the classes' own losses.
#[test]
fn balanced_weights_make_classes_count_alike() {
    let set = imbalanced();
    let weights = balanced_class_weights(&set.labels, 3).unwrap();
    let mut learner = learner(1);
    learner.set_batch_norm(BatchNormMode::Running);
    let options = options(1).batch(18).lr(1e-30);
    let weighted = learner.fit(&set, &options.clone().class_weights(weights), go_on).unwrap().losses()[0];
    let plain = learner.fit(&set, &options, go_on).unwrap().losses()[0];
    let mut of_class = |class: u32| {
        let mut only = set.clone();
        let chosen: Vec<usize> = (0..18).filter(|&i| set.labels[i] == class).collect();
        only.images = chosen.iter().flat_map(|&i| set.images[64 * i..64 * (i + 1)].to_vec()).collect();
        only.labels = vec![class; chosen.len()];
        learner.evaluate(&only).unwrap().loss
    };
    let expected = (0..3).map(&mut of_class).sum::<f64>() / 3.0;
    assert!((f64::from(weighted) - expected).abs() < 1e-4, "{weighted}, not {expected}");
    assert!((f64::from(plain) - expected).abs() > 1e-3, "without weights it is another: {plain}");
}

#[test]
fn weights_of_another_number_of_classes_are_refused() {
    let error =
        learner(1).fit(&images(18), &options(1).class_weights(vec![1.0; 4]), go_on).unwrap_err().to_string();
    assert!(error.contains("3 classes") && error.contains("got 4"), "{error}");
}
