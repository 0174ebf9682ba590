//! A learner in one file, and back.
//!
//! The file is the loader's [`Checkpoint`]: plain safetensors whose weights any program can read. Every
//! random value of a run is drawn from a seed and a place in the sequence of batches, and both are saved;
//! weights and moments are saved as they are, all 32 bits, and so is the state of the loss scale. So a
//! resumed run has the same bits as an uninterrupted run on the same adapter.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use frostline_engine::blocking::block_on;
use frostline_engine::{BatchNormMode, Gpu, LossScaleState};
use frostline_loader::{Checkpoint, StateDict};
use frostline_models::{LoadOptions, Model, guess, state_dict};
use serde::{Deserialize, Serialize};

use crate::drift::FrozenStatistics;
use crate::error::{Error, Result};
use crate::learner::Learner;
use crate::moments::Moments;
use crate::state::FitState;

/// What the trainer puts beside the loader's own fields, as JSON.
#[derive(Serialize, Deserialize)]
struct Extra {
    /// Of the first convolution; it does not follow from the shape of a weight.
    first_stride: Option<usize>,
    batch_norm: String,
    /// Hashes of the running statistics that frozen batch norms should have, by layer.
    #[serde(default)]
    frozen_statistics: BTreeMap<String, String>,
    /// Where the loss scale stands, of a learner that stores activations as f16.
    #[serde(default)]
    loss_scale: Option<LossScale>,
    /// The run that can be continued, if there is one.
    run: Option<FitState>,
    /// Whose checkpoint this is ([`Learner::set_identity`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

/// The engine's [`LossScaleState`], as a file holds it.
#[derive(Serialize, Deserialize)]
struct LossScale {
    scale: u32,
    good_steps: u32,
    skipped_steps: u32,
}

impl From<LossScaleState> for LossScale {
    fn from(LossScaleState { scale, good_steps, skipped_steps }: LossScaleState) -> Self {
        Self { scale, good_steps, skipped_steps }
    }
}

impl LossScale {
    /// The state, if there can be such a one.
    fn state(self) -> Result<LossScaleState, String> {
        let Self { scale, good_steps, skipped_steps } = self;
        if !scale.is_power_of_two() || scale > 1 << 24 {
            return Err(format!("a loss scale of {scale} is not a power of two from 1 to 16777216"));
        }
        Ok(LossScaleState { scale, good_steps, skipped_steps })
    }
}

const EXTRA: &str = "trainer";
const MODES: [(BatchNormMode, &str); 3] = [
    (BatchNormMode::FollowFreeze, "follow_freeze"),
    (BatchNormMode::Batch, "batch"),
    (BatchNormMode::Running, "running"),
];

impl Learner {
    /// Writes weights, moments, what is frozen and where the run stands to `path`. An older file is
    /// replaced only once the new one is complete and on disk.
    ///
    /// # Errors
    /// [`Error::NotSaved`] if a value is not finite, with the old file left as it is;
    /// [`Error::Loader`] if the file cannot be written.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        block_on(self.checkpoint())?.save(path)?;
        self.last_checkpoint = Some(path.to_owned());
        Ok(())
    }

    /// The bytes of the file that [`Learner::save`] writes, for callers that must not block and have no files.
    ///
    /// # Errors
    /// [`Error::NotSaved`] if a value is not finite.
    pub async fn save_async(&mut self) -> Result<Vec<u8>> {
        Ok(self.checkpoint().await?.to_bytes(Path::new("the checkpoint"))?)
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        let weights = state_dict::save_async(&self.params).await?;
        let optimizer = self.moments.to_host().await?;
        let step = self.moments.steps();
        if let Some(tensor) = first_not_finite(&weights).or_else(|| first_not_finite(&optimizer)) {
            return Err(Error::NotSaved { step, tensor, checkpoint: self.last_checkpoint.clone() });
        }
        self.watch_frozen().await?;
        let mode = MODES.iter().find(|(mode, _)| *mode == self.freeze.batch_norm);
        let extra = Extra {
            first_stride: self.model.first_stride(),
            batch_norm: mode.map_or("", |(_, name)| name).to_owned(),
            frozen_statistics: self.frozen_statistics(),
            loss_scale: self.moments.loss_scale().await?.map(LossScale::from),
            run: self.run.clone(),
            identity: self.identity.clone(),
        };
        let extra = serde_json::to_string(&extra).expect("plain data always has a JSON form");
        Ok(Checkpoint {
            architecture: self.model.name().to_owned(),
            classes: self.classes.clone(),
            preprocessing: self.preprocessing.clone(),
            frozen: self.frozen().map(str::to_owned).collect(),
            seed: self.seed,
            step,
            epoch: self.run.as_ref().map_or(0, |run| run.batches.epoch),
            extra: [(EXTRA.to_owned(), extra)].into(),
            weights,
            optimizer,
        })
    }

    /// A learner as [`Learner::save`] left it; [`Learner::continue_fit`] goes on with its run.
    ///
    /// # Errors
    /// [`Error::Loader`] for a file that is no sound checkpoint; [`Error::Checkpoint`] for one that
    /// is not the trainer's, or whose parts contradict one another; otherwise as [`Learner::new`].
    pub fn resume(gpu: &Arc<Gpu>, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut learner = block_on(Self::of_checkpoint(gpu, Checkpoint::load(path)?, path))?;
        learner.last_checkpoint = Some(path.to_owned());
        Ok(learner)
    }

    /// [`Learner::resume`] from the bytes of a file, for callers that must not block and have no files.
    /// `label` stands for the path in errors.
    ///
    /// # Errors
    /// As [`Learner::resume`].
    pub async fn resume_bytes(gpu: &Arc<Gpu>, bytes: &[u8], label: impl AsRef<Path>) -> Result<Self> {
        let label = label.as_ref();
        Self::of_checkpoint(gpu, Checkpoint::parse(bytes, label)?, label).await
    }

    async fn of_checkpoint(gpu: &Arc<Gpu>, checkpoint: Checkpoint, path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let extra = extra(&checkpoint).map_err(wrong)?;
        let (batch_norm, _) = MODES
            .iter()
            .find(|(_, name)| *name == extra.batch_norm)
            .ok_or_else(|| wrong(format!("unknown batch norm mode {:?}", extra.batch_norm)))?;

        let named = checkpoint.classes.len();
        let model =
            model(&checkpoint.architecture, &checkpoint.weights, named, extra.first_stride).map_err(wrong)?;
        let mut learner = Self::new(gpu, model, checkpoint.preprocessing.crop, checkpoint.seed)?;
        learner.set_preprocessing(checkpoint.preprocessing)?;
        state_dict::load(&learner.params, &checkpoint.weights, &LoadOptions::strict())?;
        for name in &checkpoint.frozen {
            learner.freeze(name)?;
        }
        learner.set_batch_norm(*batch_norm);
        let statistics = learner.params.statistics_to_host_async().await?;
        learner.watch = FrozenStatistics::recorded(extra.frozen_statistics, &statistics);
        learner.classes = checkpoint.classes;
        let loss_scale = extra.loss_scale.map(LossScale::state).transpose().map_err(wrong)?;
        learner.moments = Moments::Host { state: checkpoint.optimizer, steps: checkpoint.step, loss_scale };
        learner.run = extra.run;
        learner.identity = extra.identity;
        Ok(learner)
    }
}

/// What a learner put beside the weights.
fn extra(checkpoint: &Checkpoint) -> Result<Extra, String> {
    let text = checkpoint
        .extra
        .get(EXTRA)
        .ok_or("this checkpoint was not written by a learner; load its weights instead")?;
    serde_json::from_str(text).map_err(|error| format!("the learner's state cannot be read: {error}"))
}

/// The run that `checkpoint`, read from `path`, stands in, and its identity.
pub(crate) fn run_of(checkpoint: &Checkpoint, path: &Path) -> Result<(Option<FitState>, Option<String>)> {
    let extra = extra(checkpoint).map_err(|reason| Error::Checkpoint { path: path.to_owned(), reason })?;
    Ok((extra.run, extra.identity))
}

/// The model `name` with the sizes that its weights have.
pub(crate) fn model(
    name: &str,
    weights: &StateDict,
    named: usize,
    first_stride: Option<usize>,
) -> Result<Model, String> {
    let model = guess(weights)
        .and_then(|model| model.called(name))
        .ok_or_else(|| format!("its weights are not those of a {name:?}, which it says it holds"))?;
    let classes = model.class_count().unwrap_or(0);
    if named != classes {
        return Err(format!("{named} classes are named, but the last layer has {classes}"));
    }
    Ok(match first_stride {
        Some(stride) if Some(stride) != model.first_stride() => model.stem_stride(stride),
        _ => model,
    })
}

fn first_not_finite(tensors: &StateDict) -> Option<String> {
    let bad = |values: &[f32]| values.iter().any(|value| !value.is_finite());
    let mut found = tensors.iter().filter(|(_, tensor)| bad(&tensor.data));
    found.next().map(|(name, _)| name.clone())
}
