//! Softmax and cross entropy, and the hinge loss, in f32.

use crate::{accepted, refused};
use frostline_twin::softmax_cross_entropy::{self as twin, IGNORED};
use frostline_twin::{Array, cases, multi_margin};

/// Loss and gradient in f32; `shift` is what is subtracted from the logits, the maximum if
/// it is right, and `spread` the q of classes that are not the label.
fn f32_loss(
    logits: &Array,
    labels: &[u32],
    shift: fn(&[f32]) -> f32,
    smoothing: f32,
    spread: f32,
    divisor: usize,
) -> (f32, Vec<f32>) {
    let [rows, classes] = logits.dims();
    let x = logits.to_f32();
    let (mut loss, mut dx) = (0f32, vec![0f32; rows * classes]);
    for row in (0..rows).filter(|&row| labels[row] != IGNORED) {
        let range = row * classes..(row + 1) * classes;
        let shift = shift(&x[range.clone()]);
        let sum: f32 = x[range.clone()].iter().map(|x| (x - shift).exp()).sum();
        for (k, i) in range.enumerate() {
            let label = if k == labels[row] as usize { 1.0 } else { 0.0 };
            let q = (1.0 - smoothing) * label + spread;
            loss += q * (sum.ln() - (x[i] - shift));
            dx[i] = ((x[i] - shift).exp() / sum - q) / divisor as f32;
        }
    }
    (loss / divisor as f32, dx)
}

fn max(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[test]
fn random_logits() {
    let mut rng = cases::rng(23);
    for (rows, classes, range) in [(1, 2, 1.0), (5, 7, 10.0), (32, 10, 30.0), (3, 1000, 5.0), (4, 3, 150.0)] {
        for smoothing in [0.0, 0.1f32] {
            let logits = cases::uniform(&mut rng, &[rows, classes], -range..range);
            let mut labels = cases::labels_with_ignored(&mut rng, rows, classes);
            labels[0] = 1;
            let count = labels.iter().filter(|&&label| label != IGNORED).count();
            let expected = twin::forward(&logits, &labels, smoothing.into());
            let expected_dx = twin::backward(&logits, &labels, smoothing.into());
            let name = |what| format!("{what}, {rows}x{classes} ±{range} smoothing {smoothing}");
            let spread = smoothing / classes as f32;

            let (loss, dx) = f32_loss(&logits, &labels, max, smoothing, spread, count);
            accepted(&name("loss"), &[loss], &expected);
            accepted(&name("gradient"), &dx, &expected_dx);

            if smoothing > 0.0 {
                let spread = smoothing / (classes - 1) as f32;
                let (loss, dx) = f32_loss(&logits, &labels, max, smoothing, spread, count);
                refused(&name("loss spread over the others"), &[loss], &expected);
                refused(&name("gradient spread over the others"), &dx, &expected_dx);
            }
            // Logits of ±150 leave a loss of nothing but zeros to the rows of this seed.
            if count < rows && range < 100.0 {
                let (loss, dx) = f32_loss(&logits, &labels, max, smoothing, spread, rows);
                refused(&name("loss over all rows"), &[loss], &expected);
                refused(&name("gradient over all rows"), &dx, &expected_dx);
            }
            if range > 100.0 {
                let (loss, _) = f32_loss(&logits, &labels, |_| 0.0, smoothing, spread, count);
                refused(&name("loss not shifted"), &[loss], &expected);
            }
        }
    }
}

/// The loss of mixed rows whose classes have weights, in f32: `share` of a row's own label and the rest
/// of the next row's, over the sum of the weights or, wrongly, over the rows.
fn f32_mixed(logits: &Array, labels: &[u32], weights: &[f32], share: f32, by_weight: bool) -> f32 {
    let [rows, classes] = logits.dims();
    let x = logits.to_f32();
    let (mut loss, mut sum) = (0f32, 0f32);
    for row in 0..rows {
        let z = &x[row * classes..(row + 1) * classes];
        let top = max(z);
        let log_sum = top + z.iter().map(|z| (z - top).exp()).sum::<f32>().ln();
        for (label, share) in [(labels[row], share), (labels[(row + 1) % rows], 1.0 - share)] {
            let u = share * weights[label as usize];
            loss += u * (log_sum - z[label as usize]);
            sum += u;
        }
    }
    loss / if by_weight { sum } else { rows as f32 }
}

#[test]
fn weights_and_mixed_labels() {
    let mut rng = cases::rng(25);
    for (rows, classes) in [(2, 3), (5, 7), (32, 10), (3, 1000)] {
        let logits = cases::uniform(&mut rng, &[rows, classes], -5.0..5.0);
        let labels = cases::labels(&mut rng, rows, classes);
        let weights = cases::uniform(&mut rng, &[classes], 0.5..3.0);
        let mixes: Vec<_> = (0..rows).map(|row| ((row + 1) % rows, 0.71875)).collect();
        let settings = twin::Settings { smoothing: 0.0, weights: &weights.data, mixes: &mixes };
        let expected = twin::forward_with(&logits, &labels, &settings);
        let name = |what| format!("{what}, {rows}x{classes}");
        let weights = weights.to_f32();
        accepted(&name("loss"), &[f32_mixed(&logits, &labels, &weights, 0.71875, true)], &expected);
        refused(
            &name("loss over all rows"),
            &[f32_mixed(&logits, &labels, &weights, 0.71875, false)],
            &expected,
        );
        refused(
            &name("loss of other shares"),
            &[f32_mixed(&logits, &labels, &weights, 0.7187, true)],
            &expected,
        );
    }
}

/// The hinge loss and its gradient in f32; `divisor` is the number of classes, if it is right.
fn f32_margin(logits: &Array, labels: &[u32], margin: f32, divisor: usize) -> (f32, Vec<f32>) {
    let [rows, classes] = logits.dims();
    let x = logits.to_f32();
    let (mut loss, mut dx) = (0f32, vec![0f32; rows * classes]);
    for (row, &label) in labels.iter().enumerate() {
        let label = row * classes + label as usize;
        let violations =
            (row * classes..(row + 1) * classes).filter(|&i| i != label && margin - x[label] + x[i] > 0.0);
        for i in violations.clone() {
            loss += (margin - x[label] + x[i]) / (divisor * rows) as f32;
            dx[i] = 1.0 / (divisor * rows) as f32;
        }
        // Counted: a running sum of a thousand equal fractions is no longer their number times one.
        dx[label] = -(violations.count() as f32) / (divisor * rows) as f32;
    }
    (loss, dx)
}

#[test]
fn margins() {
    let mut rng = cases::rng(24);
    for (rows, classes) in [(1, 2), (5, 7), (32, 10), (3, 1000)] {
        let logits = cases::distinct(&mut rng, &[rows, classes], 0.03);
        let labels = cases::labels(&mut rng, rows, classes);
        let name = |what| format!("{what}, {rows}x{classes}");
        let (loss, dx) =
            (multi_margin::forward(&logits, &labels, 1.0), multi_margin::backward(&logits, &labels, 1.0));
        let (f32_loss, f32_dx) = f32_margin(&logits, &labels, 1.0, classes);
        accepted(&name("loss"), &[f32_loss], &loss);
        accepted(&name("gradient"), &f32_dx, &dx);
        let (f32_loss, f32_dx) = f32_margin(&logits, &labels, 1.0, classes - 1);
        refused(&name("loss over the others"), &[f32_loss], &loss);
        refused(&name("gradient over the others"), &f32_dx, &dx);
        refused(&name("loss with another margin"), &[f32_margin(&logits, &labels, 1.5, classes).0], &loss);
    }
}
