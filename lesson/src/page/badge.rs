//! Verdicts as words with an explanation, and a class for the page's style.

use super::results::Claim;

/// A word that the page shows as a badge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Badge {
    /// The word in `results.json`.
    pub word: &'static str,
    /// Its class in the page's style.
    pub class: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// The four verdicts, and the reasons for none, in the order in which they are listed.
pub(crate) const BADGES: [Badge; 7] = [
    badge("supported", "supported", "The runs show it, beyond what chance explains."),
    badge("contradicted", "contradicted", "The runs show the opposite, beyond what chance explains."),
    badge(
        "equivalent",
        "equivalent",
        "The difference is smaller than the margin, beyond what chance explains.",
    ),
    badge("inconclusive", "inconclusive", "The runs do not decide. This is no evidence of equality."),
    badge("too short to tell", "none", "At least one of the runs has not converged: no verdict."),
    badge("not measured", "none", "Runs that the claim needs are missing: no verdict."),
    badge("a rehearsal", "none", "The runs were shortened on purpose: no verdict."),
];

const fn badge(word: &'static str, class: &'static str, meaning: &'static str) -> Badge {
    Badge { word, class, meaning }
}

/// The class of the badge of `word`.
pub(crate) fn class(word: &str) -> &'static str {
    BADGES.iter().find(|badge| badge.word == word).map_or("none", |badge| badge.class)
}

/// How many of `claims` have each verdict: those that occur, in the order of [`BADGES`]; others after them.
pub(crate) fn counts(claims: &[Claim]) -> Vec<(&str, usize)> {
    let mut found: Vec<(&str, usize)> = BADGES.iter().map(|badge| (badge.word, 0)).collect();
    for claim in claims {
        match found.iter_mut().find(|(word, _)| *word == claim.verdict) {
            Some((_, count)) => *count += 1,
            None => found.push((&claim.verdict, 1)),
        }
    }
    found.retain(|(_, count)| *count > 0);
    found
}
