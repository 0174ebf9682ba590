//! Runs for tests.

use crate::answers::Answers;
use crate::run::{Cost, Run};
use crate::setting::Setting;
use std::collections::BTreeMap;

/// A run of `condition` on `images` images of clothes that answers a test of ten images.
pub(crate) fn run(condition: &str, seed: u64, images: usize) -> Run {
    let setting = Setting {
        study: "ch9".to_owned(),
        version: 1,
        task: "clothes".to_owned(),
        condition: condition.to_owned(),
        images,
        seed,
        steps: 150,
        batch: 32,
        lr: 0.02,
        inputs: "0123".to_owned(),
    };
    let answers = Answers::new("ten", &[0; 10], &[0, 0, 0, 0, 0, 0, 1, 1, 2, 3]);
    Run {
        setting,
        answers: BTreeMap::from([("test".to_owned(), answers)]),
        numbers: BTreeMap::new(),
        losses: vec![],
        diverged: false,
        cost: Cost::default(),
        seconds: 1.5,
        adapter: "a test".to_owned(),
    }
}

impl Run {
    pub(crate) fn with_losses(self, losses: Vec<f64>) -> Self {
        Self { losses, ..self }
    }
}
