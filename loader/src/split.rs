//! Choosing images class by class, so that a small sample lacks no class by chance.

use crate::Error;
use crate::shuffle::permutation;

/// Two parts of a set of images, as ascending indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Images to train on.
    pub train: Vec<usize>,
    /// Images that are held out for validation.
    pub validation: Vec<usize>,
}

/// Splits images so that every class gives about `validation_fraction` of its images to
/// validation. A class of two or more has at least one image in each part; a single image is used for
/// training.
///
/// `labels[i]` is the class of image i. The same arguments give the same split everywhere.
///
/// # Errors
/// [`Error::Fraction`] unless the fraction is strictly between 0 and 1.
pub fn stratified_split(labels: &[usize], validation_fraction: f64, seed: u64) -> Result<Split, Error> {
    // Written in this form so that NaN fails as well.
    if !(validation_fraction > 0.0 && validation_fraction < 1.0) {
        return Err(Error::Fraction { fraction: validation_fraction });
    }
    let mut split = Split { train: Vec::new(), validation: Vec::new() };
    for images in shuffled_classes(labels, seed) {
        let kept_back = match images.len() {
            0 | 1 => 0,
            n => ((n as f64 * validation_fraction).round() as usize).clamp(1, n - 1),
        };
        split.validation.extend(&images[..kept_back]);
        split.train.extend(&images[kept_back..]);
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    Ok(split)
}

/// Chooses `n` images, taking one of each class in turn as long as the class has any.
///
/// A larger `n` keeps the images of a smaller one and adds to them, so that a learning curve over `n`
/// measures more data and not other data. `classes` is the number of classes; labels are 0..classes.
///
/// # Errors
/// [`Error::SubsetTooLarge`] if there are fewer than `n` images, [`Error::LabelOutOfRange`] if a
/// label is not below `classes`.
pub fn stratified_subset(labels: &[usize], n: usize, classes: usize, seed: u64) -> Result<Vec<usize>, Error> {
    if n > labels.len() {
        return Err(Error::SubsetTooLarge { wanted: n, available: labels.len() });
    }
    if let Some(index) = labels.iter().position(|&label| label >= classes) {
        return Err(Error::LabelOutOfRange { index, label: labels[index], classes });
    }
    let by_class = shuffled_classes(labels, seed);
    let longest = by_class.iter().map(Vec::len).max().unwrap_or(0);
    Ok((0..longest)
        .flat_map(|round| by_class.iter().filter_map(move |images| images.get(round)))
        .take(n)
        .copied()
        .collect())
}

/// The images of each class that occurs, in ascending order of classes, shuffled. Each class draws
/// from its own stream, so that adding images to one class does not change the choice within the others.
fn shuffled_classes(labels: &[usize], seed: u64) -> Vec<Vec<usize>> {
    let mut by_class = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for (image, &label) in labels.iter().enumerate() {
        by_class.entry(label).or_default().push(image);
    }
    by_class
        .into_iter()
        .map(|(label, images)| {
            let order = permutation(images.len(), seed, label as u64);
            order.into_iter().map(|i| images[i]).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<usize> {
        [vec![0; 30], vec![1; 2], vec![2; 1], vec![3; 11]].concat()
    }

    #[test]
    fn every_image_is_in_one_part_and_every_class_in_both() {
        let labels = labels();
        for fraction in [0.001, 0.2, 0.5, 0.999] {
            let split = stratified_split(&labels, fraction, 3).unwrap();
            let mut all = [split.train.clone(), split.validation.clone()].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..labels.len()));
            for class in [0, 1, 3] {
                assert!(split.train.iter().any(|&i| labels[i] == class));
                assert!(split.validation.iter().any(|&i| labels[i] == class));
            }
            assert!(split.train.contains(&32), "the only image of class 2 is used for training");
        }
        let split = stratified_split(&labels, 0.2, 3).unwrap();
        assert_eq!(split.validation.iter().filter(|&&i| labels[i] == 0).count(), 6);
    }

    #[test]
    fn a_seed_fixes_the_split() {
        let labels = labels();
        let split = |seed| stratified_split(&labels, 0.3, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn impossible_fractions_are_refused() {
        for fraction in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(stratified_split(&[0, 1], fraction, 0).is_err(), "{fraction}");
        }
    }

    #[test]
    fn a_subset_takes_the_classes_in_turn_and_grows_by_adding() {
        let labels = labels();
        let all = stratified_subset(&labels, labels.len(), 4, 9).unwrap();
        assert_eq!(all[..8].iter().map(|&i| labels[i]).collect::<Vec<_>>(), [0, 1, 2, 3, 0, 1, 3, 0]);
        for n in 0..labels.len() {
            assert_eq!(stratified_subset(&labels, n, 4, 9).unwrap(), all[..n]);
        }
        assert_ne!(all, stratified_subset(&labels, labels.len(), 4, 10).unwrap());
        let mut sorted = all;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..labels.len()));
    }

    #[test]
    fn impossible_subsets_are_refused() {
        let text = stratified_subset(&[0, 1], 3, 2, 0).unwrap_err().to_string();
        assert!(text.contains('3') && text.contains('2'), "{text}");
        assert!(matches!(
            stratified_subset(&[0, 2], 1, 2, 0),
            Err(Error::LabelOutOfRange { index: 1, label: 2, classes: 2 })
        ));
    }
}
