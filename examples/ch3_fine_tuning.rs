//! Chapter 3: fine-tuning.
//!
//! *How much to train, and how fast: the head only, the last stage too, or all; a rate that is too
//! large destroys what was pretrained.* Four experiments:
//!
//! - **Approaches**: head only, partial (`layer4` and head), full, and what is said to make full
//!   fine-tuning safer: batch norms that keep their running statistics, and a head that is trained
//!   alone first (LP-FT, Kumar et al. 2022). Each in accuracy, on test images and on the same moved
//!   by a seventh of their side, in seconds, bytes and kernels.
//! - **When which is best**: the first three by number of images, if `--images` has several.
//! - **Forgetting**: a sweep of the rate, full fine-tuning. The old head is put back on the tuned
//!   body and asked for the classes it once knew.
//! - **Batch norm on photos**: a few steps on few photos make EfficientNet-Lite0 answer otherwise.
//!   Is it the weights, or the running statistics that move along?
//!
//!     cargo run --release --example ch3_fine_tuning -- --help

use frostline::charts::bars::{self, Bar, Bars, Row};
use frostline::charts::figure::{Curve, Panel, draw};
use frostline::charts::{Cell, Spread, Table, runs_bar};
use frostline::engine::BatchNormMode::{self, FollowFreeze, Running};
use frostline::lesson::{self, Approach, Chapter, NoFlags, Outline, Result, Settings, Track, Tuned, Verdict};
use frostline::lesson::{differences, drift, gains, mean, photo_body, photos, sgd};
use frostline::loader::stratified_subset;
use frostline::trainer::FitOptions;

const OUTLINE: Outline = Outline {
    number: 3,
    title: "fine-tuning",
    claim: "Head only, partial or full: each is best somewhere; and a rate that is too large destroys what was pretrained.",
    defaults: Settings { images: &[200], seeds: 3, steps: 26, batch: 16, lr: 0.05 },
    quick: Settings { images: &[100], seeds: 1, steps: 6, batch: 16, lr: 0.05 },
};

const fn approach(name: &'static str, from: &'static str, batch_norm: BatchNormMode, head_first: bool, rate: f32) -> Approach {
    Approach { name, from, batch_norm, head_first, rate }
}
/// The last two at a fifth of the rate, in units of --lr: at that of the others they collapse.
const APPROACHES: [Approach; 5] = [
    approach("head only", "fc", FollowFreeze, false, 1.0),
    approach("partial", "layer4", FollowFreeze, false, 1.0),
    approach("full", "stem", FollowFreeze, false, 1.0),
    approach("full, batch norm frozen", "stem", Running, false, 0.2),
    approach("full, head first (LP-FT)", "stem", FollowFreeze, true, 0.2),
];
const HEAD: usize = 0;
const PARTIAL: usize = 1;
const FULL: usize = 2;
/// The sweep's rates, in units of --lr; 1 is among the approaches.
const SWEEP: [f32; 3] = [0.1, 3.0, 10.0];
/// Pixels a side of the photos, and images in a step on them.
const PHOTO_SIDE: usize = 64;
const PHOTO_BATCH: usize = 12;

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, _: NoFlags| {
        let track = Track::open(chapter)?;
        let (images, lr) = (chapter.flags.images.clone(), chapter.flags.lr);
        let n = images[images.len() / 2];
        let bar = runs_bar("fine-tuning", (APPROACHES.len() + SWEEP.len() + 3 * (images.len() - 1)) as u64);
        let run = |approach: &Approach, n: usize, factor: f32| approach.tune(chapter, &track, n, factor).inspect(|_| bar.inc(1));
        let all = APPROACHES.iter().map(|approach| run(approach, n, 1.0)).collect::<Result<Vec<_>>>()?;
        let mut sizes = vec![(n, all[..3].to_vec())];
        for &size in images.iter().filter(|&&size| size != n) {
            let three = APPROACHES[..3].iter().map(|approach| run(approach, size, 1.0));
            sizes.push((size, three.collect::<Result<Vec<_>>>()?));
        }
        let mut sweep = vec![(lr, all[FULL].clone())];
        for factor in SWEEP {
            sweep.push((lr * factor, run(&APPROACHES[FULL], n, factor)?));
        }
        bar.finish_and_clear();
        sizes.sort_by_key(|(size, _)| *size);
        sweep.sort_by(|a, b| a.0.total_cmp(&b.0));
        approaches(chapter, &track, n, &all)?;
        by_size(chapter, &sizes);
        forgetting(chapter, n, &sweep);
        figures(chapter, n, &sweep, &all)?;
        photo_norms(chapter)
    })
}

fn approaches(chapter: &mut Chapter, track: &Track, n: usize, all: &[Tuned]) -> Result<()> {
    let title = format!("{n} images of {}: test accuracy in %, mean ± standard deviation over seeds", track.similar.name);
    let mut table = Table::new(title, &["rate", "test", "moved test", "old classes", "seconds", "kept KiB", "kernels a step"]);
    for (approach, tuned) in APPROACHES.iter().zip(all) {
        let plan = approach.learner(track, 0)?.training_plan(&chapter.flags.fit_options(n, 0))?;
        let (kept, kernels) = (plan.ledger().kept_bytes as f64 / 1024.0, plan.ledger().step.dispatches as f64);
        let cells = [&tuned.accuracies(), &tuned.moved, &tuned.source, &tuned.seconds()].map(|values| Cell::spread(values));
        let rate = Cell::Text(format!("{:.3}", chapter.flags.lr * approach.rate));
        table.row(approach.name, [rate].into_iter().chain(cells).chain([Cell::Number(kept, 0), Cell::Number(kernels, 0)]));
    }
    chapter.table(table);
    let [head, partial, full] = [HEAD, PARTIAL, FULL].map(|i| mean(&all[i].seconds()));
    let evidence = format!("{head:.2} s; {partial:.2} s with the last stage, {full:.2} s with all");
    chapter.claim("Training the head only is fastest", Verdict::of(&differences(&all[FULL].seconds(), &all[HEAD].seconds())), evidence);
    for (tuned, name) in [(&all[3], "Frozen batch norms help full tuning"), (&all[4], "A head trained first helps full tuning")] {
        let moved = differences(&tuned.moved, &all[FULL].moved);
        for (gain, on) in [(gains(&tuned.runs, &all[FULL].runs), "in the middle"), (moved, "moved")] {
            let evidence = format!("{:+.1} points with {n} images", mean(&gain));
            chapter.claim(format!("{name}, test images {on}"), Verdict::of(&gain), evidence);
        }
    }
    Ok(())
}

fn by_size(chapter: &mut Chapter, sizes: &[(usize, Vec<Tuned>)]) {
    let mut table = Table::new("test accuracy in % by number of images", &[HEAD, PARTIAL, FULL].map(|i| APPROACHES[i].name));
    for (size, tuned) in sizes {
        table.row(format!("{size} images"), tuned.iter().map(|tuned| Cell::spread(&tuned.accuracies())));
    }
    chapter.table(table);
    if let [(few, small), .., (many, large)] = sizes {
        let (less, more) = (gains(&small[PARTIAL].runs, &small[FULL].runs), gains(&large[FULL].runs, &large[PARTIAL].runs));
        let evidence =
            format!("partial less full: {:+.1} points with {few} images; full less partial: {:+.1} with {many}", mean(&less), mean(&more));
        chapter.claim("Few images: train the last stage. Many: train all", Verdict::of(&less).and(Verdict::of(&more)), evidence);
    }
}

fn forgetting(chapter: &mut Chapter, n: usize, sweep: &[(f32, Tuned)]) {
    let mut table = Table::new(format!("full fine-tuning on {n} images: accuracy in %"), &["new classes", "old classes, old head"]);
    for (rate, tuned) in sweep {
        table.row(format!("rate {rate:.4}"), [Cell::spread(&tuned.accuracies()), Cell::spread(&tuned.source)]);
    }
    chapter.table(table);
    let new = |tuned: &Tuned| mean(&tuned.accuracies());
    let best = sweep.iter().max_by(|a, b| new(&a.1).total_cmp(&new(&b.1)));
    let (Some((rate, good)), Some((top, bad))) = (best, sweep.last()) else { return };
    let evidence = format!("new classes: {:.1}% at rate {rate:.3}, {:.1}% at {top:.3}", new(good), new(bad));
    chapter.claim("A rate that is too large costs what was to be learned", Verdict::of(&gains(&good.runs, &bad.runs)), evidence);
    let [kept, left] = [good, bad].map(|tuned| mean(&tuned.source));
    let mut answer = format!("Here the new classes come to {:.0}% at rate {top:.3}, and to {:.0}% at {rate:.3}.", new(bad), new(good));
    if !good.source.is_empty() {
        let lost = differences(&good.source, &bad.source);
        let evidence = format!("old classes: {kept:.1}% at rate {rate:.3}, {left:.1}% at {top:.3}");
        chapter.claim("A rate that is too large destroys what was pretrained", Verdict::of(&lost), evidence);
        answer += &format!(" The old ones, asked for with the old head: {left:.0}% and {kept:.0}%.");
    }
    chapter.quiz("A pretrained network is tuned at a rate that is far too large. What happens?", answer);
}

fn figures(chapter: &mut Chapter, n: usize, sweep: &[(f32, Tuned)], all: &[Tuned]) -> Result<()> {
    let by_rate = |of: &dyn Fn(&Tuned) -> Vec<f64>| sweep.iter().map(|(rate, tuned)| (f64::from(*rate), of(tuned))).collect::<Vec<_>>();
    let mut curves = vec![Curve::of_spreads("new classes", 0, by_rate(&Tuned::accuracies))];
    if !sweep[0].1.source.is_empty() {
        curves.push(Curve::of_spreads("old classes, old head", 1, by_rate(&|tuned| tuned.source.clone())));
    }
    let title = format!("full fine-tuning on {n} images");
    let panel = Panel {
        title,
        x: "learning rate (logarithmic)".to_owned(),
        y: "test accuracy, %".to_owned(),
        log_x: true,
        range: (0.0, 100.0),
        curves,
    };
    draw(&chapter.figure("rates.png", "Accuracy on new and old classes by rate (bars: standard deviation over seeds)."), 1, &[panel])?;
    let row = |(approach, tuned): (&Approach, &Tuned)| {
        let values = [tuned.accuracies(), tuned.moved.clone(), tuned.source.clone()].into_iter().enumerate();
        let bars = values.filter_map(|(series, values)| Spread::of(&values).map(|s| Bar { series, value: s.mean, text: s.to_string() }));
        Row { label: approach.name.to_owned(), bars: bars.collect() }
    };
    let chart = Bars {
        title: format!("What to train, with {n} images"),
        note: "mean ± standard deviation over seeds".to_owned(),
        axis: "accuracy, %".to_owned(),
        series: ["test images", "test images, moved", "old classes, old head"].map(str::to_owned).to_vec(),
        rows: APPROACHES.iter().zip(all).map(row).collect(),
    };
    bars::draw(&chapter.figure("approaches.png", "Every approach on test images, on the same moved, on old classes."), &chart)?;
    Ok(())
}

fn photo_norms(chapter: &mut Chapter) -> Result<()> {
    let mut body = photo_body(chapter, PHOTO_SIDE)?;
    let mut images = photos(chapter, body.input())?;
    if chapter.flags.quick {
        images = images.subset(&stratified_subset(&images.label_indices(), images.len() / 2, images.classes.len(), 0)?)?;
    }
    let features = body.features(&images, "avgpool", 1)?;
    let (n, rate) = (images.len() * 2 / 5, chapter.flags.lr / 10.0);
    let steps = if chapter.flags.quick { 2 } else { 6 };
    let options = |rate: f32| FitOptions::steps(steps).batch(PHOTO_BATCH.min(n)).optim(sgd(rate));
    // At rate 0 the statistics move, and nothing else.
    let modes = [(FollowFreeze, options(rate)), (Running, options(rate)), (FollowFreeze, options(0.0))];
    let found = drift(chapter, &body, (&images, &features), n, &modes)?;
    let title = format!("{} after {steps} steps at rate {rate} on {n} photos: % of the test photos", body.model().name());
    let mut table = Table::new(title, &["recognised", "old head says the same"]);
    let names = ["batch statistics", "frozen statistics", "batch statistics, rate 0", "batch statistics, then the old ones", "not tuned"];
    for (name, drift) in names.iter().zip(&found) {
        table.row(*name, [Cell::spread(&drift.recognised), Cell::spread(&drift.same)]);
    }
    chapter.table(table);
    let [batch, frozen, still] = [0, 1, 2].map(|i| 100.0 - mean(&found[i].same));
    let evidence = format!("answers that change: {still:.0}% by statistics alone, {frozen:.0}% by weights alone, {batch:.0}% by both");
    let verdict = Verdict::of(&differences(&found[1].same, &found[2].same));
    chapter.claim("On few photos it is the running statistics that undo features, more than the weights", verdict, evidence);
    for (i, name) in [(1, "tuning with frozen statistics"), (4, "the head alone, not tuned,")] {
        let gain = differences(&found[i].recognised, &found[0].recognised);
        let claim = format!("On few photos {name} beats tuning with the batch's statistics");
        chapter.claim(claim, Verdict::of(&gain), format!("{:+.1} points", mean(&gain)));
    }
    Ok(())
}
