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
