//! How the learning rate changes over a run.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The shape of the schedule after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Curve {
    /// The same rate at every step.
    Constant,
    /// Half a cosine, from the full rate towards 0 (Loshchilov & Hutter 2017, without restarts).
    Cosine,
    /// Up from 1/25 of the rate and down to 1/250,000 of it, both along half a cosine (Smith & Topin 2018,
    /// with the numbers of PyTorch's `OneCycleLR`).
    OneCycle {
        /// Share of the steps in which the rate rises; PyTorch's is 0.3.
        rise: f64,
    },
    /// Up from this share of the rate to all of it, by the same factor at every step: for a range
    /// test of rates.
    Exponential {
        /// Share at the first step, above 0.
        start: f64,
    },
}

/// A factor on the learning rate for every step of a run.
///
/// ```
/// use frostline_trainer::Schedule;
/// let schedule = Schedule::cosine().warm_up(3);
/// assert_eq!(schedule.factor(0, 100), 0.25);
/// assert_eq!(schedule.factor(3, 100), 1.0);
/// assert!(schedule.factor(99, 100) < 0.001);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The schedule after the warm-up.
    pub curve: Curve,
    /// Steps in which the rate first rises linearly; it is full at the step after them. Batch norm statistics
    /// and momentum are inaccurate at the start; small steps let them settle.
    pub warm_up: u64,
}

impl Schedule {
    /// The full rate at every step.
    pub fn constant() -> Self {
        Self::of(Curve::Constant)
    }

    /// Half a cosine down to 0.
    pub fn cosine() -> Self {
        Self::of(Curve::Cosine)
    }

    /// Up for 30% of the steps, then down.
    pub fn one_cycle() -> Self {
        Self::of(Curve::OneCycle { rise: 0.3 })
    }

    /// Up from the share `start` of the rate by the same factor at every step.
    pub fn exponential(start: f64) -> Self {
        Self::of(Curve::Exponential { start })
    }

    /// Adds a linear warm-up of `steps` steps before the curve.
    pub fn warm_up(mut self, steps: u64) -> Self {
        self.warm_up = steps;
        self
    }

    fn of(curve: Curve) -> Self {
        Self { curve, warm_up: 0 }
    }

    /// The factor at `step`, counted from 0, of a run of `steps` steps: within 0..=1.
    pub fn factor(&self, step: u64, steps: u64) -> f32 {
        if step < self.warm_up {
            return ((step + 1) as f64 / (self.warm_up + 1) as f64) as f32;
        }
        let step = (step - self.warm_up) as f64;
        let steps = steps.saturating_sub(self.warm_up).max(1) as f64;
        let factor = match self.curve {
            Curve::Constant => 1.0,
            Curve::Cosine => between(1.0, 0.0, step / steps),
            Curve::Exponential { start } => start.powf(1.0 - (step / (steps - 1.0).max(1.0)).min(1.0)),
            Curve::OneCycle { rise } => {
                let (start, end) = (1.0 / 25.0, 1.0 / 250_000.0);
                // The last step up and the last step down, counted from 0, as PyTorch does.
                let (top, last) = (rise * steps - 1.0, steps - 1.0);
                if step <= top {
                    between(start, 1.0, if top > 0.0 { step / top } else { 1.0 })
                } else {
                    between(1.0, end, (step - top) / (last - top).max(1.0))
                }
            }
        };
        factor as f32
    }
}

/// Half a cosine from `from` to `to`, at `place` within 0..=1.
fn between(from: f64, to: f64, place: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * place.clamp(0.0, 1.0)).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: Schedule, expected: &[f64]) {
        let steps = expected.len() as u64;
        for (step, expected) in expected.iter().enumerate() {
            let factor = f64::from(schedule.factor(step as u64, steps));
            assert!(
                (factor - expected).abs() < 1e-6,
                "{schedule:?} step {step}: {factor}, expected {expected}"
            );
        }
    }

    /// PyTorch 1.13: `OneCycleLR(max_lr=1, total_steps=10)`, `CosineAnnealingLR(T_max=8)` at rate 1.
    #[test]
    fn curves_are_pytorchs() {
        let one_cycle = [
            0.04,
            0.52,
            1.0,
            0.9504846320134737,
            0.8117456539497631,
            0.6112620219362893,
            0.38874197806371075,
            0.18825834605023697,
            0.049519367986526286,
            4e-06,
        ];
        check(Schedule::one_cycle(), &one_cycle);
        let cosine = [
            1.0,
            0.9619397662556434,
            0.8535533905932737,
            0.6913417161825449,
            0.5,
            0.30865828381745514,
            0.14644660940672627,
            0.03806023374435664,
        ];
        check(Schedule::cosine(), &cosine);
    }

    #[test]
    fn an_exponential_rises_by_the_same_factor() {
        check(Schedule::exponential(1e-3), &[1e-3, 1e-2, 1e-1, 1.0]);
    }

    #[test]
    fn the_warm_up_ends_at_the_full_rate() {
        let schedule = Schedule::constant().warm_up(3);
        check(schedule, &[0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn every_factor_of_every_length_is_within_bounds() {
        for curve in [
            Curve::Constant,
            Curve::Cosine,
            Curve::OneCycle { rise: 0.3 },
            Curve::Exponential { start: 1e-8 },
        ] {
            for warm_up in [0, 1, 7] {
                for steps in [1, 2, 3, 5, 40] {
                    let schedule = Schedule { curve, warm_up };
                    for step in 0..steps {
                        let factor = schedule.factor(step, steps);
                        assert!((0.0..=1.0).contains(&factor), "{schedule:?} {step}/{steps}");
                    }
                }
            }
        }
    }
}
