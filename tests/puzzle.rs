//! The command `cargo run --example puzzle`: it writes a file, marks it, shows hints and lists what is solved.

use std::path::Path;
use std::process::{Command, Output};

fn puzzle(folder: &Path, arguments: &[&str]) -> Output {
    // Cargo builds examples beside the tests.
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples/puzzle");
    let output = Command::new(&program).arg("--out").arg(folder).args(arguments).output();
    output.unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo test --workspace` builds examples as well", program.display())
    })
}

fn said(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = puzzle(folder, arguments);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

#[test]
fn a_puzzle_from_the_empty_file_to_solved() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let list = said(folder, &[], 0);
    assert!(list.contains("0 of 18 puzzles are solved") && list.ends_with("-- add.forward\n"), "{list}");

    let written = said(folder, &["add.forward"], 0);
    assert!(written.contains("Fill in the body"), "{written}");
    let file = folder.join("add.forward.wgsl");
    let template = std::fs::read_to_string(&file).unwrap();
    let empty = said(folder, &["add.forward"], 1);
    assert!(empty.contains("nothing writes `y` yet") && empty.contains("Hint 1 of 3"), "{empty}");

    let fill_in = |line: &str| std::fs::write(&file, template.replace("    // Your lines.", line)).unwrap();
    fill_in("    y[id.x] = a[id.x] + b[id.x;");
    let refused = said(folder, &["add.forward"], 1);
    assert!(refused.contains("add.forward.wgsl:16:"), "{refused}");
    fill_in("    if id.x < p.size { y[id.x] = a[id.x]; }");
    let wrong = said(folder, &["add.forward", "--seed", "1"], 1);
    assert!(wrong.contains("`y` at image") && wrong.contains("expected"), "{wrong}");
    assert!(wrong.contains("(seed 1)"), "{wrong}");
    assert!(said(folder, &["add.forward", "--hint"], 0).starts_with("hint 1 of 3: "));
    assert_eq!(said(folder, &["add.forward", "--hint"], 0).lines().count(), 2);
    assert_eq!(said(folder, &["add.forward", "--hint", "3"], 0).lines().count(), 3);
    assert!(said(folder, &[], 0).contains("add.forward                 tried"));

    fill_in("    if id.x < p.size { y[id.x] = a[id.x] + b[id.x]; }");
    let solved = said(folder, &["add.forward"], 0);
    assert!(solved.contains("add.forward is solved") && solved.contains("Next: "), "{solved}");
    let list = said(folder, &[], 0);
    assert!(list.contains("1 of 18 puzzles are solved") && list.ends_with("-- relu.forward\n"), "{list}");
}

#[test]
fn a_name_that_is_none_and_a_damaged_record_are_errors_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = said(folder.path(), &["relu.backwards"], 2);
    assert!(
        unknown.contains("there is no puzzle `relu.backwards`; the puzzles are add.forward"),
        "{unknown}"
    );
    std::fs::write(folder.path().join("progress.json"), "[").unwrap();
    let damaged = said(folder.path(), &[], 2);
    assert!(damaged.contains("progress.json") && damaged.contains("delete it"), "{damaged}");
    let nowhere = folder.path().join("progress.json/further");
    assert!(said(&nowhere, &["add.forward"], 2).contains("further"));
}
