use frostline_trainer::{Error, Features, ProbeLoss, ProbeOptions, Standardization, linear_probe};

use crate::setup::{go_on, gpu, images, learner, options};

/// Two features that separate three classes, one of them a thousand times larger; a third that never changes.
fn features(count: usize) -> Features {
    let noise = |i: usize| ((i * 37 % 11) as f32 - 5.0) / 20.0;
    let row = |i: usize| {
        let (x, y) = [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)][i % 3];
        [1000.0 * (x + noise(i)), y + noise(3 * i), 0.125]
    };
    Features {
        width: 3,
        values: (0..count).flat_map(row).collect(),
        labels: (0..count as u32).map(|i| i % 3).collect(),
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
    }
}

#[test]
fn standardised_features_have_mean_0_and_deviation_1() {
    let features = features(30);
    let standardization = Standardization::of(&features, 1e-5);
    let standard = standardization.apply(&features);
    for feature in 0..2 {
        let column = || (0..30).map(|i| f64::from(standard.row(i)[feature]));
        let mean = column().sum::<f64>() / 30.0;
        let variance = column().map(|value| (value - mean).powi(2)).sum::<f64>() / 30.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
    assert!((0..30).all(|i| standard.row(i)[2] == 0.0), "a constant feature becomes 0");
}

#[test]
fn a_probe_separates_what_is_separable() {
    let (train, test) = (features(30), features(300));
    let probe = linear_probe(gpu(), &train, &test, &ProbeOptions::default()).unwrap();
    assert_eq!(probe.records.len(), 200);
    assert!(probe.records[199].loss < 0.6 * probe.records[0].loss);
    assert_eq!(probe.train.accuracy, 1.0);
    assert!(probe.test.accuracy > 0.98, "{}", probe.test.accuracy);
    assert_eq!(probe.test.predictions.len(), 300);
    let again = linear_probe(gpu(), &train, &test, &ProbeOptions::default()).unwrap();
    assert_eq!(probe, again);

    let batched = ProbeOptions { batch: Some(7), steps: 60, ..ProbeOptions::default() };
    let probe = linear_probe(gpu(), &train, &test, &batched).unwrap();
    assert_eq!(probe.records[59].epoch, 59 / 4);
}

#[test]
fn a_support_vector_machine_separates_them_too_and_then_rests() {
    let (train, test) = (features(30), features(300));
    // Without decay, weights that keep every margin do not change: the hinge loss is exactly 0.
    let optim = frostline_engine::Optim::adamw(0.05).weight_decay(0.0);
    let options = ProbeOptions { loss: ProbeLoss::Hinge, optim, ..ProbeOptions::default() };
    let probe = linear_probe(gpu(), &train, &test, &options).unwrap();
    assert!(probe.records[0].loss > 0.3, "{}", probe.records[0].loss);
    assert_eq!(probe.records[199].loss, 0.0);
    assert_eq!(probe.train.accuracy, 1.0);
    assert!(probe.test.accuracy > 0.98, "{}", probe.test.accuracy);
    assert!(probe.test.loss > 0.0, "a softmax is never sure");
}

#[test]
fn features_that_do_not_fit_are_refused() {
    let probe = |train: &Features, test: &Features, batch| {
        let options = ProbeOptions { batch, ..ProbeOptions::default() };
        linear_probe(gpu(), train, test, &options).unwrap_err()
    };
    let narrow = Features { width: 1, values: vec![0.0; 6], ..features(6) };
    let error = probe(&features(6), &narrow, None);
    assert!(matches!(error, Error::FeatureWidth { train: 3, other: 1 }));
    let error = probe(&features(6), &features(6), Some(7));
    assert!(matches!(error, Error::BatchTooLarge { batch: 7, images: 6 }));
    let error = probe(&features(6), &features(6).subset(&[]), None);
    assert!(matches!(error, Error::NoImages { .. }));
}

#[test]
fn a_probe_in_place_of_the_last_layer_predicts_the_same() {
    let set = images(18);
    let mut learner = learner(1);
    learner.fit(&set, &options(8), go_on).unwrap();
    let features = learner.features(&set, "avgpool", 1).unwrap();
    let probe = linear_probe(gpu(), &features, &features, &ProbeOptions::default()).unwrap();
    learner.set_head(&probe.head).unwrap();
    let evaluation = learner.evaluate(&set).unwrap();
    assert_eq!(evaluation.predictions, probe.test.predictions);
    assert!((evaluation.loss - probe.test.loss).abs() < 1e-3 * probe.test.loss.max(0.1));
}
