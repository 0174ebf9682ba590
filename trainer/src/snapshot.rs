//! Weights at one point in time, to restore them or to measure how much training has changed.

use frostline_engine::Params;
use frostline_engine::blocking::block_on;
use frostline_engine::params::HostValues;
use frostline_loader::StateDict;

use crate::error::{Error, Result};
use crate::freeze;
use crate::learner::Learner;

/// All weights and running statistics of a learner at one point in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    tensors: Vec<HostValues>,
}

impl Snapshot {
    /// The values in `weights` of every tensor of `params`.
    pub(crate) fn of(params: &Params, mut weights: StateDict) -> Result<Self> {
        let known = weights.keys().cloned().collect::<Vec<_>>().join(", ");
        let tensors = params.tensors().map(|(name, shape)| {
            let unknown = || {
                Error::Engine(frostline_engine::Error::Unknown {
                    what: "weight",
                    name: name.to_owned(),
                    known: known.clone(),
                })
            };
            let tensor = weights.swap_remove(name).ok_or_else(unknown)?;
            Ok((name.to_owned(), shape.torch(), tensor.data))
        });
        Ok(Self { tensors: tensors.collect::<Result<_>>()? })
    }
}

/// How much training changed a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageUpdate {
    /// The stage: `stem`, `layer1` … `fc`.
    pub stage: String,
    /// |Δw| / |w|: the norm of the change of its parameters, over their norm before; running
    /// statistics are left out.
    pub relative: f64,
}

impl Learner {
    /// The present weights and running statistics.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if they cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        block_on(self.snapshot_async())
    }

    /// [`Learner::snapshot`] for callers that must not block.
    ///
    /// # Errors
    /// The same.
    pub async fn snapshot_async(&self) -> Result<Snapshot> {
        Ok(Snapshot { tensors: self.params.to_host_async().await? })
    }

    /// Sets all weights and running statistics back, to the bit. The optimiser's state stays.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) for the snapshot of another network.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        for (name, _, values) in &snapshot.tensors {
            self.params.set(name, values)?;
        }
        self.run = None;
        Ok(())
    }

    /// How much each stage has changed since `before`, from the image on: 0 for a frozen one.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if the weights cannot be read.
    pub fn updates_since(&self, before: &Snapshot) -> Result<Vec<StageUpdate>> {
        block_on(self.updates_since_async(before))
    }

    /// [`Learner::updates_since`] for callers that must not block.
    ///
    /// # Errors
    /// The same.
    pub async fn updates_since_async(&self, before: &Snapshot) -> Result<Vec<StageUpdate>> {
        let after = self.params.to_host_async().await?;
        let pairs = || before.tensors.iter().zip(&after);
        let update = |stage: String| {
            let members = freeze::members(&self.model, &self.outline, &stage)?;
            let (mut change, mut norm) = (0.0, 0.0);
            for ((_, _, old), (_, _, new)) in pairs().filter(|((name, ..), _)| members.contains(name)) {
                for (&old, &new) in old.iter().zip(new) {
                    change += (f64::from(new) - f64::from(old)).powi(2);
                    norm += f64::from(old).powi(2);
                }
            }
            Ok(StageUpdate { stage, relative: (change / norm).sqrt() })
        };
        self.model.stages().into_iter().map(update).collect()
    }
}
