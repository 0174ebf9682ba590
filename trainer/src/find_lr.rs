//! The learning-rate range test (Smith 2015): the rate rises at every step until the loss explodes.
//! Length, range, smoothing and suggestions are those of fastai's `lr_find`.

use std::mem;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::learner::Learner;
use crate::moments::Moments;
use crate::options::{FitOptions, Length};
use crate::schedule::Schedule;
use crate::source::Source;

/// Weight of the earlier losses in the smoothed loss.
const BETA: f64 = 0.98;
/// The test ends when the smoothed loss is this many times its lowest value.
const EXPLODED: f64 = 4.0;

/// The range of rates to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrRange {
    /// The first step's rate.
    pub start: f32,
    /// The last step's.
    pub end: f32,
    /// Number of steps; the rate rises by the same factor at each.
    pub steps: u64,
}

impl Default for LrRange {
    /// From 1e-7 to 10 in 100 steps.
    fn default() -> Self {
        Self { start: 1e-7, end: 10.0, steps: 100 }
    }
}

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrPoint {
    /// The rate of the step.
    pub lr: f32,
    /// Loss of its batch, before the step was taken.
    pub loss: f32,
    /// Mean of the losses so far, whose weight falls by the factor 0.98 per step back; compare this value.
    pub smoothed: f32,
}

/// The result of the test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LrCurve {
    /// The steps.
    pub points: Vec<LrPoint>,
    /// The steps that were requested; there are fewer points if the loss exploded.
    pub steps: u64,
    average: f64,
}

/// Suggested rates, all of which are heuristics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSuggestions {
    /// Within the longest stretch of falling losses: a third and a sixth of its length after it
    /// begins. fastai's default.
    pub valley: f32,
    /// Where the loss falls fastest.
    pub steep: f32,
    /// A tenth of the rate at which the loss is lowest.
    pub minimum: f32,
}

impl LrSuggestions {
    /// Each rate with its name.
    pub fn named(&self) -> [(&'static str, f32); 3] {
        [("valley", self.valley), ("steep", self.steep), ("minimum / 10", self.minimum)]
    }
}

impl LrCurve {
    fn push(&mut self, lr: f32, loss: f32) {
        self.average = BETA * self.average + (1.0 - BETA) * f64::from(loss);
        // This corrects for the average's start at 0.
        let weight = 1.0 - BETA.powi(self.points.len() as i32 + 1);
        self.points.push(LrPoint { lr, loss, smoothed: (self.average / weight) as f32 });
    }

    fn exploded(&self) -> bool {
        let lowest = self.points.iter().map(|point| point.smoothed).fold(f32::INFINITY, f32::min);
        self.points.last().is_some_and(|point| f64::from(point.smoothed) > EXPLODED * f64::from(lowest))
    }

    /// The suggested rates; `None` if the curve has too few points. As in fastai, the first tenth of the
    /// steps and the last five points are left out.
    pub fn suggestions(&self) -> Option<LrSuggestions> {
        let first = (self.steps / 10) as usize;
        let points =
            self.points.get(first..self.points.len().checked_sub(5)?).filter(|points| points.len() > 1)?;
        let lowest = (0..points.len()).min_by(|&a, &b| points[a].smoothed.total_cmp(&points[b].smoothed))?;
        let slope = |i: usize| {
            (points[i + 1].smoothed - points[i].smoothed) / (points[i + 1].lr.ln() - points[i].lr.ln())
        };
        let steepest = (0..points.len() - 1).min_by(|&a, &b| slope(a).total_cmp(&slope(b)))?;
        Some(LrSuggestions {
            valley: points[valley(points)].lr,
            steep: points[steepest].lr,
            minimum: points[lowest].lr / 10.0,
        })
    }
}

/// A point within the longest run of falling losses; other losses may be between them.
fn valley(points: &[LrPoint]) -> usize {
    // Length of the longest such run that ends at each point.
    let mut lengths: Vec<usize> = vec![];
    for (i, point) in points.iter().enumerate() {
        let before = (0..i).filter(|&j| points[j].smoothed > point.smoothed).map(|j| lengths[j]).max();
        lengths.push(before.unwrap_or(0) + 1);
    }
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let end = lengths.iter().position(|&length| length == longest).unwrap_or(0);
    (end.saturating_sub(longest) + longest / 3 + longest / 6).min(end)
}

impl Learner {
    /// Trains on `source` at rates that rise from step to step, with batch, optimiser and freeze as
    /// they would train (the options' rate, length, schedule, validation and checkpoints aside), and
    /// puts everything back: weights, running statistics and momentum are the same bits as before.
    ///
    /// # Errors
    /// [`Error::Setting`] for rates that do not rise from above 0, or less than 2 steps; otherwise
    /// as [`Learner::fit`]. A loss that is not finite ends the test; it is not an error.
    pub fn find_lr(
        &mut self,
        source: &dyn Source,
        options: &FitOptions<'_>,
        range: LrRange,
    ) -> Result<LrCurve> {
        range.check()?;
        let schedule = Schedule::exponential(f64::from(range.start) / f64::from(range.end));
        let length = Length::Steps(range.steps);
        // Every loss is read immediately, to stop in time.
        let options = FitOptions { length, schedule, read_every: 1, ..options.clone() };
        let options = FitOptions {
            validation: None,
            checkpoint: None,
            patience: None,
            best: None,
            better_than: None,
            stop: None,
            ..options
        };
        let before = self.snapshot()?;
        let kept = (
            mem::replace(&mut self.moments, Moments::None),
            self.run.take(),
            self.classes.clone(),
            self.best.take(),
        );
        let mut curve = LrCurve { steps: range.steps, ..LrCurve::default() };
        let result = self.fit(source, &options.lr(range.end), |progress| {
            progress.read.iter().for_each(|record| curve.push(record.lr, record.loss));
            if curve.exploded() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let restored = self.restore(&before);
        (self.moments, self.run, self.classes, self.best) = kept;
        match result {
            Err(error) if !matches!(error, Error::Diverged { .. }) => Err(error),
            _ => restored.map(|()| curve),
        }
    }
}

impl LrRange {
    /// Fails for what [`Learner::find_lr`] would refuse.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        let wrong = |name, value: String, reason| Err(Error::Setting { name, value, reason });
        if !(self.start > 0.0 && self.start < self.end && self.end.is_finite()) {
            return wrong("rates", format!("{} to {}", self.start, self.end), "they must rise, from above 0");
        }
        if self.steps < 2 {
            return wrong("steps", self.steps.to_string(), "a range needs at least two");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates from 1e-7 to 10, and smoothed losses that are given directly.
    fn curve(losses: impl Fn(f64) -> f64) -> LrCurve {
        let point = |i: i32| {
            let power = -7.0 + 8.0 * f64::from(i) / 99.0;
            let loss = losses(power) as f32;
            LrPoint { lr: 10f64.powf(power) as f32, loss, smoothed: loss }
        };
        LrCurve { points: (0..100).map(point).collect(), steps: 100, average: 0.0 }
    }

    fn near(rate: f32, power: f64) -> bool {
        (f64::from(rate).log10() - power).abs() < 0.1
    }

    #[test]
    fn suggestions_are_where_the_loss_falls() {
        // Flat up to 1e-4, falling to 1e-1, fastest at its end, then rising.
        let losses = |x: f64| {
            if x < -4.0 {
                2.0 + 0.001 * x
            } else if x < -1.0 {
                2.0 - 0.1 * (x + 4.0).powi(2)
            } else {
                3.0 + x
            }
        };
        let found = curve(losses).suggestions().unwrap();
        assert!(near(found.minimum, -2.0), "{found:?}");
        assert!(near(found.steep, -1.1), "{found:?}");
        // 37 of the points fall, from 1e-4 on: 18 after the first.
        assert!(near(found.valley, -2.5), "{found:?}");
    }

    #[test]
    fn too_few_points_suggest_nothing() {
        let mut curve = curve(|x| -x);
        curve.points.truncate(16);
        assert_eq!(curve.suggestions(), None);
        assert_eq!(LrCurve::default().suggestions(), None);
    }

    #[test]
    fn smoothing_makes_up_for_its_start_and_sees_an_explosion() {
        let mut curve = LrCurve::default();
        for _ in 0..20 {
            curve.push(0.1, 2.0);
        }
        assert!(curve.points.iter().all(|point| (point.smoothed - 2.0).abs() < 1e-5));
        assert!(!curve.exploded());
        curve.push(0.1, 100.0);
        assert!(!curve.exploded(), "one loss of 100 makes 2 of 20 about 7.7: {:?}", curve.points.last());
        curve.push(0.1, 100.0);
        assert!(curve.exploded());
    }
}
