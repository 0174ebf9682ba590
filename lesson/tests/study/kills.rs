//! `kill -9`, Ctrl-C and power cuts: finished runs stay, and the study continues after them.

use crate::process::{command, results, run, runs, whole};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::time::{Duration, Instant};

/// Lines of runs.jsonl in `out` that have an end.
fn lines(out: &Path) -> usize {
    let text = std::fs::read(out.join("runs.jsonl")).unwrap_or_default();
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// Waits until runs.jsonl in `out` has `n` lines.
fn wait_for_runs(out: &Path, n: usize, child: &mut std::process::Child) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(120) {
        if lines(out) >= n {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes bytes from the end of the file, as a crash in the middle of a write would.
fn cut(path: &Path, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len().saturating_sub(bytes)).unwrap();
}

#[test]
fn a_study_that_was_killed_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let (out, path) = (folder.path(), folder.path().join("runs.jsonl"));
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    for kill in 0..3 {
        let before = lines(out);
        let mut child = command(out, &[]).spawn().unwrap();
        // The first time while it opens the device, then somewhere in a run.
        wait_for_runs(out, if kill == 0 { 0 } else { before + 1 }, &mut child);
        std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
        child.kill().unwrap();
        child.wait().unwrap();
        if kill > 0 {
            let length = std::fs::metadata(&path).unwrap().len() / 2;
            cut(&path, rng.random_range(1..length));
        }
    }
    let ended = run(out, &[]).well();
    assert!(ended.err.contains("is cut off, as by a crash"), "{}", ended.err);
    let (expected, _) = whole();
    assert_eq!(runs(out), runs(expected));
    assert_eq!(results(out), results(expected));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_study_at_once_and_keeps_what_has_finished() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    // Enough runs that they have not ended before the signal comes. The first are those of the whole study.
    let mut child = command(out, &["--seeds", "30"]).spawn().unwrap();
    wait_for_runs(out, 2, &mut child);
    // A shell that puts a job into the background makes it ignore Ctrl-C, and all that it starts as well.
    let (name, number) = if ignores_interrupts() { ("-TERM", 15) } else { ("-INT", 2) };
    let kill = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let start = Instant::now();
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(number) || status.code() == Some(128 + number), "{status}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let (expected, found) = (runs(&whole().0), runs(out));
    assert!((2..4 * 30).contains(&found.len()), "{}", found.len());
    assert_eq!(found[..2], expected[..2]);
}

/// Whether this process ignores signal 2, as Linux reports it.
#[cfg(unix)]
fn ignores_interrupts() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0b10 != 0)
}
