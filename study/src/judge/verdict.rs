use serde::{Deserialize, Serialize};
use std::fmt;

/// What the differences show about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The claim is right, beyond what chance explains.
    Supported,
    /// The opposite of the claim is right, beyond what chance explains.
    Contradicted,
    /// The difference is smaller than the margin, beyond what chance explains.
    Equivalent,
    /// The runs do not decide. This is no evidence that there is no difference.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Supported => "supported",
            Verdict::Contradicted => "contradicted",
            Verdict::Equivalent => "equivalent",
            Verdict::Inconclusive => "inconclusive",
        })
    }
}
