//! Mean and deviation over several runs of one experiment.

use std::fmt;

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
    /// Mean and deviation of `values`; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / count.saturating_sub(1).max(1) as f64).sqrt();
        (count > 0).then_some(Self { mean, deviation, count })
    }
}

impl fmt::Display for Spread {
    /// Such as `76.4±1.9`, with the formatter's precision and sign (1 digit without a precision); a single
    /// value has no deviation to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        match f.sign_plus() {
            true => write!(f, "{:+.digits$}", self.mean)?,
            false => write!(f, "{:.digits$}", self.mean)?,
        }
        if self.count > 1 { write!(f, "±{:.digits$}", self.deviation) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
