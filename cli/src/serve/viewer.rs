//! From a photo's bytes to the network's classes, and the parts of the photo that they come from.

use super::Refusal;
use crate::photos::NOT_A_NUMBER;
use frostline_loader::{Frame, Preprocessing, image};
use frostline_trainer::{ClassActivation, Learner, Result};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// The name of a photo in errors, where `predict` prints its path.
const PHOTO: &str = "the photo";
/// Number of classes with a map; a thousand maps would be larger than the photo.
const MAPS: usize = 10;

/// The network's result for a photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// All classes, the most probable first; of equals, the first.
    classes: Vec<Class>,
    /// The part of the photo (upright) that the network took, which the maps cover.
    seen: Frame,
    /// Time for decoding the photo and for the network, without waiting.
    ms: f64,
}

/// The result for one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Class {
    name: String,
    probability: f64,
    /// The class activation map, row by row: what each position adds to the class's logit.
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<Vec<Vec<f32>>>,
}

/// A model that classifies one photo at a time.
pub struct Viewer<'a> {
    activation: ClassActivation<'a>,
    preprocessing: &'a Preprocessing,
    classes: &'a [String],
}

impl<'a> Viewer<'a> {
    /// A viewer for the model `learner` with these class names.
    ///
    /// # Errors
    /// As [`Learner::class_activation`].
    pub fn new(learner: &'a Learner, classes: &'a [String]) -> Result<Self> {
        Ok(Self { activation: learner.class_activation()?, preprocessing: learner.preprocessing(), classes })
    }

    /// The result for the photo in these bytes (PNG, JPEG or WebP), bit-identical to that of `predict`.
    ///
    /// # Errors
    /// For a photo that `predict` refuses too, with its reason; if the network's output is not a number, or
    /// the device fails.
    pub fn look(&mut self, photo: &[u8]) -> Result<Answer, Refusal> {
        let begun = Instant::now();
        let input = self.preprocessing;
        let (pixels, seen) = image::read_bytes(photo, Path::new(PHOTO), |photo| {
            Ok((input.pixels(photo)?, input.frame(photo.width, photo.height)))
        })
        .map_err(Refusal::request)?;
        let look = self.activation.look(&pixels).map_err(Refusal::server)?;
        let probabilities = &look.prediction.probabilities;
        if probabilities.iter().any(|probability| probability.is_nan()) {
            return Err(Refusal::server(format_args!("{PHOTO}: {NOT_A_NUMBER}")));
        }
        let mut ranked: Vec<usize> = (0..probabilities.len()).collect();
        ranked.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let [_, width] = look.size();
        let map = |class: usize| -> Vec<Vec<f32>> {
            let row = |row: &[f64]| row.iter().map(|&value| value as f32).collect();
            look.map(class).chunks(width).map(row).collect()
        };
        let class = |(rank, class): (usize, usize)| Class {
            name: self.classes[class].clone(),
            probability: probabilities[class],
            map: (rank < MAPS).then(|| map(class)),
        };
        let classes = ranked.into_iter().enumerate().map(class).collect();
        let tenths = (1e4 * begun.elapsed().as_secs_f64()).round();
        Ok(Answer { classes, seen, ms: tenths / 10.0 })
    }
}
