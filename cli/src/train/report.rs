//! The files of a finished run: numbers, pictures and the model card.

use std::path::Path;
use std::sync::Arc;

use frostline_charts::confusion::{self, ConfusionMatrix};
use frostline_charts::figure::{self, Curve, Panel};
use frostline_charts::grid::{self, Grid, Row, Tile, picture};
use frostline_engine::Gpu;
use frostline_loader::image::decode;
use frostline_trainer::{Evaluation, Learner, Prediction, wilson};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::output::warn;
use crate::train::card::card;
use crate::train::data::{Data, counts};
use crate::train::folder::{Run, RunFolder};
use crate::train::job::Job;
use crate::train::metrics::{Line, METRICS, Metrics};
use crate::train::review::{self, Checked, PAGE};
use crate::train::settle::Settled;

/// Photos per row of `mistakes.png`, and the maximum number of photos in it.
const COLUMNS: usize = 5;
const MISTAKES: usize = 20;
/// Maximum length of a class name below a photo, in characters.
const NAME: usize = 10;

/// The evaluation of the best weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The run's folder.
    pub run: String,
    /// The best weights.
    pub model: String,
    /// The step of these weights.
    pub step: u64,
    /// Validation photos.
    pub images: usize,
    /// How many of them were recognised.
    pub right: u64,
    /// Their share.
    pub accuracy: f64,
    /// Mean cross entropy on them, nats.
    pub loss: f64,
    /// Class by class.
    pub classes: Vec<ClassReport>,
    /// The comparison of fine-tuning with the linear probe; `None` without one of them.
    #[serde(default)]
    pub settled: Option<Settled>,
    /// Number of photos on which the head was trained after these figures were measured.
    #[serde(default)]
    pub refitted: Option<usize>,
    /// Photos whose label may be wrong; `None` if labels were not checked.
    #[serde(default)]
    pub label_issues: Option<usize>,
}

impl Report {
    /// A note that the model was trained on more photos than the evaluated one.
    pub fn refitted(&self) -> Option<String> {
        let all = self.refitted?;
        Some(format!(
            "The model's head was then trained on all {all} photos, including the validation photos; the \
             figures are \
             those of the head before that."
        ))
    }

    /// A note that labels may be wrong, with the file that lists them; `None` if there are none.
    pub fn doubts(&self) -> Option<String> {
        let page = Path::new(&self.run).join(PAGE);
        match self.label_issues? {
            0 => None,
            1 => Some(format!("1 photo may have a wrong label: see {}", page.display())),
            count => Some(format!("{count} photos may have a wrong label: see {}", page.display())),
        }
    }
}

/// The evaluation of one class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// Photos trained on.
    pub train: usize,
    /// Number of validation photos.
    pub validation: usize,
    /// How many of these were recognised.
    pub right: u64,
    /// Their share; `None` without photos.
    pub accuracy: Option<f64>,
    /// Its 95 % interval, Wilson's.
    pub interval: Option<[f64; 2]>,
}

/// Evaluates the best weights of the run, draws its figures and writes its model card and the page of photos to look
/// at. `checked` is the result of checking the labels.
///
/// # Errors
/// The errors of evaluating and writing.
pub fn report(
    gpu: &Arc<Gpu>,
    folder: &RunFolder,
    run: &Run,
    job: &Job,
    checked: Option<&Checked>,
) -> Result<Report> {
    let metrics = Metrics::open(folder.file(METRICS), u64::MAX)?;
    // A head that was trained again was also trained on the validation photos.
    let measured = if job.refitted.is_some() { folder.probe() } else { folder.best() };
    let mut learner = folder.learner(gpu, &measured, run)?;
    learner.set_evaluation_batch(job.chosen.batch);
    let photos = &job.data.validation;
    let (evaluation, predictions) = learner.evaluate_each(photos)?;
    if let Some(drift) = &evaluation.drift {
        warn(drift);
    }
    let names = photos.classes();
    let probe_kept = job.settled.as_ref().is_some_and(|settled| !settled.kept);
    let report = Report {
        run: folder.path().display().to_string(),
        model: folder.best().display().to_string(),
        step: if probe_kept { 0 } else { metrics.best().map_or(0, |(step, ..)| step) },
        images: photos.len(),
        right: evaluation.confusion.right(),
        accuracy: evaluation.accuracy,
        loss: evaluation.loss,
        classes: by_class(names, &job.data, &evaluation),
        settled: job.settled.clone(),
        refitted: job.refitted,
        label_issues: checked.map(|checked| checked.issues.len()),
    };
    figure::draw(&folder.file("curves.png"), 2, &curves(metrics.lines(), &report))?;
    let title = format!("Validation photos: {:.1}% of {} recognised", 100.0 * report.accuracy, report.images);
    let rows = (0..names.len()).map(|class| evaluation.confusion.row(class)).collect();
    confusion::draw(&folder.file("confusion.png"), &ConfusionMatrix { title, classes: names, rows })?;
    grid::draw(&folder.file("mistakes.png"), &mistakes(&job.data, &learner, &predictions)?)?;
    review::write(folder, job, &evaluation, &predictions, checked)?;
    folder.write("README.md", card(folder, run, job, &report).as_bytes())?;
    Ok(report)
}

fn by_class(names: &[String], data: &Data, evaluation: &Evaluation) -> Vec<ClassReport> {
    let (train, validation, accuracies) =
        (counts(&data.train), counts(&data.validation), evaluation.per_class());
    let class = |(i, name): (usize, &String)| ClassReport {
        name: name.clone(),
        train: train[i],
        validation: validation[i],
        right: evaluation.confusion.count(i, i),
        accuracy: accuracies[i],
        interval: wilson(evaluation.confusion.count(i, i), validation[i] as u64),
    };
    names.iter().enumerate().map(class).collect()
}

/// Loss and accuracy by step.
fn curves(lines: &[Line], report: &Report) -> Vec<Panel> {
    type Points = Vec<(f64, f64)>;
    let evaluated = |value: &dyn Fn(&Line) -> Option<f64>| -> Points {
        lines.iter().filter_map(|line| Some((line.step as f64, value(line)?))).collect()
    };
    let of = |name: &str, color, points: Points| Curve::new(name, color, points);
    let losses = [
        of("training batches, smoothed", 1, smoothed(lines, |line| line.loss.map(f64::from))),
        of("validation", 0, evaluated(&|line| line.val_loss)),
    ];
    let percent = |share: f64| 100.0 * share;
    let accuracies = [
        of(
            "training batches, smoothed",
            1,
            smoothed(lines, |line| line.accuracy.map(|share| percent(f64::from(share)))),
        ),
        of("validation", 0, evaluated(&|line| line.val_accuracy.map(percent))),
    ];
    let best = format!("best {:.1}% after step {}", 100.0 * report.accuracy, report.step);
    let highest = losses.iter().flat_map(|curve| &curve.points).map(|point| point.y).fold(0.1, f64::max);
    let panel = |title: String, y: &str, range, curves: [Curve; 2]| Panel {
        title,
        x: "training step".to_owned(),
        y: y.to_owned(),
        log_x: false,
        range,
        curves: curves.into_iter().filter(|curve| !curve.points.is_empty()).collect(),
    };
    vec![
        panel("Cross entropy".to_owned(), "loss, nats", (0.0, 1.05 * highest), losses),
        panel(format!("Accuracy: {best}"), "photos recognised, %", (0.0, 102.0), accuracies),
    ]
}

/// An exponential moving average with weight 0.9 on earlier values, because values of small batches vary.
fn smoothed(lines: &[Line], value: impl Fn(&Line) -> Option<f64>) -> Vec<(f64, f64)> {
    let (mut average, mut weight) = (0.0, 0.0);
    let mut point = |line: &Line| {
        average = 0.9 * average + 0.1 * value(line)?;
        weight = 0.9 * weight + 0.1;
        Some((line.step as f64, average / weight))
    };
    lines.iter().filter_map(&mut point).collect()
}

/// The photos with the highest losses, wrong or not: fastai's `plot_top_losses`.
fn mistakes(data: &Data, learner: &Learner, predictions: &[Prediction]) -> Result<Grid> {
    let (labels, names) = (data.validation.labels(), data.validation.classes());
    let of_label = |i: usize| predictions[i].probabilities[labels[i] as usize];
    let wrong =
        predictions.iter().zip(labels).filter(|(prediction, label)| prediction.class != **label).count();
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| of_label(a).total_cmp(&of_label(b)));
    order.truncate(MISTAKES.min(wrong.max(COLUMNS)));
    let mut tiles = vec![];
    for i in order {
        let (truth, predicted) = (labels[i] as usize, predictions[i].class as usize);
        let label = match truth == predicted {
            true => format!("{}, right, {:.0}%", short(&names[truth]), 100.0 * of_label(i)),
            false => {
                format!(
                    "{} → {} {:.0}%",
                    short(&names[truth]),
                    short(&names[predicted]),
                    100.0 * predictions[i].probabilities[predicted]
                )
            }
        };
        let pixels =
            learner.preprocessing().pixels(&decode(data.validation.path(i).unwrap_or(Path::new("")))?)?;
        tiles.push(Tile::new(label, picture(&pixels, learner.size(), learner.preprocessing().channels)));
    }
    Ok(Grid {
        title: format!("Worst of the validation photos: {wrong} of {} are wrong", labels.len()),
        note: "true class → prediction with its probability; the least probable truth first".to_owned(),
        side: 184,
        rows: tiles
            .chunks(COLUMNS)
            .map(|tiles| Row { label: String::new(), tiles: tiles.to_vec() })
            .collect(),
        scale: None,
    })
}

fn short(name: &str) -> String {
    match name.char_indices().nth(NAME - 1) {
        Some((at, _)) if name.chars().count() > NAME => format!("{}…", &name[..at]),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_a_constant_and_leaves_out_what_is_none() {
        let line = |step, loss| Line { step, loss, ..Line::default() };
        let lines = [line(1, Some(2.0)), line(1, None), line(2, Some(2.0)), line(3, Some(2.0))];
        let points = smoothed(&lines, |line| line.loss.map(f64::from));
        assert_eq!(points.len(), 3);
        assert!(points.iter().all(|point| (point.1 - 2.0).abs() < 1e-12), "{points:?}");
    }
}
