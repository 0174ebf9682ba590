use super::{Images, Paired};

/// What the variance of a mean difference is made of. Every part is an unbiased estimate in itself.
///
/// With y the values, n seeds and m shared images, a value is modelled as
/// `y[i][j] = mean + seed[i] + image[j] + rest[i][j]` with independent parts of variance S, I and R. The
/// variance of the mean of all is then `S/n + I/m + R/(n·m)`, but neither the spread of the seeds' means nor
/// that of the images' means shows it: the former lacks I, the latter S, and both have R.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parts {
    /// Seeds drawn, images as they are: `S/n + R/(n·m)`.
    pub seeds: f64,
    /// Images drawn, seeds as they are: `I/m + R/(n·m)`. 0 where seeds do not share images.
    pub images: f64,
    /// What is left of both drawn together: `R/(n·m)`. Where each seed has its own images, the variance that
    /// comes from images within seeds.
    pub rest: f64,
}

impl Parts {
    /// What infinitely many resamples come to, in closed form: mean squares of the two-way layout.
    pub fn limit(paired: &Paired) -> Self {
        let rows = &paired.rows;
        let n = rows.len() as f64;
        let means: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
        let grand = mean(&means);
        let seeds = squares(&means, grand) / (n - 1.0) / n;
        let m = rows[0].len();
        match paired.images {
            // A row of one value has no spread of its own.
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
                    rest += row.iter().zip(&columns).map(|(y, c)| (y - center - c + grand).powi(2)).sum::<f64>();
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

    /// The variance of the mean. No part of the model is negative, so a seed part below the rest (by chance)
    /// counts as the rest, and an image part below it adds nothing.
    pub fn variance(&self) -> f64 {
        self.seeds.max(self.rest) + (self.images - self.rest).max(0.0)
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
    values.iter().map(|value| (value - center).powi(2)).sum()
}
