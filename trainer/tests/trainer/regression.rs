use std::path::Path;

use frostline_loader::safetensors::{self, SafeFile};
use frostline_trainer::{Error, Features, Fitter, HeadLoss, cross_validate, cross_validate_with, regression};

use crate::setup::{images, learner};

/// What scikit-learn computed: `tests/golden/regression.py`.
fn golden() -> (SafeFile, Features, Features) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/regression.safetensors");
    let file = safetensors::read(path).unwrap();
    let rows: usize = file.metadata["rows"].parse().unwrap();
    let [features, labels] = ["features", "labels"].map(|name| file.tensors[name].clone());
    let width = features.shape[1];
    let all = Features {
        width,
        values: features.data,
        labels: labels.data.iter().map(|&label| label as u32).collect(),
        classes: (0..4).map(|class| class.to_string()).collect(),
    };
    let train = all.subset(&(0..rows).collect::<Vec<_>>());
    let new = all.subset(&(rows..all.labels.len()).collect::<Vec<_>>());
    (file, train, new)
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let exps: Vec<f64> = logits.iter().map(|&logit| f64::from(logit).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|exp| exp / sum).collect()
}

#[test]
fn the_optimum_is_scikit_learns() {
    let (file, train, new) = golden();
    for i in 0..3 {
        let of = |name: &str| file.tensors[&format!("{i}.{name}")].data.clone();
        let found = regression(&train, f64::from(of("c")[0])).unwrap();
        assert!(found.converged && found.gradient <= 1e-6, "{}", found.gradient);
        // With a derivative of 1e-6 at a penalty of 1/(60·c), a weight is a tenth so far from its optimum.
        let weight_tolerance = 1e-5 * 60.0 * found.c + 1e-5;
        // The biases have no penalty: the loss's curvature there is about a tenth, and they follow the
        // weights.
        let weight = ("weight", &found.head.weight.data, weight_tolerance);
        for (name, ours, tolerance) in [weight, ("bias", &found.head.bias.data, weight_tolerance + 1e-4)] {
            for (ours, theirs) in ours.iter().zip(of(name)) {
                assert!(
                    f64::from((ours - theirs).abs()) < tolerance,
                    "c {}: {name} {ours} {theirs}",
                    found.c
                );
            }
        }
        let logits = found.head.logits(&new).unwrap();
        let ours: Vec<f64> = logits.chunks(4).flat_map(softmax).collect();
        let worst =
            ours.iter().zip(of("probabilities")).map(|(a, b)| (a - f64::from(b)).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-4, "c {}: probabilities differ by {worst}", found.c);
    }
}

#[test]
fn a_machine_of_margins_is_pytorchs_and_scikit_learns() {
    let (file, train, new) = golden();
    let of = |name: &str| file.tensors[name].data.clone();
    let c = f64::from(of("hinge.c")[0]);
    let fit =
        |features: &Features| Fitter::new(features).unwrap().loss(HeadLoss::SquaredHinge).fit(c).unwrap();
    let apart = |ours: &[f32], theirs: &[f32]| {
        assert_eq!(ours.len(), theirs.len());
        ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let four = fit(&train);
    assert!(four.converged, "{}", four.gradient);
    // As with softmax: a derivative of 1e-6 at this penalty leaves a weight 60·c times so far away.
    assert!(apart(&four.head.weight.data, &of("hinge.weight")) < 2e-5);
    assert!(apart(&four.head.bias.data, &of("hinge.bias")) < 1e-4);

    let two: Vec<usize> = (0..train.labels.len()).filter(|&i| train.labels[i] < 2).collect();
    let two = Features { classes: train.classes[..2].to_vec(), ..train.subset(&two) };
    let head = fit(&two).head;
    let difference = |values: &[f32]| -> Vec<f32> {
        (0..values.len() / 2).map(|i| values[values.len() / 2 + i] - values[i]).collect()
    };
    assert!(apart(&difference(&head.weight.data), &of("svc.weight")) < 1e-4);
    assert!(apart(&difference(&head.bias.data), &of("svc.bias")) < 1e-3);

    let chosen = cross_validate_with(HeadLoss::SquaredHinge, &train, 0).unwrap();
    let accuracy = chosen.regression.head.evaluate(&new).unwrap().accuracy;
    assert!(chosen.held_out == 60 && accuracy > 0.6, "{accuracy}");
}

#[test]
fn a_strength_is_chosen_on_images_that_were_held_out() {
    let (_, train, new) = golden();
    let found = cross_validate(&train, 0).unwrap();
    assert_eq!((found.folds, found.held_out), (5, 60));
    let chosen = found.chosen().unwrap();
    assert!(found.strengths.iter().all(|other| other.right <= chosen.right));
    // The head that comes of it is the one of that strength on all images.
    let head = regression(&train, chosen.c).unwrap().head;
    let (ours, alone) = (found.regression.head.evaluate(&new).unwrap(), head.evaluate(&new).unwrap());
    assert_eq!(ours.predictions, alone.predictions);
    // A held-out training image is as hard as a new one; a head that was trained on it would recognise it.
    let held_out = chosen.right as f64 / 60.0;
    assert!((held_out - ours.accuracy).abs() < 0.25 && held_out < 1.0, "{held_out} {}", ours.accuracy);
}

#[test]
fn a_head_at_its_optimum_is_the_networks_last_layer() {
    let set = images(18);
    let mut learner = learner(1);
    let features = learner.features(&set, "avgpool", 1).unwrap();
    let head = regression(&features, 0.1).unwrap().head;
    let expected = head.evaluate(&features).unwrap();
    learner.set_head(&head).unwrap();
    let evaluation = learner.evaluate(&set).unwrap();
    assert_eq!(evaluation.predictions, expected.predictions);
    assert!((evaluation.loss - expected.loss).abs() < 1e-3 * expected.loss.max(0.1));
}

#[test]
fn one_row_and_features_that_never_change_are_no_trouble() {
    let (_, train, _) = golden();
    let one = regression(&train.subset(&[3]), 1.0).unwrap();
    assert_eq!(one.head.evaluate(&train.subset(&[3])).unwrap().accuracy, 1.0);
    let same = Features { values: vec![2.5; train.values.len()], ..train.clone() };
    let found = regression(&same, 1.0).unwrap();
    assert!(found.converged && found.head.weight.data.iter().all(|w| w.abs() < 1e-4));
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let (_, train, new) = golden();
    assert!(matches!(regression(&train, 0.0), Err(Error::Setting { name: "c", .. })));
    assert!(matches!(regression(&train.subset(&[]), 1.0), Err(Error::NoImages { .. })));
    let mut broken = train.clone();
    broken.values[5 * train.width] = f32::NAN;
    // The mean of its column is NaN for every row.
    assert!(matches!(regression(&broken, 1.0), Err(Error::NotFinite { .. })));
    let head = regression(&train, 1.0).unwrap().head;
    let narrow = Features { width: 1, values: vec![0.0; new.labels.len()], ..new };
    assert!(matches!(head.evaluate(&narrow), Err(Error::FeatureWidth { train: 96, other: 1 })));
}
