//! `frostline predict`: the classes of photos.

use crate::output::path_text;
use crate::photos::{NOT_A_NUMBER, Photos, VIEWS, expand};
use crate::{Error, Output, Result, gpu, model};
use clap::Args;
use frostline_trainer::Prediction;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;

/// The flags.
#[derive(Args, Debug)]
pub struct Predict {
    /// A run folder or checkpoint of `frostline train`, a file of weights, or hf:owner/name.
    model: OsString,
    /// Photos (PNG, JPEG, WebP), and folders of photos.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// How many classes to tell of each photo.
    #[arg(long, default_value_t = 3, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Test-time augmentation: the mean of the probabilities of ten views, the four corners and the
    /// middle and their mirror images. Ten times the work.
    #[arg(long)]
    tta: bool,
    /// Views at once: fewer need less memory.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
}

impl Predict {
    /// Predicts, and prints a line a photo.
    ///
    /// # Errors
    /// For a model that cannot be opened; at the end [`Error::Unreadable`] if a photo could not be read, or
    /// [`Error::NotNumbers`] if the network's output for one was not a number.
    pub fn run(&self, output: &Output) -> Result<()> {
        let (paths, warnings) = expand(&self.images)?;
        for warning in warnings {
            eprintln!("warning: {warning}");
        }
        let mut opened = model::open(&gpu::open()?, &self.model)?;
        opened.learner.evaluation_batch(usize::from(self.batch));
        let views = if self.tta { VIEWS } else { 1 };
        let photos = Photos::unlabelled(paths, opened.learner.input().clone(), views);
        let predictions = opened.learner.predict(&photos)?;

        let unreadable = photos.unreadable();
        let (mut rows, mut not_numbers) = (vec![], 0);
        for (i, (path, views)) in photos.paths().iter().zip(predictions.chunks_exact(views)).enumerate() {
            if let Some(error) = unreadable.get(&i) {
                rows.push(json!({ "image": path_text(path), "error": error.to_string() }));
                continue;
            }
            let probabilities = mean(views);
            if probabilities.iter().any(|probability| probability.is_nan()) {
                eprintln!("error: {}: {NOT_A_NUMBER}", path.display());
                rows.push(json!({ "image": path_text(path), "error": NOT_A_NUMBER }));
                not_numbers += 1;
                continue;
            }
            let best = best(&probabilities, &opened.classes, usize::from(self.top));
            let text: Vec<String> = best
                .iter()
                .map(|(class, probability)| format!("{class} {:.1}%", 100.0 * probability))
                .collect();
            output.say(format_args!("{}: {}", path.display(), text.join(", ")))?;
            let best: Vec<Value> =
                best.iter().map(|(class, p)| json!({ "class": class, "probability": p })).collect();
            rows.push(json!({ "image": path_text(path), "predictions": best }));
        }
        drop(unreadable);
        output.json(&rows)?;
        photos.tell_unreadable()?;
        if not_numbers > 0 {
            Err(Error::NotNumbers { not_numbers, photos: photos.paths().len() })
        } else {
            Ok(())
        }
    }
}

/// The mean probability of each class over the views of one photo.
fn mean(views: &[Prediction]) -> Vec<f64> {
    let classes = views.first().map_or(0, |view| view.probabilities.len());
    let of =
        |class: usize| views.iter().map(|view| view.probabilities[class]).sum::<f64>() / views.len() as f64;
    (0..classes).map(of).collect()
}

/// The `count` most probable classes; of equals, the first in the model's order.
fn best<'a>(probabilities: &[f64], classes: &'a [String], count: usize) -> Vec<(&'a str, f64)> {
    let mut ranked: Vec<(&str, f64)> =
        classes.iter().map(String::as_str).zip(probabilities.iter().copied()).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.truncate(count);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_averaged_before_they_are_ranked() {
        let view = |probabilities: [f64; 3]| Prediction { class: 0, probabilities: probabilities.to_vec() };
        // Each view prefers another class; together they prefer the second.
        let mean = mean(&[view([0.5, 0.4, 0.1]), view([0.1, 0.4, 0.5])]);
        let classes = ["a", "b", "c"].map(str::to_owned);
        let best = best(&mean, &classes, 2);
        assert_eq!(best.iter().map(|(class, _)| *class).collect::<Vec<_>>(), ["b", "a"]);
        assert!((best[0].1 - 0.4).abs() < 1e-12);
    }
}
