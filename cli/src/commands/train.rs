//! `frostline train`: a classifier from a folder of photos.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::commands::share;
use crate::error::quoted;
use crate::train::folder::{Run, RunFolder};
use crate::train::interrupt::Interrupt;
use crate::train::job::Job;
use crate::train::recipe::Recipe;
use crate::train::report::{Report, report};
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
    /// Go on with the run in this folder, with its own settings
    #[arg(long, value_name = "RUNDIR", conflicts_with_all = ["dir", "out", "Recipe"], help_heading = "Run")]
    resume: Option<PathBuf>,
}

impl Train {
    /// Trains, and writes the run's folder.
    ///
    /// # Errors
    /// For a folder, weights or settings that cannot be used; [`Error::Interrupted`] after Ctrl-C.
    pub fn run(self, output: &Output) -> Result<()> {
        let interrupt = Interrupt::watch()?;
        let gpu = gpu::open()?;
        let (folder, mut run) = match self.resume {
            Some(folder) => RunFolder::open(&folder)?,
            None => {
                let dir = std::path::absolute(self.dir.unwrap_or_default()).map_err(Error::CurrentFolder)?;
                let folder = RunFolder::create(self.out.as_deref(), &dir)?;
                let words: Vec<String> =
                    std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy())).collect();
                let command = format!("frostline {}", words.join(" "));
                (folder, Run { command, recipe: Recipe { dir, ..self.recipe }, chosen: None })
            }
        };
        let resumed = run.chosen.clone().filter(|_| folder.last().exists());
        let mut job = match resumed.clone() {
            Some(chosen) => Job::resume(&gpu, &folder, run.recipe.clone(), chosen)?,
            None => {
                let mut job = Job::begin(&gpu, run.recipe.clone(), output)?;
                job.choose_rate(output)?;
                if interrupt.asked() {
                    return Err(Error::Nothing);
                }
                run.chosen = Some(job.chosen.clone());
                folder.save(&run)?;
                folder.write("plan.txt", job.plan()?.as_bytes())?;
                job
            }
        };
        job.train(&folder, &interrupt, resumed.is_some())?;
        let report = report(&gpu, &folder, &run, &job)?;
        output.say(tell(&report))?;
        output.json(&json!({ "choices": job.choices, "chosen": job.chosen, "report": report }))
    }
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
    text + &format!(
        "\nmodel and figures in {}; try `frostline predict {} PHOTO…`",
        report.run,
        quoted(&report.run)
    )
}
