use std::fmt;

/// Why no verdict is given: the input is missing or invalid.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A question has no seeds.
    NoSeeds {
        /// Which question, from 0.
        question: usize,
    },
    /// A seed has no value.
    EmptyRow {
        /// Which question, from 0.
        question: usize,
        /// Which of its seeds, from 0.
        row: usize,
    },
    /// A value is not a number, or infinite.
    NotFinite {
        /// Which question, from 0.
        question: usize,
        /// Which of its seeds, from 0.
        row: usize,
        /// Which value of the seed, from 0.
        column: usize,
    },
    /// Seeds that share their test images have different numbers of values.
    Ragged {
        /// Which question, from 0.
        question: usize,
        /// The first seed, from 0, with another number of values than the first one.
        row: usize,
        /// How many values it has.
        found: usize,
        /// How many values the first seed has.
        expected: usize,
    },
    /// A margin is not a positive number.
    Margin {
        /// Which question, from 0.
        question: usize,
        /// Its margin.
        margin: f64,
    },
    /// The allowed rate of errors is outside 0 to 0.5.
    Alpha(
        /// The rate.
        f64,
    ),
    /// Fewer than two resamples, which have no variance.
    Resamples(
        /// How many.
        usize,
    ),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoSeeds { question } => write!(f, "question {question} has no seeds"),
            Fault::EmptyRow { question, row } => write!(f, "question {question}: seed {row} has no values"),
            Fault::NotFinite { question, row, column } => {
                write!(f, "question {question}: value {column} of seed {row} is not a finite number")
            }
            Fault::Ragged { question, row, found, expected } => {
                write!(f, "question {question}: seed {row} has {found} values, seed 0 has {expected}, ")?;
                f.write_str("but all share their images")
            }
            Fault::Margin { question, margin } => {
                write!(f, "question {question}: the margin is {margin}, not a positive number")
            }
            Fault::Alpha(alpha) => write!(f, "the rate of errors is {alpha}, not between 0 and 0.5"),
            Fault::Resamples(count) => write!(f, "{count} resamples have no spread: at least 2 are needed"),
        }
    }
}

impl std::error::Error for Fault {}
