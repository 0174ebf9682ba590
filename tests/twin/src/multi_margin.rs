//! multi_margin: loss = mean over labelled rows of 1/K · Σ_{k≠label} max(0, m − z_label + z_k), m
//! the margin, K the number of classes.
//! backward: dz_k = [m − z_label + z_k > 0] / (K·rows), dz_label = −Σ_{k≠label} dz_k.

use crate::softmax_cross_entropy::{IGNORED, count_labelled};
use crate::{Array, Tracked, Value, exact};

/// m − z_label + z_k of a labelled row.
fn excess(logits: &Array, row: usize, k: usize, label: u32, margin: f64) -> Tracked {
    let [_, classes] = logits.dims();
    let z = |k: usize| exact(logits.data[row * classes + k]);
    exact(margin) - z(label as usize) + z(k)
}

/// `multi_margin.forward`: logits (N, K), one label per row -> the mean loss, (1); 0 if no row has
/// a label.
///
/// # Panics
/// If there is not one label per row, or a label is not a class.
pub fn forward(logits: &Array, labels: &[u32], margin: f64) -> Value {
    let [_, classes] = logits.dims();
    let count = count_labelled(logits, labels).max(1);
    let row_loss = |row: usize| -> Tracked {
        let others = (0..classes).filter(|&k| k != labels[row] as usize);
        let sum: Tracked =
            others.map(|k| excess(logits, row, k, labels[row], margin).clamp(0.0, f64::INFINITY)).sum();
        sum / exact(classes as f64)
    };
    Value::build(&[1], |_| {
        let sum: Tracked = (0..labels.len()).filter(|&row| labels[row] != IGNORED).map(row_loss).sum();
        sum / exact(count as f64)
    })
}

/// `multi_margin.backward`: the gradient of the mean loss, (N, K); 0 in ignored rows.
///
/// # Panics
/// As [`forward`].
pub fn backward(logits: &Array, labels: &[u32], margin: f64) -> Value {
    let [rows, classes] = logits.dims();
    let unit = exact(1.0) / exact((count_labelled(logits, labels).max(1) * classes) as f64);
    let mut dz = Value::zeros(&[rows, classes]);
    for row in (0..rows).filter(|&row| labels[row] != IGNORED) {
        let label = labels[row] as usize;
        let violated = |k: &usize| *k != label && excess(logits, row, *k, labels[row], margin).value > 0.0;
        let violations: Vec<usize> = (0..classes).filter(violated).collect();
        dz.set([row, label], -(exact(violations.len() as f64) * unit));
        violations.into_iter().for_each(|k| dz.set([row, k], unit));
    }
    dz
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    #[test]
    fn a_row_costs_what_its_classes_lack_to_the_margin() {
        // Class 1 is 2 below the label and costs nothing; class 2 is 0.25 above it.
        let logits = Array::new(&[1, 3], vec![3.0, 1.0, 3.25]);
        assert_eq!(forward(&logits, &[0], 1.0).value.data, [1.25 / 3.0]);
        let third = 1.0 / 3.0;
        assert_eq!(backward(&logits, &[0], 1.0).value.data, [-third, 0.0, third]);
        assert_eq!(forward(&logits, &[IGNORED], 1.0).value.data, [0.0]);
    }

    /// Kinks where a class is exactly the margin below the label: differences are multiples of 0.03
    /// and margins are not, by 0.01 at least. Piecewise linear between.
    #[test]
    fn gradients() {
        let mut rng = cases::rng(14);
        let factor = gradcheck::grad_output(&[1]).data[0];
        for (rows, classes, margin) in [(1, 2, 1.0), (4, 7, 1.0), (3, 5, 0.25)] {
            let logits = cases::distinct(&mut rng, &[rows, classes], 0.03);
            let mut labels = cases::labels(&mut rng, rows, classes);
            if rows > 1 {
                labels[1] = IGNORED;
            }
            let mut dz = backward(&logits, &labels, margin);
            dz.value.data.iter_mut().for_each(|d| *d *= factor);
            let f = |v: &[Array]| forward(&v[0], &labels, margin);
            gradcheck::check(&format!("{rows}x{classes} margin {margin}"), f, &[logits], &[dz], 1e-4, 1e-8);
        }
    }
}
