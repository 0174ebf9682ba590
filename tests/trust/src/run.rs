//! The run of all tests: a narrow ResNet-10 on 8×8 images, half of it frozen, with momentum, random
//! augmentation, evaluations and frequent checkpoints. It contains everything that a resumed run must
//! restore.

use crate::{Result, ensure};
use frostline_engine::{Gpu, Optim};
use frostline_loader::{Checkpoint, ImageSet};
use frostline_models::Model;
use frostline_trainer::{Augment, FitOptions, Learner, Progress};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Side of the images.
pub const SIZE: usize = 8;

/// A run's length, and its intervals of saving and evaluating.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Steps in all.
    pub steps: u64,
    /// Steps between checkpoints.
    pub save: u64,
    /// Steps between evaluations.
    pub evaluate: u64,
}

/// Three classes of noise: there is nothing to learn, but all numbers must be right.
pub fn images() -> ImageSet {
    let count = 18;
    let mut pixels = vec![0; count * SIZE * SIZE];
    ChaCha8Rng::seed_from_u64(5).fill_bytes(&mut pixels);
    ImageSet {
        height: SIZE,
        width: SIZE,
        channels: 1,
        images: pixels,
        labels: (0..count as u32).map(|image| image % 3).collect(),
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
    }
}

/// The checkpoint of a run in `folder`.
pub fn checkpoint(folder: &Path) -> PathBuf {
    folder.join("run.safetensors")
}

/// Trains to the end: from the checkpoint in `folder` if there is one, else from the start. The last
/// step saves as well.
///
/// # Errors
/// The errors of training.
pub fn train(
    gpu: &Arc<Gpu>,
    folder: &Path,
    settings: Settings,
    on_step: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> frostline_trainer::Result<()> {
    let (path, set) = (checkpoint(folder), images());
    let options = FitOptions::steps(settings.steps)
        .batch(4)
        .optim(Optim::sgd(0.02).momentum(0.9))
        .augment(Augment::none().resized_crop([0.6, 1.0]).horizontal_flip(0.5))
        .seed(3)
        .read_every(5)
        .validate(&set, settings.evaluate)
        .checkpoint(&path, settings.save);
    if path.exists() {
        Learner::resume(gpu, &path)?.continue_fit(&set, &options, on_step)?;
    } else {
        let model = Model::new("resnet10")?.width(4).classes(3);
        let mut learner = Learner::new(gpu, model, SIZE, 1)?;
        learner.freeze_below("layer2")?;
        learner.fit(&set, &options, on_step)?;
    }
    Ok(())
}

/// Continues a run.
pub fn go_on(_: &Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The bytes of the last checkpoint of an uninterrupted run: weights, moments and its position.
///
///
/// # Errors
/// If it cannot be trained or read.
pub fn uninterrupted(gpu: &Arc<Gpu>, settings: Settings) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    train(gpu, folder.path(), settings, go_on)?;
    Ok(std::fs::read(checkpoint(folder.path()))?)
}

/// The step after which the checkpoint in `folder` was written; `None` if there is none.
///
/// # Errors
/// If there is one that does not load.
pub fn saved_step(folder: &Path) -> Result<Option<u64>> {
    let path = checkpoint(folder);
    match path.exists() {
        true => {
            Ok(Some(Checkpoint::load(&path).map_err(|error| format!("a broken checkpoint: {error}"))?.step))
        }
        false => Ok(None),
    }
}

/// Fails unless the run in `folder`, when continued, ends with the checkpoint `expected`.
///
/// # Errors
/// If it does not, or if it cannot be continued.
pub fn ends_as(gpu: &Arc<Gpu>, folder: &Path, settings: Settings, expected: &[u8]) -> Result<()> {
    let from = saved_step(folder)?;
    train(gpu, folder, settings, go_on)?;
    let same = std::fs::read(checkpoint(folder))? == expected;
    ensure(same, || format!("the run resumed at {from:?} did not end as the uninterrupted one"))
}

/// Names of the temporary files in `folder`.
///
/// # Errors
/// If it cannot be read.
pub fn temporary_files(folder: &Path) -> Result<Vec<String>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    Ok(names.into_iter().filter(|name| name.ends_with(".tmp")).collect())
}
