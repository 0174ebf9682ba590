//! The tiny chapter as a process: this test's program starts itself again.

use crate::tiny;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The child's flags, a line for each.
const WORDS: &str = "FROSTLINE_STUDY_WORDS";
/// What the child prints before the chapter does; the lines above are the test program's.
const BEGIN: &str = "the chapter begins\n";

/// Not a test: what other tests start. It ends the process.
#[test]
#[ignore = "the other tests start it"]
fn child() {
    let Ok(words) = std::env::var(WORDS) else { return };
    print!("{BEGIN}");
    let words = std::iter::once("tiny").chain(words.lines());
    std::process::exit(tiny::chapter().run(words.map(str::to_owned)).into());
}

/// The result of a process.
pub struct Ended {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// What went well.
    pub fn well(self) -> Self {
        assert_eq!(self.status, Some(0), "{}{}", self.out, self.err);
        self
    }

    /// The output of a process that failed with `status`, named everything in `parts`, and did not panic.
    pub fn badly(self, status: i32, parts: &[&str]) -> Self {
        assert_eq!(self.status, Some(status), "{}{}", self.out, self.err);
        parts.iter().for_each(|part| assert!(self.err.contains(part), "{part} is not in: {}", self.err));
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

/// A process of the chapter that has not started: it writes to `out`, on the usual images unless `words` name
/// others.
pub fn command(out: &Path, words: &[&str]) -> Command {
    let mut lines = vec!["--out", out.to_str().unwrap()];
    if !words.contains(&"--data") {
        lines.extend(["--data", data().to_str().unwrap()]);
    }
    lines.extend(words);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["process::child", "--exact", "--ignored", "--nocapture"]).env(WORDS, lines.join("\n"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same without any driver or adapter.
pub fn blind(out: &Path, words: &[&str]) -> Command {
    let mut command = command(out, words);
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(name, "/no/such/driver.json");
    }
    command.env("FROSTLINE_ADAPTER", "no such adapter");
    command
}

/// Waits for the end of `command`.
pub fn end(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let out = text(output.stdout);
    let out = out.split_once(BEGIN).map_or(out.clone(), |(_, own)| own.to_owned());
    Ended { status: output.status.code(), out, err: text(output.stderr) }
}

/// Runs the chapter to its end.
pub fn run(out: &Path, words: &[&str]) -> Ended {
    end(command(out, words))
}

/// The usual images.
pub fn data() -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    DATA.get_or_init(|| {
        let folder = anew("images").join("bars");
        tiny::usual_images(&folder);
        folder
    })
}

/// All runs, by one undisturbed process, and its output.
pub fn whole() -> &'static (PathBuf, Ended) {
    static WHOLE: OnceLock<(PathBuf, Ended)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let out = anew("whole");
        let ended = run(&out, &[]).well();
        assert_eq!(runs(&out).len(), tiny::RUNS);
        (out, ended)
    })
}

/// A folder for what several tests use, emptied of what an earlier run of the tests left.
fn anew(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("study").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The lines of runs.jsonl in `out`, without the seconds that each took.
pub fn runs(out: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(out.join("runs.jsonl")).unwrap_or_default();
    let line = |line: &str| {
        let mut run: Value = serde_json::from_str(line).unwrap();
        run.as_object_mut().unwrap().shift_remove("seconds").unwrap();
        run.to_string()
    };
    text.lines().map(line).collect()
}

/// results.json in `out` up to its last entry, the seconds of all runs.
pub fn results(out: &Path) -> String {
    let text = std::fs::read_to_string(out.join("results.json")).unwrap();
    let (before, seconds) = text.split_once("\n  \"seconds\": [").unwrap();
    assert!(!seconds.contains("\": "), "seconds are not the last entry: {seconds}");
    before.to_owned()
}
