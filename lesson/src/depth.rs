//! Things measured stage by stage, and their curves.

use crate::chapter::Chapter;
use crate::error::Result;
use frostline_charts::figure::{Curve, Panel};
use frostline_charts::{Cell, Spread, Table, runs_bar};
use frostline_loader::{ImageSet, stratified_subset};
use frostline_trainer::{Learner, ProbeOptions, linear_probe};

/// A value for every stage and seed.
pub type ByStage = Vec<Vec<f64>>;

/// Stages of a deep network that are measured, the stem being number 0. Of a network with at most as
/// many stages all are.
const OF_MANY: [usize; 9] = [1, 3, 5, 8, 11, 13, 15, 16, 17];

/// Stages of a network, from the image on, and how deep they lie in it.
#[derive(Clone, Debug)]
pub struct Depth {
    /// The network's.
    pub network: String,
    /// Names of the stages.
    pub stages: Vec<String>,
    /// How many stages come before each.
    pub places: Vec<usize>,
}

impl Depth {
    /// The stages of `learner`'s network that are worth measuring, without its last layer.
    pub fn of(learner: &Learner) -> Self {
        let all: Vec<String> = learner.model().stages().into_iter().filter(|stage| stage != "fc").collect();
        let deep = all.len() > OF_MANY.len();
        let chosen = all.into_iter().enumerate().filter(|(place, _)| !deep || OF_MANY.contains(place));
        let (places, stages) = chosen.unzip();
        Self { network: learner.model().name().to_owned(), stages, places }
    }

    /// Index of the stage that lies two thirds of the way to the last.
    pub fn two_thirds(&self) -> usize {
        self.stages.len().saturating_sub(1) * 2 / 3
    }

    /// A curve of mean and deviation of `values[stage]`.
    pub fn curve(&self, name: impl Into<String>, color: usize, values: &[Vec<f64>]) -> Curve {
        let point = |(place, values): (&usize, &Vec<f64>)| Spread::of(values).map(|spread| (*place as f64, spread.mean, spread.deviation));
        Curve::new(name, color, self.places.iter().zip(values).filter_map(point))
    }

    /// A panel of such curves.
    pub fn panel(&self, title: impl Into<String>, y: &str, range: (f64, f64), curves: Vec<Curve>) -> Panel {
        Panel { title: title.into(), x: format!("stage of {} (0: stem)", self.network), y: y.to_owned(), log_x: false, range, curves }
    }
}

/// Trains probes on what each stage of `learner`'s network makes of `sets`, with every number of
/// images and every seed of the chapter's flags; what a probe does not train on tests it. Adds a
/// table to the chapter. Gives the stages, for each set the accuracies in % with the first number of
/// images, and a panel of all.
///
/// Each image runs through the network once: features are kept, and only heads are trained.
///
/// # Errors
/// If a set has fewer images than a probe is to train on; what the trainer says.
pub fn probe_by_depth(chapter: &mut Chapter, learner: &mut Learner, sets: &[(&str, ImageSet)]) -> Result<(Depth, Vec<ByStage>, Panel)> {
    let (depth, flags) = (Depth::of(learner), chapter.flags.clone());
    let mut curves: Vec<(String, usize, ByStage)> = vec![];
    let options = ProbeOptions::default();
    let steps = if flags.quick { options.steps / 8 } else { options.steps };
    let bar = runs_bar(&format!("probes on {}", depth.network), sets.len() as u64 * flags.images.len() as u64 * flags.seeds);
    for (color, (name, set)) in sets.iter().enumerate() {
        let features = learner.features_by_depth(set, &depth.stages)?;
        for &n in &flags.images {
            let mut found: ByStage = vec![vec![]; features.len()];
            for seed in 0..flags.seeds {
                let train = stratified_subset(&set.label_indices(), n, set.classes.len(), seed)?;
                let test: Vec<usize> = (0..set.len()).filter(|i| !train.contains(i)).collect();
                for (features, found) in features.iter().zip(&mut found) {
                    let options = ProbeOptions { seed, steps, ..options.clone() };
                    let probe = linear_probe(&chapter.gpu, &features.subset(&train), &features.subset(&test), &options)?;
                    found.push(100.0 * probe.test.accuracy);
                }
                bar.inc(1);
            }
            curves.push((format!("{name}, {n} images"), color, found));
        }
    }
    bar.finish_and_clear();
    let names: Vec<&str> = curves.iter().map(|(name, ..)| name.as_str()).collect();
    let mut table = Table::new(format!("{}: accuracy in % of a linear probe after each stage", depth.network), &names);
    for (i, stage) in depth.stages.iter().enumerate() {
        table.row(stage, curves.iter().map(|(.., found)| Cell::spread(&found[i])));
    }
    chapter.table(table);
    let title = format!("linear probes on {}", depth.network);
    let drawn = curves.iter().map(|(name, color, found)| depth.curve(name, *color, found)).collect();
    let panel = depth.panel(title, "test accuracy, %", (0.0, 100.0), drawn);
    let first = curves.into_iter().step_by(flags.images.len()).map(|(.., found)| found).collect();
    Ok((depth, first, panel))
}
