//! The sweet spot: which part of the network to train, by the accuracy and the cost of the runs.

use super::board::{Record, Status};
use super::trainer::RunCost;
use frostline_charts::figure::{Curve, Panel};
use frostline_charts::{Cell, Spread, Table};
use frostline_study::MARGIN;

/// Runs on the same task, images and rate, in which different parts train.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// `clothes, 50 images, rate 0.02`.
    pub name: String,
    /// In order of cost.
    pub mixes: Vec<Mix>,
}

/// Runs of which the same groups train.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Names of those groups.
    pub trainable: Vec<String>,
    /// The cost of each run.
    pub cost: RunCost,
    /// Seed, accuracy in % and seconds of each run; by seed.
    pub runs: Vec<(u64, f64, f64)>,
}

/// The finished ones of `records`, side by side.
pub fn compare(records: &[Record]) -> Vec<Comparison> {
    let mut found: Vec<Comparison> = vec![];
    for record in records.iter().filter(|record| record.status == Status::Finished) {
        let (Some(accuracy), Some(cost)) = (record.accuracy, &record.cost) else { continue };
        let request = &record.request;
        let name = format!("{}, {} images, rate {}", record.task, request.images, request.lr);
        let comparison = place(
            &mut found,
            |known| known.name == name,
            || Comparison { name: name.clone(), mixes: vec![] },
        );
        let mix = place(
            &mut comparison.mixes,
            |known| known.trainable == request.trainable,
            || Mix { trainable: request.trainable.clone(), cost: cost.clone(), runs: vec![] },
        );
        // The same seed again gives the same accuracy again.
        mix.runs.retain(|run| run.0 != request.seed);
        mix.runs.push((request.seed, 100.0 * accuracy, record.seconds));
        mix.runs.sort_by_key(|run| run.0);
    }
    for comparison in &mut found {
        comparison.mixes.sort_by_key(|mix| mix.cost.step.macs);
    }
    found
}

/// The item for which `is` returns true, or a new one.
fn place<T>(items: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    let at = items.iter().position(is).unwrap_or_else(|| {
        items.push(new());
        items.len() - 1
    });
    &mut items[at]
}

impl Mix {
    /// Accuracy over seeds, in %.
    pub fn accuracy(&self) -> Spread {
        let values: Vec<f64> = self.runs.iter().map(|run| run.1).collect();
        Spread::of(&values).unwrap_or(Spread { mean: f64::NAN, deviation: 0.0, count: 0 })
    }

    /// 10⁹ multiply-accumulates of a run.
    pub fn gmacs(&self) -> f64 {
        self.cost.macs() as f64 / 1e9
    }

    /// `layer4, fc`, `everything` or `fc alone`.
    pub fn name(&self) -> String {
        match &self.trainable[..] {
            all if all.len() == self.cost.groups.len() => "everything".to_owned(),
            [one] => format!("{one} alone"),
            some => some.join(", "),
        }
    }

    /// Its mean is at most [`MARGIN`] points below that of `best`.
    fn is_near(&self, best: &Mix) -> bool {
        self.accuracy().mean >= best.accuracy().mean - MARGIN
    }

    fn tell(&self) -> String {
        format!("{} {} % for {:.1} GMAC", self.name(), Cell::Spread(self.accuracy()), self.gmacs())
    }
}

impl Comparison {
    /// A sentence about the cheapest part that is near the best; `None` if there is nothing to choose from.
    pub fn answer(&self) -> Option<String> {
        let best = self.best().filter(|_| self.mixes.len() > 1)?;
        let cheapest = self.mixes.iter().find(|mix| mix.is_near(best))?;
        let dearest = self.mixes.last()?;
        Some(format!("{}: {}; the most expensive here is {}.", self.name, cheapest.tell(), dearest.tell()))
    }

    fn best(&self) -> Option<&Mix> {
        self.mixes.iter().max_by(|a, b| a.accuracy().mean.total_cmp(&b.accuracy().mean))
    }
}

/// All comparisons as a table.
pub fn table(comparisons: &[Comparison]) -> Table {
    let title = "what trains: test accuracy in % (mean ± standard deviation over seeds), and the cost of a run and of its steps";
    let columns = ["accuracy", "seeds", "s", "GMAC", "kernels a step", "skipped", "kept, KiB"];
    let mut table = Table::new(title, &columns);
    for (comparison, mix) in comparisons.iter().flat_map(|all| all.mixes.iter().map(move |mix| (all, mix))) {
        let (step, unfrozen) = (mix.cost.step, mix.cost.unfrozen);
        let seconds: Vec<f64> = mix.runs.iter().map(|run| run.2).collect();
        let cells = [
            Cell::Spread(mix.accuracy()),
            Cell::Number(mix.runs.len() as f64, 0),
            Cell::spread(&seconds),
            Cell::Number(mix.gmacs(), 1),
            Cell::Number(step.kernels as f64, 0),
            Cell::Number(unfrozen.kernels.saturating_sub(step.kernels) as f64, 0),
            Cell::Number(step.kept_bytes as f64 / 1024.0, 0),
        ];
        table.row(format!("{}: {}", comparison.name, mix.name()), cells);
    }
    table
}

/// Accuracy against cost, a curve for each comparison.
pub fn panel(comparisons: &[Comparison]) -> Panel {
    let point = |mix: &Mix| (mix.gmacs(), mix.accuracy().mean, mix.accuracy().deviation);
    let curves = comparisons
        .iter()
        .enumerate()
        .map(|(color, all)| Curve::new(&all.name, color, all.mixes.iter().map(point)));
    let ends = comparisons
        .iter()
        .flat_map(|all| &all.mixes)
        .map(Mix::accuracy)
        .map(|Spread { mean, deviation, .. }| (mean - deviation, mean + deviation));
    let (low, high) =
        ends.fold((100.0, 0.0), |(low, high), end| (f64::min(low, end.0), f64::max(high, end.1)));
    Panel {
        title: "accuracy against cost: from the head alone to everything".to_owned(),
        x: "cost of a run, 10⁹ multiply-accumulates".to_owned(),
        y: "test accuracy, %".to_owned(),
        log_x: false,
        range: ((low / 10.0).floor() * 10.0, (high / 10.0).ceil() * 10.0),
        curves: curves.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::super::trainer::{GroupCost, StepCost};
    use super::*;

    const GROUPS: [&str; 5] = ["stem+layer1", "layer2", "layer3", "layer4", "fc"];

    /// A finished run in which the last `depth` groups train.
    fn record(depth: usize, seed: u64, accuracy: f64) -> Record {
        let step = StepCost { kernels: 10 * depth as u64, macs: 1000 * depth as u64, kept_bytes: 0 };
        let unfrozen = StepCost { kernels: 50, macs: 5000, kept_bytes: 0 };
        let groups = GROUPS
            .map(|name| GroupCost { name: name.to_owned(), kernels: 0, skipped: 0, kept_bytes: 0 })
            .to_vec();
        let trainable = GROUPS[5 - depth..].iter().map(|&name| name.to_owned()).collect();
        Record {
            id: seed,
            status: Status::Finished,
            request: Request { trainable, seed, ..Request::example() },
            task: "clothes".to_owned(),
            cost: Some(RunCost { steps: 10, batch: 20, step, unfrozen, groups }),
            step: 10,
            seconds: 1.0,
            losses: vec![],
            validation: vec![],
            accuracy: Some(accuracy / 100.0),
            error: None,
        }
    }

    #[test]
    fn the_same_seed_counts_once_and_the_cheapest_near_the_best_is_the_answer() {
        let records = [record(1, 0, 60.0), record(2, 0, 70.0), record(5, 0, 71.0), record(2, 0, 70.0)];
        let comparison = &compare(&records)[0];
        assert_eq!(comparison.mixes[1].runs.len(), 1);
        assert!(comparison.answer().unwrap().contains(": layer4, fc 70.0"));
    }

    #[test]
    fn runs_without_an_end_are_left_out() {
        let stopped = Record { status: Status::Cancelled, accuracy: None, ..record(2, 0, 0.0) };
        assert!(compare(&[stopped]).is_empty());
    }

    #[test]
    fn a_table_has_a_row_for_each_mix_and_names_it() {
        let records = [record(1, 0, 60.0), record(2, 0, 70.0), record(5, 0, 70.0)];
        let text = table(&compare(&records)).to_string();
        for name in ["fc alone", "layer4, fc", "everything"] {
            assert!(text.contains(&format!("clothes, 20 images, rate 0.02: {name}")), "{text}");
        }
    }
}
