//! The picture of a learning-rate range test.

use crate::axes::number;
use crate::figure::{Curve, Panel};

/// A step of a range test.
#[derive(Clone, Copy, Debug)]
pub struct RangeStep {
    /// The rate.
    pub rate: f64,
    /// The loss of the batch.
    pub loss: f64,
    /// The loss, smoothed.
    pub smoothed: f64,
}

/// The losses of the range test `steps`, which had `planned` steps, over the rate, with a line at each of the
/// `marks`, which have names and rates.
pub fn range_test(steps: &[RangeStep], planned: u64, marks: &[(&str, f64)]) -> Panel {
    // The last losses may be a thousand times the others.
    let lowest = steps.iter().map(|step| step.smoothed).fold(f64::INFINITY, f64::min);
    let first = steps.first().map_or(1.0, |step| step.loss);
    let top = (2.0 * first).max(lowest + 1.0).min(1e3);
    let line = |name: &str, color, loss: &dyn Fn(&RangeStep) -> f64| {
        Curve::new(name, color, steps.iter().map(|step| (step.rate, loss(step).min(top))))
    };
    let mut curves =
        vec![line("loss of the batch", 4, &|step| step.loss), line("smoothed", 1, &|step| step.smoothed)];
    for (i, (name, rate)) in marks.iter().enumerate() {
        let name = format!("{name}: {}", number(*rate));
        curves.push(Curve::new(name, [2, 3, 0][i % 3], [(*rate, 0.0), (*rate, top)]).dashed());
    }
    Panel {
        title: format!("Range test of the learning rate, {} of {planned} steps", steps.len()),
        x: "learning rate".to_owned(),
        y: "training loss, nats".to_owned(),
        log_x: true,
        range: (0.0, top),
        curves,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exploded_loss_is_cut_and_marks_are_dashed() {
        let step = |rate: f64, loss: f64| RangeStep { rate, loss, smoothed: loss };
        let panel = range_test(&[step(1e-6, 2.0), step(1e-3, 1.0), step(1.0, 1e6)], 100, &[("valley", 2e-3)]);
        assert_eq!(panel.range, (0.0, 4.0));
        assert!(panel.curves.iter().flat_map(|curve| &curve.points).all(|point| point.y <= 4.0));
        assert_eq!((panel.curves[2].name.as_str(), panel.curves[2].dashed), ("valley: 0.002", true));
    }
}
