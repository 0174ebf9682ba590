use super::{Images, Paired};

/// The parts of the variance of a mean difference. Every part is an unbiased estimate in itself.
///
/// With y the values, n seeds and m shared images, a value is modelled as
/// `y[i][j] = mean + seed[i] + image[j] + rest[i][j]` with independent parts of variance S, I and R. The
/// variance of the mean of all is then `S/n + I/m + R/(n·m)`, but it is neither the variance of the seeds'
/// means nor that of the images' means: the former lacks I, the latter S, and both have R.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parts {
    /// Seeds drawn, images fixed: `S/n + R/(n·m)`.
    pub seeds: f64,
    /// Images drawn, seeds fixed: `I/m + R/(n·m)`. 0 if seeds do not share images.
    pub images: f64,
    /// The rest when both are drawn together: `R/(n·m)`. Where each seed has its own images, the variance
    /// that comes from images within seeds.
    pub rest: f64,
}

impl Parts {
    /// The limit of infinitely many resamples, in closed form: mean squares of the two-way layout.
    pub fn limit(paired: &Paired) -> Self {
        let rows = &paired.rows;
        let n = rows.len() as f64;
        let means: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
        let grand = mean(&means);
        let seeds = squares(&means, grand) / (n - 1.0) / n;
        let m = rows[0].len();
        match paired.images {
            // A row of one value has no variance.
            Images::Own => Parts { seeds, images: 0.0, rest: within(rows, &means) },
            Images::Shared if m == 1 => Parts { seeds, images: 0.0, rest: 0.0 },
            Images::Shared => {
                let mut columns = vec![0.0; m];
                for row in rows {
                    columns.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                columns.iter_mut().for_each(|sum| *sum /= n);
                let mut rest = 0.0;
                for (row, center) in rows.iter().zip(&means) {
                    rest +=
                        row.iter().zip(&columns).map(|(y, c)| square(y - center - c + grand)).sum::<f64>();
                }
                let m = m as f64;
                Parts {
                    seeds,
                    images: squares(&columns, grand) / (m - 1.0) / m,
                    rest: rest / ((n - 1.0) * (m - 1.0)) / (n * m),
                }
            }
        }
    }

    /// The variance of the mean. No part of the model is negative, so an image part that is smaller than the
    /// rest by chance adds nothing.
    pub fn variance(&self) -> f64 {
        self.by_seeds() + (self.images - self.rest).max(0.0)
    }

    /// The part of it from seeds. It is at least the rest: a smaller value is chance.
    ///
    pub fn by_seeds(&self) -> f64 {
        self.seeds.max(self.rest)
    }
}

/// The variance of the mean of the rows' means that comes from the values within the rows.
pub(super) fn within(rows: &[Vec<f64>], means: &[f64]) -> f64 {
    let n = rows.len() as f64;
    let spread = |(row, &center): (&Vec<f64>, &f64)| {
        let m = row.len() as f64;
        if row.len() > 1 { squares(row, center) / (m - 1.0) / m } else { 0.0 }
    };
    rows.iter().zip(means).map(spread).sum::<f64>() / (n * n)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sum of squared distances from `center`.
fn squares(values: &[f64], center: f64) -> f64 {
    values.iter().map(|value| square(value - center)).sum()
}

fn square(value: f64) -> f64 {
    value * value
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() < tolerance, "{found} is not {expected}");
    }

    /// Seeds have means 1/2, 1 and -1/2, images 2/3 and 0, all together 1/3. Squared distances from these are
    /// 7/6 and 2/9; what neither explains is ±1/6, ±1/3 and ±1/6, with squares that add up to 1/3.
    #[test]
    fn three_seeds_and_two_images_are_as_by_hand() {
        let rows = vec![vec![1.0, 0.0], vec![1.0, 1.0], vec![0.0, -1.0]];
        let shared = Parts::limit(&Paired { rows: rows.clone(), images: Images::Shared });
        close(shared.seeds, 7.0 / 36.0, 1e-14);
        close(shared.images, 1.0 / 9.0, 1e-14);
        close(shared.rest, 1.0 / 36.0, 1e-14);
        close(shared.variance(), 5.0 / 18.0, 1e-14);

        // Rows have variances 1/2, 0 and 1/2, so their means have 1/4, 0 and 1/4, and the mean of those 1/18.
        let own = Parts::limit(&Paired { rows, images: Images::Own });
        assert_eq!((own.seeds, own.images), (shared.seeds, 0.0));
        close(own.rest, 1.0 / 18.0, 1e-14);
        close(own.variance(), 7.0 / 36.0, 1e-14);
    }

    #[test]
    fn parts_below_what_the_model_allows_are_raised() {
        close(Parts { seeds: 1.0, images: 2.0, rest: 3.0 }.variance(), 3.0, 1e-14);
        close(Parts { seeds: 4.0, images: 2.0, rest: 3.0 }.variance(), 4.0, 1e-14);
        close(Parts { seeds: 2.0, images: 5.0, rest: 3.0 }.variance(), 5.0, 1e-14);
    }

    /// A uniform value of this variance.
    fn noise(rng: &mut ChaCha8Rng, variance: f64) -> f64 {
        (rng.random::<f64>() - 0.5) * (12.0 * variance).sqrt()
    }

    fn layout(rng: &mut ChaCha8Rng, n: usize, m: usize, [s, i, r]: [f64; 3]) -> Paired {
        let images: Vec<f64> = (0..m).map(|_| noise(rng, i)).collect();
        let mut row = |_| {
            let seed = noise(rng, s);
            images.iter().map(|image| seed + image + noise(rng, r)).collect()
        };
        Paired { rows: (0..n).map(&mut row).collect(), images: Images::Shared }
    }

    /// The mean of 4,000 estimates has an error of about 1%.
    #[test]
    fn the_parts_are_those_of_the_model_on_average() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ([s, i, r], n, m, times) = ([0.5, 4.0, 9.0], 5.0, 20.0, 4000.0);
        let mut sums = [0.0; 3];
        for _ in 0..times as usize {
            let Parts { seeds, images, rest } = Parts::limit(&layout(&mut rng, 5, 20, [s, i, r]));
            for (sum, part) in sums.iter_mut().zip([seeds, images, rest]) {
                *sum += part / times;
            }
        }
        close(sums[0], s / n + r / (n * m), 0.04);
        close(sums[1], i / m + r / (n * m), 0.04);
        close(sums[2], r / (n * m), 0.04);
    }

    /// A variance from 20,000 resamples has a relative error of √(2/20,000) = 1%; that of the rest, a
    /// product of draws with long tails, a little more. Five times that is allowed.
    #[test]
    fn resamples_come_to_the_limit() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for (n, m, truth) in
            [(5, 300, [0.002, 0.5, 0.5]), (10, 101, [0.01, 0.1, 1.0]), (5, 1, [1.0, 0.0, 0.0])]
        {
            let mut paired = layout(&mut rng, n, m, truth);
            let (found, limit) = (Parts::resampled(&paired, 20_000, 3), Parts::limit(&paired));
            close(found.seeds, limit.seeds, 0.05);
            if m > 1 {
                close(found.images, limit.images, 0.05);
                close(found.rest, limit.rest, 0.07);
                close(found.variance().sqrt(), limit.variance().sqrt(), 0.03);
            }
            paired.images = Images::Own;
            let (found, limit) = (Parts::resampled(&paired, 20_000, 3), Parts::limit(&paired));
            close(found.variance(), limit.variance(), 0.05);
        }
    }

    #[test]
    fn draws_depend_on_their_seed_and_on_the_values_but_not_on_order_and_sign() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut paired = layout(&mut rng, 5, 64, [0.1, 0.1, 1.0]);
        let before = Parts::resampled(&paired, 500, 9);
        assert_ne!(before, Parts::resampled(&paired, 500, 10));
        paired.rows.swap(0, 3);
        paired.rows.iter_mut().flatten().for_each(|value| *value = -*value);
        assert_eq!(before, Parts::resampled(&paired, 500, 9));
        paired.rows[2][7] += 1.0;
        assert_ne!(before, Parts::resampled(&paired, 500, 9));
    }
}
