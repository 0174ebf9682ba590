//! softmax_cross_entropy: loss = Σ_n −Σ_k q_k · ln p_k / Σ_n u_n over labelled rows n, p = softmax(x),
//! q_k = u · (1 − s) · [k = label] + s/K · w_k, u = w_label; s the label smoothing, w the weights of the
//! K classes (1 where there are none).
//! Mixed rows have two labels: q and u are λ·own + (1 − λ)·partner's.
//! backward: dx = (p · Σ_k q_k − q) / Σ_n u_n.

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

/// What a loss has besides logits and labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// In 0..=1, as PyTorch's `label_smoothing`.
    pub smoothing: f64,
    /// PyTorch's `weight`, one a class; none: all are 1.
    pub weights: &'a [f64],
    /// Of each row, the row whose label it has besides its own, and the share λ of its own; none: rows
    /// are not mixed.
    pub mixes: &'a [(usize, f64)],
}

impl Settings<'_> {
    fn weight(&self, class: usize) -> Tracked {
        exact(self.weights.get(class).copied().unwrap_or(1.0))
    }

    /// The labels of a row that count, each with its share.
    fn labels_of(&self, row: usize, labels: &[u32]) -> Vec<(usize, Tracked)> {
        let both = match self.mixes.get(row) {
            None => vec![(labels[row], exact(1.0))],
            Some(&(partner, share)) => {
                vec![(labels[row], exact(share)), (labels[partner], exact(1.0) - exact(share))]
            }
        };
        both.into_iter()
            .filter(|(label, _)| *label != IGNORED)
            .map(|(label, share)| (label as usize, share))
            .collect()
    }

    /// u of a row; 0 if it is ignored.
    fn row_weight(&self, row: usize, labels: &[u32]) -> Tracked {
        self.labels_of(row, labels).into_iter().map(|(label, share)| share * self.weight(label)).sum()
    }

    /// Σ u; 1 if it is 0.
    fn divisor(&self, labels: &[u32]) -> Tracked {
        let sum: Tracked = (0..labels.len()).map(|row| self.row_weight(row, labels)).sum();
        if sum.value == 0.0 { exact(1.0) } else { sum }
    }

    /// q_k of a row.
    fn target(&self, k: usize, row: usize, labels: &[u32], classes: usize) -> Tracked {
        let of = |(label, share): (usize, Tracked)| {
            let own =
                if k == label { exact(1.0 - self.smoothing) * self.weight(label) } else { Tracked::ZERO };
            share * (own + exact(self.smoothing / classes as f64) * self.weight(k))
        };
        self.labels_of(row, labels).into_iter().map(of).sum()
    }
}

/// Checks the labels and counts the rows that have one.
pub(crate) fn count_labelled(logits: &Array, labels: &[u32]) -> usize {
    let [rows, classes] = logits.dims();
    assert_eq!(labels.len(), rows, "one label per row of logits");
    for (row, &label) in labels.iter().enumerate() {
        assert!(
            label == IGNORED || (label as usize) < classes,
            "row {row} has label {label}, but there are {classes} classes"
        );
    }
    labels.iter().filter(|&&label| label != IGNORED).count()
}

/// The loss of each row: logits (N, K), one label per row -> (N); 0 for ignored rows.
///
/// # Panics
/// If there is not one label per row, or a label is not a class.
pub fn row_losses(logits: &Array, labels: &[u32], settings: &Settings<'_>) -> Value {
    let [rows, classes] = logits.dims();
    count_labelled(logits, labels);
    Value::build(&[rows], |row| {
        let x = shifted(logits, row);
        let log_sum = sum_of_exponentials(&x).ln();
        (0..classes).map(|k| settings.target(k, row, labels, classes) * (log_sum - x[k])).sum()
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
    forward_with(logits, labels, &Settings { smoothing, ..Settings::default() })
}

/// [`forward`] with weights and mixed labels.
///
/// # Panics
/// As [`row_losses`].
pub fn forward_with(logits: &Array, labels: &[u32], settings: &Settings<'_>) -> Value {
    let losses = row_losses(logits, labels, settings);
    Value::build(&[1], |_| {
        let sum: Tracked = (0..labels.len()).map(|row| losses.at([row])).sum();
        sum / settings.divisor(labels)
    })
}

/// `softmax_cross_entropy.backward`: the gradient of the mean loss, (N, K); 0 in ignored rows.
///
/// # Panics
/// As [`row_losses`].
pub fn backward(logits: &Array, labels: &[u32], smoothing: f64) -> Value {
    backward_with(logits, labels, &Settings { smoothing, ..Settings::default() })
}

/// [`backward`] with weights and mixed labels.
///
/// # Panics
/// As [`row_losses`].
pub fn backward_with(logits: &Array, labels: &[u32], settings: &Settings<'_>) -> Value {
    let [rows, classes] = logits.dims();
    count_labelled(logits, labels);
    let divisor = settings.divisor(labels);
    let mut dx = Value::zeros(&[rows, classes]);
    for row in 0..rows {
        let x = shifted(logits, row);
        let sum = sum_of_exponentials(&x);
        let targets: Vec<Tracked> = (0..classes).map(|k| settings.target(k, row, labels, classes)).collect();
        let total: Tracked = targets.iter().copied().sum();
        for (k, x) in x.iter().enumerate() {
            let p = x.exp() / sum;
            dx.set([row, k], (total * p - targets[k]) / divisor);
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

    #[test]
    fn weights_of_one_number_change_nothing_and_others_count_as_often() {
        let logits = cases::uniform(&mut cases::rng(15), &[3, 4], -2.0..2.0);
        let loss = |labels: &[u32], weights: &[f64]| {
            let rows = Array::new(&[labels.len(), 4], logits.data[..4 * labels.len()].to_vec());
            forward_with(&rows, labels, &Settings { weights, ..Settings::default() }).value.data[0]
        };
        assert!((loss(&[1, 3, 0], &[7.0; 4]) - loss(&[1, 3, 0], &[])).abs() < 1e-15);
        // A class of weight 2 is as if each of its rows were there twice.
        let each = [loss(&[1], &[]), loss(&[1, 3], &[]) * 2.0 - loss(&[1], &[])];
        let expected = (each[0] + 2.0 * each[1]) / 3.0;
        assert!((loss(&[1, 3], &[1.0, 1.0, 1.0, 2.0]) - expected).abs() < 1e-14);
        assert_eq!(loss(&[1, 3], &[1.0, 0.0, 1.0, 0.0]), 0.0, "nothing counts");
    }

    /// The definition of Zhang et al.: λ·loss with the own labels + (1 − λ)·loss with the partners'.
    #[test]
    fn a_mixed_loss_is_the_mixture_of_two() {
        let logits = cases::uniform(&mut cases::rng(16), &[4, 5], -2.0..2.0);
        let (labels, partners, share) = ([4, 0, 2, 2], [2, 3, 1, 0], 0.3);
        let weights = [0.5, 1.0, 2.0, 1.0, 0.25];
        let mixes = partners.map(|partner| (partner, share));
        let settings = Settings { smoothing: 0.1, weights: &weights, mixes: &[] };
        let own = forward_with(&logits, &labels, &settings).value.data[0];
        let others = forward_with(&logits, &partners.map(|row| labels[row]), &settings).value.data[0];
        let mixed = forward_with(&logits, &labels, &Settings { mixes: &mixes, ..settings }).value.data[0];
        assert!((mixed - (share * own + (1.0 - share) * others)).abs() < 1e-14, "{mixed}");
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
            let weights: Vec<f64> = (1..=classes).map(|k| 0.5 * k as f64).collect();
            let mixes: Vec<_> = (0..rows).map(|row| ((row + 1) % rows, 0.7)).collect();
            for (weights, mixes) in
                [(&weights[..0], &mixes[..0]), (&weights, &mixes[..0]), (&weights, &mixes)]
            {
                let settings = Settings { smoothing, weights, mixes };
                let mut dx = backward_with(&logits, &labels, &settings);
                dx.value.data.iter_mut().for_each(|d| *d *= factor);
                let f = |v: &[Array]| forward_with(&v[0], &labels, &settings);
                let name = format!("{rows}x{classes} {settings:?}");
                gradcheck::check(&name, f, std::slice::from_ref(&logits), &[dx], 1e-4, 1e-8);
            }
        }
    }
}
