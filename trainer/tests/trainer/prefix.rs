//! Training on stored outputs of frozen stages is training on the images.

use frostline_engine::BatchNormMode;
use frostline_loader::ImageSet;
use frostline_trainer::{Augment, Batch, Error, Source};

use crate::setup::{bits, go_on, images, learner, options};

#[test]
fn cached_training_gives_the_same_bits() {
    let (set, test) = (images(18), images(9));
    for stage in ["layer2", "fc"] {
        let run = |cache| {
            let mut learner = learner(1);
            learner.freeze_below(stage).unwrap();
            let history =
                learner.fit(&set, &options(7).cache_frozen(cache).validate(&test, 3), go_on).unwrap();
            (history.losses(), bits(&learner), history.evaluations)
        };
        let (cached, plain) = (run(true), run(false));
        assert_eq!(cached.0, plain.0, "losses from {stage} on");
        assert_eq!(cached.1, plain.1, "weights from {stage} on");
        let accuracies = |found: &[(u64, frostline_trainer::Evaluation)]| -> Vec<_> {
            found.iter().map(|(step, evaluation)| (*step, evaluation.predictions.clone())).collect()
        };
        assert_eq!(accuracies(&cached.2), accuracies(&plain.2));
    }
}

#[test]
fn nothing_frozen_leaves_nothing_to_cache() {
    let run = |cache| learner(1).fit(&images(18), &options(3).cache_frozen(cache), go_on).unwrap().losses();
    assert_eq!(run(true), run(false));
    let mut learner = learner(1);
    assert_eq!(learner.frozen_stage(), None);
    learner.freeze_below("layer3").unwrap();
    assert_eq!(learner.frozen_stage().as_deref(), Some("layer2"));
    learner.freeze_below("fc").unwrap();
    assert_eq!(learner.frozen_stage().as_deref(), Some("avgpool"));
    learner.set_batch_norm(BatchNormMode::Batch);
    assert_eq!(learner.frozen_stage(), None);
}

#[test]
fn one_set_of_outputs_serves_many_runs_and_what_follows_it() {
    let set = images(18);
    let mut learner = learner(1);
    let before = learner.evaluate(&set).unwrap();
    let shallow = learner.activations(&set, "layer1").unwrap();
    let deep = learner.activations(&shallow, "layer3").unwrap();
    assert_eq!((shallow.len(), shallow.stage(), shallow.shape()), (18, "layer1", [8, 8, 4]));
    assert_eq!((deep.stage(), deep.shape(), deep.bytes()), ("layer3", [2, 2, 16], 18 * 2 * 2 * 16 * 4));
    assert_eq!(learner.evaluate(&deep).unwrap().predictions, before.predictions);
    assert_eq!(deep.subset(&[4, 2]).unwrap().labels(), [set.labels[4], set.labels[2]]);
    assert!(deep.subset(&[18]).is_err());

    learner.freeze_below("layer4").unwrap();
    for seed in 0..2 {
        let options = options(6).seed(seed);
        let losses = learner.fit(&deep, &options, go_on).unwrap().losses();
        assert!(losses.iter().all(|loss| loss.is_finite()));
    }
    let (stored, plain) = (learner.evaluate(&deep).unwrap(), learner.evaluate(&set).unwrap());
    assert_eq!(stored.predictions, plain.predictions);
    assert!(stored.accuracy > before.accuracy, "it learned: {} and {}", before.accuracy, stored.accuracy);
}

#[test]
fn outputs_that_would_change_are_refused() {
    let set = images(18);
    let mut learner = learner(1);
    let outputs = learner.activations(&set, "layer2").unwrap();
    let error = learner.fit(&outputs, &options(2), go_on).unwrap_err();
    assert!(matches!(error, Error::NotFrozen { .. }), "{error}");
    assert!(error.to_string().contains("`conv1.weight` trains"), "{error}");

    learner.freeze_below("layer3").unwrap();
    learner.set_batch_norm(BatchNormMode::Batch);
    assert!(matches!(learner.fit(&outputs, &options(2), go_on), Err(Error::NotFrozen { .. })));
    learner.set_batch_norm(BatchNormMode::FollowFreeze);
    learner.fit(&outputs, &options(2), go_on).unwrap();

    // Weights above the outputs may change; those below, and the normalisation, may not.
    learner.evaluate(&outputs).unwrap();
    learner.set_normalization(&[0.1], &[0.2]).unwrap();
    assert!(matches!(learner.evaluate(&outputs), Err(Error::StaleActivations { .. })));
    learner.set_normalization(&[0.5], &[0.5]).unwrap();
    learner.evaluate(&outputs).unwrap();
    learner.params().set("layer2.0.bn1.running_mean", &[0.5; 8]).unwrap();
    let error = learner.evaluate(&outputs).unwrap_err();
    assert!(matches!(&error, Error::StaleActivations { stage } if stage == "layer2"), "{error}");
}

/// Images that change at random cannot be cached, which is an error.
struct Noisy(ImageSet);

impl Source for Noisy {
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }
    fn classes(&self) -> &[String] {
        &self.0.classes
    }
    fn labels(&self) -> &[u32] {
        &self.0.labels
    }
    fn gather(
        &self,
        indices: &[usize],
        _: Option<frostline_loader::BatchState>,
        out: &mut Batch,
    ) -> Result<(), frostline_loader::Error> {
        self.0.gather(indices, out.bytes())
    }
    fn stochastic(&self) -> Option<&str> {
        Some("noise")
    }
}

#[test]
fn random_images_are_not_cached() {
    let mut learner = learner(1);
    learner.freeze_below("layer4").unwrap();
    let error = learner.fit(&Noisy(images(18)), &options(2).cache_frozen(true), go_on).unwrap_err();
    assert!(matches!(&error, Error::StochasticCache { what } if what == "noise"), "{error}");
    let augmented = options(2).cache_frozen(true).augment(Augment::none().horizontal_flip(0.5));
    let error = learner.fit(&images(18), &augmented, go_on).unwrap_err();
    assert!(matches!(&error, Error::StochasticCache { what } if what == "augmentation"), "{error}");
}

#[test]
fn the_ledger_shows_what_the_cache_saves() {
    let mut learner = learner(1);
    learner.freeze_below("layer3").unwrap();
    let options = options(1);
    let (whole, cached) =
        (learner.training_plan(&options).unwrap(), learner.cached_plan("layer2", &options).unwrap());
    assert_eq!(cached.ledger().backward_dispatches, whole.ledger().backward_dispatches);
    assert_eq!(cached.ledger().backward_macs, whole.ledger().backward_macs);
    assert!(cached.ledger().forward_dispatches < whole.ledger().forward_dispatches);
    assert!(
        cached
            .ledger()
            .layers
            .keys()
            .all(|layer| layer.starts_with("layer3") || layer.starts_with("layer4") || !layer.contains('.'))
    );
    assert_eq!(cached.unfrozen_ledger(), whole.unfrozen_ledger());
    let printed = cached.to_string();
    let row =
        |layer: &str| printed.lines().find(|line| line.starts_with(layer)).unwrap_or_default().to_owned();
    assert!(row("layer1.0.conv1").contains("(cached)"), "{printed}");
    assert!(!row("layer3.0.conv1").contains("(cached)"), "{printed}");
}
