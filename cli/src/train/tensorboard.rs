//! A run's metrics as an event file for TensorBoard.
//!
//! The file is a row of records: the length (8 bytes), its checksum (4), the data, and the data's checksum (4),
//! all little-endian (TensorFlow's `record_writer.h`). The data is a protocol buffer, [`Event`], of which only
//! the fields that scalars need are written here (`event.proto`, `summary.proto`).

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

use crate::error::{Error, Result};
use crate::train::metrics::Line;

/// The file's name in a run's folder. TensorBoard looks for `tfevents` in names. A resumed run appends to the
/// file.
pub const EVENTS: &str = "events.out.tfevents.frostline";
/// The contents of the first record.
const VERSION: &str = "brain.Event:2";
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// TensorFlow's `Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    /// Optional, because a plain 0 would not be written.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

impl Event {
    fn first() -> Self {
        Self { file_version: Some(VERSION.to_owned()), ..Self::default() }
    }

    /// The values of a line under the names that they have in `metrics.jsonl`.
    fn of(line: &Line) -> Self {
        let values = [
            ("lr", line.lr),
            ("loss", line.loss),
            ("accuracy", line.accuracy),
            ("val_loss", line.val_loss.map(|value| value as f32)),
            ("val_accuracy", line.val_accuracy.map(|value| value as f32)),
        ];
        let scalar = |(tag, value): (&str, Option<f32>)| {
            Some(Scalar { tag: tag.to_owned(), simple_value: Some(value?) })
        };
        let value = values.into_iter().filter_map(scalar).collect();
        Self { step: line.step as i64, summary: Some(Summary { value }), ..Self::default() }
    }

    /// Whether a record has the same contents, whatever its time.
    fn is_in(&self, data: &[u8]) -> bool {
        let timeless = |event| Self { wall_time: 0.0, ..event };
        // Compares bytes, because NaN is not equal to itself.
        Self::decode(data).is_ok_and(|event| timeless(event).encode_to_vec() == self.encode_to_vec())
    }
}

/// Brings the event file at `path` up to `lines`. Records with the contents of `lines` stay, with their
/// times; those of steps that a killed run repeats are removed, and so is one that was cut off. The rest is
/// appended: TensorBoard follows a file that grows.
///
/// # Errors
/// [`Error::Write`] if it cannot be read and written.
pub fn write(path: &Path, lines: &[Line]) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    write_at(path, lines, now).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn write_at(path: &Path, lines: &[Line], now: f64) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let mut there = vec![];
    file.read_to_end(&mut there)?;
    let mut events = std::iter::once(Event::first()).chain(lines.iter().map(Event::of)).peekable();
    let mut rest = &there[..];
    while let Some((data, after)) = first_record(rest)
        && events.next_if(|event| event.is_in(data)).is_some()
    {
        rest = after;
    }
    let kept = (there.len() - rest.len()) as u64;
    file.set_len(kept)?;
    file.seek(SeekFrom::Start(kept))?;
    let new = events.flat_map(|event| record(&Event { wall_time: now, ..event }.encode_to_vec()));
    file.write_all(&new.collect::<Vec<u8>>())
}

/// TensorFlow's masked CRC-32C: a plain checksum of data that contains checksums would detect little.
fn checksum(data: &[u8]) -> u32 {
    CRC32C.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let [of_length, of_data] = [checksum(&length), checksum(data)].map(u32::to_le_bytes);
    [&length[..], &of_length, data, &of_data].concat()
}

/// The data of the first of `records`, if it is whole, and the records after it.
fn first_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = records.split_first_chunk::<8>()?;
    let (of_length, rest) = rest.split_first_chunk::<4>()?;
    let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (of_data, rest) = rest.split_first_chunk::<4>()?;
    let whole =
        u32::from_le_bytes(*of_length) == checksum(length) && u32::from_le_bytes(*of_data) == checksum(data);
    whole.then_some((data, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let step = |step, lr, loss| Line {
            step,
            lr: Some(lr),
            loss: Some(loss),
            accuracy: Some(0.0),
            ..Line::default()
        };
        let evaluation =
            |step, loss| Line { step, val_loss: Some(loss), val_accuracy: Some(0.75), ..Line::default() };
        vec![evaluation(0, 1.25), step(1, 1e-3, 0.7), step(2, 0.02, 1e-8), evaluation(2, 0.1)]
    }

    /// Of `tests/cases/events.py`, which writes the same with Python's `tensorboard`.
    const GOLDEN: &[u8] = include_bytes!("../../tests/cases/events.out.tfevents.golden");

    #[test]
    fn the_bytes_are_tensorboards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENTS);
        write_at(&path, &lines(), 1.5e9).unwrap();
        assert!(std::fs::read(&path).unwrap() == GOLDEN);
    }

    #[test]
    fn a_file_grows_and_what_was_cut_off_or_is_taken_again_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENTS);
        let (lines, bytes) = (lines(), || std::fs::read(&path).unwrap());
        for count in 0..=lines.len() {
            write_at(&path, &lines[..count], 1.5e9).unwrap();
            assert!(GOLDEN.starts_with(&bytes()), "{count}");
        }
        assert!(bytes() == GOLDEN);
        // Existing records keep their time.
        write_at(&path, &lines, 2e9).unwrap();
        assert!(bytes() == GOLDEN);
        // A record that was cut off, and one with a wrong byte.
        for broken in
            [GOLDEN[..GOLDEN.len() - 3].to_vec(), [&GOLDEN[..60], &[!GOLDEN[60]], &GOLDEN[61..]].concat()]
        {
            std::fs::write(&path, broken).unwrap();
            write_at(&path, &lines, 1.5e9).unwrap();
            assert!(bytes() == GOLDEN);
        }
        // A killed run's last steps, taken again with another outcome.
        let other = [&lines[..2], &[Line { step: 2, loss: Some(f32::NAN), ..Line::default() }]].concat();
        write_at(&path, &other, 2e9).unwrap();
        write_at(&path, &other, 3e9).unwrap();
        let mut rest = &bytes()[..];
        let mut times = vec![];
        while let Some((data, after)) = first_record(rest) {
            times.push(Event::decode(data).unwrap().wall_time);
            rest = after;
        }
        assert!(rest.is_empty());
        assert_eq!(times, [1.5e9, 1.5e9, 1.5e9, 2e9]);
    }
}
