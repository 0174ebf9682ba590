use frostline_engine::BatchNormMode;
use frostline_loader::Checkpoint;
use frostline_trainer::{LayerDrift, Learner};

use crate::setup::{bits, go_on, gpu, images, learner, options};

fn names(layers: &[LayerDrift]) -> Vec<&str> {
    layers.iter().map(|drift| drift.layer.as_str()).collect()
}

#[test]
fn a_frozen_batch_norm_that_keeps_its_statistics_is_no_alarm() {
    let (set, mut learner) = (images(18), learner(1));
    learner.freeze_below("layer3").unwrap();
    let history = learner.fit(&set, &options(4).validate(&set, 2), go_on).unwrap();
    assert!(history.evaluations.iter().all(|(_, evaluation)| evaluation.drift.is_none()));
    // Trained layers change, which is not drift.
    learner.unfreeze_all();
    let history = learner.fit(&set, &options(4).validate(&set, 2), go_on).unwrap();
    assert!(history.evaluations.iter().all(|(_, evaluation)| evaluation.drift.is_none()));
}

#[test]
fn statistics_of_a_frozen_group_that_follow_the_batches_are_told_at_every_evaluation() {
    let (set, mut learner) = (images(18), learner(1));
    learner.freeze_below("layer1").unwrap();
    // As in other frameworks: the parameters are frozen, the statistics are not.
    learner.set_batch_norm(BatchNormMode::Batch);
    let before = learner.params().get("bn1.running_var").unwrap();
    let history = learner.fit(&set, &options(4).validate(&set, 2), go_on).unwrap();
    assert_eq!(history.evaluations.len(), 2);
    for (_, evaluation) in &history.evaluations {
        let drift = evaluation.drift.as_ref().expect("an alarm");
        assert_eq!(names(&drift.layers), ["bn1"], "of the frozen group and no other");
    }
    let change = history.evaluations[1].1.drift.as_ref().unwrap().layers[0].max_change.unwrap();
    let moved = |name: &str, before: &[f32]| {
        let now = learner.params().get(name).unwrap();
        before.iter().zip(now).map(|(before, now)| (now - before).abs()).fold(0.0, f32::max)
    };
    let expected = moved("bn1.running_var", &before).max(moved("bn1.running_mean", &vec![0.0; before.len()]));
    assert_eq!(change, expected);
    let text = learner.drift().unwrap().unwrap().to_string();
    for part in ["1 frozen batch norm ", "`bn1`", "keep their running statistics"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn statistics_that_somebody_else_changed_are_told_too_and_thawed_layers_are_not() {
    let (set, mut learner) = (images(18), learner(1));
    learner.freeze_below("layer2").unwrap();
    learner.fit(&set, &options(2), go_on).unwrap();
    let mut mean = learner.params().get("layer1.0.bn2.running_mean").unwrap();
    mean[1] += 0.25;
    learner.params().set("layer1.0.bn2.running_mean", &mean).unwrap();
    let drift = learner.evaluate(&set).unwrap().drift.unwrap();
    assert_eq!(drift.layers, [LayerDrift { layer: "layer1.0.bn2".to_owned(), max_change: Some(0.25) }]);
    learner.unfreeze_all();
    assert_eq!(learner.evaluate(&set).unwrap().drift, None);
}

#[test]
fn the_alarm_survives_a_checkpoint_and_an_edited_checkpoint_rings_it() {
    let set = images(18);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut first = learner(1);
    first.freeze_below("layer2").unwrap();
    first.fit(&set, &options(4).checkpoint(&path, 4), go_on).unwrap();
    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(resumed.evaluate(&set).unwrap().drift, None);

    // Another program continued the training, in a framework whose frozen batch norms drift.
    let mut edited = Checkpoint::load(&path).unwrap();
    edited.weights.get_mut("layer1.0.bn1.running_var").unwrap().data[0] *= 1.5;
    edited.weights.get_mut("layer2.0.bn1.running_var").unwrap().data[0] *= 1.5;
    edited.save(&path).unwrap();
    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    let drift = resumed.evaluate(&set).unwrap().drift.unwrap();
    assert_eq!(
        drift.layers,
        [LayerDrift { layer: "layer1.0.bn1".to_owned(), max_change: None }],
        "layer2 trains"
    );
    assert!(drift.to_string().contains("differs from what the checkpoint recorded"), "{drift}");
    // The alarm persists: neither another fit nor another checkpoint makes the new values the right ones.
    resumed.fit(&set, &options(2).checkpoint(&path, 2), go_on).unwrap();
    let mut again = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(again.evaluate(&set).unwrap().drift.map(|drift| drift.layers), Some(drift.layers));
    // Weights that were loaded explicitly reset the alarm.
    let tensors = Checkpoint::load(&path).unwrap().weights;
    again.load(&tensors, &frostline_models::LoadOptions::strict()).unwrap();
    assert_eq!(again.evaluate(&set).unwrap().drift, None);
}

#[test]
fn drift_while_saving_is_still_known_after_resuming() {
    let set = images(18);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut drifting = learner(1);
    drifting.freeze_below("layer1").unwrap();
    drifting.set_batch_norm(BatchNormMode::Batch);
    drifting.fit(&set, &options(4).checkpoint(&path, 2), go_on).unwrap();
    let before = bits(&drifting);
    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(bits(&resumed), before);
    let drift = resumed.evaluate(&set).unwrap().drift.unwrap();
    assert_eq!(names(&drift.layers), ["bn1"]);
}

#[test]
fn a_checkpoint_from_before_the_alarm_still_loads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut learner = learner(1);
    learner.freeze_below("layer2").unwrap();
    learner.save(&path).unwrap();
    let mut old = Checkpoint::load(&path).unwrap();
    let extra = old.extra.get_mut("trainer").unwrap();
    let mut fields: serde_json::Value = serde_json::from_str(extra).unwrap();
    let recorded = fields.as_object_mut().unwrap().remove("frozen_statistics").unwrap();
    assert!(recorded["layer1.0.bn1"].is_string() && recorded["layer2.0.bn1"].is_null(), "{recorded}");
    *extra = fields.to_string();
    old.save(&path).unwrap();
    assert_eq!(Learner::resume(gpu(), &path).unwrap().drift().unwrap(), None);
}
