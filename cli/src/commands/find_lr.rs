//! `frostline find-lr`: the range test of the learning rate (Smith 2015), on the photos to train on.

use std::path::{Path, PathBuf};

use clap::Args;
use frostline_bench::range_test;
use frostline_charts::figure;
use frostline_trainer::LrRange;
use serde_json::json;

use crate::output::path_text;
use crate::train::choices::find_lr;
use crate::train::job::Job;
use crate::train::recipe::Recipe;
use crate::{Error, Output, Result, gpu};

/// The flags.
#[derive(Args, Debug)]
#[command(
    after_help = "The rate rises at every step until the loss explodes; weights are put back afterwards."
)]
pub struct FindLr {
    /// Folder with one folder of photos per class, or with `train` and `val` of that kind
    dir: PathBuf,
    #[command(flatten)]
    recipe: Recipe,
    /// The first step's rate
    #[arg(long, value_name = "RATE", default_value_t = LrRange::default().start, help_heading = "Range")]
    start: f32,
    /// The last step's rate
    #[arg(long, value_name = "RATE", default_value_t = LrRange::default().end, help_heading = "Range")]
    end: f32,
    /// Steps from one to the other
    #[arg(long, default_value_t = LrRange::default().steps, value_parser = clap::value_parser!(u64).range(FEWEST..=100_000), help_heading = "Range")]
    steps: u64,
    /// Picture of the curve: a PNG, and an SVG beside it
    #[arg(short, long, value_name = "FILE", default_value = "find_lr.png", help_heading = "Range")]
    out: PathBuf,
}

impl FindLr {
    /// Runs the test, prints what it suggests and draws the curve.
    ///
    /// # Errors
    /// For a folder, weights or settings that cannot be used.
    pub fn run(self, output: &Output) -> Result<()> {
        // Before the photos are read.
        let range = LrRange { start: self.start, end: self.end, steps: self.steps };
        range.check().map_err(|_| {
            let (start, end) = (self.start, self.end);
            Error::Flags(format!("--start {start} --end {end}: rates must rise, from above 0"))
        })?;
        room_for(&self.out)?;
        let output = &output.outliving_its_reader();
        let gpu = gpu::open()?;
        let dir = std::path::absolute(&self.dir).map_err(Error::CurrentFolder)?;
        let Job { recipe, chosen, data, mut learner, .. } =
            Job::begin(&gpu, Recipe { dir, ..self.recipe }, output)?;
        let (curve, suggested) = find_lr(&recipe, &mut learner, &data, &chosen, range)?;
        draw(&self.out, &curve)?;
        let suggestions = curve.suggestions();
        let text = match (&suggestions, suggested) {
            (Some(found), Some(lr)) => format!(
                "\nvalley {:.1e} within the longest fall of the loss\n\
                 steep         {:.1e}  where it falls fastest\n\
                 minimum / 10  {:.1e}  a tenth of the rate at its lowest\n\n\
                 `frostline train` takes the lower of the first and the last: --lr {lr:.1e}",
                found.valley, found.steep, found.minimum
            ),
            _ => format!(
                "\nthe loss exploded after {} steps, too early to suggest a rate: try a lower --end",
                curve.points.len()
            ),
        };
        output.say(text)?;
        output.say(format_args!("the curve is in {}", self.out.display()))?;
        let points: Vec<_> = curve
            .points
            .iter()
            .map(|p| json!({ "lr": p.lr, "loss": p.loss, "smoothed": p.smoothed }))
            .collect();
        let found = suggestions
            .map(|found| json!({ "valley": found.valley, "steep": found.steep, "minimum": found.minimum }));
        output.json(
            &json!({ "suggested": suggested, "suggestions": found, "points": points, "picture": path_text(&self.out) }),
        )
    }
}

/// A shorter curve suggests no rate: the first tenth and the last five steps are left out.
const FEWEST: u64 = 10;

/// Fails if no file can be written at `path`.
fn room_for(path: &Path) -> Result<()> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    if path.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder).map_err(failed),
        _ => Ok(()),
    }
}

fn draw(path: &Path, curve: &frostline_trainer::LrCurve) -> Result<()> {
    figure::draw(path, 1, &[range_test(curve)])?;
    Ok(())
}
