//! The four strategies against ever more images of a task.

use crate::chapter::Chapter;
use crate::error::Result;
use crate::fit::{Run, accuracies, gains, spread};
use crate::strategy::Strategy;
use crate::track::{Task, Track};
use frostline_charts::figure::{Curve, Panel};
use frostline_charts::{Cell, Table, runs_bar};
use frostline_trainer::Learner;

/// Runs of all strategies on a task.
pub struct Growth {
    /// What the task is called.
    pub task: String,
    /// Accuracy of guessing, in %.
    pub chance: f64,
    /// By number of images, from few to many.
    pub rows: Vec<GrowthRow>,
}

/// Runs of all strategies on the same images.
pub struct GrowthRow {
    /// Number of labelled images.
    pub images: usize,
    /// Of each strategy, in the order of [`Strategy::ALL`], the runs of seed 0, 1, …
    runs: [Vec<Run>; 4],
}

/// Test images. An accuracy of 90% is known to 2 points; strategies are compared on the same ones.
const TESTS: usize = 300;

impl Growth {
    /// Runs every strategy on `--images` images of `task`, `--seeds` times each; a number above what
    /// the task has becomes all that it has. `keep` is given the networks of seed 0 that saw most.
    ///
    /// # Errors
    /// What drawing, training and evaluating give, and what `keep` says.
    pub fn measure(chapter: &Chapter, track: &Track, task: &Task, mut keep: impl FnMut(Strategy, Learner) -> Result<()>) -> Result<Self> {
        let flags = &chapter.flags;
        let mut sizes: Vec<usize> = flags.images.iter().map(|n| (*n).min(task.pool.len())).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let test = task.some_tests(TESTS)?;
        let bar = runs_bar(&task.name, sizes.len() as u64 * flags.seeds * 4);
        let mut rows = vec![];
        for &images in &sizes {
            let mut runs: [Vec<Run>; 4] = Default::default();
            for (seed, strategy) in (0..flags.seeds).flat_map(|seed| Strategy::ALL.map(|strategy| (seed, strategy))) {
                let (run, learner) = strategy.train(chapter, track, task, images, seed, &test)?;
                runs[strategy as usize].push(run);
                if seed == 0 && Some(&images) == sizes.last() {
                    keep(strategy, learner)?;
                }
                bar.inc(1);
            }
            rows.push(GrowthRow { images, runs });
        }
        bar.finish_and_clear();
        Ok(Self { task: task.name.clone(), chance: task.chance(), rows })
    }

    /// Accuracies by number of images.
    pub fn table(&self) -> Table {
        let title = format!("{}: test accuracy in %, mean ± standard deviation over seeds (chance {:.0})", self.task, self.chance);
        let mut table = Table::new(title, &Strategy::ALL.map(Strategy::name));
        for row in &self.rows {
            table.row(format!("{} images", row.images), Strategy::ALL.map(|strategy| row.accuracy(strategy)));
        }
        table
    }

    /// The same as curves.
    pub fn panel(&self, title: &str) -> Panel {
        // Random weights in the colour that they have in every chapter.
        let colors = [0, 4, 2, 1];
        let curve = |(strategy, color): (Strategy, usize)| {
            let point = |row: &GrowthRow| (row.images as f64, row.mean(strategy), spread(row.of(strategy)).deviation);
            Curve::new(strategy.name(), color, self.rows.iter().map(point))
        };
        let curves: Vec<Curve> = Strategy::ALL.into_iter().zip(colors).map(curve).collect();
        let lowest = curves.iter().flat_map(|curve| &curve.points).map(|point| point.low).fold(100.0, f64::min);
        // Room below for the legend.
        let range = (((lowest - 12.0) / 10.0).floor().max(0.0) * 10.0, 100.0);
        let (x, y) = ("labelled images (logarithmic)".to_owned(), "test accuracy, %".to_owned());
        Panel { title: title.to_owned(), x, y, log_x: true, range, curves }
    }
}

impl GrowthRow {
    /// The runs of `strategy`.
    pub fn of(&self, strategy: Strategy) -> &[Run] {
        &self.runs[strategy as usize]
    }

    /// Mean test accuracy in %.
    pub fn mean(&self, strategy: Strategy) -> f64 {
        spread(self.of(strategy)).mean
    }

    /// Test accuracy in %, with its spread.
    pub fn accuracy(&self, strategy: Strategy) -> Cell {
        Cell::spread(&accuracies(self.of(strategy)))
    }

    /// What `strategy` gains over `other` in each seed, in points.
    pub fn gains(&self, strategy: Strategy, other: Strategy) -> Vec<f64> {
        gains(self.of(strategy), self.of(other))
    }

    /// All four means as text.
    pub fn told(&self) -> String {
        Strategy::ALL.map(|strategy| format!("{} {:.1}", strategy.name(), self.mean(strategy))).join(", ")
    }
}
