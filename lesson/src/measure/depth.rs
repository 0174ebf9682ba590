//! The stages of a network, and curves of what is measured on them.

use frostline_charts::Spread;
use frostline_charts::figure::{Curve, Panel};
use frostline_models::Model;

/// Stages of a deep network that are measured; the stem is number 0. Of a network with at most this many
/// stages, all are measured.
const OF_MANY: [usize; 9] = [1, 3, 5, 8, 11, 13, 15, 16, 17];

/// Stages of a network, from the image on, and their depth.
#[derive(Clone, Debug)]
pub struct Depth {
    /// The network's.
    pub network: String,
    /// Names of the stages.
    pub stages: Vec<String>,
    /// The number of stages before each.
    pub places: Vec<usize>,
}

impl Depth {
    /// The stages of `model` that are measured, without its last layer.
    pub fn of(model: &Model) -> Self {
        let all: Vec<String> = model.stages().into_iter().filter(|stage| stage != "fc").collect();
        let deep = all.len() > OF_MANY.len();
        let chosen = all.into_iter().enumerate().filter(|(place, _)| !deep || OF_MANY.contains(place));
        let (places, stages) = chosen.unzip();
        Self { network: model.name().to_owned(), stages, places }
    }

    /// Index of the stage at two thirds of the way to the last.
    pub fn two_thirds(&self) -> usize {
        self.stages.len().saturating_sub(1) * 2 / 3
    }

    /// A curve of mean and deviation of the `values` of each stage.
    pub fn curve(
        &self,
        name: impl Into<String>,
        color: usize,
        values: impl Fn(&String) -> Vec<f64>,
    ) -> Curve {
        let point = |(place, stage): (&usize, &String)| {
            Spread::of(&values(stage)).map(|spread| (*place as f64, spread.mean, spread.deviation))
        };
        Curve::new(name, color, self.places.iter().zip(&self.stages).filter_map(point))
    }

    /// A panel of such curves.
    pub fn panel(&self, title: impl Into<String>, y: &str, range: (f64, f64), curves: Vec<Curve>) -> Panel {
        Panel {
            title: title.into(),
            x: format!("stage of {} (0: stem)", self.network),
            y: y.to_owned(),
            log_x: false,
            range,
            curves,
        }
    }
}
