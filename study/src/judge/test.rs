use super::estimate::Estimate;
use super::{Kind, Question, Verdict};

/// A possible verdict on a claim, and its test.
pub(super) struct Test {
    /// The verdict if the test rejects.
    pub answer: Verdict,
    /// The p-value of its opposite.
    pub p: f64,
    /// Number of tails of Student's t in the test.
    pub sides: f64,
    /// p after Holm's correction.
    pub adjusted: f64,
    /// The level that p is compared with.
    pub level: f64,
}

impl Test {
    fn new(answer: Verdict, p: f64) -> Self {
        Test { answer, p, sides: 1.0, adjusted: 1.0, level: 0.0 }
    }

    /// The probability outside one end of the interval from which the test can be read.
    pub fn tail(&self) -> f64 {
        self.level / self.sides
    }
}

/// The tests of a claim: the first of them that rejects gives the verdict.
pub(super) fn tests(question: &Question, estimate: &Estimate) -> Vec<Test> {
    let margin = question.margin;
    // Both ends must be ruled out, so no correction for two tests is needed (Schuirmann 1987).
    let within = Test::new(Verdict::Equivalent, estimate.below(margin).max(estimate.above(-margin)));
    match question.kind {
        // A difference that is surely below the margin is too small to matter, even if it is surely not 0.
        Kind::Better => vec![
            within,
            Test::new(Verdict::Supported, estimate.above(0.0)),
            Test::new(Verdict::Contradicted, estimate.below(0.0)),
        ],
        Kind::NotWorse => vec![
            Test::new(Verdict::Supported, estimate.above(-margin)),
            Test::new(Verdict::Contradicted, estimate.below(-margin)),
        ],
        Kind::Same => {
            // Either end suffices, so both tests count.
            let beyond = estimate.above(margin).min(estimate.below(-margin));
            let beyond = Test::new(Verdict::Contradicted, (2.0 * beyond).min(1.0));
            vec![within, Test { sides: 2.0, ..beyond }]
        }
    }
}
