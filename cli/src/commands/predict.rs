//! `frostline predict`: the classes of photos.

use crate::output::{tell_error, warn};
use crate::photos::{NOT_A_NUMBER, Photos, VIEWS, expand};
use crate::predictions::{self, Row};
use crate::{Error, Output, Result, gpu, model};
use clap::Args;
use frostline_loader::atomic::write_atomically;
use frostline_trainer::Prediction;
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
    /// How many classes to print for each photo.
    #[arg(long, default_value_t = 3, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Test-time augmentation: average the probabilities of ten views (the four corners, the centre and their
    /// mirror images). Takes ten times as long.
    #[arg(long)]
    tta: bool,
    /// Views per batch: smaller batches need less memory.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Write a table as well: one row per photo, one column per class. A name that begins with = + - or @,
    /// which a spreadsheet would take for a formula, gets an apostrophe in front.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    csv: Option<PathBuf>,
    /// Write one line of JSON per photo as well, with all classes.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    jsonl: Option<PathBuf>,
    /// Replace these files if they exist.
    #[arg(long, help_heading = "Files")]
    force: bool,
}

impl Predict {
    /// Predicts, prints one line per photo, and writes the files that were requested.
    ///
    /// # Errors
    /// For a model that cannot be opened; at the end [`Error::Unreadable`] if a photo could not be read, or
    /// [`Error::NotNumbers`] if the network's output for one was not a number.
    pub fn run(&self, output: &Output) -> Result<()> {
        for file in self.csv.iter().chain(&self.jsonl) {
            Error::if_no_folder(file)?;
            Error::if_exists(file, self.force)?;
        }
        let (paths, warnings) = expand(&self.images)?;
        for warning in warnings {
            warn(warning);
        }
        let mut opened = model::open(&gpu::open()?, &self.model)?;
        opened.learner.set_evaluation_batch(usize::from(self.batch));
        let views = if self.tta { VIEWS } else { 1 };
        let photos = Photos::unlabelled(paths, opened.learner.preprocessing().clone(), views);
        let predicted = opened.learner.predict(&photos)?;

        let classes = &opened.classes;
        let unreadable = photos.unreadable();
        let (mut rows, mut not_numbers) = (vec![], 0);
        for (i, (path, views)) in photos.paths().iter().zip(predicted.chunks_exact(views)).enumerate() {
            let probabilities = mean(views);
            let answer = if let Some(error) = unreadable.get(&i) {
                Err(error.to_string())
            } else if probabilities.iter().any(|probability| probability.is_nan()) {
                not_numbers += 1;
                tell_error(format_args!("{}: {NOT_A_NUMBER}", path.display()));
                Err(NOT_A_NUMBER.to_owned())
            } else {
                Ok(probabilities)
            };
            rows.push(Row { image: path.to_string_lossy().into_owned(), answer });
        }
        drop(unreadable);
        // Before anything is printed: a reader that closes the pipe early must not prevent the files.
        if let Some(path) = &self.csv {
            let table = predictions::csv(path, classes, &rows)?;
            write_atomically(path, |file| file.write_all(&table))?;
        }
        if let Some(path) = &self.jsonl {
            let lines = predictions::json_lines(classes, &rows);
            write_atomically(path, |file| file.write_all(&lines))?;
        }
        let top = usize::from(self.top);
        for row in rows.iter().filter(|row| row.answer.is_ok()) {
            let best = row.best(classes, top).into_iter();
            let text: Vec<String> = best.map(|(class, p)| format!("{class} {:.1}%", 100.0 * p)).collect();
            output.say(format_args!("{}: {}", row.image, text.join(", ")))?;
        }
        output.json(&rows.iter().map(|row| row.json(classes, top)).collect::<Vec<_>>())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_averaged_before_they_are_ranked() {
        let view = |probabilities: [f64; 3]| Prediction { class: 0, probabilities: probabilities.to_vec() };
        // Each view has another most probable class; their mean has the second.
        let mean = mean(&[view([0.5, 0.4, 0.1]), view([0.1, 0.4, 0.5])]);
        let classes = ["a", "b", "c"].map(str::to_owned);
        let row = Row { image: String::new(), answer: Ok(mean) };
        let best = row.best(&classes, 2);
        assert_eq!(best.iter().map(|(class, _)| *class).collect::<Vec<_>>(), ["b", "a"]);
        assert!((best[0].1 - 0.4).abs() < 1e-12);
    }
}
