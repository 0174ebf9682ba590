//! A task as it is stored: only what it changed in a base that many tasks share.

use crate::error::{Error, Result};
use crate::study::Trial;
use frostline_loader::StateDict;
use frostline_trainer::Learner;

const DELTA: &str = "bytes of what changed";
const WHOLE: &str = "bytes of everything";
const SAME: &str = "logits with the same bits, %";
/// What [`measure`] keeps of a run.
pub const NUMBERS: [&str; 3] = [DELTA, WHOLE, SAME];
/// Test images whose logits are compared.
const COMPARED: usize = 50;

/// Writes what `learner` changed of its pretrained weights to the chapter's folder, puts base and delta together
/// again, and compares the logits of both networks, bit by bit.
///
/// # Errors
/// If the file cannot be written or read; what evaluating gives.
pub fn measure(trial: &mut Trial<'_>, mut learner: Learner) -> Result<()> {
    let ((track, task), folder) = (trial.task()?, trial.lab.flags.out.join("deltas"));
    let fail = |error: std::io::Error| Error::Output { path: folder.clone(), reason: error.to_string() };
    std::fs::create_dir_all(&folder).map_err(fail)?;
    let name = format!("{} {}.safetensors", trial.setting.task, trial.condition());
    let path = folder.join(name.replace(' ', "_"));
    let base = &track.weights.tensors;
    // Over an empty base everything changed. What stays in the folder is the delta.
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
