//! Chapter 1: from general to specific.
//!
//! *The first layers see edges and colours, which any picture has; the last ones see the kinds of things that the
//! network was trained on.* Looked at in pictures, then measured three ways:
//!
//! - **Pictures** of EfficientNet-Lite0 with ImageNet weights: the filters of the first convolution; what every
//!   stage makes of one photo; and, for channels of several depths, the photos that excite them most, with the
//!   pixels responsible: the gradient of that one activation with respect to the image.
//! - **Purity**: of the five photos that excite a channel most, how many pairs are of the same kind?
//! - **Linear probes**: a softmax head on what each stage gives, for photos (like ImageNet) and digits (unlike it).
//! - **Similarity**: ResNet-10s trained from scratch on disjoint classes, compared stage by stage on the same images
//!   by debiased linear CKA; two that learned the same classes, and two untrained ones, are the yardsticks.
//!
//!     cargo run --release --example ch1_feature_hierarchy -- --help

use clap::Args;
use frostline::lesson::figure::{Panel, draw};
use frostline::lesson::{Cell, Chapter, Claim, Depth, Error, Measure, Outline, Plan, Report, Result, Settings, Start, Term};
use frostline::lesson::{FASHION_MEAN, FASHION_STD, Lab, Trial, cka::Gram, in_colour, inside, photo_body, photos};
use frostline::loader::{ImageSet, stratified_split, stratified_subset};
use frostline::models::Model;
use frostline::trainer::{Learner, ProbeOptions};

const PHOTOS: &str = "photos";
const PROBE: &str = "probe after ";
const PURITY: &str = "the five best photos of a channel";
/// Pairs of networks that are compared, the second by what it learned; the first learned six kinds of clothes.
const PAIRS: [&str; 4] = ["pair: the same six kinds", "pair: the four other kinds", "pair: digits", "pair: both untrained"];
/// Photos that count as those which excite a channel most.
const BEST: usize = 5;
const SCRATCH_RATE: f32 = 0.05;
/// Pixels a side for probes, and for pictures.
const SIDES: [usize; 2] = [96, 128];

#[derive(Args)]
struct Own {
    /// The photo whose activation maps are drawn, counted from 0
    #[arg(long, default_value_t = 22, value_name = "N")]
    photo: usize,
}

fn main() -> std::process::ExitCode {
    let outline = Outline {
        number: 1,
        version: 1,
        title: "from general to specific",
        claim: "Features go from general to specific with depth: what the last layers see depends on the classes that \
                a network was trained on.",
        defaults: Settings { images: &[50], seeds: 5, steps: 150, batch: 32, lr: 0.02 },
        quick: Settings { images: &[30], seeds: 1, steps: 5, batch: 32, lr: 0.02 },
    };
    Chapter { outline, plan, train, claims, report }.main()
}

/// The stages of EfficientNet-Lite0 and of ResNet-10 that are measured.
fn depths() -> Result<[Depth; 2]> {
    Ok([Depth::of(&Model::new("efficientnet_lite0")?), Depth::of(&Model::new("resnet10")?)])
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &Own) -> Result<()> {
    let (clothes, digits, n) = (plan.similar()?, plan.different()?, plan.flags().images[0]);
    let conditions: Vec<String> = depths()?[0].stages.iter().map(|stage| format!("{PROBE}{stage}")).collect();
    for task in [PHOTOS, &clothes, &digits] {
        plan.add_all(task, &conditions, n)?;
    }
    plan.add(PHOTOS, PURITY, plan.lab.task(PHOTOS)?.1.pool.len() / 2)?;
    let networks = plan.lab.assets.sheet("fashion_source_test")?.len() * 4 / 5;
    PAIRS.iter().try_for_each(|pair| plan.add_at(&clothes, *pair, networks, SCRATCH_RATE))
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    match trial.condition() {
        PURITY => purity(trial),
        pair if PAIRS.contains(&pair) => similarity(trial),
        probe => self::probe(trial, probe.trim_start_matches(PROBE)),
    }
}

/// A head on what `stage` makes of the images. Each image runs through the network once for all runs.
fn probe(trial: &mut Trial<'_>, stage: &str) -> Result<()> {
    let (lab, (_, task), Depth { stages, .. }) = (trial.lab, trial.task()?, &depths()?[0]);
    let at = stages.iter().position(|name| name == stage).unwrap_or_default();
    let features = |name: &str, images: &dyn Fn() -> Result<ImageSet>| {
        let compute = || Ok(photo_body(lab, SIDES[0], Start::Pretrained, 0)?.features_by_depth(&images()?, stages)?);
        lab.features_by_depth(&format!("{} {name}", task.name), at, compute)
    };
    let (n, seed) = (trial.setting.images, trial.setting.seed);
    let [train, test] = if task.tests_vary() {
        let input = photo_body(lab, SIDES[0], Start::Pretrained, 0)?.input().clone();
        task.divide(&*features("pool", &|| photos(lab, &input))?, n, seed)?
    } else {
        let [train, _] = task.divide(&*features("pool", &|| in_colour(&task.pool, SIDES[0]))?, n, seed)?;
        [train, (*features("test", &|| in_colour(task.test(), SIDES[0]))?).clone()]
    };
    let ProbeOptions { mut optim, .. } = ProbeOptions::default();
    optim.lr = trial.setting.lr;
    trial.probe(&train, &[("test", &test)], &ProbeOptions { optim, ..trial.probe_options() })?;
    Ok(())
}

/// How many pairs of a channel's best photos, among half of all, are of one kind.
fn purity(trial: &mut Trial<'_>) -> Result<()> {
    let mut body = photo_body(trial.lab, SIDES[1], Start::Pretrained, 0)?;
    let (set, Depth { stages, .. }) = (photos(trial.lab, body.input())?, &depths()?[0]);
    let half = stratified_subset(&set.label_indices(), set.len() / 2, set.classes.len(), trial.setting.seed)?;
    for (stage, peaks) in stages.iter().zip(inside::peaks(&mut body, &set, stages)?) {
        trial.number(format!("pairs of one kind after {stage}, %"), 100.0 * peaks.purity(&set.labels, &half, BEST))?;
    }
    Ok(())
}

/// Trains two networks from scratch, each from weights of its own, and compares them stage by stage.
fn similarity(trial: &mut Trial<'_>) -> Result<()> {
    let (lab, seed, pair) = (trial.lab, trial.setting.seed, trial.condition());
    let source = lab.assets.sheet("fashion_source_test")?;
    let split = stratified_split(&source.label_indices(), 0.2, 0)?;
    let (own, n) = (source.subset(&split.train)?, split.train.len());
    let (clothes, digits) = (&lab.track()?.similar, lab.track()?.different()?);
    let seen = [source.subset(&split.validation)?, clothes.some_tests(split.validation.len())?];
    let second = match pair {
        name if name == PAIRS[1] => clothes.draw(n, seed)?.train,
        name if name == PAIRS[2] => digits.draw(n, seed)?.train,
        _ => own.clone(),
    };
    let stages = &depths()?[1].stages;
    let mut grams = vec![];
    for (place, images) in [own, second].iter().enumerate() {
        let mut learner = network(lab, images.classes.len(), 2 * seed + place as u64)?;
        if pair != PAIRS[3] {
            trial.fit(&mut learner, images, &trial.options().seed(2 * seed + place as u64))?;
        }
        grams.push(Gram::by_depth(&mut learner, &seen, stages)?);
    }
    for (i, stage) in stages.iter().enumerate() {
        trial.number(format!("CKA after {stage}"), grams[0][i].cka(&grams[1][i]))?;
    }
    Ok(())
}

fn network(lab: &Lab, classes: usize, seed: u64) -> Result<Learner> {
    let model = Model::new("resnet10")?.in_channels(1).classes(classes);
    let mut learner = Learner::new(lab.gpu()?, model, 28, seed)?;
    learner.normalization(&[FASHION_MEAN], &[FASHION_STD])?;
    Ok(learner)
}

/// What is put to the test.
fn claims(plan: &Plan<'_>, _: &Own) -> Result<Vec<Claim>> {
    let (digits, n, [lite, resnet]) = (plan.different()?, plan.flags().images[0], depths()?);
    let stage = |at: usize| lite.stages[at].as_str();
    let (middle, last) = (lite.two_thirds(), lite.stages.len() - 1);
    let probe = |task: &str, at: usize| Cell::new(task, format!("{PROBE}{}", stage(at)), n);
    let right = |factor, cell: Cell| Term { factor, side: cell.into(), measure: Measure::Accuracy("test".to_owned()) };
    let pairs = plan.cells().into_iter().filter(|cell| cell.condition.starts_with("pair"));
    let pairs: Vec<Cell> = pairs.collect();
    let purity = plan.cells().into_iter().find(|cell| cell.condition == PURITY);
    let purity = purity.ok_or_else(|| Error::Flags("no runs of purity".to_owned()))?;
    let of = |factor, at: usize| {
        let measure = Measure::Number(format!("pairs of one kind after {}, %", stage(at)));
        Term { factor, side: purity.clone().into(), measure }
    };
    let deep = format!("CKA after {}", resnet.stages[resnet.stages.len() - 1]);
    let alike = |text: &str, ours: usize, theirs: usize| {
        Claim::better(text, pairs[ours].clone(), pairs[theirs].clone()).of_number(&deep, "of 1", 0.05)
    };
    let serves = vec![
        right(1.0, probe(&digits, middle)),
        right(-1.0, probe(&digits, last)),
        right(-1.0, probe(PHOTOS, middle)),
        right(1.0, probe(PHOTOS, last)),
    ];
    Ok(vec![
        Claim::better("deep channels answer to kinds of things more than early ones", purity.clone(), purity.clone())
            .of_number("", "points", 2.0)
            .terms(vec![of(1.0, last), of(-1.0, 0)]),
        Claim::better("digits: the middle of the network beats its end", probe(&digits, middle), probe(&digits, last)),
        Claim::better("the end serves photos more than digits", purity.clone(), purity.clone()).terms(serves),
        alike("networks for other kinds of clothes are less alike at their end than those for the same", 0, 1),
        alike("networks for digits are less alike at their end than those for the same clothes", 0, 2),
        alike("trained on the same kinds they are more alike at their end than untrained ones", 0, 3),
    ])
}

fn report(report: &mut Report<'_>, own: &Own) -> Result<()> {
    let [lite, resnet] = depths()?;
    let (clothes, digits) = (report.lab.track()?.similar.name.clone(), report.lab.track()?.different()?.name.clone());
    let n = report.lab.flags.images[0];
    let probes = [PHOTOS, &clothes, &digits].into_iter().enumerate().map(|(color, task)| {
        let at = |stage: &String| report.runs.accuracies(&Cell::new(task, format!("{PROBE}{stage}"), n), "test");
        lite.curve(task, color, &lite.stages.iter().map(at).collect::<Vec<_>>())
    });
    let probes = lite.panel("linear probes", "test accuracy, %", (0.0, 100.0), probes.collect());
    let numbers = |depth: &Depth, cell: &Cell, color, before: &str, after: &str| {
        let at = |stage: &String| report.runs.numbers(cell, &format!("{before}{stage}{after}"));
        depth.curve(&cell.condition, color, &depth.stages.iter().map(at).collect::<Vec<_>>())
    };
    let cells = |start: &str| report.cells().iter().filter(|cell| cell.condition.starts_with(start)).cloned().collect::<Vec<_>>();
    let purity = cells(PURITY).iter().map(|cell| numbers(&lite, cell, 1, "pairs of one kind after ", ", %")).collect();
    let pairs = cells("pair").iter().enumerate().map(|(color, cell)| numbers(&resnet, cell, color, "CKA after ", "")).collect();
    let panels: [Panel; 3] = [
        probes,
        lite.panel("the photos that excite a channel most", "pairs of one kind, %", (0.0, 60.0), purity),
        resnet.panel("two networks: how alike?", "debiased linear CKA", (-0.1, 1.0), pairs),
    ];
    draw(&report.figure("depth.png", "What changes with depth (bars: standard deviation over seeds)."), 3, &panels)?;
    for (file, caption) in inside::FIGURES {
        report.picture(file, caption, |lab, path| if file == inside::FIGURES[0].0 { look(lab, own.photo, path) } else { Ok(()) })?;
    }
    report.quiz("Where would you cut a network trained on photos, to put a new head on?", report.verdicts());
    Ok(())
}

/// Draws filters, maps and patches beside `path`.
fn look(lab: &Lab, photo: usize, path: &std::path::Path) -> Result<()> {
    let mut body = photo_body(lab, SIDES[1], Start::Pretrained, 0)?;
    let set = photos(lab, body.input())?;
    if photo >= set.len() {
        return Err(Error::Flags(format!("--photo {photo}: there are {} photos, counted from 0", set.len())));
    }
    inside::draw(path.parent().unwrap_or(path), &mut body, &set, &depths()?[0], photo)
}
