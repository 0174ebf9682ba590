//! The readers, and their possible results.

use std::path::Path;

use clap::ValueEnum;
use frostline_loader::image::{self, Limits};
use frostline_loader::safetensors::{ReadOptions, parse_with};
use frostline_loader::shuffle::below;
use frostline_loader::{Checkpoint, Error, HostTensor, Preprocessing};
use rand_chacha::ChaCha8Rng;

use crate::corpus::Sample;
use crate::mutate::{damage, damage_safetensors, mend_png};

/// A reader and its files. Its number is a part of the seed of a case, so it must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Weights: `safetensors::parse`
    Safetensors = 0,
    /// A run to resume: `Checkpoint::parse`
    Checkpoint = 1,
    /// PNG, JPEG and WebP: `image::decode` and the preprocessing
    Images = 3,
}

/// A reader's result for a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It read valid contents.
    Accepted,
    /// It returned an error of this kind.
    Refused(String),
    /// It failed.
    Broken(String),
}

/// Images larger than this are refused by their headers. Small, for speed; the rule is that of the
/// default, which is 89 million pixels.
const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_side: 4096 };

const JSON: [&str; 26] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e999",
    "0.5",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\\",
    "\"__metadata__\":",
    "\"dtype\":",
    "\"shape\":",
    "\"data_offsets\":",
    "\"F32\"",
    "\"F16\"",
    "\"BF16\"",
    "\"I64\"",
    "\"BOOL\"",
    " ",
];
const CHUNKS: [&str; 20] = [
    "IHDR", "PLTE", "IDAT", "IEND", "tRNS", "eXIf", "iCCP", "acTL", "fcTL", "fdAT", "RIFF", "WEBP", "VP8 ",
    "VP8L", "VP8X", "ANMF", "ALPH", "EXIF", "Exif\0\0", "JFIF\0",
];

impl Target {
    /// Its name, which is also its folder's in the corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Checkpoint => "checkpoint",
            Self::Images => "images",
        }
    }

    /// A damaged file, decided by `rng`. The corpus has at least one.
    pub fn damaged(self, corpus: &[Sample], rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut any = || &corpus[below(corpus.len() as u64, rng) as usize].bytes;
        let (mut bytes, donor) = (any().clone(), any());
        let mended = below(4, rng) > 0;
        match self {
            Self::Safetensors | Self::Checkpoint if mended => {
                damage_safetensors(&mut bytes, &JSON, donor, rng)
            }
            Self::Safetensors | Self::Checkpoint => damage(&mut bytes, &JSON, donor, rng),
            Self::Images => {
                damage(&mut bytes, &CHUNKS, donor, rng);
                if mended && bytes.starts_with(b"\x89PNG") {
                    mend_png(&mut bytes);
                }
            }
        }
        bytes
    }

    /// Reads a case as its bytes say, sound or not.
    pub fn read(self, bytes: &[u8]) -> Verdict {
        match self {
            Self::Safetensors => safetensors(bytes),
            Self::Checkpoint => checkpoint(bytes),
            Self::Images => images(bytes),
        }
    }
}

fn safetensors(bytes: &[u8]) -> Verdict {
    // To inspect a diverged run, more is accepted.
    let options = ReadOptions { allow_non_finite: bytes.len().is_multiple_of(2) };
    let file = match parse_with(bytes, Path::new("case"), options) {
        Ok(file) => file,
        Err(error) => return refused(&error),
    };
    let mut data = 0;
    for (name, tensor) in &file.tensors {
        if let Some(broken) = inconsistent(name, tensor) {
            return broken;
        }
        if !options.allow_non_finite && tensor.data.iter().any(|value| !value.is_finite()) {
            return Verdict::Broken(format!("tensor {name:?} contains a value that is not finite"));
        }
        data += tensor.data.len() * file.dtypes[name].size();
    }
    let header = bytes.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix) as usize);
    if 8 + header + data != bytes.len() {
        return Verdict::Broken(format!(
            "{} bytes in tensors, of a file of {} with a header of {header}",
            data,
            bytes.len()
        ));
    }
    Verdict::Accepted
}

fn checkpoint(bytes: &[u8]) -> Verdict {
    let checkpoint = match Checkpoint::parse(bytes, Path::new("case")) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return refused(&error),
    };
    for (name, tensor) in checkpoint.weights.iter().chain(&checkpoint.optimizer) {
        if let Some(broken) = inconsistent(name, tensor) {
            return broken;
        }
    }
    if let Err(error) = checkpoint.preprocessing.check() {
        return Verdict::Broken(format!("accepted, but {error}"));
    }
    Verdict::Accepted
}

fn images(bytes: &[u8]) -> Verdict {
    let image = match image::decode_with(bytes, Path::new("case"), LIMITS) {
        Ok(image) => image,
        // The reader catches the panic, so that a run continues; it still counts as a failure.
        Err(Error::CorruptImage { reason, .. }) if reason == image::PANICKED => {
            return Verdict::Broken(reason);
        }
        Err(error) => return refused(&error),
    };
    let pixels = image.width * image.height;
    if image.data.len() != 3 * pixels || pixels as u64 > LIMITS.max_pixels {
        return Verdict::Broken(format!(
            "{}x{} pixels in {} bytes",
            image.width,
            image.height,
            image.data.len()
        ));
    }
    match Preprocessing::imagenet(32).pixels(&image) {
        Ok(pixels) if pixels.len() != 32 * 32 * 3 => {
            Verdict::Broken(format!("{} bytes after preprocessing", pixels.len()))
        }
        Ok(_) => Verdict::Accepted,
        Err(error) => refused(&error),
    }
}

fn inconsistent(name: &str, tensor: &HostTensor) -> Option<Verdict> {
    let wrong = tensor.shape.iter().product::<usize>() != tensor.data.len();
    wrong.then(|| {
        Verdict::Broken(format!("tensor {name:?}: shape {:?}, {} values", tensor.shape, tensor.data.len()))
    })
}

/// An error must be printable.
fn refused(error: &(impl std::error::Error + 'static)) -> Verdict {
    let kind =
        format!("{error:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    plain(&error.to_string()).unwrap_or(Verdict::Refused(kind))
}

/// Printed text must not contain control characters, because a file could otherwise control the terminal.
fn plain(text: &str) -> Option<Verdict> {
    let control = text.chars().find(|&c| c.is_control() && c != '\n')?;
    Some(Verdict::Broken(format!("its text contains the control character {control:?}: {text:?}")))
}
