//! The header of a safetensors file: parsed, then checked against the length of the file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::mistaken::mistaken;
use super::{Dtype, ended_early, is_counter};
use crate::Error;
use crate::error::clip;
use crate::tensor::element_count;

/// The limit of the reference implementation: 100 MB, thousands of times a real header.
const MAX_HEADER: u64 = 100_000_000;
/// Far more than any network has (ResNet-152 has 932), and far too few to exhaust memory. A parsed entry
/// takes several times the memory of its text, so the header's length alone does not bound memory.
const MAX_TENSORS: usize = 65_536;
const MAX_DIMENSIONS: usize = 8;
/// Longer names would make error messages unreadable.
const MAX_NAME: usize = 1024;

pub(super) struct Header {
    /// In the order of their bytes, which follow each other without gap or overlap.
    pub entries: Vec<Entry>,
    pub metadata: BTreeMap<String, String>,
}

pub(super) struct Entry {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// First byte, and the byte after the last, counted from the end of the header.
    pub begin: u64,
    pub end: u64,
}

/// Reads and checks the header of a file of `length` bytes; leaves `source` at the first tensor.
pub(super) fn read(source: &mut impl Read, length: u64, path: &Path) -> Result<Header, Error> {
    let truncated = |needed| Error::Truncated { path: path.to_owned(), needed, actual: length };
    if length < 8 {
        return Err(truncated(8));
    }
    let mut prefix = [0; 8];
    source.read_exact(&mut prefix).map_err(|error| ended_early(error, length, path))?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > MAX_HEADER {
        if let Some((what, advice)) = mistaken(&prefix) {
            return Err(Error::NotWeights { path: path.to_owned(), what, advice });
        }
        return Err(Error::HeaderTooLarge {
            path: path.to_owned(),
            header: header_length,
            limit: MAX_HEADER,
        });
    }
    let data_length = length.checked_sub(8 + header_length).ok_or_else(|| truncated(8 + header_length))?;

    let mut json = vec![0; header_length as usize];
    source.read_exact(&mut json).map_err(|error| ended_early(error, length, path))?;
    let raw: RawHeader = serde_json::from_slice(&json)
        .map_err(|error| Error::Header { path: path.to_owned(), reason: clip(error) })?;

    let mut names = HashSet::new();
    if let Some((name, _)) = raw.tensors.iter().find(|(name, _)| !names.insert(name)) {
        return Err(Error::DuplicateTensor { path: path.to_owned(), tensor: name.clone() });
    }
    let mut entries = raw
        .tensors
        .into_iter()
        .map(|(name, tensor)| check_entry(name, tensor, data_length, path))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| (entry.begin, entry.end));
    check_contiguous(&entries, data_length, path)?;
    Ok(Header { entries, metadata: raw.metadata })
}

/// Checks one tensor: it is inside the file, has as many bytes as its shape needs, and has a supported type.
fn check_entry(name: String, tensor: RawTensor, available: u64, path: &Path) -> Result<Entry, Error> {
    let path = path.to_owned();
    let [begin, end] = tensor.data_offsets;
    let elements = element_count(&tensor.shape.0);
    let dtype = match tensor.dtype.as_str() {
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::Bf16,
        "I64" if is_counter(&name, elements) => Dtype::I64,
        other => {
            return Err(Error::UnsupportedDtype { path, tensor: name, dtype: clip(other) });
        }
    };
    if begin > end || end > available {
        return Err(Error::TensorOutOfRange { path, tensor: name, begin, end, available });
    }
    let expected = elements.saturating_mul(dtype.size() as u64);
    if expected != end - begin {
        return Err(Error::TensorSize {
            path,
            tensor: name,
            dtype,
            shape: tensor.shape.0,
            expected,
            actual: end - begin,
        });
    }
    Ok(Entry { name, dtype, shape: tensor.shape.0, begin, end })
}

/// Checks all tensors together: each begins where the one before ended, and the last ends the file. With
/// overlaps, a small file could give a large state dict; gaps could contain arbitrary data.
fn check_contiguous(entries: &[Entry], available: u64, path: &Path) -> Result<(), Error> {
    let mut expected = 0;
    for entry in entries {
        if entry.begin != expected {
            return Err(Error::TensorOverlap {
                path: path.to_owned(),
                tensor: entry.name.clone(),
                begin: entry.begin,
                expected,
            });
        }
        expected = entry.end;
    }
    if expected != available {
        return Err(Error::TrailingBytes { path: path.to_owned(), extra: available - expected });
    }
    Ok(())
}

/// The JSON before any check. The visitor is hand-written, because a derived one would accept a duplicate
/// name silently and would build any number of entries before they could be counted.
struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Shape,
    data_offsets: [u64; 2],
}

/// Sizes of at most [`MAX_DIMENSIONS`] dimensions.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object of tensors")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawHeader, M::Error> {
        let mut header = RawHeader { tensors: Vec::new(), metadata: BTreeMap::new() };
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                header.metadata = map.next_value()?;
                continue;
            }
            if name.len() > MAX_NAME {
                return Err(M::Error::custom(format_args!(
                    "a tensor name of {} bytes (at most {MAX_NAME} are allowed)",
                    name.len()
                )));
            }
            if header.tensors.len() == MAX_TENSORS {
                return Err(M::Error::custom(format_args!("more than {MAX_TENSORS} tensors")));
            }
            header.tensors.push((name, map.next_value()?));
        }
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX_DIMENSIONS} sizes")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Shape, S::Error> {
        let mut sizes = Vec::new();
        while sizes.len() < MAX_DIMENSIONS {
            match seq.next_element()? {
                Some(size) => sizes.push(size),
                None => return Ok(Shape(sizes)),
            }
        }
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(Shape(sizes)),
            Some(_) => Err(S::Error::invalid_length(sizes.len() + 1, &self)),
        }
    }
}
