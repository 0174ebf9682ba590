//! The picture of a learning-rate range test.

use frostline_charts::RangeStep;
use frostline_charts::figure::Panel;
use frostline_trainer::LrCurve;

/// The losses of a range test over the rate, with a line at each suggestion.
pub fn range_test(curve: &LrCurve) -> Panel {
    let steps: Vec<RangeStep> = curve
        .points
        .iter()
        .map(|point| RangeStep { rate: point.lr.into(), loss: point.loss.into(), smoothed: point.smoothed.into() })
        .collect();
    let named = curve.suggestions().into_iter().flat_map(|found| found.named());
    let marks: Vec<(&str, f64)> = named.map(|(name, rate)| (name, rate.into())).collect();
    frostline_charts::range_test(&steps, curve.steps, &marks)
}
