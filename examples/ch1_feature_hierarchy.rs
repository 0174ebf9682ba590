//! Chapter 1: from general to specific.
//!
//! *The first layers see edges and colours, which any picture has; the last ones see the kinds of
//! things that the network was trained on.* Looked at in pictures, then measured three ways:
//!
//! - **Pictures**: the filters of the first convolution; what every stage of a network with ImageNet
//!   weights (EfficientNet-Lite0) makes of one photo; and, for channels of several depths, the
//!   photos that excite them most, with the pixels responsible: the gradient of that one activation
//!   with respect to the image. All weights are frozen, so no other gradient is computed.
//! - **Purity**: of the five photos that excite a channel most, how many are of the same kind?
//! - **Linear probes**: a softmax head on what each stage gives, for photos (like ImageNet), clothes
//!   and digits (unlike it). Each image runs through the network once.
//! - **Similarity**: ResNet-10s trained from scratch on disjoint classes, compared stage by stage on
//!   the same images by linear CKA; two that learned the same classes are the yardstick.
//!
//!     cargo run --release --example ch1_feature_hierarchy -- --help

use clap::Args;
use frostline::charts::figure::{Panel, draw};
use frostline::charts::{Cell, Spread, Table, runs_bar};
use frostline::lesson::{self, ByStage, Chapter, Depth, Error, FASHION_MEAN, FASHION_STD, Outline, Result, Settings};
use frostline::lesson::{Track, Verdict, cka::Gram, excite, excite::Peaks, in_colour, inside, photo_body, photos, probe_by_depth};
use frostline::loader::{ImageSet, stratified_split, stratified_subset};
use frostline::models::Model;
use frostline::trainer::Learner;
use std::ops::ControlFlow;

const OUTLINE: Outline = Outline {
    number: 1,
    title: "from general to specific",
    claim: "Features go from general to specific with depth: what the last layers see depends on the classes that a network was trained on.",
    defaults: Settings { images: &[50], seeds: 3, steps: 40, batch: 32, lr: 0.05 },
    quick: Settings { images: &[30], seeds: 1, steps: 5, batch: 32, lr: 0.05 },
};
/// Photos that count as those which excite a channel most.
const BEST: usize = 5;

#[derive(Args)]
struct Own {
    /// The photo whose activation maps are drawn, counted from 0
    #[arg(long, default_value_t = 22, value_name = "N")]
    photo: usize,
}

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, own: Own| {
        let track = Track::open(chapter)?;
        let mut panels = vec![look(chapter, own.photo)?];
        panels.extend(probes(chapter, &track)?);
        panels.push(similarity(chapter)?);
        draw(&chapter.figure("depth.png", "What changes with depth (bars: standard deviation over seeds)."), 2, &panels)?;
        Ok(())
    })
}

/// Filters, maps, patches; and how pure the best photos of a channel are.
fn look(chapter: &mut Chapter, photo: usize) -> Result<Panel> {
    let mut body = photo_body(chapter, if chapter.flags.quick { 64 } else { 128 })?;
    let (set, depth) = (photos(chapter, body.input())?, Depth::of(&body));
    if photo >= set.len() {
        return Err(Error::Flags(format!("--photo {photo}: there are {} photos, counted from 0", set.len())));
    }
    let inside::Seen { peaks, sides } = inside::draw(chapter, &mut body, &set, &depth, photo)?;
    let half = |seed| stratified_subset(&set.label_indices(), set.len() / 2, set.classes.len(), seed);
    let halves = (0..chapter.flags.seeds).map(half).collect::<std::result::Result<Vec<_>, _>>()?;
    let purity = |peaks: &Peaks| halves.iter().map(|half| 100.0 * peaks.purity(&set.labels, half, BEST)).collect();
    let purity: ByStage = peaks.iter().map(purity).collect();
    let chance: Vec<f64> = halves.iter().map(|half| 100.0 * excite::chance_of_same(&set.labels, half)).collect();
    let title =
        format!("{} at {} pixels: pairs of the same kind among a channel's best {BEST} of half the photos", depth.network, set.width);
    let mut table = Table::new(title, &["channels", "pairs of one kind, %", "side of the part that counts, pixels"]);
    for (i, stage) in depth.stages.iter().enumerate() {
        table.row(stage, [Cell::Number(peaks[i].channels() as f64, 0), Cell::spread(&purity[i]), Cell::spread(&sides[i])]);
    }
    table.row("at random", [Cell::Empty, Cell::spread(&chance), Cell::Empty]);
    chapter.table(table);
    let rise = minus(&purity[purity.len() - 1], &purity[0]);
    let evidence = format!("{:.1} points more pairs of one kind at the end than at the first stage", mean(&rise));
    chapter.claim("Deep channels answer to kinds of things more than early ones", Verdict::of(&rise), evidence);
    let top = 20.0 * (purity.iter().map(|values| mean(values)).fold(0.0, f64::max) / 15.0).ceil();
    let curves = vec![depth.curve("best five photos", 1, &purity), depth.curve("photos at random", 4, &vec![chance; purity.len()])];
    Ok(depth.panel("the photos that excite a channel most", "pairs of one kind, %", (0.0, top), curves))
}

/// Linear probes by depth: on the network for photos, and on the track's own network of small images.
fn probes(chapter: &mut Chapter, track: &Track) -> Result<Vec<Panel>> {
    // Of each set this many images are used: some train a probe, the rest tests it.
    let (side, images) = if chapter.flags.quick { (48, 60) } else { (96, 300) };
    let mut body = photo_body(chapter, side)?;
    let colour = |sheet: &str| in_colour(&some_of(&chapter.assets.sheet(sheet)?, images)?, side);
    let sets = [("photos", photos(chapter, body.input())?), ("clothes", colour("fashion_test")?), ("digits", colour("digits_test")?)];
    let (depth, found, panel) = probe_by_depth(chapter, &mut body, &sets)?;
    let (middle, last) = (depth.two_thirds(), depth.stages.len() - 1);
    let fall = |values: &ByStage| minus(&values[middle], &values[last]);
    let (photos, digits) = (&found[0], &found[2]);
    let stages = format!("from {} to {}", depth.stages[middle], depth.stages[last]);
    let evidence = format!("{stages} probes lose {:.1} points on digits, {:.1} on photos", mean(&fall(digits)), mean(&fall(photos)));
    chapter.claim("For a different domain the middle of the network beats its end", Verdict::of(&fall(digits)), &evidence);
    let serves = Verdict::of(&minus(&fall(digits), &fall(photos)));
    chapter.claim("The end serves what is like the source more than what is not", serves, evidence);
    let told = [("photos", photos), ("digits", digits)].map(|(name, values)| {
        let at = (0..=last).max_by(|&a, &b| mean(&values[a]).total_cmp(&mean(&values[b]))).unwrap_or(last);
        format!("{name} after {} ({:.1}%; {:.1}% at the end)", depth.stages[at], mean(&values[at]), mean(&values[last]))
    });
    chapter.quiz(
        "Where would you cut a network trained on photos, to put a new head on?",
        format!("In this run {} and {}.", told[0], told[1]),
    );
    let mut panels = vec![panel];
    if let (Some(source), "resnet10") = (&track.source, chapter.flags.model.as_str()) {
        let similar = (track.similar.name.as_str(), some_of(&track.similar.test, images)?);
        let sets = [("its own classes", some_of(source, images)?), similar, ("digits", some_of(&track.different.test, images)?)];
        panels.push(probe_by_depth(chapter, &mut track.pretrained()?, &sets)?.2);
    }
    Ok(panels)
}

/// Two networks a seed from scratch, on the six and on the four other kinds of clothes, and one on
/// digits: how alike are they, and how alike are two that learned the same?
fn similarity(chapter: &mut Chapter) -> Result<Panel> {
    let (source, assets) = (chapter.assets.sheet("fashion_source_test")?, chapter.assets.clone());
    let split = stratified_split(&source.label_indices(), 0.2, 0)?;
    let n = split.train.len();
    let tasks = [source.subset(&split.train)?, some_of(&assets.sheet("fashion_train")?, n)?, some_of(&assets.sheet("digits_train")?, n)?];
    let seen = [source.subset(&split.validation)?, some_of(&assets.sheet("fashion_test")?, split.validation.len())?];
    let seeds = chapter.flags.seeds;
    let bar = runs_bar("networks to compare", 3 * seeds + 1);
    // One more network on the first task: each is compared with the next.
    let mut networks: [Vec<Vec<Gram>>; 3] = Default::default();
    let (mut depth, mut known) = (None, vec![]);
    let runs = (0..=seeds).flat_map(|seed| [0, 1, 2].map(|task| (task, seed)));
    for (task, seed) in runs.filter(|&(task, seed)| task == 0 || seed < seeds) {
        // Every network starts from weights of its own: a common start would make them alike.
        let seed = 3 * seed + task as u64;
        let model = Model::new("resnet10")?.in_channels(1).classes(tasks[task].classes.len());
        let mut learner = Learner::new(&chapter.gpu, model, 28, seed)?;
        learner.normalization(&[FASHION_MEAN], &[FASHION_STD])?;
        let options = chapter.flags.fit_options(tasks[task].len(), seed);
        let records = learner.fit(&tasks[task], &options, |_| ControlFlow::Continue(()))?.records;
        known.extend(records.iter().rev().take(10).map(|record| 100.0 * f64::from(record.accuracy)));
        let depth = depth.get_or_insert(Depth::of(&learner));
        networks[task].push(Gram::by_depth(&mut learner, &seen, &depth.stages)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let Some(depth) = depth else { return Err(Error::Flags("--seeds: at least one".to_owned())) };
    let alike = |a: &[Vec<Gram>], b: &[Vec<Gram>]| -> ByStage {
        (0..depth.stages.len()).map(|stage| a.iter().zip(b).map(|(a, b)| 100.0 * a[stage].cka(&b[stage])).collect()).collect()
    };
    let [own, rest, digits] = &networks;
    let pairs = [
        ("the same six kinds of clothes", alike(own, &own[1..])),
        ("six kinds and the four others", alike(own, rest)),
        ("clothes and digits", alike(own, digits)),
    ];
    let mut table = Table::new(
        "linear CKA in % of two ResNet-10 trained from scratch, on 240 images of clothes (100: alike)",
        &pairs.each_ref().map(|pair| pair.0),
    );
    for (i, stage) in depth.stages.iter().enumerate() {
        table.row(stage, pairs.iter().map(|(_, values)| Cell::spread(&values[i])));
    }
    chapter.table(table);
    let last = depth.stages.len() - 1;
    let fall = |values: &ByStage| minus(&values[0], &values[last]);
    let [same, other, far] = pairs.each_ref().map(|(_, values)| fall(values));
    let evidence = format!(
        "CKA falls by {:.0} points (other clothes) and {:.0} (digits) from stem to end, by {:.0} with the same classes; \
         in their last ten steps the networks recognise {:.0}% of their images",
        mean(&other),
        mean(&far),
        mean(&same),
        mean(&known)
    );
    chapter.claim("Networks for other classes are less alike the deeper one looks", Verdict::of(&other).and(Verdict::of(&far)), &evidence);
    let more = Verdict::of(&minus(&other, &same)).and(Verdict::of(&minus(&far, &same)));
    chapter.claim("And that is because of the classes: with the same ones they stay more alike", more, evidence);
    let curves = pairs.iter().zip([4, 1, 2]).map(|((name, values), color)| depth.curve(*name, color, values)).collect();
    Ok(depth.panel("two networks from scratch: how alike?", "linear CKA, %", (0.0, 100.0), curves))
}

fn some_of(set: &ImageSet, n: usize) -> Result<ImageSet> {
    Ok(set.subset(&stratified_subset(&set.label_indices(), n.min(set.len()), set.classes.len(), 0)?)?)
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn mean(values: &[f64]) -> f64 {
    Spread::of(values).map_or(f64::NAN, |spread| spread.mean)
}
