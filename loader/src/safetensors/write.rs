//! Writing safetensors. This writer is not a library's, because checkpoints of the same run should have the
//! same bytes: tensors keep the order of the state dict, and metadata is sorted.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::{Dtype, check_finite, is_counter};
use crate::atomic::write_atomically;
use crate::{Error, HostTensor, StateDict};

/// Writes a state dict as a safetensors file, atomically (see [`crate::atomic`]).
///
/// `dtype` is [`Dtype::F32`], [`Dtype::F16`] or [`Dtype::Bf16`], rounding to nearest even.
/// `num_batches_tracked` counters are written as I64, as PyTorch does; they come first, so that
/// every tensor is aligned to its own size, which PyTorch's reader needs.
///
/// # Errors
/// [`Error::ElementCount`], [`Error::NonFinite`], [`Error::TooLargeForHalf`],
/// [`Error::ReservedName`] or [`Error::UnsupportedDtype`] before anything is written, so that no saved file
/// is one that [`super::read`] would refuse; [`Error::Io`] while writing. An earlier file at `path` is then
/// unchanged.
pub fn write(
    path: impl AsRef<Path>,
    tensors: &StateDict,
    metadata: &BTreeMap<String, String>,
    dtype: Dtype,
) -> Result<(), Error> {
    let path = path.as_ref();
    let content = Content::new(path, tensors, metadata, dtype)?;
    write_atomically(path, |file| content.write(file))
}

/// The bytes that [`write()`] writes. `label` replaces the path in errors.
///
/// # Errors
/// As [`write()`]; [`Error::Io`] never.
pub fn to_bytes(
    label: &Path,
    tensors: &StateDict,
    metadata: &BTreeMap<String, String>,
    dtype: Dtype,
) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![];
    Content::new(label, tensors, metadata, dtype)?.write(&mut bytes).map_err(Error::io(label, "write"))?;
    Ok(bytes)
}

/// The parts of a file.
struct Content<'a> {
    header: Vec<u8>,
    tensors: Vec<(&'a HostTensor, Dtype)>,
}

impl<'a> Content<'a> {
    /// Fails for a file that [`super::read`] would refuse.
    fn new(
        path: &Path,
        tensors: &'a StateDict,
        metadata: &BTreeMap<String, String>,
        dtype: Dtype,
    ) -> Result<Self, Error> {
        let mut entries = Vec::with_capacity(tensors.len());
        for (name, tensor) in tensors {
            let stored = match is_counter(name, tensor.data.len() as u64) {
                true => Dtype::I64,
                false => dtype,
            };
            check(path, name, tensor, stored)?;
            entries.push((name, tensor, stored));
        }
        // A stable sort: within one size, the order of the state dict stays.
        entries.sort_by_key(|(_, _, dtype)| std::cmp::Reverse(dtype.size()));

        let mut header = serde_json::Map::new();
        if !metadata.is_empty() {
            header.insert("__metadata__".to_owned(), json!(metadata));
        }
        let mut begin = 0;
        for (name, tensor, dtype) in &entries {
            let end = begin + tensor.data.len() * dtype.size();
            let entry = json!({"dtype": dtype.name(), "shape": tensor.shape, "data_offsets": [begin, end]});
            header.insert((*name).clone(), entry);
            begin = end;
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        // Pads with spaces to a multiple of 8, so that the data begins aligned.
        header.resize(header.len().next_multiple_of(8), b' ');

        let tensors = entries.into_iter().map(|(_, tensor, dtype)| (tensor, dtype)).collect();
        Ok(Self { header, tensors })
    }

    fn write(&self, file: &mut dyn Write) -> io::Result<()> {
        file.write_all(&(self.header.len() as u64).to_le_bytes())?;
        file.write_all(&self.header)?;
        for (tensor, dtype) in &self.tensors {
            write_values(file, &tensor.data, *dtype)?;
        }
        Ok(())
    }
}

fn check(path: &Path, name: &str, tensor: &HostTensor, stored: Dtype) -> Result<(), Error> {
    if name == "__metadata__" {
        return Err(Error::ReservedName {
            path: path.to_owned(),
            tensor: name.to_owned(),
            reason: "the safetensors format reserves this name for its metadata",
        });
    }
    tensor.check(name)?;
    check_finite(name, &tensor.shape, &tensor.data, path)?;
    let round: fn(f32) -> f32 = match stored {
        Dtype::F32 => |value| value,
        Dtype::F16 => |value| half::f16::from_f32(value).to_f32(),
        Dtype::Bf16 => |value| half::bf16::from_f32(value).to_f32(),
        Dtype::I64 if is_counter(name, tensor.data.len() as u64) => |value| value,
        Dtype::I64 => {
            return Err(Error::UnsupportedDtype {
                path: path.to_owned(),
                tensor: name.to_owned(),
                dtype: stored.name().to_owned(),
            });
        }
    };
    match tensor.data.iter().position(|&v| round(v).is_infinite()) {
        None => Ok(()),
        Some(index) => Err(Error::TooLargeForHalf {
            path: path.to_owned(),
            tensor: name.to_owned(),
            index,
            value: tensor.data[index],
            dtype: stored,
        }),
    }
}

/// Values as little-endian bytes, through a buffer of a few thousand.
fn write_values(file: &mut dyn Write, values: &[f32], dtype: Dtype) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4096 * dtype.size());
    for piece in values.chunks(4096) {
        bytes.clear();
        for &value in piece {
            match dtype {
                Dtype::F32 => bytes.extend(value.to_le_bytes()),
                Dtype::F16 => bytes.extend(half::f16::from_f32(value).to_le_bytes()),
                Dtype::Bf16 => bytes.extend(half::bf16::from_f32(value).to_le_bytes()),
                Dtype::I64 => bytes.extend((value as i64).to_le_bytes()),
            }
        }
        file.write_all(&bytes)?;
    }
    Ok(())
}
