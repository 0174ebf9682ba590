//! Images with labels: the sheets that come with the repository, and what somebody drops into a page.

use crate::fault::{Fault, Result};
use frostline_loader::{ImageSet, stratified_split, stratified_subset};
use wasm_bindgen::prelude::*;

/// Share of a sheet that the lesson keeps to choose settings by; the rest is its pool.
const VALIDATION: f64 = 0.2;

/// Images of one size, with their classes.
#[wasm_bindgen]
pub struct Images {
    pub(crate) set: ImageSet,
}

impl Images {
    /// The images, for Rust.
    pub fn set(&self) -> &ImageSet {
        &self.set
    }
}

#[wasm_bindgen]
impl Images {
    /// An image sheet: the bytes of its PNG and of its JSON.
    pub fn sheet(png: &[u8], json: &[u8]) -> Result<Images> {
        Ok(Self { set: ImageSet::from_sheet(png, json)? })
    }

    /// Images of `side` × `side` pixels with `channels` bytes each, one after another; `classes` is a JSON
    /// array of names.
    pub fn new(
        pixels: Vec<u8>,
        side: usize,
        channels: usize,
        labels: Vec<u32>,
        classes: &str,
    ) -> Result<Images> {
        let classes: Vec<String> = serde_json::from_str(classes)?;
        if pixels.len() != labels.len() * side * side * channels {
            let got = pixels.len();
            let count = labels.len();
            return Err(Fault::input(format!(
                "{count} images of {side} × {side} × {channels} bytes, got {got} bytes"
            )));
        }
        if let Some(at) = labels.iter().position(|&label| label as usize >= classes.len()) {
            return Err(Fault::input(format!(
                "image {at} has the label {}, and there are {} classes",
                labels[at],
                classes.len()
            )));
        }
        Ok(Self { set: ImageSet { height: side, width: side, channels, images: pixels, labels, classes } })
    }

    /// What the lesson draws training images from: four fifths.
    pub fn pool(&self) -> Result<Images> {
        let split = stratified_split(&self.set.label_indices(), VALIDATION, 0)?;
        Ok(Self { set: self.set.subset(&split.train)? })
    }

    /// `count` of the images, all classes alike, as `seed` draws them; a larger `count` only adds.
    pub fn draw(&self, count: usize, seed: u64) -> Result<Images> {
        let indices = stratified_subset(&self.set.label_indices(), count, self.set.classes.len(), seed)?;
        Ok(Self { set: self.set.subset(&indices)? })
    }

    /// At most `count` of the images, the same at every call.
    pub fn some(&self, count: usize) -> Result<Images> {
        if self.set.is_empty() {
            return Ok(Self { set: self.set.clone() });
        }
        self.draw(count.min(self.set.len()), 0)
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.set.len()
    }

    /// Pixels a side.
    pub fn side(&self) -> usize {
        self.set.height
    }

    /// Bytes a pixel.
    pub fn channels(&self) -> usize {
        self.set.channels
    }

    /// All pixels, image by image.
    pub fn pixels(&self) -> Vec<u8> {
        self.set.images.clone()
    }

    /// The class of each image.
    pub fn labels(&self) -> Vec<u32> {
        self.set.labels.clone()
    }

    /// Names of the classes: JSON.
    pub fn classes(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.set.classes)?)
    }
}
