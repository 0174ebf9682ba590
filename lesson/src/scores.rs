//! Accuracies of one setting: several tests, several seeds.

use frostline_charts::{Cell, Spread};

/// Accuracies in %: a row a seed, a column a test.
#[derive(Clone, Debug, Default)]
pub struct Scores(Vec<Vec<f64>>);

impl Scores {
    /// Adds a seed's accuracies, one a test, in %.
    pub fn push(&mut self, row: Vec<f64>) {
        self.0.push(row);
    }

    /// The accuracies in test `i`, seed by seed.
    pub fn test(&self, i: usize) -> Vec<f64> {
        self.0.iter().filter_map(|row| row.get(i).copied()).collect()
    }

    /// Mean and deviation in test `i`, for a table.
    pub fn cell(&self, i: usize) -> Cell {
        Cell::spread(&self.test(i))
    }

    /// By how many points test `i` went better than in `other`, seed by seed.
    pub fn over(&self, other: &Self, i: usize) -> Vec<f64> {
        self.test(i).into_iter().zip(other.test(i)).map(|(mine, others)| mine - others).collect()
    }
}

/// Mean and deviation of differences, with the sign: `+3.1±0.8`.
pub fn signed(values: &[f64]) -> String {
    Spread::of(values).map_or("-".to_owned(), |spread| format!("{spread:+}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_taken_seed_by_seed() {
        let (mut better, mut worse) = (Scores::default(), Scores::default());
        for (a, b) in [(70.0, 60.0), (80.0, 72.0)] {
            better.push(vec![0.0, a]);
            worse.push(vec![0.0, b]);
        }
        assert_eq!(better.over(&worse, 1), [10.0, 8.0]);
        assert!(better.over(&worse, 2).is_empty());
        assert_eq!(signed(&better.over(&worse, 1)), "+9.0±1.4");
        assert_eq!(signed(&worse.over(&better, 1)), "-9.0±1.4");
    }
}
