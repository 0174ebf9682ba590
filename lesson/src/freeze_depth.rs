//! Freeze depths: how far down from the head a network trains, and what that costs.

use crate::error::Result;
use crate::track::Track;
use frostline_charts::{Cell, Table};
use frostline_trainer::{FitOptions, Learner};

/// All from one stage on trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeDepth {
    /// That stage.
    pub from: String,
    /// The last stage below it, if there is one.
    pub below: Option<String>,
    /// In words: `head only`, `layer4 on`, `everything`.
    pub label: String,
}

impl FreezeDepth {
    /// All depths of the track's network, from the head down to the image.
    pub fn all(track: &Track) -> Vec<Self> {
        let body = track.body();
        let mut depths = vec![Self {
            from: "fc".to_owned(),
            below: Some("avgpool".to_owned()),
            label: "head only".to_owned(),
        }];
        for (place, from) in body.iter().enumerate().rev() {
            let below = place.checked_sub(1).map(|below| body[below].clone());
            let label = if below.is_some() { format!("{from} on") } else { "everything".to_owned() };
            depths.push(Self { from: from.clone(), below, label });
        }
        depths
    }
}

/// What a step costs at each depth, on images and on stored outputs of the frozen stages.
///
/// # Errors
/// What planning gives.
pub fn ledger(learner: &mut Learner, depths: &[FreezeDepth], options: &FitOptions<'_>) -> Result<Table> {
    let columns = ["kernels", "million MACs", "kept, KiB", "cached: kernels", "cached: million MACs"];
    let mut table = Table::new(format!("what a training step of {} images costs", options.batch), &columns);
    for depth in depths {
        learner.freeze_below(&depth.from)?;
        let whole = learner.training_plan(options)?;
        let cached = depth.below.as_ref().map(|stage| learner.cached_plan(stage, options)).transpose()?;
        let (step, short) = (whole.ledger(), cached.as_ref().unwrap_or(&whole).ledger());
        let count = |count: u64| Cell::Number(count as f64, 0);
        let macs = |macs: u64| Cell::Number(macs as f64 / 1e6, 1);
        let kept = Cell::Number(step.kept_bytes as f64 / 1024.0, 0);
        let cells = [
            count(step.step.dispatches),
            macs(step.step.macs),
            kept,
            count(short.step.dispatches),
            macs(short.step.macs),
        ];
        table.row(&depth.label, cells);
    }
    Ok(table)
}
