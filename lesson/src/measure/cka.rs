//! Linear centred kernel alignment: the similarity of the features that two networks compute for the same
//! images.
//!
//! Kornblith, Norouzi, Lee and Hinton, *Similarity of Neural Network Representations Revisited* (2019): with
//! K = X·Xᵀ of one network's features X, and L the same of the other's, CKA = HSIC(K, L) / √(HSIC(K, K) ·
//! HSIC(L, L)). It is 1 for features that differ by a rotation and a scale. Networks of different width can
//! be compared.
//!
//! HSIC estimated directly from K and L is too large if there are more features than images, and early stages
//! then seem alike. Here it is the unbiased estimate of Song et al., *Feature Selection via Dependence
//! Maximization* (2012), as Nguyen, Raghu and Kornblith (2021) use it: HSIC = (tr(K·L) + ΣK·ΣL / ((n − 1)·(n
//! − 2)) − 2·1ᵀK·L·1 / (n − 2)) / (n·(n − 3)), with zeros on the diagonals of K and L. For unrelated features
//! it is about 0, and may be negative.

use crate::error::Result;
use frostline_loader::ImageSet;
use frostline_trainer::{Features, Learner};

/// The similarity of every two images in some features: X·Xᵀ, where every column of X has mean 0, with zeros
/// on the diagonal.
#[derive(Clone, Debug)]
pub struct Gram {
    /// (images, images).
    values: Vec<f64>,
}

impl Gram {
    /// Of `features`: one row per image.
    pub fn of(features: &Features) -> Self {
        let (n, width) = (features.labels.len(), features.width);
        let mut mean = vec![0f64; width];
        for i in 0..n {
            mean.iter_mut()
                .zip(features.row(i))
                .for_each(|(mean, value)| *mean += f64::from(*value) / n as f64);
        }
        let centred: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                features.row(i).iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean).collect()
            })
            .collect();
        let mut values = vec![0f64; n * n];
        for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
            values[i * n + j] = dot(&centred[i], &centred[j]);
            values[j * n + i] = values[i * n + j];
        }
        Self { values }
    }

    /// For the outputs of each of `stages` for the images of `sets`, one set after another.
    ///
    /// # Errors
    /// As [`Learner::walk`].
    pub fn by_depth(learner: &mut Learner, sets: &[ImageSet], stages: &[String]) -> Result<Vec<Self>> {
        let mut values: Vec<Vec<f32>> = vec![vec![]; stages.len()];
        for set in sets {
            learner.walk(set, stages, |map| values[map.stage].extend(map.values))?;
        }
        let labels: Vec<u32> = sets.iter().flat_map(|set| set.labels.clone()).collect();
        let features = |values: Vec<f32>| Features {
            width: values.len() / labels.len(),
            values,
            labels: labels.clone(),
            classes: vec![],
        };
        Ok(values.into_iter().map(|values| Self::of(&features(values))).collect())
    }

    /// CKA with other features of the same images, at most 1. Not a number with fewer than four images, or if
    /// either has no variation.
    pub fn cka(&self, other: &Self) -> f64 {
        self.hsic(other) / (self.hsic(self) * other.hsic(other)).sqrt()
    }

    /// The unbiased estimate of HSIC, times n·(n − 3), which CKA's quotient cancels.
    fn hsic(&self, other: &Self) -> f64 {
        let n = self.values.len().isqrt();
        let rows = |gram: &Self| -> Vec<f64> { gram.values.chunks(n).map(|row| row.iter().sum()).collect() };
        let (a, b) = (rows(self), rows(other));
        let size = n as f64;
        let trace = dot(&self.values, &other.values);
        let sums = a.iter().sum::<f64>() * b.iter().sum::<f64>() / ((size - 1.0) * (size - 2.0));
        if n < 4 { f64::NAN } else { trace + sums - 2.0 * dot(&a, &b) / (size - 2.0) }
    }
}

/// Σ a·b as eight sums, which a processor computes in parallel.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum::<f64>();
    let mut sums = [0f64; 8];
    for (a, b) in a8.zip(b8) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn features(width: usize, values: Vec<f32>) -> Features {
        let labels = vec![0; values.len() / width];
        Features { width, values, labels, classes: vec!["all".into()] }
    }

    /// 200 rows of `width` independent normal numbers.
    fn random(width: usize, seed: u64) -> Features {
        features(
            width,
            StandardNormal.sample_iter(ChaCha8Rng::seed_from_u64(seed)).take(200 * width).collect(),
        )
    }

    fn cka(a: &Features, b: &Features) -> f64 {
        Gram::of(a).cka(&Gram::of(b))
    }

    #[test]
    fn the_same_features_are_alike_also_turned_scaled_and_moved() {
        let x = random(2, 1);
        assert!((cka(&x, &x) - 1.0).abs() < 1e-12);
        let (sin, cos) = 0.7f32.sin_cos();
        let turn = |row: &[f32]| {
            [3.0 * (cos * row[0] - sin * row[1]) + 5.0, 3.0 * (sin * row[0] + cos * row[1]) - 1.0]
        };
        let turned = features(2, x.values.chunks(2).flat_map(turn).collect());
        assert!((cka(&x, &turned) - 1.0).abs() < 1e-5, "{}", cka(&x, &turned));
        // Stretching only one direction changes the result.
        let stretched = features(2, x.values.chunks(2).flat_map(|row| [5.0 * row[0], row[1]]).collect());
        assert!((0.5..0.9).contains(&cka(&x, &stretched)), "{}", cka(&x, &stretched));
    }

    #[test]
    fn features_that_share_nothing_are_not() {
        let found = cka(&random(4, 1), &random(7, 2));
        assert!(found.abs() < 0.05, "{found}");
    }

    /// By another method in numpy: K and L centred as Székely and Rizzo (2014) do it, then their inner
    /// products.
    #[test]
    fn a_small_one_by_another_formula() {
        let x = features(2, vec![1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 2.0, 5.0, 4.0, 0.0, 1.0, 1.0]);
        let y = features(1, vec![1.0, 0.0, 2.0, 4.0, 3.0, 1.0]);
        assert!((cka(&x, &y) - 0.060742087780214546).abs() < 1e-9, "{}", cka(&x, &y));
    }

    #[test]
    fn more_features_than_images_do_not_make_noise_alike() {
        let found = cka(&random(3000, 1), &random(3000, 2));
        assert!(found.abs() < 0.05, "{found}");
        assert!(cka(&features(1, vec![1.0, 2.0, 3.0]), &features(1, vec![1.0, 2.0, 3.0])).is_nan());
    }
}
