use super::parts::mean;
use super::student::Student;
use super::{FEWEST_SEEDS, Images, Options, Paired, Parts};

/// A mean difference and how far to trust it.
pub(super) struct Estimate {
    pub mean: f64,
    /// Nothing is known of it with fewer seeds than [`FEWEST_SEEDS`].
    pub spread: Option<Spread>,
}

pub(super) struct Spread {
    /// The standard error of the mean.
    pub error: f64,
    /// Its degrees of freedom.
    pub freedom: f64,
    student: super::student::Mix,
}

impl Estimate {
    pub fn of(paired: &Paired, options: &Options) -> Self {
        let rows: Vec<f64> = paired.rows.iter().map(|row| mean(row)).collect();
        let spread = (rows.len() >= FEWEST_SEEDS).then(|| Spread::of(paired, options));
        Estimate { mean: mean(&rows), spread }
    }

    /// The p-value of "the mean is above `bound`": the chance of such a mean, or a higher one, at the bound.
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
        let freedom = freedom(paired, &parts);
        Spread { error: parts.variance().sqrt(), freedom, student: super::student::Mix { a: Student::new(paired.rows.len() as f64-1.0), b: Student::new(paired.rows[0].len() as f64 - 1.0), w: if parts.variance() > 0.0 { parts.seeds.max(parts.rest)/parts.variance() } else {1.0} } }
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

    /// The interval around a mean with a chance of `tail` outside each end.
    pub fn interval(&self, mean: f64, tail: f64) -> (f64, f64) {
        let half = self.student.quantile_above(tail) * self.error;
        (mean - half, mean + half)
    }
}

fn freedom(paired: &Paired, parts: &Parts) -> f64 {
    let seeds = paired.rows.len() as f64 - 1.0;
    let images = paired.rows[0].len() as f64 - 1.0;
    if paired.images == Images::Own || images < 1.0 {
        return seeds;
    }
    let v = parts.variance();
    match std::env::var("RULE").as_deref() {
        Ok("hillis") => if v > 0.0 { (seeds * (v / parts.seeds.max(parts.rest)).powi(2)).min(images) } else { seeds },
        Ok("satter") => if v > 0.0 { (v*v / (parts.seeds.powi(2)/seeds + parts.images.powi(2)/images + parts.rest.powi(2)/seeds/images)).clamp(1.0, images) } else { seeds },
        _ => seeds.min(images),
    }
}
