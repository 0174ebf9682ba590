//! The valid files from which cases are made, in `corpus/`, one folder per target.
//!
//! Weights and checkpoints are made by [`make`] (`frostline-fuzz --make-corpus`), images by
//! `corpus/images.py`; the loader's golden images are used as well.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use frostline_loader::safetensors::{self, Dtype};
use frostline_loader::{Checkpoint, HostTensor, Preprocessing, StateDict};

use crate::target::Target;

/// A sound file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// The errors of making a corpus.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are those of the parts")]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Loader(#[from] frostline_loader::Error),
    #[error("{}: no valid files to begin from", path.display())]
    Empty { path: PathBuf },
}

fn folder(target: Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name())
}

/// The valid files of `target`, by name.
///
/// # Errors
/// If they cannot be read, or there are none.
pub fn load(target: Target) -> Result<Vec<Sample>, Error> {
    let folder = folder(target);
    let mut samples = files(&folder, |_| true)?;
    if target == Target::Images {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../loader/tests/golden");
        samples.extend(files(&golden, |name| name.starts_with("decode_") || name == "noise.png")?);
    }
    if samples.is_empty() { Err(Error::Empty { path: folder }) } else { Ok(samples) }
}

/// Damaged files of `target` on which a reader once failed, by name.
///
/// # Errors
/// If they cannot be read.
pub fn findings(target: Target) -> Result<Vec<Sample>, Error> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("findings").join(target.name()), |_| true)
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Sample>, Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut samples = vec![];
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if wanted(&name) {
            samples.push(Sample { name, bytes: fs::read(&path).map_err(io)? });
        }
    }
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(samples)
}

/// Writes the corpora of weights and checkpoints.
///
/// # Errors
/// If a file cannot be written.
pub fn make() -> Result<(), Error> {
    let weights = weights();
    let at = |target, name: &str| folder(target).join(name);
    for (name, dtype) in [("f32", Dtype::F32), ("f16", Dtype::F16), ("bf16", Dtype::Bf16)] {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::write(
            at(Target::Safetensors, &format!("{name}.safetensors")),
            &weights,
            &metadata,
            dtype,
        )?;
    }
    let nothing = BTreeMap::new();
    safetensors::write(
        at(Target::Safetensors, "empty.safetensors"),
        &StateDict::new(),
        &nothing,
        Dtype::F32,
    )?;
    let counter = br#"{"bn1.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[8,16]},"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}    "#;
    let mixed = [&(counter.len() as u64).to_le_bytes(), counter.as_slice(), &[0x3f; 8], &77u64.to_le_bytes()]
        .concat();
    write(&at(Target::Safetensors, "mixed.safetensors"), &mixed)?;

    let checkpoint = checkpoint(weights);
    for target in [Target::Safetensors, Target::Checkpoint] {
        checkpoint.save(at(target, "run.safetensors"))?;
    }
    Checkpoint { optimizer: StateDict::new(), extra: BTreeMap::new(), ..checkpoint.clone() }
        .save(at(Target::Checkpoint, "plain.safetensors"))?;
    let delta = r#"{"architecture":"resnet10","first_stride":1,"classes":["cat","dog"],"preprocessing":{"resize":null,"crop":8,"channels":1,"mean":[0.5],"std":[0.5]},"shared":["conv1.weight"],"base":"00ff"}"#;
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("frostline.delta".to_owned(), delta.to_owned()),
    ]);
    safetensors::write(
        at(Target::Safetensors, "delta.safetensors"),
        &checkpoint.weights,
        &metadata,
        Dtype::F32,
    )?;

    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::Io { path: path.to_owned(), source })
}

fn weights() -> StateDict {
    let tensor = |shape: &[usize]| {
        let count: usize = shape.iter().product();
        HostTensor { shape: shape.to_vec(), data: (0..count).map(|i| i as f32 / 8.0 - 1.0).collect() }
    };
    let shapes: [(&str, &[usize]); 6] = [
        ("conv1.weight", &[2, 1, 3, 3]),
        ("bn1.weight", &[2]),
        ("bn1.running_var", &[2]),
        ("fc.weight", &[2, 2]),
        ("fc.bias", &[2]),
        ("scalar", &[]),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), tensor(shape))).collect()
}

fn checkpoint(weights: StateDict) -> Checkpoint {
    let run = r#"{"first_stride":1,"batch_norm":"follow_freeze","run":{"step":3,"steps":9,"batches":{"seed":1,"epoch":0,"position":3},"settings":{"batch":"4"}}}"#;
    Checkpoint {
        architecture: "resnet10".to_owned(),
        classes: vec!["cat".to_owned(), "犬 \"dog\"".to_owned()],
        preprocessing: Preprocessing {
            resize: Some(9),
            crop: 8,
            channels: 1,
            mean: vec![0.5],
            std: vec![0.25],
            ..Preprocessing::imagenet(8)
        },
        frozen: vec!["conv1.weight".to_owned()],
        seed: u64::MAX,
        step: 3,
        epoch: 0,
        extra: [("trainer".to_owned(), run.to_owned())].into(),
        optimizer: [("momentum_buffer.fc.weight".to_owned(), weights["fc.weight"].clone())].into(),
        weights,
    }
}
