use statrs::distribution::{ContinuousCDF, StudentsT};

/// Student's t for a variance with a part known from few seeds and another known from many images.
///
/// Its quantiles are those of the two parts, averaged with the parts as weights (Cochran and Cox 1950).
/// One distribution with Satterthwaite's degrees of freedom (1946) is too narrow here: if the seeds differ
/// little by chance, it depends on the images alone.
pub(super) struct Student {
    seeds: StudentsT,
    images: Option<StudentsT>,
    /// The seeds' part of the variance, above 0 and at most 1.
    share: f64,
}

impl Student {
    /// With n − 1 degrees of freedom for n seeds.
    pub fn of_seeds(seeds: usize) -> Self {
        Student { seeds: student(seeds), images: None, share: 1.0 }
    }

    /// With a part of the variance, `share`, from the seeds; the rest is from the images.
    pub fn of_both(seeds: usize, images: usize, share: f64) -> Self {
        if share >= 1.0 {
            Student::of_seeds(seeds)
        } else if share <= 0.0 {
            Student::of_seeds(images)
        } else {
            Student { seeds: student(seeds), images: Some(student(images)), share }
        }
    }

    /// The value that is exceeded with probability `p`, where `p` is at most 0.5.
    pub fn quantile_above(&self, p: f64) -> f64 {
        let seeds = -self.seeds.inverse_cdf(p);
        self.images
            .as_ref()
            .map_or(seeds, |images| self.share * seeds - (1.0 - self.share) * images.inverse_cdf(p))
    }

    /// The probability of a value above `t`: the p whose quantile is `t`.
    pub fn above(&self, t: f64) -> f64 {
        let Some(images) = &self.images else { return self.seeds.sf(t) };
        if t <= 0.0 {
            return if t < 0.0 { 1.0 - self.above(-t) } else { 0.5 };
        }
        // Two quantiles that average to t, equally improbable. The quantile of the greater part is between 0
        // and t / weight, where the other's is 0; halving the interval finds it to the last bits.
        let (one, other, weight) = if self.share < 0.5 {
            (images, &self.seeds, 1.0 - self.share)
        } else {
            (&self.seeds, images, self.share)
        };
        let (mut low, mut high) = (0.0, t / weight);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if one.sf(middle) > other.sf((t - weight * middle) / (1.0 - weight)) {
                low = middle;
            } else {
                high = middle;
            }
        }
        one.sf(0.5 * (low + high))
    }
}

fn student(values: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, values as f64 - 1.0).expect("at least two values")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-8, "{found} is not {expected}");
    }

    /// From SciPy 1.17.1: `[t.isf(p, n - 1) for p in (0.05, 0.00625, 0.0005)]` and
    /// `[t.sf(x, n - 1) for x in (1, 4, -2.5)]` with `from scipy.stats import t`.
    #[test]
    fn quantiles_and_tails_are_scipys() {
        let from_scipy = [
            (
                3,
                [2.9199855803537256, 8.8602000346543, 31.59905457644362],
                [0.2113248654051871, 0.028595479208968315, 0.9351941398892446],
            ),
            (
                5,
                [2.131846786326651, 4.3146560488867385, 8.610301581379275],
                [0.18695048315002943, 0.008065044950046273, 0.966616727594006],
            ),
            (
                10,
                [1.8331129326562376, 3.1109348231794742, 4.780912585931139],
                [0.1717181980689568, 0.0015552141551929272, 0.9830690861585072],
            ),
            (
                1500,
                [1.6458707830680743, 2.5007242184323477, 3.2970291917888233],
                [0.1587359511845175, 3.321499747536638e-05, 0.9937372631165869],
            ),
        ];
        for (seeds, quantiles, tails) in from_scipy {
            let student = Student::of_seeds(seeds);
            for (p, quantile) in [0.05, 0.00625, 0.0005].into_iter().zip(quantiles) {
                close(student.quantile_above(p), quantile);
            }
            for (t, tail) in [1.0, 4.0, -2.5].into_iter().zip(tails) {
                close(student.above(t), tail);
            }
        }
    }

    /// From SciPy 1.17.1: `f = lambda p: 0.3 * t.isf(p, 4) + 0.7 * t.isf(p, 1499)`, and
    /// `brentq(lambda p: f(p) - 3, 1e-9, 0.4, xtol=1e-16)` for the tail.
    #[test]
    fn two_parts_are_averaged() {
        let student = Student::of_both(5, 1500, 0.3);
        close(student.quantile_above(0.00625), 3.0449037675686648);
        close(student.quantile_above(0.05), 1.7916635840456472);
        close(student.above(3.0), 0.006713816380965602);
        close(student.above(-3.0), 1.0 - 0.006713816380965602);
        assert_eq!(student.above(0.0), 0.5);
        for share in [1e-9, 0.01, 0.5, 0.99, 1.0 - 1e-9] {
            for (seeds, images) in [(3, 200), (10, 4)] {
                let student = Student::of_both(seeds, images, share);
                for p in [0.4, 0.05, 1e-3, 1e-6] {
                    let back = student.above(student.quantile_above(p));
                    assert!((back / p - 1.0).abs() < 1e-5, "{share} {seeds} {images} {p}: {back}");
                }
            }
        }
    }

    #[test]
    fn a_part_of_all_is_alone() {
        assert_eq!(Student::of_both(5, 99, 1.0).above(2.0), Student::of_seeds(5).above(2.0));
        assert_eq!(Student::of_both(5, 99, 0.0).above(2.0), Student::of_seeds(99).above(2.0));
    }
}
