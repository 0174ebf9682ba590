//! `frostline features`: the output of a stage of a model for photos, for use in other programs.

use crate::output::{path_text, warn};
use crate::photos::Photos;
use crate::{Error, Output, Result, gpu, model};
use clap::Args;
use frostline_loader::safetensors::{self, Dtype};
use frostline_loader::{HostTensor, StateDict, shape_text};
use frostline_trainer::Source;
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The flags.
#[derive(Args, Debug)]
pub struct Features {
    /// A run folder or checkpoint of `frostline train`, weights with a last layer or without, `embedded`, or
    /// hf:owner/name.
    model: OsString,
    /// A folder with one folder of photos per class.
    dir: PathBuf,
    /// Where to write the features: `features` (photos, values), `labels` (photos), and in the metadata
    /// `files`, `classes`, `model` and `stage`.
    #[arg(short, long, default_value = "features.safetensors")]
    out: PathBuf,
    /// The stage whose output is taken: avgpool, layer4 …, or fc for the logits.
    #[arg(long, default_value = "avgpool")]
    stage: String,
    /// Cells per side to which the output is averaged: 1 keeps no position in the image.
    #[arg(long, default_value_t = 1)]
    grid: usize,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Photos per batch: smaller batches need less memory.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
}

impl Features {
    /// Computes and writes.
    ///
    /// # Errors
    /// For a missing model, folder or stage; [`Error::Unreadable`] at the end if a photo could not be read.
    /// Such photos are left out.
    pub fn run(&self, output: &Output) -> Result<()> {
        Error::if_no_folder(&self.out)?;
        Error::if_exists(&self.out, self.force)?;
        let mut opened = model::open_body(&gpu::open()?, &self.model)?;
        opened.learner.set_evaluation_batch(usize::from(self.batch));
        let (photos, warnings) = Photos::all_classes(&self.dir, opened.learner.preprocessing().clone())?;
        for warning in warnings {
            warn(warning);
        }
        let features = opened.learner.features(&photos, &self.stage, self.grid)?;
        let readable = photos.readable();
        let kept = features.subset(&readable);

        let files: Vec<_> = readable.iter().map(|&i| photos.paths()[i].to_string_lossy()).collect();
        let labels = kept.labels.iter().map(|&label| label as f32).collect();
        let shape = vec![readable.len(), kept.width];
        let tensors = StateDict::from_iter([
            ("features".to_owned(), HostTensor::new(shape.clone(), kept.values)?),
            ("labels".to_owned(), HostTensor::new(vec![readable.len()], labels)?),
        ]);
        let metadata = BTreeMap::from([
            ("files".to_owned(), json!(files).to_string()),
            ("classes".to_owned(), json!(photos.classes()).to_string()),
            ("model".to_owned(), opened.learner.model().to_string()),
            ("stage".to_owned(), self.stage.clone()),
        ]);
        safetensors::write(&self.out, &tensors, &metadata, Dtype::F32)?;
        output.say(format_args!(
            "{}: features {} of {}",
            self.out.display(),
            shape_text(&shape),
            self.stage
        ))?;
        output.json(&json!({
            "file": path_text(&self.out), "shape": shape, "stage": self.stage, "classes": photos.classes()
        }))?;
        photos.tell_unreadable()
    }
}
