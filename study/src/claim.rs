//! Claims: what a chapter states before its runs, and what the runs show about it.

use crate::answers::Answers;
use crate::judge::{Fault, Images, Judgement, Kind, Options, Paired, Question, Verdict, judge};
use crate::run::Run;
use crate::setting::{Cell, Setting};
use serde::Serialize;
use std::fmt;

/// The margin of a claim about accuracy, in points, unless it names another.
pub const MARGIN: f64 = 2.0;

/// The unit of differences in accuracy.
pub const POINTS: &str = "points";

/// The runs of one side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    /// The runs of one cell.
    Cell(Cell),
    /// The runs of the cell with the highest mean accuracy on validation images; of two equals, the first.
    Best(Vec<Cell>),
}

impl From<Cell> for Side {
    fn from(cell: Cell) -> Self {
        Self::Cell(cell)
    }
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Accuracy in a test, in points, image by image.
    Accuracy(String),
    /// A number that is measured once in each run, by its name in [`Run::numbers`].
    Number(String),
}

/// One side of a comparison, with its measure and its factor in the sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// 1 or −1; any number in a sum of several terms.
    pub factor: f64,
    /// The runs.
    pub side: Side,
    /// What of them.
    pub measure: Measure,
}

impl Term {
    /// The accuracy of `side` in `test`, times `factor`.
    pub fn accuracy(factor: f64, side: impl Into<Side>, test: &str) -> Self {
        Self { factor, side: side.into(), measure: Measure::Accuracy(test.to_owned()) }
    }

    /// A number that the runs of `side` keep, times `factor`.
    pub fn number(factor: f64, side: impl Into<Side>, name: &str) -> Self {
        Self { factor, side: side.into(), measure: Measure::Number(name.to_owned()) }
    }
}

/// A statement that is tested, written before the runs: a sum of terms, such as the accuracy of one cell
/// minus that of another, that is claimed to be above 0, not below −margin, or within the margin.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// In words.
    pub text: String,
    /// The claim about the sum.
    pub kind: Kind,
    /// The largest difference that is too small to matter, in the unit.
    pub margin: f64,
    /// `points`, unless numbers with another unit are compared.
    pub unit: String,
    /// The sum.
    pub terms: Vec<Term>,
}

impl Claim {
    /// `ours` has more right on the test images than `theirs`.
    pub fn better(text: impl Into<String>, ours: impl Into<Side>, theirs: impl Into<Side>) -> Self {
        Self::new(text, Kind::Better, ours.into(), theirs.into())
    }

    /// `ours` has fewer right than `theirs` by at most the margin.
    pub fn not_worse(text: impl Into<String>, ours: impl Into<Side>, theirs: impl Into<Side>) -> Self {
        Self::new(text, Kind::NotWorse, ours.into(), theirs.into())
    }

    /// `ours` and `theirs` have the same share right, within the margin.
    pub fn same(text: impl Into<String>, ours: impl Into<Side>, theirs: impl Into<Side>) -> Self {
        Self::new(text, Kind::Same, ours.into(), theirs.into())
    }

    /// A sum, whose [`terms`](Claim::terms) follow, is above 0.
    pub fn sum(text: impl Into<String>, unit: &str) -> Self {
        let (kind, unit) = (Kind::Better, unit.to_owned());
        Self { text: text.into(), kind, margin: MARGIN, unit, terms: vec![] }
    }

    fn new(text: impl Into<String>, kind: Kind, ours: Side, theirs: Side) -> Self {
        let term = |factor, side| Term { factor, side, measure: Measure::Accuracy("test".to_owned()) };
        let terms = vec![term(1.0, ours), term(-1.0, theirs)];
        Self { text: text.into(), kind, margin: MARGIN, unit: POINTS.to_owned(), terms }
    }

    /// The cells that it compares.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.terms.iter().flat_map(|term| match &term.side {
            Side::Cell(cell) => std::slice::from_ref(cell),
            Side::Best(cells) => cells,
        })
    }

    /// The same on another test: `moved by 6 pixels`.
    #[must_use]
    pub fn on(self, test: &str) -> Self {
        self.measuring(&Measure::Accuracy(test.to_owned()))
    }

    /// The same with `ours` on another test, which has the same images.
    #[must_use]
    pub fn first_on(mut self, test: &str) -> Self {
        if let Some(first) = self.terms.first_mut() {
            first.measure = Measure::Accuracy(test.to_owned());
        }
        self
    }

    /// The same on a number that runs keep, in `unit`; differences up to `margin` do not matter.
    #[must_use]
    pub fn of_number(self, name: &str, unit: &str, margin: f64) -> Self {
        let claim = self.measuring(&Measure::Number(name.to_owned()));
        Self { unit: unit.to_owned(), margin, ..claim }
    }

    /// A claim with terms other than two sides on one measure.
    #[must_use]
    pub fn terms(self, terms: Vec<Term>) -> Self {
        Self { terms, ..self }
    }

    fn measuring(mut self, measure: &Measure) -> Self {
        self.terms.iter_mut().for_each(|term| term.measure = measure.clone());
        self
    }
}

/// What the runs show about a claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The claim in words.
    pub claim: String,
    /// `supported`, `contradicted`, `equivalent`, `inconclusive`; or why there is no verdict.
    pub verdict: String,
    /// The numbers in words.
    pub evidence: String,
    /// The sum of the terms, mean over seeds, in [`Finding::unit`]; `None` without runs.
    pub mean: Option<f64>,
    /// Its interval; `None` if nothing was tested.
    pub interval: Option<(f64, f64)>,
    /// How often such intervals contain the true value.
    pub level: Option<f64>,
    /// The margin.
    pub margin: f64,
    /// The unit of mean, interval and margin.
    pub unit: String,
    /// The verdict, if there is one.
    #[serde(skip)]
    pub judgement: Option<Judgement>,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    Runs,
    Convergence(String),
    Rehearsal,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runs => "not measured",
            Self::Convergence(_) => "too short to tell",
            Self::Rehearsal => "a rehearsal",
        })
    }
}

/// Finished runs, by cell.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// The runs of `settings` among `finished`, in the order of `settings`. Also returns the number of
    /// missing runs.
    pub fn of(settings: &[Setting], finished: impl Fn(&Setting) -> Option<Run>) -> (Self, usize) {
        let runs: Vec<Run> = settings.iter().filter_map(finished).collect();
        let missing = settings.len() - runs.len();
        (Self { runs }, missing)
    }

    /// All of them.
    pub fn all(&self) -> &[Run] {
        &self.runs
    }

    /// Those of `cell`, by seed.
    pub fn cell(&self, cell: &Cell) -> Vec<&Run> {
        let mut runs: Vec<&Run> = self.runs.iter().filter(|run| run.setting.is_of(cell)).collect();
        runs.sort_by_key(|run| run.setting.seed);
        runs
    }

    /// The seeds of its runs.
    fn seeds(&self, cell: &Cell) -> Vec<u64> {
        self.cell(cell).iter().map(|run| run.setting.seed).collect()
    }

    /// Accuracies of `cell` in `test`, in %, by seed.
    pub fn accuracies(&self, cell: &Cell, test: &str) -> Vec<f64> {
        self.cell(cell).iter().filter_map(|run| run.accuracy(test)).map(|share| 100.0 * share).collect()
    }

    /// The numbers called `name` of `cell`, by seed.
    pub fn numbers(&self, cell: &Cell, name: &str) -> Vec<f64> {
        self.cell(cell).iter().filter_map(|run| run.numbers.get(name).copied()).collect()
    }

    /// The cell of `side`: of several, the best on validation images; `None` if those have no runs.
    pub fn choose<'a>(&self, side: &'a Side) -> Option<&'a Cell> {
        let cells = match side {
            Side::Cell(cell) => return Some(cell),
            Side::Best(cells) => cells,
        };
        let mean = |cell: &Cell| {
            let found = self.accuracies(cell, "validation");
            (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
        };
        let means: Vec<(&Cell, f64)> = cells.iter().filter_map(|cell| Some((cell, mean(cell)?))).collect();
        // A cell without runs could be the best.
        if means.len() < cells.len() {
            return None;
        }
        means.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(cell, _)| cell)
    }
}

/// Tests `claims`, all claims of a chapter. A `rehearsal` gets no verdicts.
///
/// # Errors
/// A [`Fault`] for an invalid claim, such as one without a margin.
pub fn put_to_the_test(claims: &[Claim], runs: &Runs, rehearsal: bool) -> Result<Vec<Finding>, Fault> {
    let measured: Vec<Result<Question, Missing>> =
        claims.iter().map(|claim| measure(claim, runs, rehearsal)).collect();
    let questions: Vec<Question> = measured.iter().filter_map(|found| found.clone().ok()).collect();
    let mut judged = judge(&questions, &Options::default())?.into_iter();
    let findings = claims.iter().zip(measured).map(|(claim, measured)| {
        let judgement = measured.as_ref().ok().and_then(|_| judged.next());
        finding(claim, runs, measured.err(), judgement)
    });
    Ok(findings.collect())
}

/// The differences that a claim needs.
fn measure<'a>(claim: &Claim, runs: &'a Runs, rehearsal: bool) -> Result<Question, Missing> {
    let mut terms = vec![];
    for term in &claim.terms {
        let cell = runs.choose(&term.side).ok_or(Missing::Runs)?;
        let found = runs.cell(cell);
        if found.is_empty() {
            return Err(Missing::Runs);
        }
        terms.push((term, found));
    }
    if terms.is_empty() {
        return Err(Missing::Runs);
    }
    if rehearsal {
        return Err(Missing::Rehearsal);
    }
    if let Some(run) = terms.iter().flat_map(|(_, runs)| runs).find(|run| !run.converged()) {
        return Err(Missing::Convergence(run.setting.to_string()));
    }
    // Pairs share their seed, and so their images.
    let seeds = shared_seeds(claim, runs);
    let rows: Option<Vec<Vec<(f64, Value<'a>)>>> = seeds
        .iter()
        .map(|&seed| {
            let of = |(term, runs): &(&Term, Vec<&'a Run>)| {
                let run = runs.iter().copied().find(|run| run.setting.seed == seed)?;
                Some((term.factor, value(run, &term.measure)?))
            };
            terms.iter().map(of).collect()
        })
        .collect();
    let rows = rows.filter(|rows| !rows.is_empty()).ok_or(Missing::Runs)?;
    Ok(Question { kind: claim.kind, margin: claim.margin, paired: paired(&rows) })
}

/// The seeds that have a run in every cell of `claim`.
fn shared_seeds(claim: &Claim, runs: &Runs) -> Vec<u64> {
    let cells: Vec<Vec<u64>> = claim
        .terms
        .iter()
        .map(|term| runs.choose(&term.side).map(|cell| runs.seeds(cell)).unwrap_or_default())
        .collect();
    let Some((first, others)) = cells.split_first() else { return vec![] };
    first.iter().filter(|seed| others.iter().all(|seeds| seeds.contains(seed))).copied().collect()
}

/// The value of a term for a run: answers, or a number.
enum Value<'a> {
    Answers(&'a Answers),
    Number(f64),
}

impl Value<'_> {
    /// The accuracy in %, or the number.
    fn mean(&self) -> f64 {
        match self {
            Self::Answers(answers) => 100.0 * answers.accuracy(),
            Self::Number(number) => *number,
        }
    }
}

fn value<'a>(run: &'a Run, measure: &Measure) -> Option<Value<'a>> {
    match measure {
        Measure::Accuracy(test) => run.answers.get(test).map(Value::Answers),
        Measure::Number(name) => run.numbers.get(name).copied().map(Value::Number),
    }
}

/// Image by image if all terms are answers to the same test, else seed by seed.
fn paired(rows: &[Vec<(f64, Value<'_>)>]) -> Paired {
    let set = |row: &[(f64, Value<'_>)]| {
        let mut sets = row
            .iter()
            .map(|(_, value)| if let Value::Answers(answers) = value { Some(&answers.set) } else { None });
        let first = sets.next()??;
        sets.all(|set| set == Some(first)).then(|| first.clone())
    };
    let sets: Option<Vec<String>> = rows.iter().map(|row| set(row)).collect();
    let Some(sets) = sets else {
        let sum =
            |row: &Vec<(f64, Value<'_>)>| vec![row.iter().map(|(factor, value)| factor * value.mean()).sum()];
        return Paired { rows: rows.iter().map(sum).collect(), images: Images::Own };
    };
    let by_image = |row: &Vec<(f64, Value<'_>)>| {
        let mut sums = vec![];
        for (factor, value) in row {
            let Value::Answers(answers) = value else { continue };
            sums.resize(answers.len(), 0.0);
            answers.right().zip(&mut sums).for_each(|(right, sum)| *sum += 100.0 * factor * right);
        }
        sums
    };
    let images = if sets.iter().all(|set| *set == sets[0]) { Images::Shared } else { Images::Own };
    Paired { rows: rows.iter().map(by_image).collect(), images }
}

fn finding(claim: &Claim, runs: &Runs, missing: Option<Missing>, judgement: Option<Judgement>) -> Finding {
    let seeds = shared_seeds(claim, runs);
    let unit = if claim.unit == POINTS { "%" } else { claim.unit.as_str() };
    let side = |term: &Term| {
        let cell = runs.choose(&term.side)?;
        // Means over the compared seeds only: a side with more runs would have a mean over other seeds.
        let compared = runs.cell(cell).into_iter().filter(|run| seeds.contains(&run.setting.seed));
        let values: Vec<f64> =
            compared.filter_map(|run| value(run, &term.measure)).map(|value| value.mean()).collect();
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)?;
        let chosen = if matches!(term.side, Side::Best(_)) { ", chosen on validation images" } else { "" };
        let test = match &term.measure {
            Measure::Accuracy(test) if test != "test" => format!(", {test}"),
            Measure::Number(name) => format!(", {name}"),
            Measure::Accuracy(_) => String::new(),
        };
        Some(format!("{cell}{test}{chosen}: {} {unit}", number(mean, unit)))
    };
    let mut evidence: Vec<String> = claim.terms.iter().filter_map(side).collect();
    if let Some(Missing::Runs) = &missing {
        evidence.push("runs are missing".to_owned());
    }
    if let Some(Missing::Convergence(run)) = &missing {
        evidence.push(format!("not converged: {run}"));
    }
    let tested = judgement.and_then(|judgement| judgement.tested);
    if let Some(judgement) = &judgement {
        let signed = |value| signed(value, &claim.unit);
        let mut words = format!("{} {}", signed(judgement.mean), claim.unit);
        if let Some(tested) = tested {
            let (low, high) = tested.interval;
            words += &format!(", {:.1}% interval {} to {}", 100.0 * tested.level, signed(low), signed(high));
        }
        words += &format!(", {} seeds", judgement.seeds);
        evidence.push(words);
    }
    let verdict = match (&missing, &judgement) {
        (Some(missing), _) => missing.to_string(),
        (None, Some(judgement)) => judgement.verdict.to_string(),
        (None, None) => Missing::Runs.to_string(),
    };
    Finding {
        claim: claim.text.clone(),
        verdict,
        evidence: evidence.join("; "),
        mean: judgement.map(|judgement| judgement.mean),
        interval: tested.map(|tested| tested.interval),
        level: tested.map(|tested| tested.level),
        margin: claim.margin,
        unit: claim.unit.clone(),
        judgement,
    }
}

impl Finding {
    /// Whether the claim is supported or, for a claim of equality, equivalent.
    pub fn holds(&self) -> bool {
        let verdict = self.judgement.map(|judgement| judgement.verdict);
        matches!(verdict, Some(Verdict::Supported))
    }
}

/// With a suitable number of digits: one for points and percent, three for small numbers of another unit.
fn number(value: f64, unit: &str) -> String {
    let small = value.abs() < 1.0 && ![POINTS, "%"].contains(&unit);
    if small { format!("{value:.3}") } else { format!("{value:.1}") }
}

/// A difference in `unit`, with its sign: +12.3, -0.042.
pub fn signed(value: f64, unit: &str) -> String {
    let text = number(value, unit);
    if text.starts_with('-') { text } else { format!("+{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use std::collections::BTreeMap;

    /// A converged run that answers `right` of 200 images, other ones for each seed.
    fn run(condition: &str, seed: u64, right: usize) -> Run {
        let start = 7 * seed as usize;
        let predictions: Vec<u32> = (0..200).map(|i| u32::from((i + start) % 200 >= right)).collect();
        let answers = Answers::new("two hundred", &[0; 200], &predictions);
        let answers =
            BTreeMap::from([("test".to_owned(), answers.clone()), ("validation".to_owned(), answers)]);
        Run { answers, ..samples::run(condition, seed, 50) }
    }

    fn runs(of: &[(&str, [usize; 5])]) -> Runs {
        let runs = of
            .iter()
            .flat_map(|(name, right)| right.iter().zip(0..).map(|(&right, seed)| run(name, seed, right)));
        Runs { runs: runs.collect() }
    }

    fn cell(condition: &str) -> Cell {
        Cell::new("clothes", condition, 50)
    }

    fn verdicts(claims: &[Claim], runs: &Runs) -> Vec<String> {
        put_to_the_test(claims, runs, false).unwrap().into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_large_difference_is_supported_and_its_opposite_contradicted() {
        let runs = runs(&[("full", [150, 152, 148, 151, 149]), ("scratch", [100, 103, 98, 101, 99])]);
        let [right, wrong] = [("full", "scratch"), ("scratch", "full")]
            .map(|(a, b)| Claim::better("a claim", cell(a), cell(b)));
        assert_eq!(verdicts(std::slice::from_ref(&right), &runs), ["supported"]);
        assert_eq!(verdicts(&[wrong], &runs), ["contradicted"]);
        let found = &put_to_the_test(&[right], &runs, false).unwrap()[0];
        assert_eq!(found.mean.map(f64::round), Some(25.0));
        for words in ["clothes, 50 images, full: 75.0 %", "scratch: 50.1 %", "+24.9 points", "5 seeds"] {
            assert!(found.evidence.contains(words), "{words} in {}", found.evidence);
        }
        assert!(found.holds());
    }

    #[test]
    fn the_same_answers_are_equivalent() {
        let runs = runs(&[("a", [150, 152, 148, 151, 149]), ("b", [150, 152, 148, 151, 149])]);
        assert_eq!(verdicts(&[Claim::same("a claim", cell("a"), cell("b"))], &runs), ["equivalent"]);
        assert_eq!(verdicts(&[Claim::better("a claim", cell("a"), cell("b"))], &runs), ["equivalent"]);
        assert_eq!(verdicts(&[Claim::not_worse("a claim", cell("a"), cell("b"))], &runs), ["supported"]);
    }

    #[test]
    fn what_is_missing_or_too_short_gets_no_verdict() {
        let claim = Claim::better("a claim", cell("full"), cell("scratch"));
        let only = runs(&[("full", [150; 5])]);
        assert_eq!(verdicts(std::slice::from_ref(&claim), &only), ["not measured"]);
        let mut short = runs(&[("full", [150; 5]), ("scratch", [100; 5])]);
        assert_eq!(
            put_to_the_test(std::slice::from_ref(&claim), &short, true).unwrap()[0].verdict,
            "a rehearsal"
        );
        short.runs[7].losses = (0..60).map(|i| 3.0 - f64::from(i) / 30.0).collect();
        let found = put_to_the_test(std::slice::from_ref(&claim), &short, false).unwrap();
        assert_eq!(found[0].verdict, "too short to tell");
        assert!(
            found[0].evidence.contains("not converged: clothes, 50 images, scratch, seed 2"),
            "{}",
            found[0].evidence
        );
        short.runs.retain(|run| run.setting.seed < 2);
        assert_eq!(verdicts(&[claim], &short), ["inconclusive"]);
    }

    #[test]
    fn the_best_is_chosen_on_validation_images_and_judged_on_others() {
        let mut runs = runs(&[("a", [120; 5]), ("b", [150; 5]), ("c", [100; 5])]);
        for run in &mut runs.runs {
            // On validation images a is ahead of b.
            let right = if run.setting.condition == "a" { "a" } else { "" };
            let labels = [0; 4];
            let predictions = if right == "a" { [0; 4] } else { [0, 0, 1, 1] };
            run.answers.insert("validation".to_owned(), Answers::new("four", &labels, &predictions));
        }
        let side = Side::Best(vec![cell("b"), cell("a")]);
        assert_eq!(runs.choose(&side), Some(&cell("a")));
        let found = &put_to_the_test(&[Claim::better("a claim", side, cell("c"))], &runs, false).unwrap()[0];
        assert!(found.evidence.contains("a, chosen on validation images: 60.0 %"), "{}", found.evidence);
        assert_eq!(runs.choose(&Side::Best(vec![cell("a"), cell("missing")])), None);
    }

    #[test]
    fn numbers_are_compared_seed_by_seed_and_sums_may_have_more_terms() {
        let mut runs = runs(&[("a", [120; 5]), ("b", [120; 5])]);
        for run in &mut runs.runs {
            let (seed, shift) =
                (run.setting.seed as f64, if run.setting.condition == "a" { 0.5 } else { 0.0 });
            run.numbers = BTreeMap::from([
                ("first".into(), 0.9 + 0.01 * seed),
                ("last".into(), 0.1 + shift + 0.02 * seed),
            ]);
        }
        let claim = Claim::better("a is higher", cell("a"), cell("b")).of_number("last", "of 1", 0.05);
        let found = &put_to_the_test(&[claim], &runs, false).unwrap()[0];
        assert_eq!(
            (found.verdict.as_str(), found.mean.map(|mean| (mean * 1e6).round())),
            ("supported", Some(500_000.0))
        );
        let term = |factor, condition, name: &str| Term {
            factor,
            side: cell(condition).into(),
            measure: Measure::Number(name.to_owned()),
        };
        let fall = vec![
            term(1.0, "b", "first"),
            term(-1.0, "b", "last"),
            term(-1.0, "a", "first"),
            term(1.0, "a", "last"),
        ];
        let claim =
            Claim::better("b falls more", cell("a"), cell("b")).of_number("", "of 1", 0.05).terms(fall);
        assert_eq!(verdicts(&[claim], &runs), ["supported"]);
    }

    #[test]
    fn answers_to_own_images_are_compared_within_their_seed() {
        let mut runs = runs(&[("a", [150, 140, 160, 155, 145]), ("b", [100, 95, 105, 99, 101])]);
        for run in &mut runs.runs {
            let seed = run.setting.seed;
            run.answers.values_mut().for_each(|answers| answers.set = format!("set {seed}"));
        }
        assert_eq!(verdicts(&[Claim::better("a claim", cell("a"), cell("b"))], &runs), ["supported"]);
        let question = measure(&Claim::better("a claim", cell("a"), cell("b")), &runs, false).unwrap();
        assert_eq!((question.paired.images, question.paired.rows[0].len()), (Images::Own, 200));
    }
}
