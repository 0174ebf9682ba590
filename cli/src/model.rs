//! What MODEL can be: a run folder, a checkpoint, weights, or `hf:owner/name`.

use crate::output::warn;
use crate::weights::{Weights, of_run};
use crate::{Error, Result};
use frostline_engine::Gpu;
use frostline_loader::Error as LoaderError;
use frostline_models::LoadOptions;
use frostline_trainer::{Error as TrainerError, Learner};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model on the device, ready to predict.
#[derive(Debug)]
pub struct Opened {
    /// The model.
    pub learner: Learner,
    /// Names of its classes; numbers if there are no names.
    pub classes: Vec<String>,
}

/// Opens MODEL on `gpu`: the best checkpoint of a run folder, a checkpoint, or weights with the preprocessing
/// that came with them.
///
/// # Errors
/// The errors of [`Learner::resume`] and [`Weights::open`]; [`Error::NoHead`] for weights without a
/// classifier.
pub fn open(gpu: &Arc<Gpu>, spec: impl AsRef<OsStr>) -> Result<Opened> {
    let spec = spec.as_ref();
    let opened = open_body(gpu, spec)?;
    match opened.learner.model().class_count() {
        Some(_) => Ok(opened),
        None => Err(Error::NoHead { weights: spec.to_string_lossy().into_owned() }),
    }
}

/// As [`open`], but also accepts weights without a last layer, for features.
///
/// # Errors
/// The errors of [`Learner::resume`] and [`Weights::open`].
pub fn open_body(gpu: &Arc<Gpu>, spec: impl AsRef<OsStr>) -> Result<Opened> {
    let spec = spec.as_ref();
    let checkpoint = checkpoint(spec);
    match Learner::resume(gpu, &checkpoint) {
        Ok(learner) => {
            if let Some(drift) = learner.drift()? {
                warn(format_args!("{}: {drift}", checkpoint.display()));
            }
            let classes = learner.classes().to_vec();
            Ok(Opened { learner, classes })
        }
        Err(TrainerError::Loader(
            LoaderError::NotACheckpoint { .. } | LoaderError::Io { .. } | LoaderError::NotAFile { .. },
        )) => weights(gpu, Weights::open(&checkpoint)?),
        Err(error) => Err(error.into()),
    }
}

/// The model's file in a run folder; other paths unchanged.
fn checkpoint(spec: &OsStr) -> PathBuf {
    let path = Path::new(spec);
    of_run(path).unwrap_or_else(|| path.to_owned())
}

fn weights(gpu: &Arc<Gpu>, weights: Weights) -> Result<Opened> {
    let model = weights.model()?;
    let count = model.class_count();
    let size = weights
        .preset
        .preprocessing
        .as_ref()
        .map_or(model.default_size(), |preprocessing| preprocessing.crop);
    let mut learner = Learner::new(gpu, model, size, 0)?;
    learner.load(&weights.file.tensors, &LoadOptions::strict())?;
    if let Some(preprocessing) = weights.preset.preprocessing {
        learner.set_preprocessing(preprocessing)?;
    }
    let classes = weights.preset.classes.filter(|names| Some(names.len()) == count);
    Ok(Opened { classes: classes.unwrap_or_else(|| learner.classes().to_vec()), learner })
}
