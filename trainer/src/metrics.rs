//! Counts over predictions.

/// The value in place of a predicted class if the network's output is not a number.
pub const NO_CLASS: u32 = u32::MAX;

/// How often each true class (row) was predicted as each class (column), and how often as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
    /// By true class: images predicted as [`NO_CLASS`].
    none: Vec<u64>,
}

impl Confusion {
    /// Counts pairs of a true and a predicted class, both below `classes`; a predicted one may be
    /// [`NO_CLASS`].
    ///
    /// # Panics
    /// If a class is not below `classes`, as indexing does.
    pub fn new(classes: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let (mut counts, mut none) = (vec![0; classes * classes], vec![0; classes]);
        for (truth, predicted) in pairs {
            if predicted == NO_CLASS {
                none[truth as usize] += 1;
                continue;
            }
            assert!((predicted as usize) < classes, "class {predicted}");
            counts[truth as usize * classes + predicted as usize] += 1;
        }
        Self { classes, counts, none }
    }

    /// Number of images of class `truth` that were predicted as `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.row(truth)[predicted]
    }

    /// The counts of one true class.
    pub fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.classes..][..self.classes]
    }

    /// Number of images of one true class, including those predicted as no class.
    pub fn images(&self, truth: usize) -> u64 {
        self.row(truth).iter().sum::<u64>() + self.none[truth]
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Images that were recognised.
    pub fn right(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// Share of all images that were recognised, 0..=1; `None` if there are no images.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.right(), (0..self.classes).map(|class| self.images(class)).sum())
    }

    /// Share of each class's images that were recognised (its recall); `None` for a class without images.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        let of = |class| share(self.count(class, class), self.images(class));
        (0..self.classes).map(of).collect()
    }
}

/// The 95 % interval of Wilson's score (1927) for a share of `part` in `whole`; `None` if `whole` is 0.
/// Unlike the share plus or minus two deviations it never leaves 0..=1 and is not empty at 0 and 1.
pub fn wilson(part: u64, whole: u64) -> Option<[f64; 2]> {
    // 97.5% of a normal distribution are below.
    const Z: f64 = 1.959_963_984_540_054;
    let (n, z2) = (whole as f64, Z * Z);
    let share = share(part, whole)?;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Some([(centre - half).max(0.0), (centre + half).min(1.0)])
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Softmax of each row of `logits`: probabilities that add up to 1.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Subtracting the largest first prevents overflow of the exponentials.
    let exponentials = logits.iter().map(|&logit| f64::from(logit - largest).exp());
    let exponentials: Vec<f64> = exponentials.collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

/// −ln softmax at `label`.
pub(crate) fn cross_entropy(logits: &[f32], label: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    sum.ln() - f64::from(logits[label as usize] - largest)
}

/// Index of the largest value, the first among equals; [`NO_CLASS`] where [`softmax`] is not a number: a
/// value is NaN, or the largest is infinite.
pub(crate) fn largest(values: &[f32]) -> u32 {
    let mut best = 0;
    if values.iter().any(|value| value.is_nan())
        || !values.iter().copied().fold(f32::NEG_INFINITY, f32::max).is_finite()
    {
        return NO_CLASS;
    }
    for (place, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = place;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confusion_counts_truth_in_rows() {
        let confusion = Confusion::new(3, [(0, 0), (0, 1), (0, 1), (1, 1)]);
        assert_eq!(confusion.row(0), [1, 2, 0]);
        assert_eq!(confusion.accuracy(), Some(0.5));
        assert_eq!(confusion.per_class(), [Some(1.0 / 3.0), Some(1.0), None]);
        assert_eq!(Confusion::new(3, []).accuracy(), None);
    }

    #[test]
    fn what_is_not_a_number_is_of_no_class_and_counts_as_wrong() {
        for bad in [[f32::NAN, 1.0], [1.0, f32::NAN], [f32::INFINITY, 1.0], [f32::NEG_INFINITY; 2]] {
            assert_eq!(largest(&bad), NO_CLASS, "{bad:?}");
            assert!(softmax(&bad).iter().all(|probability| probability.is_nan()), "{bad:?}");
        }
        let confusion = Confusion::new(2, [(0, NO_CLASS), (0, 0), (1, 1), (1, NO_CLASS), (1, 0)]);
        assert_eq!((confusion.row(0), confusion.images(0), confusion.images(1)), (&[1, 0][..], 2, 3));
        assert_eq!(confusion.accuracy(), Some(0.4));
        assert_eq!(confusion.per_class(), [Some(0.5), Some(1.0 / 3.0)]);
    }

    /// Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    #[test]
    fn wilsons_interval_is_that_of_the_literature() {
        for (part, whole, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let [a, b] = wilson(part, whole).unwrap();
            assert!((a - low).abs() < 5e-5 && (b - high).abs() < 5e-5, "{part} of {whole}: {a} {b}");
        }
        assert_eq!(wilson(0, 0), None);
        assert_eq!(wilson(5, 5).unwrap()[1], 1.0);
    }

    #[test]
    fn softmax_and_its_loss_agree_and_do_not_overflow() {
        let logits = [1000.0, 1001.0, 998.0];
        let probabilities = softmax(&logits);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for (label, probability) in probabilities.iter().enumerate() {
            let loss = cross_entropy(&logits, label as u32);
            assert!((loss + probability.ln()).abs() < 1e-12);
        }
        assert_eq!(largest(&logits), 1);
        assert_eq!(largest(&[2.0, 2.0]), 0);
        assert_eq!(largest(&[f32::NEG_INFINITY, 2.0]), 1);
    }
}
