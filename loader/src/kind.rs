//! The kind of a file in a folder of photos, by its first bytes and not by its name alone: phones name some
//! HEIC photos `.jpg`, and people rename files.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::file;

/// What a class folder contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// PNG, JPEG or WebP; or a file with such a name and of no other known kind.
    Photo,
    /// HEIC or HEIF, the format of iPhones.
    Heic,
    /// AVIF.
    Avif,
    /// A camera's raw file.
    Raw,
    /// GIF, BMP, TIFF, JPEG XL, SVG or the like.
    OtherImage,
    /// A video, such as that of a "live photo".
    Video,
    /// A folder inside a class folder.
    Folder,
    /// A folder of runs of this program, which is not a class.
    Runs,
    /// A photo beside the class folders, which belongs to no class.
    Loose,
    /// A link to nothing, or a circular link.
    BrokenLink,
    /// A file that cannot be read.
    Unreadable,
    /// Text, or anything else.
    Other,
}

impl FileKind {
    /// The kind of the file at `path`; links are followed. Reads a few bytes.
    pub fn of(path: &Path) -> Self {
        let Ok(status) = fs::metadata(path) else {
            let link = fs::symlink_metadata(path).is_ok_and(|status| status.is_symlink());
            return if link { Self::BrokenLink } else { Self::Unreadable };
        };
        if status.is_dir() {
            return Self::Folder;
        }
        if !status.is_file() {
            // Pipes and devices, which could be endless.
            return Self::Other;
        }
        let mut first = Vec::new();
        match file::open(path).map(|(file, _)| file.take(16).read_to_end(&mut first)) {
            Ok(Ok(_)) => by_content(&first, path).unwrap_or_else(|| by_name(path)),
            _ => Self::Unreadable,
        }
    }

    /// Whether these are the first bytes of an image or a video.
    pub(crate) fn is_image(first: &[u8]) -> bool {
        first.starts_with(b"RIFF") || by_content(first, Path::new("")).is_some()
    }

    /// Of `count` such files, for people: `2 HEIC photos`.
    pub(crate) fn counted(self, count: usize) -> String {
        let (one, many) = match self {
            Self::Photo => ("photo", "photos"),
            Self::Heic => ("HEIC photo", "HEIC photos"),
            Self::Avif => ("AVIF image", "AVIF images"),
            Self::Raw => ("raw photo", "raw photos"),
            Self::OtherImage => ("image of another format", "images of other formats"),
            Self::Video => ("video", "videos"),
            Self::Folder => ("folder inside a class folder", "folders inside class folders"),
            Self::Runs => ("folder of this program's runs", "folders of this program's runs"),
            Self::Loose => ("photo beside the class folders", "photos beside the class folders"),
            Self::BrokenLink => ("link that leads nowhere", "links that lead nowhere"),
            Self::Unreadable => ("file that cannot be read", "files that cannot be read"),
            Self::Other => ("file that is not an image", "files that are not images"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }

    /// What a person can do so that such files are used.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Heic => Some(
                "convert them to JPEG (macOS: `sips -s format jpeg *.heic --out .`; Linux: `heif-convert`), \
                 or set the camera to JPEG (iPhone: Settings, Camera, Formats, Most Compatible)",
            ),
            Self::Avif | Self::OtherImage => Some("convert them to PNG, JPEG or WebP"),
            Self::Raw => Some("export them as JPEG from the camera's program"),
            Self::Folder => Some("move the photos up: one folder is one class"),
            Self::Loose => Some("move them into the folder of their class"),
            Self::Unreadable => Some("look at their permissions"),
            _ => None,
        }
    }
}

/// Signatures at the beginning of a file.
fn by_content(first: &[u8], path: &Path) -> Option<FileKind> {
    // ISO base media files: "ftyp" and a brand. `mif1` and `msf1` may be HEIC or AVIF.
    if let (Some(b"ftyp"), Some(brand)) = (first.get(4..8), first.get(8..12)) {
        return Some(match brand {
            b"avif" | b"avis" => FileKind::Avif,
            b"mif1" | b"msf1" if has_extension(path, &["avif"]) => FileKind::Avif,
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => FileKind::Heic,
            b"crx " => FileKind::Raw,
            _ => FileKind::Video,
        });
    }
    let starts = |signature: &[u8]| first.starts_with(signature);
    if starts(b"\x89PNG\r\n\x1a\n")
        || starts(b"\xff\xd8\xff")
        || (starts(b"RIFF") && first.get(8..12) == Some(b"WEBP"))
    {
        Some(FileKind::Photo)
    } else if starts(b"II*\0") || starts(b"MM\0*") {
        // Most raw formats are TIFF inside.
        Some(if has_extension(path, &["tif", "tiff"]) { FileKind::OtherImage } else { FileKind::Raw })
    } else if starts(b"GIF8") || starts(b"BM") || starts(b"\xff\x0a") || starts(b"\0\0\0\x0cJXL ") {
        Some(FileKind::OtherImage)
    } else {
        None
    }
}

/// For files whose signature is missing. A photo that was cut off at its first byte should be reported by its
/// decoder, not overlooked.
fn by_name(path: &Path) -> FileKind {
    let known: [(FileKind, &[&str]); 6] = [
        (FileKind::Photo, &["png", "jpg", "jpeg", "jpe", "jfif", "webp"]),
        (FileKind::Heic, &["heic", "heif", "hif"]),
        (FileKind::Avif, &["avif"]),
        (FileKind::Raw, &["cr2", "cr3", "nef", "arw", "dng", "raf", "orf", "rw2"]),
        (FileKind::OtherImage, &["gif", "bmp", "tif", "tiff", "svg", "jxl", "jp2", "psd", "ico"]),
        (FileKind::Video, &["mp4", "mov", "m4v", "avi", "mkv", "webm", "mts"]),
    ];
    known
        .into_iter()
        .find(|(_, extensions)| has_extension(path, extensions))
        .map_or(FileKind::Other, |(kind, _)| kind)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or(OsStr::new(""));
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_before_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            FileKind::of(&path)
        };
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        assert_eq!(kind("IMG_1.HEIC", heic), FileKind::Heic);
        assert_eq!(kind("renamed.jpg", heic), FileKind::Heic);
        assert_eq!(kind("a.heif", b"\0\0\0\x18ftypmif1"), FileKind::Heic);
        assert_eq!(kind("a.avif", b"\0\0\0\x18ftypmif1"), FileKind::Avif);
        assert_eq!(kind("b.png", b"\0\0\0\x18ftypavif"), FileKind::Avif);
        assert_eq!(kind("live.MOV", b"\0\0\0\x14ftypqt  "), FileKind::Video);
        assert_eq!(kind("a.jpg", b"\xff\xd8\xff\xe0"), FileKind::Photo);
        assert_eq!(kind("noname", b"\x89PNG\r\n\x1a\nrest"), FileKind::Photo);
        assert_eq!(kind("b.JPG", b"RIFF\x10\0\0\0WEBPVP8 "), FileKind::Photo);
        assert_eq!(kind("sound.wav", b"RIFF\x10\0\0\0WAVEfmt "), FileKind::Other);
        assert_eq!(kind("a.CR2", b"II*\0\x10\0\0\0CR"), FileKind::Raw);
        assert_eq!(kind("a.tif", b"II*\0\x10\0\0\0"), FileKind::OtherImage);
        assert_eq!(kind("anim.jpeg", b"GIF89a"), FileKind::OtherImage);
    }

    #[test]
    fn the_name_decides_where_the_content_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            FileKind::of(&path)
        };
        assert_eq!(kind("empty.Jpg"), FileKind::Photo);
        assert_eq!(kind("empty.HEIC"), FileKind::Heic);
        assert_eq!(kind("notes.txt"), FileKind::Other);
        assert_eq!(kind("README"), FileKind::Other);
        assert_eq!(FileKind::of(folder.path()), FileKind::Folder);
        assert_eq!(FileKind::of(&folder.path().join("absent.jpg")), FileKind::Unreadable);
    }
}
