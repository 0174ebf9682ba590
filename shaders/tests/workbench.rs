//! The workbench's files are valid WGSL for any adapter, and written to be read.

use frostline_shaders::{WORKBENCH, workbench};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::collections::BTreeMap;

#[test]
fn every_file_is_valid_as_it_is_stored_and_written_out() {
    for (name, text) in WORKBENCH {
        for text in [(*text).to_owned(), workbench(name).unwrap()] {
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name}\n{}", error.emit_to_string(&text)));
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name}\n{}", error.emit_to_string(&text)));
            assert!(!module.entry_points.is_empty(), "{name} has no entry point");
        }
    }
}

#[test]
fn every_file_of_the_folder_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("workbench");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.strip_suffix(".wgsl").expect("a WGSL file").to_owned())
        .collect();
    files.sort();
    assert_eq!(files, WORKBENCH.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

#[test]
fn files_are_short_and_narrow_and_every_binding_ends_in_its_shape() {
    for (name, text) in WORKBENCH {
        assert!((30..=120).contains(&text.lines().count()), "{name}: {} lines", text.lines().count());
        assert!(text.starts_with("//! Workbench, "), "{name} starts with a header");
        assert!(text.contains("a multiply-add"), "{name}: the header says what a multiply-add reads");
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{name}: more than 100 columns in `{line}`");
            assert!(!line.contains("var<storage") || line.contains("// "), "{name}: no shape in `{line}`");
        }
    }
}

#[test]
fn no_two_names_differ_only_in_case() {
    for (name, text) in WORKBENCH {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        // An address space is a keyword.
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        for line in code.map(|line| line.strip_prefix("var<workgroup>").unwrap_or(line)) {
            for word in line.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
                let first = seen.entry(word.to_lowercase()).or_insert(word);
                assert_eq!(*first, word, "{name}: two names that differ only in case");
            }
        }
    }
}
