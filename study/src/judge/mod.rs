//! From differences between runs to a verdict.
//!
//! Two conditions are run with the same seeds and tested on the same images. A [`Question`] has the
//! differences, the claim about their mean ([`Kind`]) and the margin below which a difference does not
//! matter. [`judge()`] takes all questions of a chapter, because each further claim is another chance of
//! error, and gives each a [`Verdict`].
//!
//! # Standard error
//! Seeds and test images are drawn again, with replacement, 10,000 times ([`Options::resamples`]). Where
//! seeds share their images, the variance of the mean has a part from seeds, one from images and a rest
//! from both. The pigeonhole bootstrap (Owen 2007) counts the rest three times; here the parts are separated,
//! so that the rest counts once. The spread among n seeds is multiplied by n/(n − 1), otherwise five seeds
//! would give a variance that is a fifth too small (Hesterberg 2015). Where each seed has its own images,
//! seeds are drawn whole, because their means already contain the sampling noise of their images (Davison and
//! Hinkley 1997).
//!
//! # Quantiles
//! Percentiles of resamples of five seeds are too narrow for any number of resamples, so the quantiles are
//! Student's. The part of the variance from seeds has n − 1 degrees of freedom, that from m images has m − 1;
//! the quantile is the average of the two with the parts as weights (Cochran and Cox 1950). Degrees of
//! freedom after Satterthwaite (1946) were tried in a simulation that is not kept: eight claims without
//! effect had one supported in up to 7.4% of the chapters. n − 1 throughout was safe, but decided 46% of
//! claims where this method decides 97%. All of these methods assume that the seeds' means are roughly
//! normal. tests/simulations.rs measures the rates, and docs/statistics.md lists them.
//!
//! # Verdicts
//! | kind | equivalent | supported | contradicted |
//! |---|---|---|---|
//! | [`Kind::Better`] | 1. −margin < mean < margin | 2. mean > 0 | 3. mean < 0 |
//! | [`Kind::NotWorse`] | | 1. mean > −margin | 2. mean < −margin |
//! | [`Kind::Same`] | 1. −margin < mean < margin | | 2. mean < −margin or mean > margin |
//!
//! Each is a test; the first in this order that rejects the opposite gives the verdict, and without one the
//! claim is inconclusive. For [`Kind::Better`], equivalence comes first: with enough data a difference of a
//! tenth of the margin is surely above zero, and surely too small to matter. For [`Kind::NotWorse`], it would
//! be a weaker statement than "supported". Equivalence is two one-sided tests, each at the full level
//! (Schuirmann 1987). Fewer than [`FEWEST_SEEDS`] seeds decide nothing.
//!
//! # Several claims
//! A claim can be wrongly supported, wrongly contradicted or wrongly called equivalent. These are three
//! errors. Each is limited to `alpha` (5%) for the whole chapter: all tests for "supported" are one family
//! under Holm's correction (1979), all for "contradicted" another, all for "equivalent" the third. Holm's
//! procedure limits the probability of any false rejection in a family to alpha, whichever of its claims are
//! true. It holds for any dependence between the claims, such as that of claims from the same runs. The order
//! of the tests can only remove rejections, so the limit still holds. The three errors can add up: the
//! probability of a wrong verdict of any sort in a chapter is at most 3·alpha.
//!
//! # Sources
//! - Cochran, Cox (1950), *Experimental Designs*.
//! - Davison, Hinkley (1997), *Bootstrap Methods and their Application*, section 3.8.
//! - Efron, Tibshirani (1993), *An Introduction to the Bootstrap*.
//! - Hesterberg (2015), *What Teachers Should Know About the Bootstrap*, The American Statistician 69.
//! - Holm (1979), *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal
//!   of Statistics 6.
//! - Owen (2007), *The Pigeonhole Bootstrap*, The Annals of Applied Statistics 1.
//! - Satterthwaite (1946), *An Approximate Distribution of Estimates of Variance Components*, Biometrics 2.
//! - Schuirmann (1987), *A Comparison of the Two One-Sided Tests Procedure and the Power Approach*,
//!   Journal of Pharmacokinetics and Biopharmaceutics 15.

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
