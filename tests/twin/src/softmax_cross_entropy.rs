//! softmax_cross_entropy: loss = mean over labelled rows of −Σ_k q_k · ln p_k, p = softmax(x),
//! q = (1 − s)·[k = label] + s/K, s the label smoothing, K the number of classes.
//! backward: dx = (p − q) / rows.

use crate::{Array, Tracked, Value, exact};

/// The label of a row that counts for nothing: padding of the last batch of an evaluation.
pub const IGNORED: u32 = u32::MAX;

/// x − max(x) of a row, which keeps every exponential at most 1.
fn shifted(logits: &Array, row: usize) -> Vec<Tracked> {
    let [_, classes] = logits.dims();
    let x = &logits.data[row * classes..(row + 1) * classes];
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    x.iter().map(|&x| exact(x) - exact(max)).collect()
}

fn sum_of_exponentials(shifted: &[Tracked]) -> Tracked {
    shifted.iter().map(|x| x.exp()).sum()
}

/// q_k of a labelled row.
fn target(k: usize, label: u32, classes: usize, smoothing: f64) -> Tracked {
    let spread = smoothing / classes as f64;
    exact(if k == label as usize { 1.0 - smoothing + spread } else { spread })
}

/// Checks the labels and counts the rows that have one.
pub(crate) fn count_labelled(logits: &Array, labels: &[u32]) -> usize {
    let [rows, classes] = logits.dims();
    assert_eq!(labels.len(), rows, "one label per row of logits");
    for (row, &label) in labels.iter().enumerate() {
        assert!(label == IGNORED || (label as usize) < classes, "row {row} has label {label}, but there are {classes} classes");
    }
    labels.iter().filter(|&&label| label != IGNORED).count()
}

/// The loss of each row: logits (N, K), one label per row -> (N); 0 for ignored rows.
///
/// `smoothing` is in 0..=1, as PyTorch's `label_smoothing`.
///
/// # Panics
/// If there is not one label per row, or a label is not a class.
pub fn row_losses(logits: &Array, labels: &[u32], smoothing: f64) -> Value {
    let [rows, classes] = logits.dims();
    count_labelled(logits, labels);
    Value::build(&[rows], |row| {
        if labels[row] == IGNORED {
            return Tracked::ZERO;
        }
        let x = shifted(logits, row);
        let log_sum = sum_of_exponentials(&x).ln();
        (0..classes).map(|k| target(k, labels[row], classes, smoothing) * (log_sum - x[k])).sum()
    })
}

/// `softmax_cross_entropy.forward`: logits (N, K), one label per row -> the mean loss, (1).
///
/// The mean is over labelled rows. If there are none it is 0, where PyTorch has 0/0 = NaN: an
/// empty batch has nothing to say, and should not poison a sum of losses.
///
/// # Panics
/// As [`row_losses`].
pub fn forward(logits: &Array, labels: &[u32], smoothing: f64) -> Value {
    let losses = row_losses(logits, labels, smoothing);
    let count = count_labelled(logits, labels).max(1);
    Value::build(&[1], |_| {
        let sum: Tracked = (0..labels.len()).map(|row| losses.at([row])).sum();
        sum / exact(count as f64)
    })
}

/// `softmax_cross_entropy.backward`: the gradient of the mean loss, (N, K); 0 in ignored rows.
///
/// # Panics
/// As [`row_losses`].
pub fn backward(logits: &Array, labels: &[u32], smoothing: f64) -> Value {
    let [rows, classes] = logits.dims();
    let count = exact(count_labelled(logits, labels).max(1) as f64);
    let mut dx = Value::zeros(&[rows, classes]);
    for row in (0..rows).filter(|&row| labels[row] != IGNORED) {
        let x = shifted(logits, row);
        let sum = sum_of_exponentials(&x);
        for (k, x) in x.iter().enumerate() {
            let p = x.exp() / sum;
            let q = target(k, labels[row], classes, smoothing);
            dx.set([row, k], (p - q) / count);
        }
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    #[test]
    fn equal_logits_cost_ln_k_whatever_the_smoothing() {
        let logits = Array::new(&[2, 4], vec![100.0; 8]);
        for smoothing in [0.0, 0.1, 1.0] {
            let loss = forward(&logits, &[3, 0], smoothing).value.data[0];
            assert!((loss - 4f64.ln()).abs() < 1e-15, "{loss}");
        }
    }

    #[test]
    fn ignored_rows_count_for_nothing() {
        let mut rng = cases::rng(12);
        let both = cases::uniform(&mut rng, &[2, 3], -2.0..2.0);
        let first = Array::new(&[1, 3], both.data[..3].to_vec());
        let labels = [1, IGNORED];
        assert_eq!(forward(&both, &labels, 0.1), forward(&first, &[1], 0.1));
        let dx = backward(&both, &labels, 0.1);
        assert_eq!(dx.value.data[..3], backward(&first, &[1], 0.1).value.data);
        assert_eq!(dx.terms.data[3..], [0.0; 3]);
        assert_eq!(forward(&both, &[IGNORED; 2], 0.1).value.data, [0.0]);
    }

    #[test]
    #[should_panic(expected = "row 0 has label 3, but there are 3 classes")]
    fn a_label_that_is_no_class_is_refused() {
        forward(&Array::zeros(&[1, 3]), &[3], 0.0);
    }

    /// Smooth: the shift by the maximum cancels. eps 1e-4 leaves eps²·f''' ≈ 1e-9.
    /// The output is one number, whose gradient `grad_output` makes a factor of.
    #[test]
    fn gradients() {
        let mut rng = cases::rng(13);
        let factor = gradcheck::grad_output(&[1]).data[0];
        for (rows, classes, smoothing) in [(1, 1, 0.0), (1, 2, 0.0), (4, 7, 0.1), (3, 5, 0.3)] {
            let logits = cases::uniform(&mut rng, &[rows, classes], -4.0..4.0);
            let mut labels = cases::labels(&mut rng, rows, classes);
            if rows > 1 {
                labels[1] = IGNORED;
            }
            let mut dx = backward(&logits, &labels, smoothing);
            dx.value.data.iter_mut().for_each(|d| *d *= factor);
            let f = |v: &[Array]| forward(&v[0], &labels, smoothing);
            let name = format!("{rows}x{classes} smoothing {smoothing}");
            gradcheck::check(&name, f, &[logits], &[dx], 1e-4, 1e-8);
        }
    }
}
