//! Weights for classes that have more or fewer images than others.

use crate::error::{Error, Result};

/// Weights with which all classes count equally in the loss, independent of their numbers of images: n /
/// (K·n_c) for the n_c of the n images that are of class c, of K `classes`. scikit-learn's "balanced" (King &
/// Zeng 2001, "Logistic Regression in Rare Events Data"). A class without images has weight 0.
///
/// # Errors
/// [`Error::Label`] for a label that is not a class; [`Error::NoImages`].
pub fn balanced_class_weights(labels: &[u32], classes: usize) -> Result<Vec<f32>> {
    if labels.is_empty() {
        return Err(Error::NoImages { purpose: "weigh" });
    }
    let mut counts = vec![0u64; classes];
    for (index, &label) in labels.iter().enumerate() {
        *counts.get_mut(label as usize).ok_or(Error::Label { index, label, classes })? += 1;
    }
    let weight =
        |count: u64| if count == 0 { 0.0 } else { labels.len() as f64 / (classes as f64 * count as f64) };
    Ok(counts.into_iter().map(|count| weight(count) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, as scikit-learn's documentation gives the formula.
    #[test]
    fn rare_classes_weigh_more() {
        let labels = [0, 0, 0, 0, 0, 0, 1, 1, 2];
        let weights = balanced_class_weights(&labels, 3).unwrap();
        assert_eq!(weights, [0.5, 1.5, 3.0]);
        let total: f32 = labels.iter().map(|&label| weights[label as usize]).sum();
        assert_eq!(total, 9.0, "the mean weight of an image is one");
        assert_eq!(balanced_class_weights(&[1, 1], 3).unwrap(), [0.0, 1.0 / 3.0, 0.0]);
        assert!(matches!(
            balanced_class_weights(&[0, 4], 3),
            Err(Error::Label { index: 1, label: 4, classes: 3 })
        ));
        assert!(matches!(balanced_class_weights(&[], 3), Err(Error::NoImages { .. })));
    }
}
