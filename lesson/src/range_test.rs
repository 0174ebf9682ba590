//! The picture of a learning-rate range test.

use crate::figure::{Curve, Panel};
use frostline_trainer::{LrCurve, LrPoint};

/// The loss of a range test over the logarithm of the rate, with a vertical line at each suggestion.
pub fn range_test(curve: &LrCurve) -> Panel {
    let points = &curve.points;
    // The last losses may be a thousand times the others.
    let lowest = points.iter().map(|point| f64::from(point.smoothed)).fold(f64::INFINITY, f64::min);
    let first = points.first().map_or(1.0, |point| f64::from(point.loss));
    let top = (2.0 * first).max(lowest + 1.0).min(1e3);
    let log = |rate: f32| f64::from(rate).log10();
    let line = |name: &str, color, loss: &dyn Fn(&LrPoint) -> f32| {
        let points = points.iter().map(|point| (log(point.lr), f64::from(loss(point)).min(top), 0.0)).collect();
        Curve { name: name.to_owned(), color, points }
    };
    let mut curves = vec![line("loss of the batch", 4, &|point| point.loss), line("smoothed", 1, &|point| point.smoothed)];
    if let Some(found) = curve.suggestions() {
        for (name, rate, color) in [("valley", found.valley, 2), ("steep", found.steep, 3), ("minimum / 10", found.minimum, 0)] {
            curves.push(Curve { name: format!("{name}: {rate:.1e}"), color, points: vec![(log(rate), 0.0, 0.0), (log(rate), top, 0.0)] });
        }
    }
    Panel {
        title: format!("Range test of the learning rate, {} of {} steps", points.len(), curve.steps),
        x: "learning rate, as a power of ten".to_owned(),
        y: "training loss, nats".to_owned(),
        log_x: false,
        range: (0.0, top),
        curves,
    }
}
