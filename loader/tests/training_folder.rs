//! Training folders as they occur in practice, and the messages about them.

use std::fs;
use std::path::Path;

use frostline_loader::{Error, FileKind, FolderReport, OnCorrupt, TrainingFolder};
use image::{ExtendedColorType, save_buffer};

/// A photo that differs for each number.
fn photo(path: impl AsRef<Path>, number: u8) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let png = path.with_extension("png");
    save_buffer(&png, &[number; 8 * 8 * 3], 8, 8, ExtendedColorType::Rgb8).unwrap();
    fs::rename(png, path).unwrap();
}

fn open(root: &Path) -> Result<TrainingFolder, Error> {
    TrainingFolder::open(root, OnCorrupt::SkipWithWarning)
}

fn skipped(report: &FolderReport, kind: FileKind) -> &[String] {
    report.skipped.iter().find(|skipped| skipped.kind == kind).map_or(&[], |skipped| &skipped.files)
}

#[test]
fn class_folders_are_left_to_be_split() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["cat/IMG 1.JPG", "cat/b.Png", "犬/ä.jpeg", "犬/c.WEBP"].into_iter().enumerate()
    {
        photo(root.path().join(name), number as u8);
    }
    let folder = open(root.path()).unwrap();
    assert!(folder.validation.is_none());
    assert_eq!(folder.train.classes, ["cat", "犬"]);
    assert_eq!(folder.train.len(), 4);
    assert_eq!(folder.report.to_string(), "2 classes, 4 photos\n  cat       2\n  犬         2");
    assert!(folder.report.skipped.is_empty() && folder.report.duplicates.is_empty());
}

#[test]
fn train_and_val_are_found_whatever_their_case() {
    for (train, val) in [("train", "val"), ("Train", "Valid"), ("TRAINING", "validation"), ("train", "Test")]
    {
        let root = tempfile::tempdir().unwrap();
        for (number, name) in ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"].into_iter().enumerate() {
            photo(root.path().join(train).join(name), number as u8);
        }
        photo(root.path().join(val).join("dog/5.png"), 5);
        let folder = open(root.path()).unwrap();
        let validation = folder.validation.unwrap();
        assert_eq!(
            (folder.train.len(), validation.len(), validation.labels.as_slice()),
            (4, 1, [1].as_slice())
        );
        let text = folder.report.to_string();
        assert!(
            text.contains("4 photos to train on, 1 to validate with") && text.contains("2 + 1"),
            "{text}"
        );
        let [warning] = folder.report.warnings.as_slice() else { panic!("{text}") };
        assert!(warning.contains("cat") && warning.contains("stays unknown"), "{warning}");
    }
}

#[test]
fn val_counts_before_test_and_train_alone_is_enough() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in
        ["train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "val/dog/4.png"].into_iter().enumerate()
    {
        photo(root.path().join(name), number as u8);
    }
    assert_eq!(open(root.path()).unwrap().validation.unwrap().labels, [1]);
    fs::remove_dir_all(root.path().join("val")).unwrap();
    fs::remove_dir_all(root.path().join("test")).unwrap();
    let folder = open(root.path()).unwrap();
    assert_eq!((folder.train.len(), folder.validation.is_none()), (2, true));
}

#[test]
fn photos_of_trains_are_a_class() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["train/1.png", "train/2.png", "plane/3.png", "test/4.png"].into_iter().enumerate()
    {
        photo(root.path().join(name), number as u8);
    }
    assert_eq!(open(root.path()).unwrap().train.classes, ["plane", "test", "train"]);
}

#[test]
fn a_class_to_validate_that_is_not_trained_is_named() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["train/cat/1.png", "train/dog/2.png", "val/fox/3.png"].into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    let error = open(root.path()).unwrap_err();
    assert!(matches!(&error, Error::UnknownClass { class, .. } if class == "fox"), "{error}");
    assert!(error.to_string().contains("cat, dog"), "{error}");
}

#[test]
fn what_is_not_used_is_told_by_kind_and_with_advice() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (number, name) in ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg", ".trash/5.jpg", "cat/.6.jpg"]
        .into_iter()
        .enumerate()
    {
        photo(root.join(name), number as u8);
    }
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    for name in ["cat/IMG_1.HEIC", "cat/IMG_2.heic", "dog/IMG_3.jpg", "dog/IMG_4.HEIC"] {
        fs::write(root.join(name), heic).unwrap();
    }
    fs::write(root.join("dog/a.avif"), b"\0\0\0\x18ftypavif").unwrap();
    fs::write(root.join("dog/IMG_3.MOV"), b"\0\0\0\x14ftypqt  ").unwrap();
    fs::write(root.join("dog/notes.txt"), "which is which").unwrap();
    fs::create_dir(root.join("dog/more")).unwrap();
    let FolderReport { classes, .. } = &open(root).unwrap().report;
    assert_eq!(classes.iter().map(|class| class.train).collect::<Vec<_>>(), [2, 2]);

    let report = open(root).unwrap().report;
    assert_eq!(
        skipped(&report, FileKind::Heic),
        ["cat/IMG_1.HEIC", "cat/IMG_2.heic", "dog/IMG_3.jpg", "dog/IMG_4.HEIC"]
    );
    assert_eq!(skipped(&report, FileKind::Avif), ["dog/a.avif"]);
    assert_eq!(skipped(&report, FileKind::Video), ["dog/IMG_3.MOV"]);
    assert_eq!(skipped(&report, FileKind::Other), ["dog/notes.txt"]);
    assert_eq!(skipped(&report, FileKind::Folder), ["dog/more"]);
    let text = report.to_string();
    let heic = text.lines().find(|line| line.contains("HEIC")).unwrap();
    assert!(
        heic.starts_with(
            "skipped: 4 HEIC photos: cat/IMG_1.HEIC, cat/IMG_2.heic, dog/IMG_3.jpg and 1 more; convert"
        ),
        "{heic}"
    );
    assert!(!text.contains("trash") && !text.contains(".6.jpg"), "{text}");

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["skipped"][0]["kind"], "heic");
    assert_eq!(json["skipped"][0]["files"].as_array().unwrap().len(), 4);
    assert_eq!(json["classes"][1]["name"], "dog");
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_passed_over_and_told() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg"].into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    let mut unreadable = vec![];
    // Root has all permissions, but reading this file of the kernel fails for every user.
    if cfg!(target_os = "linux") {
        symlink("/proc/self/mem", root.path().join("cat/0.jpg")).unwrap();
        unreadable.push("cat/0.jpg".to_owned());
    }
    let forbidden = root.path().join("dog/4.jpg");
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&forbidden).is_err() {
        unreadable.push("dog/4.jpg".to_owned());
    }
    let report = open(root.path()).unwrap().report;
    assert_eq!(skipped(&report, FileKind::Unreadable), unreadable);
    assert_eq!(report.to_string().contains("permissions"), !unreadable.is_empty());
}

#[test]
fn copies_across_train_and_val_are_warned_about() {
    let root = tempfile::tempdir().unwrap();
    let names = [
        "train/cat/1.png",
        "train/cat/2.png",
        "train/dog/3.png",
        "train/dog/4.png",
        "val/cat/5.png",
        "val/dog/6.png",
    ];
    for (number, name) in names.into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    assert_eq!(open(root.path()).unwrap().report.duplicates, []);
    fs::copy(root.path().join("train/cat/2.png"), root.path().join("val/cat/same under another name.png"))
        .unwrap();
    fs::copy(root.path().join("train/cat/1.png"), root.path().join("train/cat/copy.png")).unwrap();
    fs::copy(root.path().join("train/dog/3.png"), root.path().join("train/cat/cat or dog.png")).unwrap();
    let report = open(root.path()).unwrap().report;
    let found: Vec<_> = report
        .duplicates
        .iter()
        .map(|group| {
            (
                group.files.iter().map(String::as_str).collect::<Vec<_>>(),
                group.across_train_and_validation,
                group.across_classes,
            )
        })
        .collect();
    let expected = [
        (vec!["train/cat/1.png", "train/cat/copy.png"], false, false),
        (vec!["train/cat/2.png", "val/cat/same under another name.png"], true, false),
        (vec!["train/cat/cat or dog.png", "train/dog/3.png"], false, true),
    ];
    assert_eq!(found, expected);
    // A duplicate in the training set is harmless if the split is given.
    let [leak, contradiction] = report.warnings.as_slice() else { panic!("{report}") };
    assert!(
        leak.starts_with("1 photo used both for training and for validation")
            && leak.contains("train/cat/2.png"),
        "{leak}"
    );
    assert!(contradiction.contains("more than one class"), "{contradiction}");

    // Copies in two classes, one for training and one for validation: both problems are reported.
    fs::copy(root.path().join("train/dog/4.png"), root.path().join("val/cat/4.png")).unwrap();
    let report = open(root.path()).unwrap().report;
    let [leaks, contradictions] = report.warnings.as_slice() else { panic!("{report}") };
    assert!(leaks.starts_with("2 photos used both for training"), "{leaks}");
    assert!(contradictions.starts_with("2 photos in more than one class"), "{contradictions}");
}

#[test]
fn the_same_photo_in_two_classes_is_warned_about() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"].into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    fs::copy(root.path().join("cat/1.png"), root.path().join("dog/1.png")).unwrap();
    let report = open(root.path()).unwrap().report;
    let [warning] = report.warnings.as_slice() else { panic!("{report}") };
    let begin = "1 photo in more than one class, byte for byte the same";
    assert!(warning.starts_with(begin) && warning.ends_with("cat/1.png, dog/1.png"), "{warning}");
}

#[test]
fn copies_before_a_split_are_warned_about() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"].into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    fs::copy(root.path().join("cat/1.png"), root.path().join("cat/1 (1).png")).unwrap();
    let report = open(root.path()).unwrap().report;
    let [warning] = report.warnings.as_slice() else { panic!("{report}") };
    assert!(
        warning.contains("a split may train on one copy") && warning.contains("cat/1 (1).png, cat/1.png"),
        "{warning}"
    );
}

#[test]
fn a_class_of_one_photo_is_told_what_will_happen() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["cat/1.png", "cat/2.png", "dog/3.png"].into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    let report = open(root.path()).unwrap().report;
    let [warning] = report.warnings.as_slice() else { panic!("{report}") };
    assert!(
        warning.contains("class dog has 1 photo") && warning.contains("none is left for validation"),
        "{warning}"
    );
}

#[test]
fn an_empty_class_stops_with_its_name() {
    let root = tempfile::tempdir().unwrap();
    photo(root.path().join("train/cat/1.png"), 1);
    fs::create_dir_all(root.path().join("train/dog")).unwrap();
    let error = open(root.path()).unwrap_err();
    assert!(matches!(&error, Error::EmptyClass { path } if path.ends_with("train/dog")), "{error}");
}

#[cfg(unix)]
#[test]
fn a_name_cannot_control_the_terminal() {
    let root = tempfile::tempdir().unwrap();
    photo(root.path().join("cat/1.png"), 1);
    photo(root.path().join("\u{1b}[2Jdog/2.png"), 2);
    fs::write(root.path().join("cat/\u{1b}[31m.txt"), "").unwrap();
    let text = open(root.path()).unwrap().report.to_string();
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2Jdog"), "{text:?}");
}

#[test]
fn splits_are_found_by_the_words_that_people_use() {
    for (train, val) in [
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train", "dev"),
        ("train-images", "valid"),
        ("TrainSet", "Validation"),
    ] {
        let root = tempfile::tempdir().unwrap();
        for (number, name) in ["cat/1.png", "cat/2.png", "dog/3.png"].into_iter().enumerate() {
            photo(root.path().join(train).join(name), number as u8);
        }
        photo(root.path().join(val).join("dog/5.png"), 5);
        // Photos without classes, as in competitions.
        photo(root.path().join("seg_pred/6.png"), 6);
        let folder = open(root.path()).unwrap();
        assert_eq!((folder.train.len(), folder.train.classes.len()), (3, 2), "{train}");
        assert_eq!(folder.validation.unwrap().labels, [1], "{val}");
        let part = frostline_loader::training_folder::validation_part(root.path()).unwrap();
        assert_eq!(part, root.path().join(val));
    }
}

#[test]
fn photos_to_test_with_that_have_no_classes_are_no_class() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["train/cat/1.png", "train/dog/2.png", "test/3.png"].into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.train.classes, ["cat", "dog"]);
    assert!(folder.validation.is_none());
}

#[test]
fn what_programs_leave_behind_and_runs_are_no_classes() {
    let root = tempfile::tempdir().unwrap();
    for (number, name) in [
        "cat/1.png",
        "dog/2.png",
        "__MACOSX/cat/3.png",
        "@eaDir/4.png",
        ".ipynb_checkpoints/5.png",
        "cat/@eaDir/6.png",
        "cat/.ipynb_checkpoints/7.png",
    ]
    .into_iter()
    .enumerate()
    {
        photo(root.path().join(name), number as u8);
    }
    fs::write(root.path().join("Thumbs.db"), "x").unwrap();
    fs::write(root.path().join("dog/Thumbs.db"), "x").unwrap();
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.train.classes, ["cat", "dog"]);
    assert_eq!(folder.train.len(), 2);
    assert!(folder.report.skipped.is_empty(), "{}", folder.report);

    // A run that begins, then one with its settings, under any name.
    fs::create_dir_all(root.path().join("runs/photos")).unwrap();
    fs::create_dir_all(root.path().join("mine")).unwrap();
    fs::write(root.path().join("mine/run.json"), "{}").unwrap();
    photo(root.path().join("mine/curves.png"), 9);
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.train.classes, ["cat", "dog"]);
    let text = folder.report.to_string();
    assert!(text.contains("2 folders of this program's runs: mine, runs"), "{text}");
    // Photos of runs are a class.
    photo(root.path().join("runs/8.png"), 8);
    assert_eq!(open(root.path()).unwrap().train.classes, ["cat", "dog", "runs"]);
}

#[cfg(target_os = "linux")]
#[test]
fn two_spellings_of_a_name_are_one_class_and_two_broken_ones_are_two() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let root = tempfile::tempdir().unwrap();
    for (number, name) in ["B\u{e4}r/1.png", "Ba\u{308}r/2.png", "cat/3.png"].into_iter().enumerate() {
        photo(root.path().join(name), number as u8);
    }
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.train.classes, ["B\u{e4}r", "cat"]);
    assert_eq!(folder.train.labels, [0, 0, 1]);
    // An older model may have the other spelling.
    let classes = ["cat", "Ba\u{308}r"].map(str::to_owned);
    let with = frostline_loader::ImageFolder::open_with(root.path(), &classes, OnCorrupt::Fail).unwrap();
    assert_eq!(with.labels, [1, 1, 0]);

    for (number, byte) in [0xe8, 0xe9].into_iter().enumerate() {
        photo(root.path().join(OsStr::from_bytes(&[b'x', byte])).join("1.png"), 20 + number as u8);
    }
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.train.classes, ["B\u{e4}r", "cat", "x\\xE8", "x\\xE9"]);
}
