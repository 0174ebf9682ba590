//! Paths that are not UTF-8, in every command that takes one: a result or an error, and never a panic.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::support::{Ran, TRAINED, frostline};

/// "Bär" as Latin-1 has it.
const NAME: &[u8] = b"B\xe4r";

/// A folder of that name with the photos in class folders of such names, and the model.
fn odd() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join(OsStr::from_bytes(NAME));
    for class in ["blue", "green"] {
        let from = Path::new(&TRAINED.photos()).join(class);
        let to = folder.join("photos").join(class);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let mut name = OsString::from(OsStr::from_bytes(NAME));
            name.push(path.file_name().unwrap());
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
    fs::copy(TRAINED.model(), folder.join("model.safetensors")).unwrap();
    (place, folder)
}

fn run(words: &[&OsStr]) -> Ran {
    let ran = frostline(words);
    assert!(!ran.stderr.contains("panicked") && ran.code != Some(101), "{words:?}: {ran:#?}");
    ran
}

/// Names that a spreadsheet takes for formulas, with the end of a line, and bytes that are not Unicode.
#[test]
fn tables_are_valid_and_hold_no_formulas() {
    let place = tempfile::tempdir().unwrap();
    let formula = "=HYPERLINK(\"http:evil.example\")";
    let classes = [formula, "two\nlines"];
    for (class, from) in classes.iter().zip(["blue", "green"]) {
        let to = place.path().join("photos").join(class);
        fs::create_dir_all(&to).unwrap();
        // One of them in the other's folder, which the table of labels names.
        for (i, entry) in fs::read_dir(Path::new(&TRAINED.photos()).join(from)).unwrap().enumerate() {
            let mut name = OsString::from(OsStr::from_bytes(NAME));
            name.push(format!("{from}{i}.png"));
            fs::copy(entry.unwrap().path(), to.join(name)).unwrap();
        }
    }
    let mut wrong = OsString::from(OsStr::from_bytes(NAME));
    wrong.push("wrong.png");
    let [of_formula, of_lines] = classes.map(|class| place.path().join("photos").join(class));
    let mut first = OsString::from(OsStr::from_bytes(NAME));
    first.push("green0.png");
    fs::rename(of_lines.join(first), of_formula.join(wrong)).unwrap();

    let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
    let (photos, out) = (place.path().join("photos"), place.path().join("run"));
    let train = [
        words(&["train", "--freeze-below", "fc", "--size", "64", "--out"]),
        vec![out.clone().into(), photos.clone().into()],
    ];
    let ran = frostline(train.concat());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let table = String::from_utf8(fs::read(out.join("review.csv")).unwrap()).expect("UTF-8");
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(table.as_bytes()).records().map(|row| row.unwrap()).collect();
    let row = rows.iter().find(|row| row[0].ends_with("B\u{fffd}rwrong.png")).expect(&table);
    assert_eq!([&row[1], &row[2]], [&format!("'{formula}"), "two\nlines"]);

    let csv = place.path().join("new.csv");
    let predict =
        [words(&["predict"]), vec![out.into(), photos.into()], words(&["--csv"]), vec![csv.clone().into()]];
    assert_eq!(frostline(predict.concat()).code, Some(0));
    let table = String::from_utf8(fs::read(csv).unwrap()).expect("UTF-8");
    let mut table = csv::Reader::from_reader(table.as_bytes());
    assert_eq!(
        table.headers().unwrap().iter().skip(4).collect::<Vec<_>>(),
        [&format!("'{formula}"), "two\nlines"]
    );
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 2 * crate::support::PHOTOS);
    assert!(rows.iter().all(|row| row[0].contains("B\u{fffd}r") && !row[1].starts_with('=')), "{rows:?}");
}

#[test]
fn no_command_panics_for_a_path_that_is_not_utf8() {
    let (_place, folder) = odd();
    let model = folder.join("model.safetensors");
    let photos = folder.join("photos");
    let file = |name: &str| {
        let mut path = folder.join(OsStr::from_bytes(NAME)).into_os_string();
        path.push(name);
        PathBuf::from(path)
    };
    let word = |text: &'static str| OsStr::new(text);
    for json in [false, true] {
        let go = |words: &[&OsStr], done: bool| {
            let mut words = words.to_vec();
            if json {
                words.push(word("--json"));
            }
            let ran = run(&words);
            if done {
                assert_eq!(ran.code, Some(0), "{words:?}: {ran:#?}");
            } else {
                assert!(matches!(ran.code, Some(1 | 2)), "{words:?}: {ran:#?}");
            }
        };
        let (model, photos) = (model.as_os_str(), photos.as_os_str());
        go(&[word("predict"), model, photos], true);
        go(&[word("evaluate"), model, photos], true);
        let (features, converted, curve) = (file(".features"), file(".converted"), file(".png"));
        let force = word("--force");
        go(&[word("features"), model, photos, word("--out"), features.as_os_str(), force], true);
        go(&[word("inspect"), model], true);
        go(&[word("convert"), model, converted.as_os_str(), force], true);
        let exported = file(".onnx");
        go(&[word("export"), model, exported.as_os_str(), word("--photos"), photos, force], true);
        let quick =
            ["--weights", "none", "--model", "resnet10", "--size", "8", "--epochs", "1", "--lr", "0.01"];
        let quick = quick.map(OsStr::new);
        if json {
            // The slowest command runs only once.
            let out = file("-run");
            let train = [word("train"), photos, word("--out"), out.as_os_str()];
            go(&[&train[..], &quick].concat(), true);
            go(&[word("train"), word("--resume"), out.as_os_str()], true);
            go(&[word("predict"), out.as_os_str(), photos], true);
            let range = ["--steps", "12"].map(OsStr::new);
            let find = [word("find-lr"), photos, word("--out"), curve.as_os_str()];
            go(&[&find[..], &quick[..6], &range].concat(), true);
        }
        for command in ["predict", "evaluate", "features"] {
            let absent = file("-absent");
            go(&[word(command), absent.as_os_str(), photos], false);
            go(&[word(command), model, absent.as_os_str()], false);
        }
        for command in ["inspect", "train", "find-lr"] {
            go(&[word(command), file("-absent").as_os_str()], false);
        }
        go(&[word("plan"), OsStr::from_bytes(NAME)], false);
        // Weights of a recipe are text: refused by the command line.
        go(&[word("train"), photos, word("--weights"), model], false);
        go(&[word("--adapter"), OsStr::from_bytes(NAME), word("inspect"), model], false);
    }
}
