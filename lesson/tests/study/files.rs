//! Invalid files of runs: reported with their line, and nothing is lost.

use crate::process::{blind, end, runs, whole};
use std::path::Path;

/// Merges `text`, with a good file before it, into a folder that has the last three of the whole study's runs:
/// says everything in `parts`, and changes nothing.
fn refused(text: &[u8], parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (out, good, bad) =
        (folder.path().join("out"), folder.path().join("good.jsonl"), folder.path().join("bad.jsonl"));
    let all = std::fs::read_to_string(whole().0.join("runs.jsonl")).unwrap();
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    std::fs::create_dir(&out).unwrap();
    let (first, last) = lines.split_at(lines.len() - 3);
    std::fs::write(out.join("runs.jsonl"), last.concat()).unwrap();
    std::fs::write(&good, first.concat()).unwrap();
    std::fs::write(&bad, text).unwrap();
    end(blind(&out, &["--merge", good.to_str().unwrap(), bad.to_str().unwrap()])).badly(1, parts);
    assert_eq!(std::fs::read_to_string(out.join("runs.jsonl")).unwrap(), last.concat());
    assert_eq!(std::fs::read(&bad).unwrap(), text);
    assert!(!out.join("results.json").exists());
}

#[test]
fn broken_files_are_named_with_their_line_and_nothing_of_any_is_merged() {
    let all = std::fs::read_to_string(whole().0.join("runs.jsonl")).unwrap();
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    let broken = [lines[0], "{\"format\":1, nonsense\n", lines[1]].concat();
    refused(broken.as_bytes(), &["bad.jsonl, line 2", "not a complete run"]);
    let cut = &all[..lines[0].len() + lines[1].len() / 2];
    refused(cut.as_bytes(), &["bad.jsonl, line 2", "cut off"]);
    let newer = lines[0].replace("{\"format\":1,", "{\"format\":2,");
    refused([lines[1], &newer].concat().as_bytes(), &["bad.jsonl, line 2", "format 2", "reads format 1"]);
    refused(b"\x89PNG\r\n\x1a\n", &["bad.jsonl, line 1"]);
}

#[test]
fn files_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for path in [folder.path().to_owned(), folder.path().join("missing.jsonl")] {
        let path = path.to_str().unwrap();
        end(blind(&out, &["--merge", path])).badly(1, &["cannot read", path]);
        assert!(!out.exists());
    }
}

#[test]
fn runs_of_other_settings_are_kept_and_left_alone() {
    let (expected, _) = whole();
    let folder = tempfile::tempdir().unwrap();
    let (out, theirs) = (folder.path(), expected.join("runs.jsonl"));
    // Half of the runs belong to this plan, and half do not.
    let words = ["--images", "8", "--merge", theirs.to_str().unwrap()];
    let ended = end(blind(out, &words)).well();
    assert!(ended.out.contains("8 runs added"), "{}", ended.out);
    assert!(ended.out.contains("4 of its runs have other settings"), "{}", ended.out);
    assert_eq!(runs(out), runs(expected));
    assert!(results_name(out, "8 images") && !results_name(out, "16 images"));
    // With those flags they are found.
    end(blind(out, &["--report-only"])).well();
    assert!(results_name(out, "16 images"));
}

fn results_name(out: &Path, words: &str) -> bool {
    std::fs::read_to_string(out.join("results.json")).unwrap().contains(words)
}
