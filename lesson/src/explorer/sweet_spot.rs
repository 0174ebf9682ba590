//! The sweet spot: which part of the network to train, by what the runs gave and what they cost.

use super::board::{Record, Status};
use super::trainer::RunCost;
use crate::verdict::{Claim, Verdict};
use frostline_charts::figure::{Curve, Panel};
use frostline_charts::{Cell, Spread, Table};

/// What is put to the test.
const CLAIM: &str = "Accuracy against cost has a sweet spot: a partial freeze comes within a standard deviation of the best, for less than training everything";

/// Runs on the same task, images and rate, of which different parts train.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// `clothes, 50 images, rate 0.02`.
    pub name: String,
    /// From the cheapest to the dearest.
    pub mixes: Vec<Mix>,
}

/// Runs of which the same groups train.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Names of those groups.
    pub trainable: Vec<String>,
    /// What each of them costs.
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
        let comparison = place(&mut found, |known| known.name == name, || Comparison { name: name.clone(), mixes: vec![] });
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

/// The item that `is` finds, or a new one.
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

    /// Its mean is at most a standard deviation of `best` below it.
    fn is_near(&self, best: &Mix) -> bool {
        let Spread { mean, deviation, .. } = best.accuracy();
        self.accuracy().mean >= mean - deviation
    }

    fn tell(&self) -> String {
        format!("{} {} % for {:.1} GMAC", self.name(), Cell::Spread(self.accuracy()), self.gmacs())
    }

    fn trains_everything(&self) -> bool {
        self.trainable.len() == self.cost.groups.len()
    }

    /// Something below the head trains, and something does not.
    fn is_partial(&self) -> bool {
        let head = self.cost.groups.last().map(|group| &group.name);
        !self.trains_everything() && self.trainable.iter().any(|name| Some(name) != head)
    }
}

impl Comparison {
    /// Whether there is a sweet spot; nothing where everything or every partial freeze is missing.
    ///
    /// The cheapest partial freeze whose mean is at most a standard deviation of the best below the
    /// best is judged, by how certain its seeds are of that.
    pub fn claim(&self) -> Option<Claim> {
        let everything = self.mixes.iter().find(|mix| mix.trains_everything())?;
        let best = self.best()?;
        let deviation = best.accuracy().deviation;
        let partial = || self.mixes.iter().filter(|mix| mix.is_partial());
        let nearest = partial().max_by(|a, b| a.accuracy().mean.total_cmp(&b.accuracy().mean))?;
        let sweet = partial().find(|mix| mix.is_near(best) && mix.cost.macs() < everything.cost.macs());
        let verdict = sweet.map_or(Verdict::DoesNotShow, |sweet| {
            let pairs = sweet.runs.iter().filter_map(|run| Some((run.1, best.runs.iter().find(|other| other.0 == run.0)?.1)));
            // Of a freeze that is the best itself, only the number of seeds is in question.
            let margins: Vec<f64> = pairs.map(|(sweet, best)| sweet - best + deviation.max(f64::EPSILON)).collect();
            Verdict::of(&margins)
        });
        let mut evidence = format!("{}: {}; best: {}", self.name, sweet.unwrap_or(nearest).tell(), best.tell());
        if !best.trains_everything() {
            evidence += &format!("; {}", everything.tell());
        }
        if let Some(cheapest) = self.mixes.first().filter(|mix| !mix.is_partial() && !mix.trains_everything()) {
            evidence += &format!("; {}", cheapest.tell());
        }
        Some(Claim { claim: CLAIM.to_owned(), verdict, evidence })
    }

    /// The cheapest that is near the best, as a sentence; nothing to choose from gives none.
    pub fn answer(&self) -> Option<String> {
        let best = self.best().filter(|_| self.mixes.len() > 1)?;
        let cheapest = self.mixes.iter().find(|mix| mix.is_near(best))?;
        let dearest = self.mixes.last()?;
        Some(format!("{}: {}; the dearest here is {}.", self.name, cheapest.tell(), dearest.tell()))
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
    let curves = comparisons.iter().enumerate().map(|(color, all)| Curve::new(&all.name, color, all.mixes.iter().map(point)));
    let ends = comparisons
        .iter()
        .flat_map(|all| &all.mixes)
        .map(Mix::accuracy)
        .map(|Spread { mean, deviation, .. }| (mean - deviation, mean + deviation));
    let (low, high) = ends.fold((100.0, 0.0), |(low, high), end| (f64::min(low, end.0), f64::max(high, end.1)));
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
        let groups = GROUPS.map(|name| GroupCost { name: name.to_owned(), kernels: 0, skipped: 0, kept_bytes: 0 }).to_vec();
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

    fn verdict(of: &[(usize, [f64; 3])]) -> Option<Verdict> {
        let records: Vec<Record> =
            of.iter().flat_map(|(depth, values)| (0..3).map(|seed| record(*depth, seed, values[seed as usize]))).collect();
        compare(&records)[0].claim().map(|claim| claim.verdict)
    }

    #[test]
    fn a_partial_freeze_near_the_best_is_a_sweet_spot() {
        assert_eq!(verdict(&[(1, [60.0, 61.0, 62.0]), (2, [70.0, 71.0, 72.0]), (5, [68.0, 69.0, 70.0])]), Some(Verdict::Holds));
        assert_eq!(verdict(&[(2, [70.5, 71.5, 72.5]), (5, [71.0, 72.0, 73.0])]), Some(Verdict::Holds));
        assert_eq!(verdict(&[(2, [69.0, 75.0, 72.0]), (5, [71.0, 72.0, 73.0])]), Some(Verdict::Weakly));
        assert_eq!(verdict(&[(2, [60.0, 61.0, 62.0]), (5, [71.0, 72.0, 73.0])]), Some(Verdict::DoesNotShow));
    }

    #[test]
    fn the_head_alone_is_no_partial_freeze_and_one_side_is_no_comparison() {
        assert_eq!(verdict(&[(1, [90.0, 91.0, 92.0]), (2, [60.0, 61.0, 62.0]), (5, [61.0, 62.0, 63.0])]), Some(Verdict::DoesNotShow));
        assert_eq!(verdict(&[(1, [60.0; 3]), (5, [70.0; 3])]), None);
        assert_eq!(verdict(&[(2, [60.0; 3])]), None);
    }

    #[test]
    fn one_seed_is_weak_and_the_same_seed_counts_once() {
        let records = [record(2, 0, 71.0), record(5, 0, 70.0), record(2, 0, 71.0)];
        let comparison = &compare(&records)[0];
        assert_eq!(comparison.mixes[0].runs.len(), 1);
        assert_eq!(comparison.claim().unwrap().verdict, Verdict::Weakly);
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
