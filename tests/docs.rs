//! The documents have no broken references: links to files and sections, and the places that ARCHITECTURE.md
//! names.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the repository.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && !["target", "out"].contains(&name.as_str()) {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The anchors of a page: its headings as GitHub writes them, and those that it names itself.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()) {
            let kept = heading.to_lowercase().replace(' ', "-");
            anchors.insert(kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect());
        }
        anchors.extend(
            line.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
        );
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let mut all = vec![];
    pages(root(), &mut all);
    assert!(all.len() > 20, "{all:?}");
    let mut broken = vec![];
    for page in &all {
        let text = fs::read_to_string(page).unwrap();
        let outside_of_code = text.split("```").step_by(2).collect::<String>();
        for link in outside_of_code.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let missing = !target.exists()
                || (!anchor.is_empty() && !anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if missing {
                broken.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// `name`, `Type::name` (`file`): the file has the name as a word.
#[test]
fn the_ten_questions_are_answered_where_they_say() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, rest) = text.split_once("## Ten questions").unwrap();
    let (table, _) = rest.split_once("\n## ").unwrap();
    let mut checked = 0;
    for row in table.lines().filter(|line| line.starts_with('|')) {
        let place = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut names: Vec<&str> = vec![];
        for piece in place.split('`').skip(1).step_by(2) {
            if !piece.contains('/') {
                names.push(piece.rsplit("::").next().unwrap());
                continue;
            }
            let path = root().join(piece);
            assert!(path.exists(), "{piece} is not there: {row}");
            let source = fs::read_to_string(&path).unwrap_or_default();
            for name in names.drain(..) {
                let mut words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(words.any(|word| word == name), "{piece} has no {name}: {row}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 12, "only {checked} names with a file");
}
