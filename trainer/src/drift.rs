//! The drift alarm: a frozen batch norm must keep its running statistics; evaluation reports it if they
//! changed.
//!
//! No gradient reaches running statistics, so if only a layer's parameters are frozen, its statistics still
//! follow the batches. The "frozen" layer then computes other values after training than before
//! (pytorch#86590, keras#9965). Here a frozen batch norm uses its running statistics and keeps them, unless
//! [`BatchNormMode::Batch`] selects the other behaviour. The alarm compares the values themselves, so that it
//! finds a change of any cause.

use std::collections::BTreeMap;
use std::fmt;

use frostline_engine::BatchNormMode;
use frostline_engine::blocking::block_on;
use frostline_engine::params::HostValues;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::learner::Learner;

/// Maximum number of layers in a message; there may be 150.
const NAMED: usize = 4;

/// Frozen batch norms whose running statistics changed. `Display` gives a warning for people.
///
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// Each with its difference, in the order of their names.
    pub layers: Vec<LayerDrift>,
}

/// One frozen batch norm whose running statistics changed.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerDrift {
    /// Its name, such as `layer1.0.bn1`.
    pub layer: String,
    /// The largest |difference| of a mean or a variance; infinite if one is not a number. `None` if the hash
    /// in a checkpoint does not match its values: the original values are not known.
    pub max_change: Option<f32>,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.layers.len() == 1 { "" } else { "s" };
        write!(
            f,
            "the running statistics of {} frozen batch norm{s} are not what they were: ",
            self.layers.len()
        )?;
        for (at, LayerDrift { layer, max_change }) in self.layers.iter().take(NAMED).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match max_change {
                Some(change) => write!(f, "{comma}`{layer}` changed by up to {change:.3e}")?,
                None => write!(f, "{comma}`{layer}` differs from what the checkpoint recorded")?,
            }
        }
        if self.layers.len() > NAMED {
            write!(f, " and {} more", self.layers.len() - NAMED)?;
        }
        let largest = self.layers.iter().filter_map(|layer| layer.max_change).reduce(f32::max);
        if let (Some(largest), true) = (largest, self.layers.len() > NAMED) {
            write!(f, ", by up to {largest:.3e}")?;
        }
        write!(
            f,
            ". The frozen layers compute other values than before. Go back to the weights from before that \
             change, or \
             train with batch norms that keep their running statistics while they are frozen"
        )
    }
}

/// Running mean and variance by batch norm.
type Statistics = BTreeMap<String, [Vec<f32>; 2]>;

/// What is known about the statistics that a layer should have.
#[derive(Debug)]
struct Kept {
    hash: String,
    /// `None` if only the hash is known.
    values: Option<[Vec<f32>; 2]>,
}

/// The statistics that frozen batch norms had at the start of the first fit that froze them, or that a
/// checkpoint recorded.
#[derive(Debug, Default)]
pub(crate) struct FrozenStatistics(BTreeMap<String, Kept>);

impl FrozenStatistics {
    /// Takes over the recorded hashes of a checkpoint by layer, for its tensors.
    pub fn recorded(hashes: BTreeMap<String, String>, tensors: &[HostValues]) -> Self {
        let mut now = statistics(tensors);
        let kept = |(layer, recorded): (String, String)| {
            let values = now.remove(&layer)?;
            let same = hash(&values) == recorded;
            Some((layer, Kept { hash: recorded, values: same.then_some(values) }))
        };
        Self(hashes.into_iter().filter_map(kept).collect())
    }
}

impl Learner {
    /// The frozen batch norms whose running statistics changed since training began with them
    /// frozen, or differ from what the checkpoint recorded that this learner was resumed from.
    /// [`Learner::evaluate`] checks this each time.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if they cannot be read.
    pub fn drift(&self) -> Result<Option<Drift>> {
        block_on(self.drift_async())
    }

    /// [`Learner::drift`] for callers that must not block.
    ///
    /// # Errors
    /// The same.
    pub async fn drift_async(&self) -> Result<Option<Drift>> {
        let held = self.held_norms();
        if !held.iter().any(|layer| self.watch.0.contains_key(layer)) {
            return Ok(None);
        }
        let now = statistics(&self.params.statistics_to_host_async().await?);
        let mut layers = vec![];
        for (layer, Kept { hash: recorded, values }) in
            self.watch.0.iter().filter(|(layer, _)| held.contains(layer))
        {
            let Some(now) = now.get(layer) else { continue };
            if hash(now) != *recorded {
                let max_change = values.as_ref().map(|values| max_change(values, now));
                layers.push(LayerDrift { layer: layer.clone(), max_change });
            }
        }
        Ok((!layers.is_empty()).then_some(Drift { layers }))
    }

    /// Begins to check the layers that are frozen now, and stops for those that are not.
    pub(crate) async fn watch_frozen(&mut self) -> Result<()> {
        let held = self.held_norms();
        self.watch.0.retain(|layer, _| held.contains(layer));
        if held.iter().any(|layer| !self.watch.0.contains_key(layer)) {
            let mut now = statistics(&self.params.statistics_to_host_async().await?);
            for layer in held {
                if let (false, Some(values)) = (self.watch.0.contains_key(&layer), now.remove(&layer)) {
                    self.watch.0.insert(layer, Kept { hash: hash(&values), values: Some(values) });
                }
            }
        }
        Ok(())
    }

    /// The entry of a checkpoint: the hash of the statistics that each frozen batch norm should have.
    pub(crate) fn frozen_statistics(&self) -> BTreeMap<String, String> {
        let held = self.held_norms();
        let watched = self.watch.0.iter().filter(|(layer, _)| held.contains(layer));
        watched.map(|(layer, kept)| (layer.clone(), kept.hash.clone())).collect()
    }

    /// Names of the batch norms that should keep their statistics: the frozen ones, or all if all of them use
    /// running statistics.
    fn held_norms(&self) -> Vec<String> {
        let norms = self.outline.nodes().iter().filter(|node| node.op.name() == "batch_norm");
        let frozen = |layer: &str| {
            ["weight", "bias"].iter().all(|what| self.freeze.is_frozen(&format!("{layer}.{what}")))
        };
        let all = self.freeze.batch_norm == BatchNormMode::Running;
        norms.map(|node| node.layer.clone()).filter(|layer| all || frozen(layer)).collect()
    }
}

/// The running statistics among `tensors`.
fn statistics(tensors: &[HostValues]) -> Statistics {
    let mut all = Statistics::new();
    for (name, _, values) in tensors {
        let place = match name.rsplit_once('.') {
            Some((layer, "running_mean")) => &mut all.entry(layer.to_owned()).or_default()[0],
            Some((layer, "running_var")) => &mut all.entry(layer.to_owned()).or_default()[1],
            _ => continue,
        };
        place.clone_from(values);
    }
    all
}

/// SHA-256 of the bits of means and variances.
fn hash(values: &[Vec<f32>; 2]) -> String {
    let mut hash = Sha256::new();
    values.iter().flatten().for_each(|value| hash.update(value.to_le_bytes()));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn max_change(before: &[Vec<f32>; 2], now: &[Vec<f32>; 2]) -> f32 {
    let changes = before.iter().flatten().zip(now.iter().flatten()).map(|(before, now)| (now - before).abs());
    changes.fold(0.0, |largest, change| if change.is_nan() { f32::INFINITY } else { largest.max(change) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_change_is_of_means_and_variances_and_nan_is_infinite() {
        let before = [vec![0.0, 1.0], vec![1.0, 1.0]];
        assert_eq!(max_change(&before, &before), 0.0);
        assert_eq!(max_change(&before, &[vec![0.5, 1.0], vec![1.0, 3.0]]), 2.0);
        assert_eq!(max_change(&before, &[vec![f32::NAN, 1.0], vec![1.0, 3.0]]), f32::INFINITY);
    }

    #[test]
    fn the_warning_names_a_few_layers_and_counts_the_rest() {
        let layer = |at: usize| LayerDrift { layer: format!("layer1.{at}.bn1"), max_change: Some(at as f32) };
        let text = Drift { layers: (0..6).map(layer).collect() }.to_string();
        for part in [
            "6 frozen batch norms",
            "`layer1.3.bn1` changed by up to 3.000e0",
            "and 2 more, by up to 5.000e0",
            "keep their running statistics",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("layer1.4"), "{text}");
    }
}
