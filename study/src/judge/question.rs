use super::{Fault, Verdict};
use serde::{Deserialize, Serialize};

/// Whether seeds are tested on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Images {
    /// Column j is the same test image in every row. Seeds then share the sampling noise of the test set.
    Shared,
    /// Each seed has its own test images, such as the images of another split.
    Own,
}

/// Differences between two conditions, positive if the claim is right. Both conditions have the same seeds
/// and test images, so that common effects cancel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// A row per seed. A row has one value per test image (right minus right: −1, 0 or 1), or a single value
    /// where a number is measured once per seed.
    pub rows: Vec<Vec<f64>>,
    /// Whether the columns are the same images in every row.
    pub images: Images,
}

/// The claim about the mean difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is above zero.
    Better,
    /// It is above −margin.
    NotWorse,
    /// It is between −margin and margin.
    Same,
}

impl Kind {
    /// The verdict for a claim that is right.
    pub(super) fn claims(self) -> Verdict {
        match self {
            Kind::Better | Kind::NotWorse => Verdict::Supported,
            Kind::Same => Verdict::Equivalent,
        }
    }
}

/// A claim and the differences that were measured for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What is claimed.
    pub kind: Kind,
    /// A difference below this is too small to matter. In the units of the differences: 0.02 is two points of
    /// accuracy where the values are right minus right. Above 0, and chosen before the runs.
    pub margin: f64,
    /// What was measured.
    pub paired: Paired,
}

impl Question {
    /// Fails for values that are missing or not finite. `index` is for the fault.
    pub(super) fn check(&self, index: usize) -> Result<(), Fault> {
        let question = index;
        if !(self.margin.is_finite() && self.margin > 0.0) {
            return Err(Fault::Margin { question, margin: self.margin });
        }
        let expected = self.paired.rows.first().ok_or(Fault::NoSeeds { question })?.len();
        for (row, values) in self.paired.rows.iter().enumerate() {
            if values.is_empty() {
                return Err(Fault::EmptyRow { question, row });
            }
            if let Some(column) = values.iter().position(|value| !value.is_finite()) {
                return Err(Fault::NotFinite { question, row, column });
            }
            if self.paired.images == Images::Shared && values.len() != expected {
                return Err(Fault::Ragged { question, row, found: values.len(), expected });
            }
        }
        Ok(())
    }
}
