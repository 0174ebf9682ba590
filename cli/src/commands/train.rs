//! `frostline train`: a classifier from a folder of photos.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use frostline_engine::Gpu;
use serde_json::json;

use crate::commands::share;
use crate::error::quoted;
use crate::logging::timed;
use crate::train::budget;
use crate::train::choices::Choice;
use crate::train::folder::{Run, RunFolder};
use crate::train::interrupt::Interrupt;
use crate::train::job::Job;
use crate::train::metrics::{METRICS, Metrics};
use crate::train::recipe::Recipe;
use crate::train::report::{Report, report};
use crate::train::tensorboard::{self, EVENTS};
use crate::{Error, Output, Result, gpu};

/// The flags.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  frostline train photos                                  # photos/cat/1.jpg, photos/dog/a.png …
  frostline train photos --weights resnet18.safetensors --freeze-below layer3 --epochs 10
  frostline train --resume runs/photos                    # after Ctrl-C, or a power cut")]
pub struct Train {
    /// Folder with one folder of photos per class, or with `train` and `val` of that kind
    #[arg(required_unless_present = "resume")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    recipe: Recipe,
    /// Folder for the run; by default the folder `runs/` and the name of DIR
    #[arg(long, value_name = "RUNDIR", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Time budget in minutes, such as 5 or 0.5: after the linear probe, as many steps as fit, at most as
    /// many as without this flag
    #[arg(long, value_name = "MINUTES", value_parser = minutes, help_heading = "Training")]
    minutes: Option<f64>,
    /// Write an event file for TensorBoard into the run's folder as well, which grows with every evaluation; also
    /// with --resume
    #[arg(long, help_heading = "Run")]
    tensorboard: bool,
    /// Resume the run in this folder, with the settings stored there
    #[arg(long, value_name = "RUNDIR", conflicts_with_all = ["dir", "out", "minutes", "Recipe"], help_heading = "Run")]
    resume: Option<PathBuf>,
    /// With --resume: the present folder of the run's photos, if they were moved
    #[arg(long, value_name = "DIR", requires = "resume", conflicts_with_all = ["dir", "out"], help_heading = "Run")]
    data: Option<PathBuf>,
}

impl Train {
    /// Trains, and writes the run's folder.
    ///
    /// # Errors
    /// For a folder, weights or settings that cannot be used; [`Error::Interrupted`] after Ctrl-C.
    pub fn run(self, output: &Output) -> Result<()> {
        // The result is the run's folder, so `| head -1` does not end the run.
        let output = &output.outliving_its_reader();
        let begun = Instant::now();
        let interrupt = Interrupt::watch()?;
        let asked_for_events = self.tensorboard;
        let (folder, mut run) = self.folder()?;
        interrupt.preparing(&folder);
        if let Some(report) = folder.finished()? {
            if asked_for_events {
                let metrics = Metrics::open(folder.file(METRICS), u64::MAX)?;
                tensorboard::write(&folder.file(EVENTS), metrics.lines())?;
                output.say(format_args!(
                    "this run is finished; {EVENTS} was written, and nothing else was changed"
                ))?;
            } else {
                output.say("this run is finished; nothing was changed")?;
            }
            return told(output, &[], &run, &report);
        }
        let gpu = gpu::open()?;
        let resumed = run.chosen.clone().filter(|_| folder.last().exists());
        let mut job = match resumed.clone() {
            Some(chosen) => Job::resume(&gpu, &folder, &run, chosen)?,
            None => {
                let mut job = Job::begin(&gpu, run.recipe.clone(), output)?;
                job.spare_fine_tuning(output)?;
                match run.minutes {
                    Some(minutes) if job.chosen.epochs > 0 => budget::plan(&mut job, minutes, begun, output)?,
                    _ => job.choose_rate(output)?,
                }
                run.chosen = Some(job.chosen.clone());
                run.identity = Some(job.mark()?);
                folder.save_manifest(&job.data.manifest)?;
                if job.steps() > 0 {
                    folder.write("plan.txt", job.plan()?.as_bytes())?;
                }
                job
            }
        };
        // The photos of a resumed run may have been moved.
        folder.save(&run)?;
        job.tensorboard = run.tensorboard;
        let ended = complete(&gpu, &folder, &run, &mut job, &interrupt, resumed.is_some(), output);
        let report = ended.map_err(|error| folder.without_photo(error, &job.data))?;
        folder.finish(&report)?;
        told(output, &job.choices, &run, &report)
    }

    /// The claimed folder of the run, and what is known about the run.
    fn folder(self) -> Result<(RunFolder, Run)> {
        if let Some(folder) = self.resume {
            let (folder, mut run) = RunFolder::open(&folder)?;
            if let Some(data) = self.data {
                run.recipe.dir = std::path::absolute(data).map_err(Error::CurrentFolder)?;
            }
            run.tensorboard |= self.tensorboard;
            return Ok((folder, run));
        }
        let dir = std::path::absolute(self.dir.unwrap_or_default()).map_err(Error::CurrentFolder)?;
        let folder = RunFolder::create(self.out.as_deref(), &dir)?;
        let words: Vec<String> =
            std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy())).collect();
        let command = format!("frostline {}", words.join(" "));
        let recipe = Recipe { dir, ..self.recipe };
        Ok((
            folder,
            Run {
                command,
                recipe,
                chosen: None,
                minutes: self.minutes,
                tensorboard: self.tensorboard,
                identity: None,
            },
        ))
    }
}

/// Trains to the end, chooses the run's model, and writes the report.
fn complete(
    gpu: &Arc<Gpu>,
    folder: &RunFolder,
    run: &Run,
    job: &mut Job,
    interrupt: &Interrupt,
    resumed: bool,
    output: &Output,
) -> Result<Report> {
    job.train(folder, interrupt, resumed)?;
    interrupt.reporting(folder)?;
    job.settle(gpu, folder, run)?;
    if let Some(settled) = &job.settled {
        output.say(settled.sentence())?;
    }
    let checked = timed("labels", || job.check_labels(gpu, folder, run))?;
    timed("report", || report(gpu, folder, run, job, checked.as_ref()))
}

/// A valid number of minutes.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.trim().parse::<f64>().ok().filter(|minutes| *minutes > 0.0 && *minutes <= 1e6);
    minutes.ok_or_else(|| format!("{text:?} is not a number of minutes above 0, such as 5 or 0.5"))
}

/// Prints the result of the run.
fn told(output: &Output, choices: &[Choice], run: &Run, report: &Report) -> Result<()> {
    output.say(tell(report))?;
    output.json(&json!({ "choices": choices, "chosen": run.chosen, "report": report }))
}

fn tell(report: &Report) -> String {
    let step = if report.step == 0 { "the linear probe".to_owned() } else { format!("step {}", report.step) };
    let accuracy = share(report.right, report.images as u64);
    let mut text = format!("\nrecognises {accuracy} of {} validation photos ({step})\n", report.images);
    let width = report.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    for class in &report.classes {
        let accuracy = share(class.right, class.validation as u64);
        text += &format!("  {:<width$}  {accuracy} of {}\n", class.name, class.validation);
    }
    if let Some(refitted) = report.refitted() {
        text += &format!("\n{refitted}\n");
    }
    if let Some(doubts) = report.doubts() {
        text += &format!("\n{doubts}\n");
    }
    text + &format!(
        "\nmodel and figures in {}; try `frostline predict {} PHOTO…`",
        report.run,
        quoted(&report.run)
    )
}
