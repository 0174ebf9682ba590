//! `frostline evaluate`: the accuracy of a model on photos with known classes.

use crate::output::{tell_error, warn};
use crate::photos::{NOT_A_NUMBER, Photos};
use crate::review::{self, Section};
use crate::train::manifest::below;
use crate::{Error, Output, Result, gpu, model};
use clap::Args;
use frostline_loader::atomic::write_atomically;
use frostline_trainer::{Evaluation, NO_CLASS, Prediction, Source, wilson};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The flags.
#[derive(Args, Debug)]
pub struct Evaluate {
    /// A run folder or checkpoint of `frostline train`, a file of weights, or hf:owner/name.
    model: OsString,
    /// A folder with one folder of photos per class, named like the model's classes.
    dir: PathBuf,
    /// Photos per batch: smaller batches need less memory.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Write a page with the worst mistakes, each with a thumbnail, and the classes that are confused most.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

impl Evaluate {
    /// Evaluates, and prints accuracy, loss, each class and the confusion matrix.
    ///
    /// # Errors
    /// For a model or folder that cannot be opened and classes that do not match; at the end
    /// [`Error::Unreadable`] if a photo could not be read, or [`Error::NotNumbers`] if the network's output
    /// for one was not a number.
    pub fn run(&self, output: &Output) -> Result<()> {
        if let Some(page) = &self.page {
            review::room_for(page)?;
        }
        let mut opened = model::open(&gpu::open()?, &self.model)?;
        opened.learner.set_evaluation_batch(usize::from(self.batch));
        let (photos, warnings) =
            Photos::of_classes(&self.dir, &opened.classes, opened.learner.preprocessing().clone())?;
        for warning in warnings {
            warn(warning);
        }
        let logits = opened.learner.logits(&photos)?;
        let readable = photos.readable();
        let mut not_numbers = 0;
        if !readable.is_empty() {
            let classes = opened.classes.len();
            let rows = readable.iter().flat_map(|&i| &logits[i * classes..][..classes]).copied();
            let labels: Vec<u32> = readable.iter().map(|&i| photos.labels()[i]).collect();
            let evaluation = Evaluation::of(&rows.collect::<Vec<f32>>(), &labels, classes);
            let bad = evaluation.predictions.iter().zip(&readable).filter(|(class, _)| **class == NO_CLASS);
            for (_, &photo) in bad {
                not_numbers += 1;
                let path = photos.paths()[photo].display();
                tell_error(format_args!("{path}: {NOT_A_NUMBER}; it counts as wrong"));
            }
            if let Some(page) = &self.page {
                let predictions = readable.iter().map(|&i| Prediction::of(&logits[i * classes..][..classes]));
                self.write(
                    page,
                    &photos,
                    &readable,
                    &evaluation,
                    &predictions.collect::<Vec<_>>(),
                    &opened.classes,
                )?;
            }
            output.say(text(&evaluation, &opened.classes))?;
            output.json(&value(&evaluation, &opened.classes))?;
        }
        photos.tell_unreadable()?;
        match not_numbers {
            0 => Ok(()),
            _ => Err(Error::NotNumbers { not_numbers, photos: readable.len() }),
        }
    }

    /// Writes the page of the photos `readable`, which were evaluated and predicted.
    fn write(
        &self,
        page: &Path,
        photos: &Photos,
        readable: &[usize],
        evaluation: &Evaluation,
        predictions: &[Prediction],
        classes: &[String],
    ) -> Result<()> {
        let labels: Vec<u32> = readable.iter().map(|&i| photos.labels()[i]).collect();
        let photo = |i: usize| {
            let path = photos.paths()[readable[i]].as_path();
            (path, below(&self.dir, path))
        };
        let sections = [
            Section::mistakes("these photos", classes, &labels, predictions, photo),
            Section::confusions("photos", classes, &evaluation.confusion),
        ];
        let (model, dir) = (Path::new(&self.model).display(), self.dir.display());
        let about = format!(
            "The model {model} recognises {} of {} photos. Each photo below is a link to the file.",
            evaluation.confusion.right(),
            labels.len()
        );
        let text = review::page(&format!("Photos to look at: {dir}"), &about, &sections);
        Ok(write_atomically(page, |file| file.write_all(text.as_bytes()))?)
    }
}

/// Photos of each class, and how many of them were recognised.
fn counts(evaluation: &Evaluation) -> Vec<(u64, u64)> {
    let confusion = &evaluation.confusion;
    (0..confusion.classes()).map(|class| (confusion.images(class), confusion.count(class, class))).collect()
}

fn text(evaluation: &Evaluation, classes: &[String]) -> String {
    let counts = counts(evaluation);
    let (photos, right) = counts.iter().fold((0, 0), |(n, r), (photos, right)| (n + photos, r + right));
    let mut text =
        format!("accuracy {} of {photos} photos; loss {:.4}\n", share(right, photos), evaluation.loss);
    let widest = classes.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("class".len());
    text += &format!(
        "\n{:widest$} {:>7} {:>6}  accuracy (95 % interval)   taken for\n",
        "class", "photos", "right"
    );
    for (class, (name, (photos, right))) in
        classes.iter().zip(&counts).enumerate().filter(|(_, (_, (photos, _)))| *photos > 0)
    {
        let mistakes = evaluation.confusion.row(class).iter().enumerate();
        let mut mistakes: Vec<(usize, u64)> = mistakes
            .map(|(taken, &count)| (taken, count))
            .filter(|&(taken, n)| taken != class && n > 0)
            .collect();
        mistakes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let mistakes: Vec<String> =
            mistakes.iter().map(|&(taken, count)| format!("{} {count}", classes[taken])).collect();
        text += &format!(
            "{name:widest$} {photos:>7} {right:>6}  {:<25}  {}\n",
            share(*right, *photos),
            mistakes.join(", ")
        );
    }
    text.trim_end().to_owned()
}

/// A share with its 95 % interval, such as `90.0 % (74.4 to 96.5)`.
pub(crate) fn share(part: u64, whole: u64) -> String {
    match wilson(part, whole) {
        Some([low, high]) => {
            format!("{:.1} % ({:.1} to {:.1})", 100.0 * part as f64 / whole as f64, 100.0 * low, 100.0 * high)
        }
        None => "-".to_owned(),
    }
}

fn value(evaluation: &Evaluation, classes: &[String]) -> Value {
    let counts = counts(evaluation);
    let (photos, right) = counts.iter().fold((0, 0), |(n, r), (photos, right)| (n + photos, r + right));
    let class = |(name, (photos, right)): (&String, &(u64, u64))| json!({ "class": name, "photos": photos, "right": right, "interval": wilson(*right, *photos) });
    let rows: Vec<&[u64]> = (0..classes.len()).map(|class| evaluation.confusion.row(class)).collect();
    json!({
        "photos": photos,
        "right": right,
        "not_a_number": evaluation.predictions.iter().filter(|class| **class == NO_CLASS).count(),
        "accuracy": evaluation.accuracy,
        "interval": wilson(right, photos),
        "loss": evaluation.loss,
        "classes": classes.iter().zip(&counts).map(class).collect::<Vec<Value>>(),
        // Rows are true classes, columns are predicted classes.
        "confusion": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_counts_as_wrong() {
        let evaluation = Evaluation::of(&[1., 0., f32::NAN, 0., 0., 1.], &[0, 0, 1], 2);
        let classes = ["cat", "dog"].map(str::to_owned);
        assert!(
            text(&evaluation, &classes).starts_with("accuracy 66.7 % "),
            "{}",
            text(&evaluation, &classes)
        );
        let value = value(&evaluation, &classes);
        assert_eq!(
            (&value["photos"], &value["right"], &value["not_a_number"]),
            (&json!(3), &json!(2), &json!(1))
        );
    }

    #[test]
    fn mistakes_are_listed_by_class_and_number() {
        let logits = [1., 0., 0., 0., 1., 0., 0., 1., 0., 0., 0., 1., 0., 1., 0.];
        let evaluation = Evaluation::of(&logits, &[0, 0, 0, 0, 1], 3);
        let classes = ["cat", "dog", "elephant"].map(str::to_owned);
        let text = text(&evaluation, &classes);
        assert!(text.contains("dog 2, elephant 1"), "{text}");
        assert!(text.starts_with("accuracy 40.0 % (11.8 to 76.9) of 5 photos"), "{text}");
        assert!(!text.contains("elephant  "), "a class without photos has no row: {text}");
        let value = value(&evaluation, &classes);
        assert_eq!(
            (&value["right"], &value["confusion"][0][1], &value["classes"][2]["interval"]),
            (&json!(2), &json!(2), &Value::Null)
        );
    }
}
