//! The disk is full while saving: an error, and the old checkpoint is unchanged.
//!
//! Two ways to fill a disk. A limit on the size of files (`ulimit -f`) works for every user and fails at a
//! chosen place. A small file system that is really full is the real case, but may need rights that a test
//! does not have.

use crate::run::{Settings, checkpoint, ends_as, temporary_files, train, uninterrupted};
use crate::{Result, ensure};
use frostline_engine::Gpu;
use frostline_loader::{Checkpoint, Error as LoaderError};
use frostline_trainer::Error;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// A run with a checkpoint in its middle and one at its end.
pub const SETTINGS: Settings = Settings { steps: 8, save: 4, evaluate: 8 };

/// Trains up to the checkpoint in the middle.
fn first_half(gpu: &Arc<Gpu>, folder: &Path) -> Result<Vec<u8>> {
    train(gpu, folder, SETTINGS, |progress| match progress.step == SETTINGS.save {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })?;
    Ok(std::fs::read(checkpoint(folder))?)
}

fn is_untouched(folder: &Path, old: &[u8]) -> Result<()> {
    ensure(std::fs::read(checkpoint(folder))? == old, || "the old checkpoint was changed".to_owned())?;
    let left = temporary_files(folder)?;
    ensure(left.is_empty(), || format!("{left:?} were left behind"))
}

/// Makes saves fail after each of `limits` sizes, and then continues the run when there is space. `program
/// resave FOLDER` and `program child FOLDER` are the failing programs. Returns the last message.
///
/// # Errors
/// A save that did not fail, failed without naming the file, or left another file than was there.
pub fn limited(program: &Path, limits: u64) -> Result<String> {
    let gpu = Arc::new(Gpu::new()?);
    let expected = uninterrupted(&gpu, SETTINGS)?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let old = first_half(&gpu, folder)?;
    // Units of 512 bytes in one shell are of 1024 in another: this is too small in both.
    let largest = old.len() as u64 / 1024 - 1;
    let places = (0..limits).map(|at| at * largest / (limits - 1).max(1));
    let resaves = places.map(|blocks| ("resave", blocks)).chain([("half", largest / 2)]);
    let mut message = String::new();
    for (command, blocks) in resaves {
        let output = with_limit(program, command, folder, blocks)?;
        message = String::from_utf8_lossy(&output.stderr).into_owned();
        let here = |error: &str| format!("{command} with at most {blocks} blocks: {error}");
        ensure(!output.status.success() && !message.contains("panicked"), || {
            here(&format!("{}, {message}", output.status))
        })?;
        ensure(message.contains("run.safetensors: cannot write"), || {
            here(&format!("{message:?} does not name the file"))
        })?;
        is_untouched(folder, &old).map_err(|error| here(&error.to_string()))?;
    }
    ends_as(&gpu, folder, SETTINGS, &expected)?;
    Ok(message)
}

/// SIGXFSZ would kill the writer; ignored, the write fails as on a full disk.
fn with_limit(program: &Path, command: &str, folder: &Path, blocks: u64) -> Result<Output> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f \"$1\" && exec \"$0\" \"$2\" \"$3\""]).arg(program);
    shell.arg(blocks.to_string()).arg(command).arg(folder);
    Ok(shell.stdin(Stdio::null()).stdout(Stdio::null()).output()?)
}

/// The work of the child process: it writes the checkpoint that it read.
///
/// # Errors
/// As reading and writing.
pub fn resave(folder: &Path) -> Result<()> {
    let path = checkpoint(folder);
    let mut read = Checkpoint::load(&path)?;
    read.epoch += 1;
    Ok(read.save(&path)?)
}

/// The work of the other child process: the second half of the run.
///
/// # Errors
/// As training.
pub fn second_half(folder: &Path) -> Result<()> {
    Ok(train(&Arc::new(Gpu::new()?), folder, SETTINGS, crate::run::go_on)?)
}

/// Fills the file system that `folder` is on, lets a run fail to save there, frees space, and continues the
/// run. Give it a separate small file system. Returns the message.
///
/// # Errors
/// As [`limited`].
pub fn fill(folder: &Path) -> Result<String> {
    let gpu = Arc::new(Gpu::new()?);
    let expected = uninterrupted(&gpu, SETTINGS)?;
    let old = first_half(&gpu, folder)?;
    let filler = folder.join("filler");
    let mut file = File::create(&filler)?;
    let full = loop {
        match file.write_all(&[0; 4096]) {
            Ok(()) => ensure(file.metadata()?.len() < 1 << 30, || {
                "this file system has more than 1 GiB; give a small one".to_owned()
            })?,
            Err(error) => break error,
        }
    };
    ensure(full.kind() == ErrorKind::StorageFull, || full.to_string())?;
    // Room for half of the next checkpoint.
    file.set_len(file.metadata()?.len().saturating_sub(old.len() as u64 / 2))?;
    let message = match train(&gpu, folder, SETTINGS, crate::run::go_on) {
        Err(Error::Loader(error @ LoaderError::Io { .. })) => error.to_string(),
        other => return Err(format!("saving on a full disk gave {other:?}").into()),
    };
    ensure(message.contains("run.safetensors: cannot write"), || {
        format!("{message:?} does not name the file")
    })?;
    is_untouched(folder, &old)?;
    drop(file);
    std::fs::remove_file(filler)?;
    ends_as(&gpu, folder, SETTINGS, &expected)?;
    Ok(message)
}

/// [`fill`] on a file system of 1 MiB in memory, which Linux lets a user create in a separate namespace;
/// `None` if it does not. `program fill FOLDER` runs in there.
///
/// # Errors
/// As [`fill`].
pub fn fill_in_memory(program: &Path) -> Result<Option<String>> {
    let folder = tempfile::tempdir()?;
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(program)
            .arg(folder.path());
        command.stdin(Stdio::null()).output()
    };
    let mount = "mount -t tmpfs -o size=1m frostline \"$1\"";
    if !inside(mount).is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let output = inside(&format!("{mount} && exec \"$0\" fill \"$1\""))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.success(), || format!("{}: {errors}", output.status))?;
    Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}
