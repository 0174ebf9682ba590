//! Chapter 1: from general to specific.
//!
//! *The first layers detect edges and colours, which any picture has; the last ones detect the classes
//! of training.* Shows an EfficientNet-Lite0: filters, maps of a photo, the photos and pixels that excite a
//! channel most (**purity**: how many pairs of the five best are of one kind?). **Linear probes** on every
//! stage, for photos and digits. **Similarity** (debiased linear CKA) of ResNet-10s after disjoint classes.
//!
//!     $ cargo run --release --example ch1_feature_hierarchy -- --only digits
//!                              50 images
//!       probe after blocks.0    45.9±2.9
//!       probe after blocks.12   85.4±1.5
//!       probe after head        69.9±2.8

use clap::Args;
use frostline::lesson::measure::hierarchy::{compare, compared_images, depths, look, probe, purity};
use frostline::lesson::prelude::*;
use frostline::lesson::{Depth, draw::inside};

const PROBE: &str = "probe after ";
const PURITY: &str = "the five best photos of a channel";
const KIND: [&str; 2] = ["pairs of one kind after ", ", %"];
const CKA: [&str; 2] = ["CKA after ", ""];
/// Pairs of networks; the first of each learned six kinds of clothes.
const SAME: &str = "pair: the same six kinds";
const OTHERS: &str = "pair: the four other kinds";
const DIGITS: &str = "pair: digits";
const UNTRAINED: &str = "pair: both untrained";
const SCRATCH_RATE: f32 = 0.05;

#[derive(Args)]
struct Own {
    /// The photo whose activation maps are drawn, counted from 0
    #[arg(long, default_value_t = 22, value_name = "N")]
    photo: usize,
}

fn main() -> std::process::ExitCode {
    let claim = "Features go from general to specific with depth: what the last layers see depends on the \
                 classes that a network was trained on.";
    let defaults = Settings { images: &[50], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[30], seeds: 1, steps: 5, batch: 32, lr: 0.02 };
    let outline = Outline::new(1, "from general to specific", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &Own) -> Result<()> {
    let (n, stages) = (plan.flags().images[0], depths()?[0].stages.clone());
    for task in [PHOTOS.to_owned(), plan.similar()?, plan.different()?] {
        stages.iter().try_for_each(|stage| plan.add(&task, format!("{PROBE}{stage}"), n))?;
    }
    plan.add(PHOTOS, PURITY, plan.lab.task(PHOTOS)?.1.pool.len() / 2)?;
    let (clothes, n) = (plan.similar()?, compared_images(plan.lab)?.0.len());
    [SAME, OTHERS, DIGITS, UNTRAINED]
        .iter()
        .try_for_each(|pair| plan.add_at(&clothes, *pair, n, SCRATCH_RATE))
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let (lab, seed, n) = (trial.lab, trial.setting.seed, trial.setting.images);
    let (own, seen) = compared_images(lab)?;
    let second = match trial.condition() {
        PURITY => return purity(trial),
        OTHERS => lab.track()?.similar.draw(n, seed)?.train,
        DIGITS => lab.track()?.different()?.draw(n, seed)?.train,
        SAME | UNTRAINED => own.clone(),
        stage => return probe(trial, stage.trim_start_matches(PROBE)),
    };
    let trained = trial.condition() != UNTRAINED;
    compare(trial, &[own, second], trained, &seen)
}

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &Own) -> Result<Vec<Claim>> {
    let (digits, n, [lite, resnet]) = (plan.different()?, plan.flags().images[0], depths()?);
    let (middle, last) = (&lite.stages[lite.two_thirds()], &lite.stages[lite.stages.len() - 1]);
    let probe = |task: &str, stage: &String| Cell::new(task, format!("{PROBE}{stage}"), n);
    let cell = |name: &str| plan.cells().into_iter().find(|cell| cell.condition == name).unwrap_or_default();
    let of = |factor, stage: &String| Term::number(factor, cell(PURITY), &KIND.join(stage));
    let right = |factor, task, stage| Term::accuracy(factor, probe(task, stage), "test");
    let fall = |sign: f64, task| [right(sign, task, middle), right(-sign, task, last)];
    let end = CKA.join(&resnet.stages[resnet.stages.len() - 1]);
    let alike =
        |text: &str, other: &str| Claim::better(text, cell(SAME), cell(other)).of_number(&end, "of 1", 0.05);
    Ok(vec![
        Claim::sum("deep channels answer to kinds of things more than early ones", "points")
            .terms(vec![of(1.0, last), of(-1.0, &lite.stages[0])]),
        Claim::better("digits: the middle beats the end", probe(&digits, middle), probe(&digits, last)),
        Claim::sum("towards the end digits lose more than photos", "points")
            .terms([fall(1.0, digits.as_str()), fall(-1.0, PHOTOS)].concat()),
        alike("the ends of networks for the same clothes are more alike than for other clothes", OTHERS),
        alike("the ends of networks for the same clothes are more alike than for digits", DIGITS),
        alike("the ends of networks for the same clothes are more alike than untrained ones", UNTRAINED),
    ])
}

fn report(report: &mut Report<'_>, own: &Own) -> Result<()> {
    let ([lite, resnet], tasks, n) = (depths()?, report.tasks(), report.lab.flags.images[0]);
    let probes = tasks.iter().enumerate().map(|(color, task)| {
        let cell = |stage: &String| Cell::new(task, format!("{PROBE}{stage}"), n);
        lite.curve(task, color, |stage| report.runs.accuracies(&cell(stage), "test"))
    });
    let numbers = |depth: &Depth, start: &str, words: [&str; 2]| {
        let cells = report.cells().iter().filter(|cell| cell.condition.starts_with(start)).enumerate();
        let curve = |(color, cell): (usize, &Cell)| {
            depth.curve(&cell.condition, color, |stage| report.runs.numbers(cell, &words.join(stage)))
        };
        cells.map(curve).collect()
    };
    let panels = [
        lite.panel("linear probes", "test accuracy, %", (0.0, 100.0), probes.collect()),
        lite.panel("photos of a channel", "pairs of one kind, %", (0.0, 60.0), numbers(&lite, PURITY, KIND)),
        resnet.panel("two networks: how alike?", "debiased CKA", (-0.1, 1.0), numbers(&resnet, "pair", CKA)),
    ];
    draw(&report.figure("depth.png", "What changes with depth (bars: standard deviation)."), 3, &panels)?;
    report.pictures(&inside::FIGURES, |lab, folder| look(lab, own.photo, folder))?;
    report.quiz("Where would you cut a network, to put a new head on?", report.verdicts());
    Ok(())
}
