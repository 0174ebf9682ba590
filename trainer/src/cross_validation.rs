//! The strength of a regression's penalty, chosen by cross-validation.

use frostline_loader::shuffle::{generator, shuffle};

use crate::error::Result;
use crate::features::Features;
use crate::metrics::softmax;
use crate::regression::{Fitter, HeadLoss, Regression};
use crate::side_by_side::side_by_side;

/// Strengths that are tried, as scikit-learn's `C`: from a penalty that leaves little but the classes' means
/// to one with hardly any effect.
const STRENGTHS: [f64; 8] = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0];
/// The strength if there are too few images for cross-validation.
const DEFAULT: f64 = 0.03;
/// Folds, at most.
const FOLDS: usize = 5;
/// From this number of rows on, only one fold is held out: a fifth of the rows is precise enough, and takes a
/// fifth of the time.
const LARGE: usize = 10_000;
/// Stream of the generator that assigns images to folds.
const STREAM: u64 = 0x666f_6c64;

/// The result of a strength on held-out images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// The inverse strength of the penalty.
    pub c: f64,
    /// Images that were recognised while they were held out.
    pub right: usize,
    /// Mean cross entropy on them, nats.
    pub loss: f64,
}

/// A choice by cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidation {
    /// The head with the chosen strength, trained on all images.
    pub regression: Regression,
    /// The strengths that were tried; empty if there were too few images.
    pub strengths: Vec<Strength>,
    /// Number of held-out images, over all folds.
    pub held_out: usize,
    /// Number of folds; 0 if there were too few images.
    pub folds: usize,
}

impl CrossValidation {
    /// The result of the chosen strength on held-out images.
    pub fn chosen(&self) -> Option<&Strength> {
        self.strengths.iter().find(|strength| strength.c == self.regression.c)
    }
}

/// [`cross_validate_with`] softmax.
///
/// # Errors
/// As [`Fitter::new`].
pub fn cross_validate(features: &Features, seed: u64) -> Result<CrossValidation> {
    cross_validate_with(HeadLoss::Softmax, features, seed)
}

/// Chooses the strength that recognises the most held-out images, at a tie the one with the lowest loss, and
/// trains with it on all of `features`.
///
/// Folds are stratified: each class is distributed evenly, in an order that `seed` shuffles. There are five,
/// or as many as the smallest class that has more than one image has images.
///
/// # Errors
/// As [`Fitter::new`].
pub fn cross_validate_with(loss: HeadLoss, features: &Features, seed: u64) -> Result<CrossValidation> {
    let (folds, fold_of) = deal(features, seed);
    let tested = if features.labels.len() >= LARGE { 1.min(folds) } else { folds };
    let mut strengths: Vec<Strength> =
        STRENGTHS.iter().map(|&c| Strength { c, right: 0, loss: 0.0 }).collect();
    let mut held_out = 0;
    let tried = each_fold(features, &fold_of, tested, |train, test| {
        let mut fitter = Fitter::new(train)?.loss(loss).roughly();
        STRENGTHS.iter().map(|&c| fitter.fit(c)?.head.evaluate(test)).collect::<Result<Vec<_>>>()
    })?;
    for evaluations in tried {
        held_out += evaluations[0].predictions.len();
        for (strength, evaluation) in strengths.iter_mut().zip(&evaluations) {
            strength.right += evaluation.confusion.right() as usize;
            strength.loss += evaluation.loss * evaluation.predictions.len() as f64;
        }
    }
    if held_out == 0 {
        strengths.clear();
    }
    strengths.iter_mut().for_each(|strength| strength.loss /= held_out as f64);
    let better = |a: &&Strength, b: &&Strength| a.right.cmp(&b.right).then(b.loss.total_cmp(&a.loss));
    let c = strengths.iter().max_by(better).map_or(DEFAULT, |strength| strength.c);
    let regression = Fitter::new(features)?.loss(loss).fit(c)?;
    Ok(CrossValidation { regression, strengths, held_out, folds: tested })
}

/// The probability of every class for each image, by a head that was trained at strength `c` without it, to
/// compare with the label. The folds are those of [`cross_validate`]; here each of them is held out.
///  An image that is alone in its class gets none, because a head without it was not trained on its
/// class. No image gets any if no class has two images.
///
/// # Errors
/// As [`Fitter::new`] and [`Fitter::fit`].
pub fn held_out_probabilities(features: &Features, c: f64, seed: u64) -> Result<Vec<Option<Vec<f64>>>> {
    features.check_labels("hold out")?;
    let classes = features.classes.len();
    let (folds, fold_of) = deal(features, seed);
    let logits =
        each_fold(features, &fold_of, folds, |train, test| Fitter::new(train)?.fit(c)?.head.logits(test))?;
    let mut rows: Vec<_> = logits.iter().map(|logits| logits.chunks_exact(classes)).collect();
    let mut size = vec![0; classes];
    features.labels.iter().for_each(|&label| size[label as usize] += 1);
    let probabilities = fold_of.iter().zip(&features.labels).map(|(&fold, &label)| {
        // The rows of a fold are in the order of the images.
        let logits = rows.get_mut(fold).and_then(Iterator::next);
        logits.filter(|_| size[label as usize] > 1).map(softmax)
    });
    Ok(probabilities.collect())
}

/// The results of `work`, on one thread per fold for the first `folds` folds; it gets the images of the other
/// folds and those of the fold.
fn each_fold<T: Send>(
    features: &Features,
    fold_of: &[usize],
    folds: usize,
    work: impl Fn(&Features, &Features) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let rows = |inside: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..fold_of.len()).filter(|&i| inside(fold_of[i])).collect()
    };
    let split = |fold| (features.subset(&rows(&|of| of != fold)), features.subset(&rows(&|of| of == fold)));
    side_by_side((0..folds).map(split), |(train, test)| work(&train, &test)).into_iter().collect()
}

/// The number of folds, and the fold of every image.
fn deal(features: &Features, seed: u64) -> (usize, Vec<usize>) {
    let members = |class: usize| -> Vec<usize> {
        (0..features.labels.len()).filter(|&i| features.labels[i] as usize == class).collect()
    };
    let classes: Vec<Vec<usize>> = (0..features.classes.len()).map(members).collect();
    let folds = classes.iter().map(Vec::len).filter(|&count| count > 1).min().unwrap_or(0).min(FOLDS);
    let mut fold_of = vec![0; features.labels.len()];
    let mut next = 0;
    let mut random = generator(seed, STREAM);
    for mut images in classes {
        shuffle(&mut images, &mut random);
        // Each class continues where the one before ended, so that folds have equal sizes.
        for image in images {
            fold_of[image] = next % folds.max(1);
            next += 1;
        }
    }
    (folds, fold_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(labels: Vec<u32>, classes: usize) -> Features {
        let values = labels.iter().flat_map(|&label| [label as f32, 1.0 - label as f32]).collect();
        let classes = (0..classes).map(|class| class.to_string()).collect();
        Features { width: 2, values, labels, classes }
    }

    #[test]
    fn folds_have_every_class_and_one_size() {
        let features = features((0..47).map(|i| u32::from(i % 3 == 0)).collect(), 2);
        let (folds, fold_of) = deal(&features, 3);
        assert_eq!(folds, 5);
        for class in 0..2 {
            let count = |fold| (0..47).filter(|&i| fold_of[i] == fold && features.labels[i] == class).count();
            let counts: Vec<usize> = (0..5).map(count).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{counts:?}");
        }
        assert_ne!(deal(&features, 4).1, fold_of);
        assert_eq!(deal(&features, 3).1, fold_of);
    }

    #[test]
    fn few_images_have_fewer_folds_or_none() {
        assert_eq!(deal(&features(vec![0, 0, 0, 1, 1], 2), 0).0, 2);
        assert_eq!(deal(&features(vec![0, 0, 0, 1], 2), 0).0, 3);
        let none = cross_validate(&features(vec![0, 1], 2), 0).unwrap();
        assert_eq!((none.folds, none.held_out, none.regression.c), (0, 0, DEFAULT));
        assert!(none.strengths.is_empty());
        // A class without training images in a fold is counted as wrong there; the fold does not fail.
        assert_eq!(cross_validate(&features(vec![0, 0, 0, 1], 2), 0).unwrap().held_out, 4);
    }

    #[test]
    fn what_is_alone_in_its_class_is_not_judged() {
        let of = |labels| held_out_probabilities(&features(labels, 3), 1.0, 0).unwrap();
        let all = of(vec![0, 0, 1, 2, 2]);
        assert!(all[2].is_none() && [0, 1, 3, 4].iter().all(|&i| all[i].is_some()), "{all:?}");
        assert!(of(vec![0, 1, 2]).iter().all(Option::is_none));
        assert!(matches!(
            held_out_probabilities(&features(vec![], 1), 1.0, 0),
            Err(crate::Error::NoImages { .. })
        ));
    }
}
