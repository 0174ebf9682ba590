//! The file of finished runs, `runs.jsonl`: a line of JSON for each, in the order in which they finished.
//!
//! A run is appended with one write and flushed to the disk, so that a crash loses at most the unfinished
//! run. A crash during that write leaves a last line without an end, which is moved to `runs.jsonl.cut` when
//! the file is next opened. Several processes may append to one file: they lock it.

use crate::run::Run;
use crate::setting::Setting;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Version of the lines' format.
const FORMAT: u32 = 1;

/// An error of a file of runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot {verb} {path}: {reason}")]
    Io {
        /// The action that failed.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: std::io::Error,
    },
    /// A line is not a run.
    #[error(
        "{path}, line {line}: {reason}. Nothing was changed; correct or delete that line, or use another file"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What was expected.
        reason: String,
    },
    /// A line is of another version of this program.
    #[error(
        "{path}, line {line}: a run in format {found}; this program reads format {FORMAT}. Use the program that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The version there.
        found: u64,
    },
}

#[derive(Serialize)]
struct LineOut<'a> {
    format: u32,
    #[serde(flatten)]
    run: &'a Run,
}

#[derive(Deserialize)]
struct Version {
    format: Option<u64>,
}

/// The finished runs of a study, in memory and on disk.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    runs: Vec<Run>,
}

/// The result of adding the runs of another file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Runs that were added.
    pub added: usize,
    /// Runs that were there before, with the same answers.
    pub known: usize,
    /// Settings that were there before with *other* answers, as another adapter may give them; the earlier
    /// run stays.
    pub different: usize,
}

impl Store {
    /// The runs in `path`; none if there is no such file. The second value describes lines that were moved
    /// away.
    ///
    /// # Errors
    /// If the file cannot be read, or a line other than the last is not a run.
    pub fn open(path: impl Into<PathBuf>) -> Result<(Self, Option<String>), Error> {
        let path = path.into();
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Self { path, runs: vec![] }, None));
            }
            // A read-only file can still be reported on.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let runs = read(&path)?;
                return Ok((Self { path, runs }, None));
            }
            Err(reason) => return Err(Error::Io { verb: "open", path, reason }),
        };
        let wrong = |reason| Error::Io { verb: "repair", path: path.clone(), reason };
        lock(&file).map_err(wrong)?;
        let note = set_aside_a_cut_line(&file, &path).map_err(wrong)?;
        // Still locked: another process may be about to write a line.
        let runs = read_all(&file, &path)?;
        Ok((Self { path, runs }, note))
    }

    /// Checks that the file can be written, and creates it if it does not exist, before runs take hours.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn prepare(&self) -> Result<(), Error> {
        let prepared = open_to_append(&self.path);
        prepared.map(|_| ()).map_err(|reason| Error::Io { verb: "write", path: self.path.clone(), reason })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All runs, in the order in which they finished; also those of other settings.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The run of `setting`, if it has finished; the first of several.
    pub fn find(&self, setting: &Setting) -> Option<&Run> {
        self.runs.iter().find(|run| run.setting == *setting)
    }

    /// Stores `run`; it is on disk before this returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&mut self, run: Run) -> Result<(), Error> {
        self.append_all(vec![run])
    }

    /// Adds those of `runs` whose setting is not in the file yet.
    ///
    /// # Errors
    /// If the file cannot be written; then none was added.
    pub fn merge(&mut self, runs: Vec<Run>) -> Result<Merged, Error> {
        let mut merged = Merged::default();
        let mut new: Vec<Run> = vec![];
        for run in runs {
            match self.find(&run.setting).or(new.iter().find(|known| known.setting == run.setting)) {
                Some(known) if known.answers == run.answers && known.numbers == run.numbers => {
                    merged.known += 1
                }
                Some(_) => merged.different += 1,
                None => new.push(run),
            }
        }
        merged.added = new.len();
        self.append_all(new)?;
        Ok(merged)
    }

    fn append_all(&mut self, runs: Vec<Run>) -> Result<(), Error> {
        write_at_end(&self.path, lines(&runs).as_bytes()).map_err(|reason| Error::Io {
            verb: "write",
            path: self.path.clone(),
            reason,
        })?;
        self.runs.extend(runs);
        Ok(())
    }
}

/// `runs` in the format of the file: one line for each.
pub fn lines<'a>(runs: impl IntoIterator<Item = &'a Run>) -> String {
    let mut text = String::new();
    for run in runs {
        // Map keys are text and no number is infinite, so this cannot fail.
        text += &serde_json::to_string(&LineOut { format: FORMAT, run }).unwrap_or_default();
        text.push('\n');
    }
    text
}

/// The runs in the file at `path`, every line of which must be complete.
///
/// # Errors
/// If it cannot be read or a line is not a run.
pub fn read(path: &Path) -> Result<Vec<Run>, Error> {
    let wrong = |reason| Error::Io { verb: "read", path: path.to_owned(), reason };
    let file = File::open(path).map_err(wrong)?;
    // No other process may be writing a line.
    supported(file.lock_shared()).map_err(wrong)?;
    read_all(&file, path)
}

fn read_all(mut file: &File, path: &Path) -> Result<Vec<Run>, Error> {
    let wrong = |reason| Error::Io { verb: "read", path: path.to_owned(), reason };
    let mut bytes = vec![];
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(wrong)?;
    let lines = bytes.split_inclusive(|&byte| byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(|(i, line)| parse(line, path, i + 1)).collect()
}

fn parse(bytes: &[u8], path: &Path, line: usize) -> Result<Run, Error> {
    let wrong = |reason: String| Error::Line { path: path.to_owned(), line, reason };
    let broken = |error: serde_json::Error| {
        let cut = if bytes.ends_with(b"\n") { "" } else { "; the line is cut off, as by a crash" };
        wrong(format!("not a complete run of a study ({error}{cut})"))
    };
    let version: Version = serde_json::from_slice(bytes).map_err(broken)?;
    match version.format {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(found) => return Err(Error::Format { path: path.to_owned(), line, found }),
        None => return Err(wrong("not a run of a study: it has no `format`".to_owned())),
    }
    serde_json::from_slice(bytes).map_err(broken)
}

/// Waits until no other process has locked the file.
fn lock(file: &File) -> std::io::Result<()> {
    supported(file.lock())
}

/// Some file systems of clusters do not support locks: there each process needs a separate folder.
fn supported(locked: std::io::Result<()>) -> std::io::Result<()> {
    locked.or_else(|error| if error.kind() == std::io::ErrorKind::Unsupported { Ok(()) } else { Err(error) })
}

fn open_to_append(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

fn write_at_end(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut file = open_to_append(path)?;
    lock(&file)?;
    // Another process may have ended during a write since this one opened the file.
    set_aside_a_cut_line(&file, path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Moves a last line without an end to `<path>.cut`. `file` is locked.
fn set_aside_a_cut_line(mut file: &File, path: &Path) -> std::io::Result<Option<String>> {
    let mut bytes = vec![];
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let cut = &bytes[whole..];
    if cut.is_empty() {
        return Ok(None);
    }
    if parse(cut, path, 0).is_ok() {
        // Only the end of the last line is missing, as some editors leave it.
        file.seek(SeekFrom::End(0))?;
        file.write_all(b"\n")?;
        return Ok(None);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".cut");
    let aside = PathBuf::from(aside);
    let mut other = open_to_append(&aside)?;
    other.write_all(&[cut, b"\n"].concat())?;
    other.sync_all()?;
    file.set_len(whole as u64)?;
    file.sync_all()?;
    let words = format!(
        "the last line of {} is cut off, as by a crash; it is now in {}",
        path.display(),
        aside.display()
    );
    Ok(Some(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::run;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/runs.jsonl");
        (folder, path)
    }

    /// Writes a line without its end, as after a crash.
    fn cut(path: &Path, bytes: &[u8]) {
        open_to_append(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn runs_are_found_again_by_their_setting() {
        let (_folder, path) = file();
        let (mut store, note) = Store::open(&path).unwrap();
        assert!(note.is_none() && store.runs().is_empty());
        for seed in 0..3 {
            store.append(run("full", seed, 50)).unwrap();
        }
        let (store, _) = Store::open(&path).unwrap();
        assert_eq!(store.runs().len(), 3);
        assert_eq!(store.find(&run("full", 1, 50).setting), Some(&run("full", 1, 50)));
        assert_eq!(store.find(&run("full", 3, 50).setting), None);
        let other = Setting { lr: 0.03, ..run("full", 1, 50).setting };
        assert_eq!(store.find(&other), None);
    }

    #[test]
    fn a_line_that_was_cut_off_is_set_aside_wherever_the_crash_came() {
        let whole = serde_json::to_string(&LineOut { format: FORMAT, run: &run("full", 1, 50) }).unwrap();
        for length in [1, 2, whole.len() / 2, whole.len() - 1] {
            let (_folder, path) = file();
            let (mut store, _) = Store::open(&path).unwrap();
            store.append(run("full", 0, 50)).unwrap();
            cut(&path, &whole.as_bytes()[..length]);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("runs.jsonl, line 2") && error.contains("cut off"), "{error}");
            let (mut store, note) = Store::open(&path).unwrap();
            assert!(note.unwrap().contains("runs.jsonl.cut"));
            assert_eq!(store.runs().len(), 1);
            store.append(run("full", 1, 50)).unwrap();
            let (store, note) = Store::open(&path).unwrap();
            assert!(note.is_none());
            assert_eq!(store.runs(), [run("full", 0, 50), run("full", 1, 50)]);
            let aside = std::fs::read_to_string(path.with_file_name("runs.jsonl.cut")).unwrap();
            assert_eq!(aside, format!("{}\n", &whole[..length]));
        }
    }

    #[test]
    fn a_process_that_dies_in_the_middle_of_a_line_spoils_no_other_ones_line() {
        let (_folder, path) = file();
        let (mut store, _) = Store::open(&path).unwrap();
        store.append(run("full", 0, 50)).unwrap();
        // The last byte is the first half of a character.
        cut(&path, b"{\"format\":1,\"setting\":{\"condition\":\"rotation up to 10\xc2");
        store.append(run("full", 1, 50)).unwrap();
        assert_eq!(read(&path).unwrap(), [run("full", 0, 50), run("full", 1, 50)]);
        assert!(path.with_file_name("runs.jsonl.cut").exists());
    }

    #[test]
    fn numbers_come_back_from_the_file_with_the_same_bits() {
        let (_folder, path) = file();
        let (mut store, _) = Store::open(&path).unwrap();
        let mut kept = run("full", 0, 50).with_losses(crate::run::bunches(&[f32::INFINITY, 0.1, f32::NAN]));
        let number = |i| f64::from(i).sqrt().sin() * 1e-7f64.powi(i % 40);
        kept.numbers = (1..2000).map(|i| (i.to_string(), number(i))).collect();
        store.append(kept.clone()).unwrap();
        assert_eq!(read(&path).unwrap(), [kept]);
    }

    #[test]
    fn a_whole_last_line_without_an_end_is_kept() {
        let (_folder, path) = file();
        Store::open(&path).unwrap().0.append(run("full", 0, 50)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.trim_end()).unwrap();
        let (mut store, note) = Store::open(&path).unwrap();
        assert!(note.is_none());
        store.append(run("full", 1, 50)).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named_and_left() {
        let (_folder, path) = file();
        Store::open(&path).unwrap().0.append(run("full", 0, 50)).unwrap();
        let line = std::fs::read_to_string(&path).unwrap();
        for (broken, words) in [
            ("{\"format\":1,\"setting\":{}}\n", "line 2"),
            ("nonsense\n", "line 2"),
            ("{\"a\":1}\n", "format"),
            ("{\"format\":7}\n", "format 7"),
            ("\u{7}\n", "line 2"),
        ] {
            let text = format!("{line}{broken}{line}");
            std::fs::write(&path, &text).unwrap();
            assert!(read(&path).is_err());
            let error = Store::open(&path).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("runs.jsonl"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn merging_adds_what_is_new_once() {
        let (_folder, path) = file();
        let (mut store, _) = Store::open(&path).unwrap();
        store.append(run("full", 0, 50)).unwrap();
        let slower = Run { seconds: 99.0, ..run("full", 0, 50) };
        let runs = vec![slower, run("full", 1, 50), run("full", 1, 50)];
        let merged = store.merge(runs.clone()).unwrap();
        assert_eq!(merged, Merged { added: 1, known: 2, different: 0 });
        assert_eq!(store.merge(runs).unwrap(), Merged { added: 0, known: 3, different: 0 });
        let mut other = run("full", 0, 50);
        other.answers.clear();
        assert_eq!(store.merge(vec![other]).unwrap(), Merged { added: 0, known: 0, different: 1 });
        assert_eq!(Store::open(&path).unwrap().0.runs(), [run("full", 0, 50), run("full", 1, 50)]);
    }

    #[test]
    fn two_processes_may_append_to_one_file() {
        let (_folder, path) = file();
        std::thread::scope(|scope| {
            for half in 0..2 {
                let path = &path;
                scope.spawn(move || {
                    let (mut store, _) = Store::open(path).unwrap();
                    (0..20).for_each(|seed| store.append(run("full", 2 * seed + half, 50)).unwrap());
                });
            }
        });
        let mut seeds: Vec<u64> = read(&path).unwrap().iter().map(|run| run.setting.seed).collect();
        seeds.sort_unstable();
        assert_eq!(seeds, (0..40).collect::<Vec<_>>());
    }
}
