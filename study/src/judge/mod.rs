//! draft
mod bootstrap;
mod chapter;
mod estimate;
mod fault;
mod holm;
mod parts;
mod question;
mod student;
mod test;
mod verdict;

pub use chapter::{FEWEST_SEEDS, Judgement, Options, Tested, judge};
pub use fault::Fault;
use parts::Parts;
pub use question::{Images, Kind, Paired, Question};
pub use verdict::Verdict;
