//! A path in JSON, with any bytes: text if it is Unicode, as in serde, else its bytes. A run's settings are
//! read again, so its path must be stored exactly.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    /// What the platform's `OsStr` holds.
    Encoded(PathBytes),
}

#[derive(Deserialize, Serialize)]
struct PathBytes {
    bytes: Vec<u8>,
}

pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    let stored = match path.to_str() {
        Some(text) => Stored::Text(text.to_owned()),
        None => Stored::Encoded(PathBytes { bytes: path.as_os_str().as_encoded_bytes().to_owned() }),
    };
    stored.serialize(to)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    Ok(match Stored::deserialize(from)? {
        Stored::Text(text) => text.into(),
        Stored::Encoded(path) => from_bytes(path.bytes),
    })
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;

    std::ffi::OsString::from_vec(bytes).into()
}

/// Only Unix has paths of any bytes. On other systems, such a path was written on another machine.
#[cfg(not(unix))]
fn from_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Holder(#[serde(with = "super")] PathBuf);

    fn there_and_back(path: PathBuf) -> String {
        let json = serde_json::to_string(&Holder(path.clone())).unwrap();
        let Holder(back) = serde_json::from_str(&json).unwrap();
        assert_eq!(back, path);
        json
    }

    #[test]
    fn every_path_comes_back() {
        assert_eq!(there_and_back("/photos/\u{e4} b".into()), "\"/photos/\u{e4} b\"");
        #[cfg(unix)]
        assert_eq!(there_and_back(from_bytes(b"/x\xe4".to_vec())), r#"{"bytes":[47,120,228]}"#);
    }
}
