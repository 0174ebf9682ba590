//! Discriminative learning rates: a rate for every stage (Howard & Ruder 2018, section 3.2).
//!
//! Early layers compute features that all images share, and need to change little; the head is new. An
//! optimiser's groups contain *factors* on its base rate, so that a schedule, or another base rate, applies
//! to all of them.

use std::ops::Range;

use frostline_engine::{Group, Optim};

use crate::error::{Error, Result};
use crate::learner::Learner;

/// fastai's `slice`: rates from the first stage to the head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateSlice {
    /// `slice(hi)`: this rate for the head, a tenth of it for all other stages.
    Head(f32),
    /// `slice(lo, hi)`: the first rate at the first stage, the second at the head, and the same
    /// factor from each stage to the next between them.
    Geometric(f32, f32),
}

impl From<f32> for RateSlice {
    fn from(hi: f32) -> Self {
        Self::Head(hi)
    }
}

impl From<Range<f32>> for RateSlice {
    fn from(rates: Range<f32>) -> Self {
        Self::Geometric(rates.start, rates.end)
    }
}

impl Learner {
    /// `optim` with a group for each stage, frozen ones too, with the rates of `rates`; the base rate is the
    /// head's. `slice(optim, 0.01)` or `slice(optim, 1e-4..1e-2)`. Groups that `optim` had stay, and have
    /// precedence over those of the stages.
    ///
    /// # Errors
    /// [`Error::Setting`] for a rate that is not above 0.
    pub fn slice(&self, optim: Optim, rates: impl Into<RateSlice>) -> Result<Optim> {
        let (lo, hi) = match rates.into() {
            RateSlice::Head(hi) => (None, hi),
            RateSlice::Geometric(lo, hi) => (Some(lo), hi),
        };
        for rate in lo.into_iter().chain([hi]) {
            positive("rates", rate)?;
        }
        let last = self.model.stages().len().saturating_sub(1);
        let optim = Optim { lr: hi, ..optim };
        self.staged(optim, |stage| match lo {
            _ if stage == last => 1.0,
            None => 0.1,
            Some(lo) => (f64::from(lo) / f64::from(hi)).powf((last - stage) as f64 / last as f64),
        })
    }

    /// `optim` with a group for each stage: the head has the base rate, and every stage below
    /// `decay` times that of the one above it. 0.1 makes the rate ten times smaller at every stage; timm and
    /// BEiT call it layer decay.
    ///
    /// # Errors
    /// [`Error::Setting`] for a decay that is not above 0.
    pub fn layer_decay(&self, optim: Optim, decay: f32) -> Result<Optim> {
        positive("decay", decay)?;
        let last = self.model.stages().len().saturating_sub(1);
        self.staged(optim, |stage| f64::from(decay).powi((last - stage) as i32))
    }

    /// The rate of each stage under `optim` before the schedule's factor, from the image on.
    ///
    /// # Errors
    /// None for a network with stages.
    pub fn rates(&self, optim: &Optim) -> Result<Vec<(String, f32)>> {
        let rate = |stage: String| {
            let first = self.members(&stage)?.into_iter().next().unwrap_or_default();
            let factor = optim.group_of(&first).map_or(1.0, |group| optim.groups[group].rate);
            Ok((stage, optim.lr * factor))
        };
        self.model.stages().into_iter().map(rate).collect()
    }

    /// A group for each stage, with a factor by its index from the image on.
    fn staged(&self, mut optim: Optim, factor: impl Fn(usize) -> f64) -> Result<Optim> {
        let mut groups = vec![];
        for (place, stage) in self.model.stages().iter().enumerate() {
            let members = self.model.members(stage)?;
            groups.push(Group {
                members,
                rate: factor(place) as f32,
                weight_decay: optim.weight_decay,
                frozen: false,
            });
        }
        // A parameter belongs to the last group that names it.
        groups.append(&mut optim.groups);
        Ok(Optim { groups, ..optim })
    }
}

fn positive(name: &'static str, value: f32) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::Setting { name, value: value.to_string(), reason: "it must be a number above 0" })
}
