//! A range test of the learning rate as a picture.

use frostline_charts::figure::Panel;
use frostline_charts::{RangeStep, range_test as panel};
use frostline_trainer::{LrCurve, LrPoint};

/// The losses of a range test over the rate, with a line at each suggestion.
pub fn range_test(curve: &LrCurve) -> Panel {
    let step = |point: &LrPoint| RangeStep {
        rate: point.lr.into(),
        loss: point.loss.into(),
        smoothed: point.smoothed.into(),
    };
    let steps: Vec<RangeStep> = curve.points.iter().map(step).collect();
    let named = curve.suggestions().into_iter().flat_map(|found| found.named());
    let marks: Vec<(&str, f64)> = named.map(|(name, rate)| (name, rate.into())).collect();
    panel(&steps, curve.steps, &marks)
}
