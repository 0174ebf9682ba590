use super::parts::mean;
use super::student::Student;
use super::{FEWEST_SEEDS, Images, Options, Paired, Parts};

/// A mean difference and its standard error.
pub(super) struct Estimate {
    pub mean: f64,
    /// `None` with fewer seeds than [`FEWEST_SEEDS`].
    pub spread: Option<Spread>,
}

pub(super) struct Spread {
    /// The standard error of the mean.
    pub error: f64,
    /// The fraction of its square that only more seeds would reduce.
    pub share: f64,
    student: Student,
}

impl Estimate {
    pub fn of(paired: &Paired, options: &Options) -> Self {
        let rows: Vec<f64> = paired.rows.iter().map(|row| mean(row)).collect();
        let spread = (rows.len() >= FEWEST_SEEDS).then(|| Spread::of(paired, options));
        Estimate { mean: mean(&rows), spread }
    }

    /// The p-value of "the mean is above `bound`": the probability of this or a higher mean at the bound.
    pub fn above(&self, bound: f64) -> f64 {
        self.spread.as_ref().map_or(1.0, |spread| spread.beyond(self.mean - bound))
    }

    /// The p-value of "the mean is below `bound`".
    pub fn below(&self, bound: f64) -> f64 {
        self.spread.as_ref().map_or(1.0, |spread| spread.beyond(bound - self.mean))
    }
}

impl Spread {
    fn of(paired: &Paired, options: &Options) -> Self {
        let parts = match options.resamples {
            Some(count) => Parts::resampled(paired, count, options.seed),
            None => Parts::limit(paired),
        };
        let (variance, seeds) = (parts.variance(), paired.rows.len());
        let share = if variance > 0.0 { parts.by_seeds() / variance } else { 1.0 };
        let student = match paired.images {
            Images::Own => Student::of_seeds(seeds),
            Images::Shared => Student::of_both(seeds, paired.rows[0].len(), share),
        };
        Spread { error: variance.sqrt(), share, student }
    }

    fn beyond(&self, distance: f64) -> f64 {
        if self.error > 0.0 {
            self.student.above(distance / self.error)
        } else if distance > 0.0 {
            0.0
        } else {
            1.0
        }
    }

    /// The interval around a mean with a probability of `tail` outside each end.
    pub fn interval(&self, mean: f64, tail: f64) -> (f64, f64) {
        let half = self.student.quantile_above(tail) * self.error;
        (mean - half, mean + half)
    }
}
