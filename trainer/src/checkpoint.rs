//! A learner in one file, and back.
//!
//! The file is the loader's [`Checkpoint`]: plain safetensors whose weights any program can read.
//! What is random in a run is drawn from seeds and places in the sequence of batches, both of which
//! are saved; weights and moments are saved as they are, all 32 bits. So a resumed run is the
//! uninterrupted one, bit for bit, on the same adapter.

use std::path::Path;
use std::sync::Arc;

use frostline_engine::{BatchNormMode, Gpu};
use frostline_loader::{Checkpoint, StateDict};
use frostline_models::{LoadOptions, Model, guess, state_dict};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fit::Run;
use crate::learner::Learner;
use crate::moments::Moments;

/// What the trainer puts beside the loader's own fields, as JSON.
#[derive(Serialize, Deserialize)]
struct Extra {
    /// Of the first convolution; no weight's shape tells it.
    first_stride: Option<usize>,
    batch_norm: String,
    /// The run that can be continued, if there is one.
    run: Option<Run>,
}

const EXTRA: &str = "trainer";
const MODES: [(BatchNormMode, &str); 3] =
    [(BatchNormMode::FollowFreeze, "follow_freeze"), (BatchNormMode::Batch, "batch"), (BatchNormMode::Running, "running")];

impl Learner {
    /// Writes weights, moments, what is frozen and where the run stands to `path`. An older file is
    /// replaced only once the new one is complete and on disk.
    ///
    /// # Errors
    /// [`Error::NotSaved`] if a value is not finite, with the old file left as it is;
    /// [`Error::Loader`] if the file cannot be written.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let weights = state_dict::save(&self.params)?;
        let optimizer = self.moments.to_host()?;
        let step = self.moments.steps();
        if let Some(tensor) = first_not_finite(&weights).or_else(|| first_not_finite(&optimizer)) {
            return Err(Error::NotSaved { step, tensor, checkpoint: self.last_checkpoint.clone() });
        }
        let mode = MODES.iter().find(|(mode, _)| *mode == self.freeze.batch_norm);
        let extra = Extra {
            first_stride: self.model.first_stride(),
            batch_norm: mode.map_or("", |(_, name)| name).to_owned(),
            run: self.run.clone(),
        };
        let extra = serde_json::to_string(&extra).expect("plain data always has a JSON form");
        let checkpoint = Checkpoint {
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
        };
        checkpoint.save(path)?;
        self.last_checkpoint = Some(path.to_owned());
        Ok(())
    }

    /// A learner as [`Learner::save`] left it; [`Learner::continue_fit`] goes on with its run.
    ///
    /// # Errors
    /// [`Error::Loader`] for a file that is no sound checkpoint; [`Error::Checkpoint`] for one that
    /// is not the trainer's, or whose parts contradict one another; otherwise as [`Learner::new`].
    pub fn resume(gpu: &Arc<Gpu>, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let checkpoint = Checkpoint::load(path)?;
        let wrong = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let extra = extra(&checkpoint).map_err(wrong)?;
        let (batch_norm, _) = MODES
            .iter()
            .find(|(_, name)| *name == extra.batch_norm)
            .ok_or_else(|| wrong(format!("unknown batch norm mode {:?}", extra.batch_norm)))?;

        let named = checkpoint.classes.len();
        let model = model(&checkpoint.architecture, &checkpoint.weights, named, extra.first_stride).map_err(wrong)?;
        let mut learner = Self::new(gpu, model, checkpoint.preprocessing.crop, checkpoint.seed)?;
        learner.preprocessing(checkpoint.preprocessing)?;
        state_dict::load(&learner.params, &checkpoint.weights, &LoadOptions::strict())?;
        for name in &checkpoint.frozen {
            learner.freeze(name)?;
        }
        learner.batch_norm(*batch_norm);
        learner.classes = checkpoint.classes;
        learner.moments = Moments::Host { state: checkpoint.optimizer, steps: checkpoint.step };
        learner.run = extra.run;
        learner.last_checkpoint = Some(path.to_owned());
        Ok(learner)
    }
}

/// What a learner put beside the weights.
fn extra(checkpoint: &Checkpoint) -> Result<Extra, String> {
    let text = checkpoint.extra.get(EXTRA).ok_or("this checkpoint was not written by a learner; load its weights instead")?;
    serde_json::from_str(text).map_err(|error| format!("the learner's state cannot be read: {error}"))
}

/// The run that `checkpoint`, read from `path`, stands in.
pub(crate) fn run_of(checkpoint: &Checkpoint, path: &Path) -> Result<Option<Run>> {
    let extra = extra(checkpoint).map_err(|reason| Error::Checkpoint { path: path.to_owned(), reason })?;
    Ok(extra.run)
}

/// The model `name` with the sizes that its weights have.
pub(crate) fn model(name: &str, weights: &StateDict, named: usize, first_stride: Option<usize>) -> Result<Model, String> {
    let model = guess(weights)
        .filter(|model| model.name() == name)
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
