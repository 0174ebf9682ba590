//! The photos of a run: their names, their contents and their use. A resumed run must have the same photos;
//! otherwise its labels and its split would not match its weights.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Number of bytes that are read at the beginning and at the end of a file. A photo that was changed, rotated
/// or saved again differs in its length, its header or its last bytes.
const LOOKED_AT: u64 = 64 << 10;
/// Maximum number of files of each kind in a message.
const NAMED: usize = 3;

/// `data.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The classes, in the order of the last layer's outputs.
    pub classes: Vec<String>,
    /// The photos, in the order of training.
    pub photos: Vec<Photo>,
}

/// A photo of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Photo {
    /// Its path below the folder of photos, with `/` between the parts.
    pub path: String,
    /// Its use.
    pub part: Part,
    /// Its contents.
    #[serde(flatten)]
    pub content: Content,
}

/// The use of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// To train on.
    Train,
    /// To validate with.
    Validation,
    /// No use: it could not be read.
    Skipped,
}

/// Enough of a file's contents to decide whether it is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Content {
    /// Its size.
    pub bytes: u64,
    /// 16 bytes of the SHA-256 of its first and its last 64 KiB, in hexadecimal: this is not the hash of the
    /// file. Earlier versions named it `sha256`.
    #[serde(alias = "sha256")]
    pub fingerprint: String,
}

impl Manifest {
    /// Reads the list of `photos`, all below `root`.
    ///
    /// # Errors
    /// [`Error::Read`] for a file that cannot be read.
    pub fn new<'a>(
        root: &Path,
        classes: &[String],
        photos: impl IntoIterator<Item = (&'a Path, Part)>,
    ) -> Result<Self> {
        let photos: Vec<(&Path, Part)> = photos.into_iter().collect();
        let paths: Vec<&Path> = photos.iter().map(|(path, _)| *path).collect();
        let contents = contents(&paths)?;
        let photo = |((path, part), content)| Photo { path: below(root, path), part, content };
        Ok(Self { classes: classes.to_vec(), photos: photos.into_iter().zip(contents).map(photo).collect() })
    }

    /// The photos for `part`, in order.
    pub fn part(&self, part: Part) -> impl Iterator<Item = &str> {
        self.photos.iter().filter(move |photo| photo.part == part).map(|photo| photo.path.as_str())
    }

    /// A description of the differences between these photos and the files `paths` below `root` with
    /// `classes`; `None` if there are none.
    ///
    /// # Errors
    /// [`Error::Read`] for a file that cannot be read.
    pub fn differences(&self, root: &Path, classes: &[String], paths: &[&Path]) -> Result<Option<String>> {
        let found: BTreeMap<String, Content> =
            paths.iter().map(|path| below(root, path)).zip(contents(paths)?).collect();
        let known: BTreeMap<&str, &Content> =
            self.photos.iter().map(|photo| (photo.path.as_str(), &photo.content)).collect();
        let mut changed = vec![];
        let mut gone = vec![];
        for (path, content) in &known {
            match found.get(*path) {
                Some(now) if now == *content => {}
                Some(_) => changed.push((*path).to_owned()),
                None => gone.push(*path),
            }
        }
        let mut new: BTreeSet<&str> =
            found.keys().map(String::as_str).filter(|path| !known.contains_key(path)).collect();
        // A missing file and a new file with the same contents are a rename.
        let mut by_content: BTreeMap<&Content, Vec<&str>> = BTreeMap::new();
        new.iter().rev().for_each(|path| by_content.entry(&found[*path]).or_default().push(path));
        let mut renamed = vec![];
        gone.retain(|path| match by_content.get_mut(known[path]).and_then(Vec::pop) {
            Some(now) => {
                new.remove(now);
                renamed.push(format!("{path} → {now}"));
                false
            }
            None => true,
        });

        let mut words = String::new();
        let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        for (names, what) in [
            (renamed, ["was renamed", "were renamed"]),
            (changed, ["holds another picture", "hold other pictures"]),
            (own(gone), ["is gone", "are gone"]),
            (own(new.into_iter().collect()), ["is new", "are new"]),
        ] {
            if !names.is_empty() {
                let _ = write!(words, "\n  {}", counted(&names, what));
            }
        }
        if classes != self.classes {
            let (before, now) = (self.classes.join(", "), classes.join(", "));
            let _ = write!(words, "\n  the classes were {before}, and are {now}");
        }
        Ok((!words.is_empty()).then_some(words))
    }
}

fn counted(names: &[String], [one, many]: [&str; 2]) -> String {
    let listed = names[..names.len().min(NAMED)].join(", ");
    let more = if names.len() > NAMED { ", …" } else { "" };
    match names.len() {
        1 => format!("1 photo {one}: {listed}"),
        count => format!("{count} photos {many}: {listed}{more}"),
    }
}

/// `path` below `root`, the same on every system. Bytes that are not Unicode are escaped.
pub fn below(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).iter();
    let text = |part: &std::ffi::OsStr| match part.to_str() {
        Some(text) => text.to_owned(),
        None => part.as_encoded_bytes().escape_ascii().to_string(),
    };
    parts.map(text).collect::<Vec<_>>().join("/")
}

/// The contents of files, read on all cores.
fn contents(paths: &[&Path]) -> Result<Vec<Content>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = paths.len().div_ceil(threads).max(1);
    let of = |path: &&Path| content(path).map_err(|source| Error::Read { path: (*path).to_owned(), source });
    std::thread::scope(|scope| {
        let workers: Vec<_> = paths
            .chunks(share)
            .map(|paths| scope.spawn(move || paths.iter().map(of).collect::<Result<Vec<_>>>()))
            .collect();
        let mut all = vec![];
        for worker in workers {
            all.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

fn content(path: &Path) -> std::io::Result<Content> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut looked_at = vec![];
    if bytes <= 2 * LOOKED_AT {
        file.read_to_end(&mut looked_at)?;
    } else {
        Read::by_ref(&mut file).take(LOOKED_AT).read_to_end(&mut looked_at)?;
        file.seek(SeekFrom::Start(bytes - LOOKED_AT))?;
        file.take(LOOKED_AT).read_to_end(&mut looked_at)?;
    }
    let hash = Sha256::digest(&looked_at);
    Ok(Content { bytes, fingerprint: hash[..16].iter().map(|byte| format!("{byte:02x}")).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn paths(root: &Path) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = ["a", "b", "c"]
            .iter()
            .filter_map(|class| std::fs::read_dir(root.join(class)).ok())
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        all.sort();
        all
    }

    fn differences(manifest: &Manifest, root: &Path) -> Option<String> {
        let paths = paths(root);
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        manifest.differences(root, &manifest.classes, &paths).unwrap()
    }

    #[test]
    fn every_kind_of_change_is_said_in_words() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        for (class, name) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "ü 2")] {
            std::fs::create_dir_all(root.join(class)).unwrap();
            std::fs::write(root.join(class).join(name), format!("{class}{name}")).unwrap();
        }
        let all = paths(root);
        let photos = all.iter().map(|path| (path.as_path(), Part::Train));
        let manifest = Manifest::new(root, &["a".to_owned(), "b".to_owned()], photos).unwrap();
        assert_eq!(manifest.part(Part::Train).collect::<Vec<_>>(), ["a/1", "a/2", "b/1", "b/ü 2"]);
        assert_eq!(differences(&manifest, root), None);

        let swap = |one: &str, other: &str| {
            std::fs::rename(root.join(one), root.join("aside")).unwrap();
            std::fs::rename(root.join(other), root.join(one)).unwrap();
            std::fs::rename(root.join("aside"), root.join(other)).unwrap();
        };
        swap("a/1", "b/1");
        let said = differences(&manifest, root).unwrap();
        assert_eq!(said, "\n  2 photos hold other pictures: a/1, b/1");
        swap("a/1", "b/1");

        std::fs::rename(root.join("b"), root.join("c")).unwrap();
        let said = differences(&manifest, root).unwrap();
        assert_eq!(said, "\n  2 photos were renamed: b/1 → c/1, b/ü 2 → c/ü 2");
        std::fs::rename(root.join("c"), root.join("b")).unwrap();

        std::fs::write(root.join("a/3"), "a3").unwrap();
        std::fs::remove_file(root.join("a/2")).unwrap();
        let said = differences(&manifest, root).unwrap();
        assert_eq!(said, "\n  1 photo is gone: a/2\n  1 photo is new: a/3");
        let other = manifest.differences(root, &["b".to_owned()], &[]).unwrap().unwrap();
        assert!(other.ends_with("\n  the classes were a, b, and are b"), "{other}");
        assert!(other.contains("4 photos are gone: a/1, a/2, b/1, …"), "{other}");
    }

    #[test]
    fn a_manifest_of_an_earlier_version_is_read() {
        let text = r#"{"classes": ["a", "b"], "photos":
            [{"path": "a/1", "part": "train", "bytes": 3, "sha256": "00112233445566778899aabbccddeeff"}]}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.photos[0].content.fingerprint, "00112233445566778899aabbccddeeff");
        let now = serde_json::to_string(&manifest).unwrap();
        assert!(now.contains("\"fingerprint\"") && !now.contains("sha256"), "{now}");
        assert_eq!(serde_json::from_str::<Manifest>(&now).unwrap(), manifest);
    }

    /// Only the ends of a large file are read; its length counts as well.
    #[test]
    fn the_ends_and_the_length_of_a_file_tell_it_from_another() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("photo");
        let mut bytes = vec![7; 200_000];
        std::fs::write(&path, &bytes).unwrap();
        let before = content(&path).unwrap();
        for at in [0, 65_535, 200_000 - 65_536, 199_999] {
            bytes[at] = 8;
            std::fs::write(&path, &bytes).unwrap();
            assert_ne!(content(&path).unwrap(), before, "byte {at}");
            bytes[at] = 7;
        }
        bytes.push(7);
        std::fs::write(&path, &bytes).unwrap();
        assert_ne!(content(&path).unwrap(), before);
    }
}
