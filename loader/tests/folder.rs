//! Folders of images as they occur in practice.

use std::fs;
use std::path::Path;

use frostline_loader::{Error, FileKind, ImageFolder, OnCorrupt, Preprocessing, normalize};

fn photo(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/noise.png");
    fs::copy(golden, path).unwrap();
}

fn open(root: &Path) -> Result<ImageFolder, Error> {
    ImageFolder::open(root, OnCorrupt::Fail)
}

fn names(folder: &ImageFolder) -> Vec<&str> {
    folder.paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
}

fn skipped(folder: &ImageFolder) -> Vec<(&str, FileKind)> {
    folder
        .skipped
        .iter()
        .map(|skipped| (skipped.path.file_name().unwrap().to_str().unwrap(), skipped.kind))
        .collect()
}

#[test]
fn classes_and_files_are_sorted_and_names_may_be_anything() {
    let root = tempfile::tempdir().unwrap();
    for name in ["zebra/b.png", "zebra/a 1.JPG", "Äpfel und 梨/ünï.png", "ant/x.jpeg", "ant/y.WebP"] {
        photo(&root.path().join(name));
    }
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.classes, ["ant", "zebra", "Äpfel und 梨"]);
    assert_eq!(names(&folder), ["x.jpeg", "y.WebP", "a 1.JPG", "b.png", "ünï.png"]);
    assert_eq!(folder.labels, [0, 0, 1, 1, 2]);
    assert_eq!(folder.load(4).unwrap().width, 37);
    assert!(matches!(folder.load(5), Err(Error::IndexOutOfRange { index: 5, len: 5 })));
    assert!(folder.warnings.is_empty());
}

#[test]
fn hidden_files_are_ignored_and_strange_ones_counted() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/1.png", "b/1.png", "a/.hidden.png", ".git/1.png", "b/inner/2.png", "top.png"] {
        photo(&root.path().join(name));
    }
    fs::write(root.path().join("b/notes.txt"), "hi").unwrap();
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.classes, ["a", "b"]);
    assert_eq!(folder.len(), 2);
    assert_eq!(
        skipped(&folder),
        [("top.png", FileKind::Loose), ("inner", FileKind::Folder), ("notes.txt", FileKind::Other)]
    );
    let [inner, top, notes] = folder.warnings.as_slice() else { panic!("{:?}", folder.warnings) };
    assert!(
        inner.contains("b/inner") && top.contains("top.png") && notes.contains("b/notes.txt"),
        "{:?}",
        folder.warnings
    );
}

#[test]
fn no_such_folder() {
    let error = open(Path::new("/no/such/photos")).unwrap_err();
    assert!(matches!(error, Error::NoSuchFolder { .. }));
    assert!(error.to_string().contains("/no/such/photos"), "{error}");
}

#[test]
fn a_file_is_no_folder() {
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("a.png"));
    assert!(matches!(open(&root.path().join("a.png")), Err(Error::NoSuchFolder { .. })));
}

#[test]
fn no_class_folders() {
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("a.png"));
    let error = open(root.path()).unwrap_err();
    assert!(matches!(error, Error::NoClassFolders { .. }), "{error}");
    assert!(error.to_string().contains("sub-folder"), "{error}");
}

#[test]
fn only_one_class() {
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("cat/a.png"));
    let error = open(root.path()).unwrap_err();
    assert!(matches!(&error, Error::OneClass { class, .. } if class == "cat"), "{error}");
}

#[test]
fn the_folder_above_the_right_one_is_told_so() {
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("photos/cat/a.png"));
    photo(&root.path().join("photos/dog/a.png"));
    let error = open(root.path()).unwrap_err();
    assert!(matches!(&error, Error::OneFolderDown { inner, .. } if inner.ends_with("photos")), "{error}");
}

#[test]
fn the_classes_of_a_model_give_the_labels() {
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("dog/a.png"));
    photo(&root.path().join("cat/a.png"));
    let classes = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let folder =
        ImageFolder::open_with(root.path(), &classes(&["dog", "bird", "cat"]), OnCorrupt::Fail).unwrap();
    assert_eq!((folder.labels, folder.classes.len()), (vec![2, 0], 3));
    let error = ImageFolder::open_with(root.path(), &classes(&["Dog", "cat"]), OnCorrupt::Fail).unwrap_err();
    assert!(matches!(&error, Error::UnknownClass { class, .. } if class == "dog"), "{error}");
    assert!(error.to_string().contains("Dog, cat"), "{error}");
    // A single class can be evaluated, but not trained.
    fs::remove_dir_all(root.path().join("dog")).unwrap();
    let mut folder = ImageFolder::open_with(root.path(), &classes(&["cat", "dog"]), OnCorrupt::Fail).unwrap();
    assert_eq!(folder.load_all(&Preprocessing::imagenet(8)).unwrap().labels, [0]);
    fs::remove_file(root.path().join("cat/a.png")).unwrap();
    assert!(matches!(
        ImageFolder::open_with(root.path(), &classes(&["cat"]), OnCorrupt::Fail),
        Err(Error::NoImages { .. })
    ));
}

#[test]
fn an_empty_class_is_named() {
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("cat/a.png"));
    fs::create_dir(root.path().join("dog")).unwrap();
    let error = open(root.path()).unwrap_err();
    assert!(matches!(error, Error::EmptyClass { .. }), "{error}");
    assert!(error.to_string().contains("dog"), "{error}");
}

#[test]
fn no_images_at_all() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("cat")).unwrap();
    fs::create_dir(root.path().join("dog")).unwrap();
    assert!(matches!(open(root.path()), Err(Error::NoImages { classes: 2, .. })));
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_do_not_hang() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("a/1.png"));
    photo(&root.path().join("b/1.png"));
    symlink("../a", root.path().join("a/a")).unwrap();
    symlink("..", root.path().join("b/up")).unwrap();
    symlink("round.png", root.path().join("b/round.png")).unwrap();
    symlink("nowhere.png", root.path().join("b/broken.png")).unwrap();
    symlink("self", root.path().join("self")).unwrap();
    let folder = open(root.path()).unwrap();
    assert_eq!(folder.classes, ["a", "b"]);
    assert_eq!(folder.len(), 2);
    let link = FileKind::BrokenLink;
    let expected = [
        ("self", link),
        ("a", FileKind::Folder),
        ("broken.png", link),
        ("round.png", link),
        ("up", FileKind::Folder),
    ];
    assert_eq!(skipped(&folder), expected);
}

#[cfg(unix)]
#[test]
fn links_to_images_count_but_pipes_and_devices_do_not() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("a/1.png"));
    photo(&root.path().join("b/1.png"));
    symlink("../a/1.png", root.path().join("b/2.png")).unwrap();
    symlink("/dev/zero", root.path().join("b/3.png")).unwrap();
    let folder = open(root.path()).unwrap();
    assert_eq!(names(&folder), ["1.png", "1.png", "2.png"]);
}

#[test]
fn a_corrupt_image_stops_or_is_skipped_as_asked() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "b/1.png"] {
        photo(&root.path().join(name));
    }
    fs::write(root.path().join("a/2.png"), b"\x89PNG\r\n\x1a\nnot really").unwrap();
    let preprocessing = Preprocessing::imagenet(8);

    let error = open(root.path()).unwrap().load_all(&preprocessing).unwrap_err();
    assert!(matches!(error, Error::CorruptImage { .. }), "{error}");
    assert!(error.to_string().contains("2.png"), "{error}");

    let mut folder = ImageFolder::open(root.path(), OnCorrupt::SkipWithWarning).unwrap();
    let set = folder.load_all(&preprocessing).unwrap();
    assert_eq!((set.len(), set.labels.as_slice()), (2, [0, 1].as_slice()));
    assert_eq!(set.images.len(), 2 * 8 * 8 * 3);
    assert!(folder.warnings[0].contains("2.png"), "{:?}", folder.warnings);
    assert!(folder.load(1).is_err(), "asking for the image itself is never silent");

    fs::write(root.path().join("b/1.png"), b"").unwrap();
    let mut folder = ImageFolder::open(root.path(), OnCorrupt::SkipWithWarning).unwrap();
    let error = folder.load_all(&preprocessing).unwrap_err();
    assert!(matches!(error, Error::EmptyClass { .. }), "{error}");
}

#[test]
fn loaded_images_are_the_same_numbers_one_by_one_and_together() {
    let root = tempfile::tempdir().unwrap();
    photo(&root.path().join("a/1.png"));
    photo(&root.path().join("b/1.png"));
    let mut folder = open(root.path()).unwrap();
    let preprocessing = Preprocessing::imagenet(16);
    let set = folder.load_all(&preprocessing).unwrap();
    let mut together = Vec::new();
    set.gather(&[1], &mut together).unwrap();
    let Preprocessing { channels, mean, std, .. } = &preprocessing;
    let together = normalize(&together, *channels, mean, std).unwrap();
    assert_eq!(together, preprocessing.apply(&folder.load(1).unwrap()).unwrap());
}
