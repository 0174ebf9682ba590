//! The programs of the engine tour print what their last lines and docs/tour.md say.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Numbers may differ by this much, because other processors round differently.
const TOLERANCE: f64 = 1e-3;

fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tour = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut letters = name.chars();
        letters.next() == Some('e') && letters.next().is_some_and(|letter| letter.is_ascii_digit())
    };
    let mut programs: Vec<_> = files.filter(tour).collect();
    programs.sort();
    programs
}

/// The comment after the line `// Prints`.
fn promised(text: &str) -> Vec<&str> {
    let (_, lines) = text.split_once("\n// Prints").expect("the program ends with its output");
    let (_, lines) = lines.split_once('\n').expect("lines after it");
    lines.lines().map(|line| line.strip_prefix("//").unwrap().strip_prefix("  ").unwrap_or("")).collect()
}

fn printed(path: &Path) -> String {
    // Cargo builds examples beside the tests.
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(path.file_stem().unwrap());
    let output = Command::new(&program).env("FROSTLINE_TUNING", "portable").output();
    let output = output.unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo test --workspace` builds examples as well", program.display())
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The compared parts of a program that prints times: not the times or the adapter's name, which differ
/// between machines, but the beginnings of the lines.
fn without_times<'a>(text: &str, lines: Vec<&'a str>) -> Vec<&'a str> {
    if !text.contains("\n// Prints, with the times of") {
        return lines;
    }
    let table = lines.into_iter().skip_while(|line| !line.is_empty());
    table.map(|line| line.split("  ").next().unwrap_or_default()).collect()
}

/// Whether two words are the same, or numbers that are close.
fn close(a: &str, b: &str) -> bool {
    let number = |word: &str| {
        let plain = word.trim_matches(|letter: char| !letter.is_ascii_digit() && letter != '-');
        plain.parse::<f64>().ok()
    };
    a == b
        || matches!((number(a), number(b)), (Some(a), Some(b)) if (a - b).abs() <= TOLERANCE * (1.0 + a.abs()))
}

#[test]
fn every_program_prints_what_it_says() {
    assert!(programs().len() >= 6);
    for path in programs() {
        let text = std::fs::read_to_string(&path).unwrap();
        let program = text.split("\n// Prints").next().unwrap().lines().count();
        assert!(program <= 80, "{}: {program} lines are too long for a page", path.display());
        let printed = printed(&path);
        let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
        let [promised, printed] = [promised(&text), printed].map(|lines| without_times(&text, lines));
        assert_eq!(printed.len(), promised.len(), "{}: {printed:#?}", path.display());
        for (ours, theirs) in printed.iter().zip(&promised) {
            let same = ours.split_whitespace().count() == theirs.split_whitespace().count()
                && ours.split_whitespace().zip(theirs.split_whitespace()).all(|(a, b)| close(a, b));
            assert!(same, "{}: prints\n{ours}\nand not\n{theirs}", path.display());
        }
    }
}

#[test]
fn the_page_has_the_same_lines() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tour.md");
    let page = std::fs::read_to_string(page).unwrap();
    for path in programs() {
        let text = std::fs::read_to_string(&path).unwrap();
        let block = format!("```text\n{}\n```", promised(&text).join("\n"));
        assert!(page.contains(&block), "docs/tour.md lacks what {} prints:\n{block}", path.display());
        assert!(page.contains(&format!("../examples/{}", path.file_name().unwrap().to_str().unwrap())));
    }
}
