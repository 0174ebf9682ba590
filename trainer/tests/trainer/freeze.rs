use frostline_engine::BatchNormMode;
use frostline_trainer::Error;

use crate::setup::{bits, go_on, images, learner, options};

/// Names of the tensors whose bits changed in four steps.
fn moved(learner: &mut frostline_trainer::Learner) -> Vec<String> {
    let before = bits(learner);
    learner.fit(&images(18), &options(4), go_on).unwrap();
    let pairs = before.into_iter().zip(bits(learner));
    pairs.filter(|(old, new)| old != new).map(|(old, _)| old.0).collect()
}

#[test]
fn frozen_weights_and_running_statistics_keep_their_bits() {
    let mut learner = learner(1);
    learner.freeze_below("layer4").unwrap();
    let moved = moved(&mut learner);
    let all = bits(&learner).into_iter().map(|(name, _)| name);
    let open = |name: &String| name.starts_with("layer4.") || name.starts_with("fc.");
    // Everything above the frostline changes, including statistics, and nothing below it.
    assert_eq!(moved, all.filter(open).collect::<Vec<_>>());
}

#[test]
fn batch_norm_can_be_held_while_its_layers_train() {
    let mut learner = learner(1);
    learner.set_batch_norm(BatchNormMode::Running);
    let moved = moved(&mut learner);
    assert!(moved.contains(&"bn1.weight".to_owned()));
    assert!(!moved.iter().any(|name| name.contains("running")), "{moved:?}");
}

#[test]
fn groups_freeze_and_thaw_by_stage_layer_or_name() {
    let mut learner = learner(1);
    learner.freeze("stem").unwrap();
    assert_eq!(learner.frozen().collect::<Vec<_>>(), ["bn1.bias", "bn1.weight", "conv1.weight"]);
    learner.unfreeze("bn1").unwrap();
    assert_eq!(learner.frozen().collect::<Vec<_>>(), ["conv1.weight"]);
    learner.freeze_below("layer2").unwrap();
    assert!(learner.frozen().all(|name| !name.starts_with("layer2") && !name.starts_with("fc")));
    learner.unfreeze_all();
    assert_eq!(learner.frozen().count(), 0);
    learner.freeze_below("stem").unwrap();
    assert_eq!(learner.frozen().count(), 0);

    let error = learner.freeze("layer7").unwrap_err();
    assert!(matches!(error, Error::UnknownGroup { .. }));
    assert!(error.to_string().contains("stem, layer1"), "{error}");
}

#[test]
fn everything_frozen_is_told() {
    let mut learner = learner(1);
    learner.freeze_below("fc").unwrap();
    learner.freeze("fc").unwrap();
    let error = learner.fit(&images(18), &options(1), go_on).unwrap_err();
    assert!(error.to_string().contains("nothing to train"), "{error}");
}
