//! Predictions for images that a model does not train on, and their accuracy.

use frostline_engine::blocking::block_on;

use crate::drift::Drift;
use crate::error::Result;
use crate::learner::{Cut, Learner};
use crate::metrics::{Confusion, cross_entropy, largest, softmax};
use crate::source::Source;

/// Predictions compared with labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss −ln p(label), without label smoothing.
    pub loss: f64,
    /// Share that was recognised, 0..=1.
    pub accuracy: f64,
    /// Which class was predicted as which.
    pub confusion: Confusion,
    /// The class predicted for each image; [`NO_CLASS`](crate::NO_CLASS) if its logits are not numbers.
    pub predictions: Vec<u32>,
    /// Frozen batch norms whose running statistics changed: a warning to show.
    pub drift: Option<Drift>,
}

impl Evaluation {
    /// Compares logits, `classes` per image, with labels below `classes`; at least one image.
    ///
    /// # Panics
    /// If a label is not below `classes`, as indexing does.
    pub fn of(logits: &[f32], labels: &[u32], classes: usize) -> Self {
        let rows = || logits.chunks_exact(classes).zip(labels.iter().copied());
        let loss: f64 = rows().map(|(logits, label)| cross_entropy(logits, label)).sum();
        let predictions: Vec<u32> = logits.chunks_exact(classes).map(largest).collect();
        let pairs = labels.iter().copied().zip(predictions.iter().copied());
        let confusion = Confusion::new(classes, pairs);
        let accuracy = confusion.accuracy().unwrap_or(0.0);
        Self { loss: loss / labels.len() as f64, accuracy, confusion, predictions, drift: None }
    }

    /// Share of each class's images that was recognised; `None` for a class without images.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        self.confusion.per_class()
    }
}

/// The prediction for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The most probable class; [`NO_CLASS`](crate::NO_CLASS) if the logits are not numbers.
    pub class: u32,
    /// The probability of each class; they add up to 1. NaN if the logits are not numbers.
    pub probabilities: Vec<f64>,
}

impl Prediction {
    /// The prediction from the logits of one image.
    pub fn of(logits: &[f32]) -> Self {
        Self { class: largest(logits), probabilities: softmax(logits) }
    }
}

impl Learner {
    /// Loss and accuracy on all of `source`, with running statistics and everything folded. Also checks that
    /// frozen batch norms have kept their statistics.
    ///
    /// # Errors
    /// [`Error::ImageShape`](crate::Error::ImageShape), [`Error::Classes`](crate::Error::Classes)
    /// or [`Error::Label`](crate::Error::Label) for data that does not fit the model;
    /// [`Error::NoImages`](crate::Error::NoImages); [`Error::Engine`](crate::Error::Engine).
    pub fn evaluate(&mut self, source: &dyn Source) -> Result<Evaluation> {
        block_on(self.evaluate_async(source))
    }

    /// [`Learner::evaluate`] for callers that must not block.
    ///
    /// # Errors
    /// As [`Learner::evaluate`].
    pub async fn evaluate_async(&mut self, source: &dyn Source) -> Result<Evaluation> {
        Ok(self.evaluate_each_async(source).await?.0)
    }

    /// [`Learner::evaluate`], with the prediction for every image, in one pass.
    ///
    /// # Errors
    /// As [`Learner::evaluate`].
    pub fn evaluate_each(&mut self, source: &dyn Source) -> Result<(Evaluation, Vec<Prediction>)> {
        block_on(self.evaluate_each_async(source))
    }

    async fn evaluate_each_async(&mut self, source: &dyn Source) -> Result<(Evaluation, Vec<Prediction>)> {
        self.check_labels(source)?;
        let logits = self.infer_async(source, Cut::Logits).await?;
        let evaluation = Evaluation::of(&logits, source.labels(), source.classes().len());
        let predictions = predictions(&logits, source);
        Ok((Evaluation { drift: self.drift_async().await?, ..evaluation }, predictions))
    }

    /// The logits of the last layer: (images, classes). Labels are not used.
    ///
    ///
    /// # Errors
    /// As [`Learner::evaluate`], except those about labels.
    pub fn logits(&mut self, source: &dyn Source) -> Result<Vec<f32>> {
        block_on(self.logits_async(source))
    }

    /// [`Learner::logits`] for callers that must not block.
    ///
    /// # Errors
    /// As [`Learner::evaluate`], except those about labels.
    pub async fn logits_async(&mut self, source: &dyn Source) -> Result<Vec<f32>> {
        self.infer_async(source, Cut::Logits).await
    }

    /// The predicted class of every image of `source`, whose labels are not used.
    ///
    /// # Errors
    /// As [`Learner::evaluate`], except those about labels.
    pub fn predict(&mut self, source: &dyn Source) -> Result<Vec<Prediction>> {
        let logits = self.infer(source, Cut::Logits)?;
        Ok(predictions(&logits, source))
    }
}

fn predictions(logits: &[f32], source: &dyn Source) -> Vec<Prediction> {
    let rows = logits.chunks_exact(logits.len() / source.labels().len());
    rows.map(Prediction::of).collect()
}
