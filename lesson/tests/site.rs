//! The static site from the published results: every chapter has its claims, its figures and its program, and
//! the parts of the page that exist are those that were built.

use frostline_lesson::page::{STATIONS, site};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `words` as the pages have them.
fn escaped(words: &str) -> String {
    let signs = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];
    signs.iter().fold(words.to_owned(), |words, (sign, escaped)| words.replace(*sign, escaped))
}

#[test]
fn every_chapter_has_its_published_claims_figures_and_program() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("site");
    let said = site(&root(), &out).unwrap();
    assert!(said[0].starts_with("5"), "{said:?}");
    let start = fs::read_to_string(out.join("index.html")).unwrap();
    for (number, station) in STATIONS.iter().enumerate() {
        let html = fs::read_to_string(out.join(format!("ch{number}.html"))).unwrap();
        let path = root().join(format!("docs/results/ch{number}.json"));
        let results: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let claims = results["claims"].as_array().unwrap();
        assert!(!claims.is_empty());
        for claim in claims {
            for part in ["claim", "verdict", "evidence"] {
                let words = escaped(claim[part].as_str().unwrap());
                assert!(html.contains(&words), "chapter {number} has no {part} {words}");
            }
        }
        for figure in results["figures"].as_array().unwrap() {
            let name = figure["file"].as_str().unwrap();
            assert!(html.contains(&format!("src=\"figures/{name}\"")), "chapter {number}: {name}");
            assert!(out.join("figures").join(name).is_file(), "{name}");
        }
        for table in results["tables"].as_array().unwrap() {
            assert!(html.contains(&escaped(table["title"].as_str().unwrap())), "chapter {number}");
        }
        assert_eq!(html.matches("<form class=\"quiz\"").count(), 2, "chapter {number}");
        assert!(start.contains(&format!("href=\"ch{number}.html\"")));
        assert!(start.contains(&escaped(station.question)));
        let program = fs::read_to_string(out.join(format!("code-{}.html", station.binary))).unwrap();
        assert!(program.contains("<span class=\"k\">fn</span> main"), "{}", station.binary);
        assert!(
            !html.contains("http://") && !html.contains("https://"),
            "chapter {number} has a link \
            elsewhere"
        );
        assert!(!html.contains("{{"), "chapter {number} has an empty place");
    }
    // The four situations, with the numbers of their tables.
    let html = fs::read_to_string(out.join("ch4.html")).unwrap();
    for part in ["id=\"few-similar\"", "id=\"many-different\"", "97.7±0.2", "74.1±1.4"] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn every_kernel_has_a_page_with_its_entry_points() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("site");
    site(&root(), &out).unwrap();
    let plans: Value =
        serde_json::from_str(&fs::read_to_string(out.join("data/plans.json")).unwrap()).unwrap();
    for dispatch in plans["plans"][0]["dispatches"].as_array().unwrap() {
        let (file, entry) = dispatch["kernel"].as_str().unwrap().split_once('.').unwrap();
        let page = fs::read_to_string(out.join(format!("kernel-{file}.html"))).unwrap();
        assert!(page.contains(&format!("<a id=\"{entry}\"></a>")), "{file} has no anchor {entry}");
    }
}

/// A copy of the repository's parts that a site is made of, in which the engine can be there or not.
#[cfg(unix)]
fn copy(to: &Path) {
    for folder in [
        "docs/results",
        "docs/figures",
        "shaders",
        "shaders/shared",
        "examples",
        "web",
        "web/site",
        "web/site/live",
    ] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    std::os::unix::fs::symlink(root().join("assets").canonicalize().unwrap(), to.join("assets")).unwrap();
}

#[cfg(unix)]
#[test]
fn what_trains_is_there_only_with_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (folder.path().join("root"), folder.path().join("site"));
    copy(&root);
    let said = site(&root, &out).unwrap();
    assert!(said[1].starts_with("without the engine"), "{said:?}");
    assert!(
        !out.join("own.html").exists() && !out.join("assets").exists() && !out.join("engine.js").exists()
    );
    let chapter = |number: usize| fs::read_to_string(out.join(format!("ch{number}.html"))).unwrap();
    assert!(!chapter(0).contains("data-live"), "nothing trains");
    assert!(chapter(4).contains("data-live=\"ch4\" data-engine=\"no\""), "the frostline needs no engine");

    fs::create_dir(root.join("web/site/pkg")).unwrap();
    fs::write(root.join("web/site/pkg/frostline_web_bg.wasm"), "wasm").unwrap();
    fs::write(root.join("web/site/engine.js"), "").unwrap();
    let said = site(&root, &out).unwrap();
    assert!(said[1].starts_with("with the engine"), "{said:?}");
    assert!(chapter(0).contains("data-live=\"ch0\" data-engine=\"yes\""));
    assert!(chapter(0).contains("href=\"own.html\""));
    for name in [
        "own.html",
        "assets/resnet10_fashion.safetensors",
        "assets/photos/LICENSES.csv",
        "pkg/frostline_web_bg.wasm",
    ] {
        assert!(out.join(name).is_file(), "{name}");
    }
    // A part that is not built is absent.
    fs::remove_file(root.join("web/site/live/ch0.js")).unwrap();
    site(&root, &out).unwrap();
    assert!(!chapter(0).contains("data-live"));
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "ten years of work").unwrap();
    let error = site(&root(), folder.path()).unwrap_err().to_string();
    assert!(error.contains("is not a site"), "{error}");
    assert!(folder.path().join("thesis.txt").is_file());
}
