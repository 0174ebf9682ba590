use super::estimate::Estimate;
use super::holm::holm;
use super::test::{Test, tests};
use super::{Fault, Question, Verdict};
use serde::{Deserialize, Serialize};

/// The fewest seeds that can decide a claim. Two have one degree of freedom: an interval from them is too
/// wide to be useful, and depends on the assumption that seeds are normally distributed, which two seeds
/// cannot refute.
pub const FEWEST_SEEDS: usize = 3;

/// The fewest resamples: with 100, a standard error has a random error of 7%.
const FEWEST_RESAMPLES: usize = 100;

/// How to judge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// How often a chapter without any effect may support a claim: 0.05.
    pub alpha: f64,
    /// Draws of seeds and images per claim: 10,000. `None` takes the limit of infinitely many, in closed
    /// form.
    pub resamples: Option<usize>,
    /// Seed of the draws. Equal seeds give equal bits.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { alpha: 0.05, resamples: Some(10_000), seed: 0 }
    }
}

/// The test behind a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The standard error of the mean difference, in its units.
    pub error: f64,
    /// The fraction of its square, 0 to 1, that only more seeds reduce. More test images reduce the rest.
    pub share: f64,
    /// The interval of the mean difference, in its units. The verdict can be read from it: supported if the
    /// whole interval supports the claim, equivalent if the whole interval is within the margin.
    pub interval: (f64, f64),
    /// How often such intervals contain the true mean: 0.9 for one claim, more where several share the 5%.
    pub level: f64,
    /// The p-value of the deciding test; if none decided, that of the claim's own test.
    pub p: f64,
    /// The same, corrected for the number of claims: the test decides if this is at most alpha.
    pub adjusted: f64,
}

/// A verdict and the numbers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What came out.
    pub verdict: Verdict,
    /// The mean over seeds of the mean over images, in the units of the differences.
    pub mean: f64,
    /// How many seeds there are.
    pub seeds: usize,
    /// The test; nothing is tested with fewer than [`FEWEST_SEEDS`] seeds.
    pub tested: Option<Tested>,
}

/// Judges all claims of a chapter; [the module](super) describes the method. Claims without enough seeds
/// count as well: the correction is for all claims of a chapter.
///
/// # Errors
/// A [`Fault`] if values are missing or not finite, if seeds that share images have different numbers of
/// values, if a margin is not above 0, or if the options are out of range.
pub fn judge(questions: &[Question], options: &Options) -> Result<Vec<Judgement>, Fault> {
    if !(options.alpha > 0.0 && options.alpha < 0.5) {
        return Err(Fault::Alpha(options.alpha));
    }
    if let Some(count) = options.resamples.filter(|&count| count < FEWEST_RESAMPLES) {
        return Err(Fault::Resamples(count));
    }
    for (index, question) in questions.iter().enumerate() {
        question.check(index)?;
    }

    let estimates: Vec<Estimate> = questions.iter().map(|q| Estimate::of(&q.paired, options)).collect();
    let mut chapter: Vec<Vec<Test>> = questions.iter().zip(&estimates).map(|(q, e)| tests(q, e)).collect();
    for answer in [Verdict::Supported, Verdict::Contradicted, Verdict::Equivalent] {
        let mut family: Vec<&mut Test> =
            chapter.iter_mut().flatten().filter(|t| t.answer == answer).collect();
        let p: Vec<f64> = family.iter().map(|test| test.p).collect();
        for (test, step) in family.iter_mut().zip(holm(&p, options.alpha)) {
            (test.adjusted, test.level) = (step.adjusted, step.level);
        }
    }
    let all = questions.iter().zip(&estimates).zip(&chapter);
    Ok(all.map(|((question, estimate), tests)| decide(question, estimate, tests, options.alpha)).collect())
}

/// The first of a claim's tests that rejects gives the verdict.
fn decide(question: &Question, estimate: &Estimate, tests: &[Test], alpha: f64) -> Judgement {
    let decisive = tests.iter().find(|test| test.adjusted <= alpha);
    let shown = decisive.or_else(|| tests.iter().find(|test| test.answer == question.kind.claims()));
    // Without a verdict, the widest interval: it contains every value that was not ruled out.
    let tail = decisive.map_or_else(|| tests.iter().map(Test::tail).fold(alpha, f64::min), Test::tail);
    let tested = shown.zip(estimate.spread.as_ref()).map(|(test, spread)| Tested {
        error: spread.error,
        share: spread.share,
        interval: spread.interval(estimate.mean, tail),
        level: 1.0 - 2.0 * tail,
        p: test.p,
        adjusted: test.adjusted,
    });
    Judgement {
        verdict: decisive.map_or(Verdict::Inconclusive, |test| test.answer),
        mean: estimate.mean,
        seeds: question.paired.rows.len(),
        tested,
    }
}
