//! The storage of a task: only the tensors that it changed in a base shared by many tasks.

use crate::error::{Error, Result};
use crate::study::Trial;
use frostline_loader::StateDict;
use frostline_trainer::Learner;

const DELTA: &str = "bytes of what changed";
const WHOLE: &str = "bytes of everything";
const SAME: &str = "logits with the same bits, %";
/// The numbers that [`measure`] stores of a run.
pub const NUMBERS: [&str; 3] = [DELTA, WHOLE, SAME];
/// Test images whose logits are compared.
const COMPARED: usize = 50;

/// Writes the tensors of the pretrained weights that `learner` changed to the chapter's folder, combines base
/// and delta again, and compares the logits of both networks, bit by bit.
///
/// # Errors
/// If the file cannot be written or read; the errors of evaluating.
pub fn measure(trial: &mut Trial<'_>, mut learner: Learner) -> Result<()> {
    let ((track, task), folder) = (trial.task()?, trial.lab.flags.out.join("deltas"));
    let fail = |error: std::io::Error| Error::Output { path: folder.clone(), reason: error.to_string() };
    std::fs::create_dir_all(&folder).map_err(fail)?;
    let name = format!("{} {}.safetensors", trial.setting.task, trial.condition());
    let path = folder.join(name.replace(' ', "_"));
    let base = &track.weights.tensors;
    // Compared with an empty base, every tensor changed. The folder keeps the delta.
    for (name, base) in [(WHOLE, &StateDict::new()), (DELTA, base)] {
        learner.save_delta(base, &path)?;
        trial.number(name, std::fs::metadata(&path).map_err(fail)?.len() as f64)?;
    }
    let (test, mut loaded) =
        (task.some_tests(COMPARED)?, Learner::load_delta(trial.lab.gpu()?, base, &path)?);
    let [before, after] = [learner.logits(&test)?, loaded.logits(&test)?];
    let same = before.iter().zip(&after).filter(|(a, b)| a.to_bits() == b.to_bits()).count();
    trial.number(SAME, 100.0 * same as f64 / before.len() as f64)
}
