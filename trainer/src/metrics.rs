//! What is counted about predictions, and about several runs of one experiment.

use std::fmt;

/// How often each true class (row) was taken for each class (column).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts pairs of a true and a predicted class, both below `classes`.
    ///
    /// # Panics
    /// If a class is not below `classes`, as indexing does.
    pub fn new(classes: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut counts = vec![0; classes * classes];
        for (truth, predicted) in pairs {
            assert!((predicted as usize) < classes, "class {predicted}");
            counts[truth as usize * classes + predicted as usize] += 1;
        }
        Self { classes, counts }
    }

    /// How many images of class `truth` were taken for `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.row(truth)[predicted]
    }

    /// The counts of one true class.
    pub fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.classes..][..self.classes]
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Share of all images that were recognised, 0..=1; nothing if there are none.
    pub fn accuracy(&self) -> Option<f64> {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        share(right, self.counts.iter().sum())
    }

    /// Share of each class's images that were recognised (its recall); nothing for a class without
    /// images.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        let of = |class| share(self.count(class, class), self.row(class).iter().sum());
        (0..self.classes).map(of).collect()
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Mean and spread of the same measurement over several seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor n − 1); 0 for a single value.
    pub deviation: f64,
    /// Number of values.
    pub count: usize,
}

impl Spread {
    /// Mean and deviation of `values`; nothing if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / count.saturating_sub(1).max(1) as f64).sqrt();
        (count > 0).then_some(Self { mean, deviation, count })
    }
}

impl fmt::Display for Spread {
    /// Such as `76.4±1.9`, with the precision and sign that the formatter asks for (1 digit without); a
    /// single value has no deviation to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        match f.sign_plus() {
            true => write!(f, "{:+.digits$}", self.mean)?,
            false => write!(f, "{:.digits$}", self.mean)?,
        }
        if self.count > 1 { write!(f, "±{:.digits$}", self.deviation) } else { Ok(()) }
    }
}

/// Softmax of each row of `logits`: probabilities that add up to 1.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Subtracting the largest first keeps the exponentials from overflowing.
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

/// Place of the largest value, the first of equals.
pub(crate) fn largest(values: &[f32]) -> u32 {
    let mut best = 0;
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
    fn deviation_is_that_of_a_sample() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!(spread.mean, 5.0);
        assert!((spread.deviation - (32f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(spread.to_string(), "5.0±2.1");
        assert_eq!(format!("{spread:+.2}"), "+5.00±2.14");
        assert_eq!(Spread::of(&[3.0]).unwrap().to_string(), "3.0");
        assert_eq!(Spread::of(&[3.0]).unwrap().deviation, 0.0);
        assert_eq!(Spread::of(&[]), None);
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
    }
}
