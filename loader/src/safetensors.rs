//! Reading and writing `.safetensors`, the file format that model hubs use for weights.
//!
//! ```text
//! 8 bytes   n, the length of the header, little-endian
//! n bytes   JSON: {"__metadata__": {"key": "value", …},
//!                  "conv1.weight": {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [0, 37632]}, …}
//! the rest  the tensors' bytes, little-endian, row-major; offsets count from here
//! ```
//!
//! Source: <https://huggingface.co/docs/safetensors>. Loading runs no code, which is the purpose of the
//! format. But every number in the header may be wrong, so it is checked against the real length of the file
//! before memory of that size is allocated. Values are then read in small pieces: peak memory is the result
//! plus the header.

mod header;
mod mistaken;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::{Error, HostTensor, StateDict, file};
use header::Entry;

pub use write::{to_bytes, write};

/// The number types of weights. In memory all of them are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision: 11 significant bits, largest value 65504.
    F16,
    /// The upper half of an f32: 8 significant bits, the full range.
    Bf16,
    /// 64-bit integers; only for BatchNorm's scalar counter `num_batches_tracked`.
    I64,
}

impl Dtype {
    /// Size of one value in bytes.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 => 4,
            Dtype::I64 => 8,
        }
    }

    /// The name in the file, `F32`.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
            Dtype::I64 => "I64",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The contents of a safetensors file.
#[derive(Clone, Debug, PartialEq)]
pub struct SafeFile {
    /// The tensors, in the order of their bytes in the file.
    pub tensors: StateDict,
    /// The free text under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The number type each tensor had in the file, by name.
    pub dtypes: BTreeMap<String, Dtype>,
}

/// What to accept besides valid files.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Accept NaN and infinite values, to inspect a run that diverged. They are refused by default.
    pub allow_non_finite: bool,
}

/// Reads a safetensors file of F32, F16 or BF16 tensors.
///
/// I64 is accepted for a single `num_batches_tracked` (as f32: exact up to 2^24 batches).
///
/// # Errors
/// [`Error::Io`] and [`Error::NotAFile`] if it cannot be opened; [`Error::Truncated`],
/// [`Error::TrailingBytes`], [`Error::NotWeights`], [`Error::HeaderTooLarge`], [`Error::Header`],
/// [`Error::DuplicateTensor`], [`Error::TensorOutOfRange`], [`Error::TensorOverlap`] and
/// [`Error::TensorSize`] if it is damaged; [`Error::UnsupportedDtype`] and [`Error::NonFinite`] if it
/// contains values that a network cannot use.
pub fn read(path: impl AsRef<Path>) -> Result<SafeFile, Error> {
    read_with(path, ReadOptions::default())
}

/// [`read`], with options.
///
/// # Errors
/// As [`read`].
pub fn read_with(path: impl AsRef<Path>, options: ReadOptions) -> Result<SafeFile, Error> {
    let path = path.as_ref();
    let (file, length) = file::open(path)?;
    read_from(file, length, path, options)
}

/// Reads a safetensors file that is already in memory, an embedded one for instance. `label` replaces the
/// path in errors.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], label: &Path) -> Result<SafeFile, Error> {
    parse_with(bytes, label, ReadOptions::default())
}

/// [`parse`], with options.
///
/// # Errors
/// As [`read`].
pub fn parse_with(bytes: &[u8], label: &Path, options: ReadOptions) -> Result<SafeFile, Error> {
    read_from(bytes, bytes.len() as u64, label, options)
}

fn read_from(
    mut source: impl Read,
    length: u64,
    path: &Path,
    options: ReadOptions,
) -> Result<SafeFile, Error> {
    let header = header::read(&mut source, length, path)?;
    let mut tensors = StateDict::with_capacity(header.entries.len());
    let mut dtypes = BTreeMap::new();
    for entry in header.entries {
        let data = read_values(&mut source, &entry, length, path)?;
        if !options.allow_non_finite {
            check_finite(&entry.name, &entry.shape, &data, path)?;
        }
        dtypes.insert(entry.name.clone(), entry.dtype);
        let shape = entry.shape;
        tensors.insert(entry.name, HostTensor { shape, data });
    }
    Ok(SafeFile { tensors, metadata: header.metadata, dtypes })
}

/// Reads and widens one tensor's values, a buffer at a time. The header was checked, so the file is as long
/// as the entry requires.
fn read_values(source: &mut impl Read, entry: &Entry, length: u64, path: &Path) -> Result<Vec<f32>, Error> {
    let mut buffer = [0u8; 16 * 1024];
    let mut left = (entry.end - entry.begin) as usize;
    let mut values = Vec::new();
    values
        .try_reserve_exact(left / entry.dtype.size())
        .map_err(|_| Error::io(path, "load")(std::io::ErrorKind::OutOfMemory.into()))?;
    while left > 0 {
        let piece = &mut buffer[..left.min(16 * 1024)];
        source.read_exact(piece).map_err(|error| ended_early(error, length, path))?;
        match entry.dtype {
            Dtype::F32 => values.extend(words(piece).map(f32::from_le_bytes)),
            Dtype::F16 => {
                values.extend(words(piece).map(|b| half::f16::from_le_bytes(b).to_f32()));
            }
            Dtype::Bf16 => {
                values.extend(words(piece).map(|b| half::bf16::from_le_bytes(b).to_f32()));
            }
            Dtype::I64 => values.extend(words(piece).map(|b| i64::from_le_bytes(b) as f32)),
        }
        left -= piece.len();
    }
    Ok(values)
}

/// The bytes in groups of `N`; their number is a multiple of `N`.
fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks().0.iter().copied()
}

/// The length was right when the file was opened, so an early end means that it shrank since.
fn ended_early(error: std::io::Error, length: u64, path: &Path) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Truncated {
            path: path.to_owned(),
            needed: length,
            actual: std::fs::metadata(path).map_or(0, |status| status.len()),
        },
        _ => Error::io(path, "read")(error),
    }
}

/// Fails on the first NaN or infinity.
fn check_finite(name: &str, shape: &[usize], data: &[f32], path: &Path) -> Result<(), Error> {
    match data.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NonFinite {
            path: path.to_owned(),
            tensor: name.to_owned(),
            shape: shape.to_vec(),
            index,
            value: data[index],
        }),
    }
}

/// BatchNorm's count of batches, an integer among floats.
fn is_counter(name: &str, elements: u64) -> bool {
    elements == 1 && name.rsplit('.').next() == Some("num_batches_tracked")
}
