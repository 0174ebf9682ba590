//! What measured numbers say about a claim.

use frostline_charts::Spread;
use serde::Serialize;
use std::fmt;

/// What a run says about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The gain is more than twice its standard error, over at least three pairs of runs.
    #[serde(rename = "holds")]
    Holds,
    /// There is a gain, but it could be chance, or there are too few runs to tell.
    #[serde(rename = "holds weakly")]
    Weakly,
    /// There is no gain.
    #[serde(rename = "does not show here")]
    DoesNotShow,
}

impl Verdict {
    /// Judges gains: differences between runs that share their seed, and so their images, positive
    /// where the claim is right. The standard error is their deviation / √n.
    pub fn of(gains: &[f64]) -> Self {
        match Spread::of(gains) {
            Some(gain) if gain.mean > 0.0 => {
                let certain = gain.count >= 3 && gain.mean > 2.0 * gain.deviation / (gain.count as f64).sqrt();
                if certain { Verdict::Holds } else { Verdict::Weakly }
            }
            _ => Verdict::DoesNotShow,
        }
    }

    /// The weaker of two, for a claim with two halves.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Verdict::DoesNotShow, _) | (_, Verdict::DoesNotShow) => Verdict::DoesNotShow,
            (Verdict::Weakly, _) | (_, Verdict::Weakly) => Verdict::Weakly,
            _ => Verdict::Holds,
        }
    }
}

/// Gains for people: `+1.2±0.4 points`, a single one `+1.2 points`.
pub fn points(gains: &[f64]) -> String {
    Spread::of(gains).map_or("not measured".to_owned(), |spread| format!("{spread:+} points"))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Holds => "holds",
            Verdict::Weakly => "holds weakly",
            Verdict::DoesNotShow => "does not show here",
        })
    }
}

/// A claim, what it came to, and the numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// What was put to the test.
    pub claim: String,
    /// What came out.
    pub verdict: Verdict,
    /// The numbers that say so.
    pub evidence: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_have_signs() {
        assert_eq!([&[2.0, 4.0][..], &[-1.0], &[]].map(points), ["+3.0±1.4 points", "-1.0 points", "not measured"]);
    }

    #[test]
    fn a_verdict_needs_runs_that_agree() {
        assert_eq!(Verdict::of(&[5.0, 6.0, 7.0]), Verdict::Holds);
        assert_eq!(Verdict::of(&[5.0, -4.0, 3.0]), Verdict::Weakly);
        assert_eq!(Verdict::of(&[5.0, 6.0]), Verdict::Weakly);
        for none in [&[-1.0, 0.5, -2.0][..], &[0.0], &[], &[f64::NAN, 1.0, 1.0]] {
            assert_eq!(Verdict::of(none), Verdict::DoesNotShow, "{none:?}");
        }
        assert_eq!(Verdict::Holds.and(Verdict::Weakly), Verdict::Weakly);
    }
}
