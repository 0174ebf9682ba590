//! A linear head on features, at its optimum; on the host, in a second.

use crate::fault::{Fault, Result};
use frostline_trainer::{Features, Head, cross_validate};
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// A head with what is known about it.
#[wasm_bindgen]
pub struct Probe {
    pub(crate) head: Head,
    pub(crate) classes: Vec<String>,
    strength: f64,
    train_accuracy: f64,
    cross_validated: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    classes: &'a [String],
    strength: f64,
    train_accuracy: f64,
    cross_validated: Option<f64>,
}

/// Rows of features with their labels.
pub fn features(values: Vec<f32>, width: usize, labels: Vec<u32>, classes: Vec<String>) -> Result<Features> {
    if width == 0 || values.len() != width * labels.len() {
        let (got, rows) = (values.len(), labels.len());
        return Err(Fault::input(format!("{rows} rows of {width} features, got {got} values")));
    }
    Ok(Features { width, values, labels, classes })
}

#[wasm_bindgen]
impl Probe {
    /// Fits a head to rows of `width` features; its strength is chosen by cross-validation. `classes` is a
    /// JSON array.
    pub fn fit(values: Vec<f32>, width: usize, labels: Vec<u32>, classes: &str) -> Result<Probe> {
        let classes: Vec<String> = serde_json::from_str(classes)?;
        let features = features(values, width, labels, classes.clone())?;
        let chosen = cross_validate(&features, 0)?;
        let cross_validated =
            chosen.chosen().map(|strength| strength.right as f64 / chosen.held_out.max(1) as f64);
        let head = chosen.regression.head;
        let train_accuracy = head.evaluate(&features)?.accuracy;
        Ok(Self { head, classes, strength: chosen.regression.c, train_accuracy, cross_validated })
    }

    /// What is known about it: JSON.
    pub fn describe(&self) -> Result<String> {
        Ok(serde_json::to_string(&View {
            classes: &self.classes,
            strength: self.strength,
            train_accuracy: self.train_accuracy,
            cross_validated: self.cross_validated,
        })?)
    }

    /// Share of these rows that it recognises, 0..=1.
    pub fn accuracy(&self, values: Vec<f32>, width: usize, labels: Vec<u32>) -> Result<f64> {
        Ok(self.head.evaluate(&features(values, width, labels, self.classes.clone())?)?.accuracy)
    }
}
