//! cross_entropy.

use crate::case::Case;
use frostline_twin::softmax_cross_entropy::{self as twin, Settings};
use frostline_twin::{Array, cases};
use rand::Rng;

/// Logits and labels: the second and third have logits whose exponentials overflow.
fn all(seed: u64, case: impl Fn(&Array, &[u32]) -> Case) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 11);
    let mut shapes = vec![(8, 8, 3.0), (1, 4, 200.0), (7, 12, 150.0), (3, 20, 2.0), (65, 4, 4.0)];
    shapes.push((rng.random_range(1..30), 4 * rng.random_range(1..8), 10.0));
    let draw = |(rows, classes, size): (usize, usize, f32)| {
        let logits = cases::uniform(&mut rng, &[rows, classes], -size..size);
        let labels = cases::labels(&mut rng, rows, classes);
        case(&logits, &labels)
            .sizes(&[("rows", rows), ("classes", classes)])
            .input("logits", &logits)
            .words("labels", labels)
            .count("rows", rows)
            .count("classes", classes)
    };
    shapes.into_iter().map(draw).collect()
}

fn what(logits: &Array) -> String {
    let [rows, classes] = logits.dims();
    let largest = logits.data.iter().fold(0.0f64, |most, logit| most.max(logit.abs()));
    format!("{rows} rows, {classes} classes, logits up to {largest:.0}")
}

pub(super) fn forward(seed: u64) -> Vec<Case> {
    all(seed, |logits, labels| {
        let losses = twin::row_losses(logits, labels, &Settings::default());
        Case::new(what(logits), "loss", &["row"], losses)
    })
}

pub(super) fn backward(seed: u64) -> Vec<Case> {
    all(seed, |logits, labels| {
        let gradient = twin::backward(logits, labels, 0.0);
        Case::new(what(logits), "dlogits", &["row", "class"], gradient)
    })
}
