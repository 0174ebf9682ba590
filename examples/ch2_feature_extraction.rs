//! Chapter 2: feature extraction.
//!
//! *A frozen network turns pixels into concepts: what no straight cut separates in pixels, one
//! separates in its features.* The pipeline is load, remove, freeze, extract, train:
//!
//! - **Load** a network that has seen ImageNet, **remove** its classifier, **freeze** the rest:
//!   without a gradient to compute there is only an inference plan, folded and fused.
//! - **Extract** the features of every photo once, and keep them.
//! - **Train** a head on them: softmax (logistic regression) and a linear support vector machine.
//!   The same two heads on the photos' pixels say what the features are worth.
//!
//! A map, the two principal components of what the heads see, shows the classes before any head is
//! trained. At last the clock: head steps on kept features against steps that run the frozen body
//! on every batch again.
//!
//!     cargo run --release --example ch2_feature_extraction -- --help

use frostline::charts::scatter::{Scatter, draw};
use frostline::charts::{Cell, Table, runs_bar};
use frostline::lesson::{self, Chapter, Error, NoFlags, Outline, Result, Settings, Verdict};
use frostline::lesson::{fit, mean, new_head, pca, photo_body, photos};
use frostline::loader::{ImageSet, Preprocessing, stratified_subset};
use frostline::trainer::{Features, Learner, Length, ProbeLoss, Standardization, linear_probe};
use std::time::Instant;

const OUTLINE: Outline = Outline {
    number: 2,
    title: "feature extraction",
    claim: "A frozen network turns pixels into concepts: a linear head on its features beats the same head on pixels, and the features need computing only once.",
    defaults: Settings { images: &[12, 30, 60, 90], seeds: 6, steps: 200, batch: 30, lr: 0.02 },
    quick: Settings { images: &[30], seeds: 3, steps: 100, batch: 30, lr: 0.02 },
};
/// Pixels a side that the network sees of a photo, and that the heads on pixels see.
const SIDE: usize = 128;
const PIXEL_SIDE: usize = 32;
const HEADS: [(ProbeLoss, &str); 2] = [(ProbeLoss::Softmax, "softmax"), (ProbeLoss::Hinge, "linear SVM")];
const SPACES: [&str; 2] = ["pixels", "features"];

/// Test accuracies in % by space and head, one for each seed.
type Accuracies = [[Vec<f64>; 2]; 2];

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, _: NoFlags| {
        if chapter.flags.weights.is_some() && chapter.flags.model == "resnet10" {
            return Err(Error::Flags("chapter 2 looks at photos: --weights needs --model resnet18, resnet50 … beside it".to_owned()));
        }
        let start = Instant::now();
        let mut body = photo_body(chapter, SIDE)?;
        let images = photos(chapter, body.input())?;
        let loaded = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let features = body.features(&images, "avgpool", 1)?;
        let extracted = start.elapsed().as_secs_f64();
        let small = Preprocessing { resize: Some(PIXEL_SIDE), ..Preprocessing::imagenet(PIXEL_SIDE) };
        let pixels = Features::pixels(&photos(chapter, &small)?, &small.mean, &small.std)?;
        let spaces = [&pixels, &features];

        let start = Instant::now();
        let results = heads(chapter, spaces)?;
        let trained = start.elapsed().as_secs_f64() / (results.len() as u64 * chapter.flags.seeds * 4) as f64;
        pipeline(chapter, &body, &features, [loaded, extracted, trained])?;
        judge(chapter, &results);
        maps(chapter, spaces)?;
        clock(chapter, &body, &images, &features, extracted)
    })
}

/// Every head on every space, for every number of images and seed.
fn heads(chapter: &Chapter, spaces: [&Features; 2]) -> Result<Vec<(usize, Accuracies)>> {
    let flags = &chapter.flags;
    let bar = runs_bar("heads", flags.images.len() as u64 * flags.seeds * 4);
    let (labels, classes) = (spaces[0].labels.iter().map(|&label| label as usize).collect::<Vec<_>>(), spaces[0].classes.len());
    let mut results = vec![];
    for &n in &flags.images {
        let mut accuracies = Accuracies::default();
        for seed in 0..flags.seeds {
            let train = stratified_subset(&labels, n, classes, seed)?;
            let test: Vec<usize> = (0..labels.len()).filter(|i| !train.contains(i)).collect();
            for (space, row) in spaces.iter().zip(&mut accuracies) {
                let (train, test) = (space.subset(&train), space.subset(&test));
                for ((loss, _), cell) in HEADS.iter().zip(row) {
                    let probe = linear_probe(&chapter.gpu, &train, &test, &flags.probe_options(*loss, n, seed))?;
                    cell.push(100.0 * probe.test.accuracy);
                    bar.inc(1);
                }
            }
        }
        results.push((n, accuracies));
    }
    bar.finish_and_clear();
    Ok(results)
}

fn pipeline(chapter: &mut Chapter, body: &Learner, features: &Features, [loaded, extracted, trained]: [f64; 3]) -> Result<()> {
    let (name, photos, width) = (body.model().name().to_owned(), features.labels.len(), features.width);
    let mut head = new_head(body, features.classes.len(), 0)?;
    head.freeze_below("fc")?;
    let options = chapter.flags.fit_options(photos, 0);
    let plan = head.training_plan(&options)?;
    let skipped = plan.unfrozen_ledger().map_or(0, |open| open.backward_dispatches - plan.ledger().backward_dispatches);
    let mut table = Table::new("the pipeline", &["what it gives", "seconds"]);
    let weights: usize = body.params().tensors().map(|(_, shape)| shape.count()).sum();
    table.row("load", [format!("{name}, {weights} numbers; {photos} photos").into(), Cell::Number(loaded, 2)]);
    table.row("remove", [format!("no classifier: {width} features come out").into(), Cell::Empty]);
    table.row("freeze", [format!("{skipped} backward kernels fewer in a training step").into(), Cell::Empty]);
    table.row("extract", [format!("{photos} × {width} features, kept").into(), Cell::Number(extracted, 2)]);
    let numbers = (width + 1) * features.classes.len();
    table.row("train", [format!("a head of {numbers} numbers; seconds for one of all below").into(), Cell::Number(trained, 2)]);
    chapter.table(table);
    Ok(())
}

fn judge(chapter: &mut Chapter, results: &[(usize, Accuracies)]) {
    let columns = SPACES.iter().flat_map(|space| HEADS.iter().map(move |(_, head)| format!("{space}, {head}"))).collect::<Vec<_>>();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new("test accuracy in %, mean ± standard deviation over seeds", &columns);
    for (n, accuracies) in results {
        table.row(format!("{n} photos"), accuracies.iter().flatten().map(|values| Cell::spread(values)));
    }
    chapter.table(table);
    for (head, (_, name)) in HEADS.iter().enumerate() {
        let gains =
            |[pixels, features]: &Accuracies| -> Vec<f64> { features[head].iter().zip(&pixels[head]).map(|(f, p)| f - p).collect() };
        let all: Vec<f64> = results.iter().flat_map(|(_, accuracies)| gains(accuracies)).collect();
        let each: Vec<String> = results.iter().map(|(n, accuracies)| format!("{:+.1} at {n}", mean(&gains(accuracies)))).collect();
        let evidence = format!("gain in points by number of photos: {}", each.join(", "));
        chapter.claim(format!("Features beat pixels ({name})"), Verdict::of(&all), evidence);
    }
    if let Some((n, [pixels, features])) = results.iter().find(|(n, _)| *n >= 30).or(results.first()) {
        let [few, many] = [&pixels[0], &features[0]].map(|values| mean(values));
        chapter.quiz(
            format!("With {n} labelled photos and no GPU: what can you train that recognises new ones?"),
            format!("One linear layer on a frozen network's features: {many:.0}% here. The same layer on pixels: {few:.0}%."),
        );
    }
}

fn maps(chapter: &mut Chapter, spaces: [&Features; 2]) -> Result<()> {
    // As the heads see them: each pixel and each feature in units of its deviation.
    let seen = spaces.map(|space| Standardization::of(space, 1e-5).apply(space));
    let agree = seen.each_ref().map(|space| 100.0 * pca::neighbours_agree(space));
    let panel = |space: &Features, name: &str, agree: f64| {
        let map = pca::pca(space);
        let axis = |i: usize| format!("component {}, {:.0}% of the variance (deviations)", i + 1, 100.0 * map.shares[i]);
        let points = map.points.iter().zip(&space.labels).map(|(&(x, y), &class)| (x, y, class as usize)).collect();
        let title = format!("{name}: the nearest photo is of the same class in {agree:.0}%");
        Scatter { title, x: axis(0), y: axis(1), classes: space.classes.clone(), points }
    };
    let panels = [panel(&seen[0], "32×32 pixels", agree[0]), panel(&seen[1], "features", agree[1])];
    // One set of photos: how many of them changed sides is what there is to count.
    let verdict = if agree[1] > agree[0] { Verdict::Weakly } else { Verdict::DoesNotShow };
    let evidence =
        format!("the nearest photo is of the same class for {:.0}% in pixels, {:.0}% in features (one set of photos)", agree[0], agree[1]);
    chapter.claim("Photos of one class lie together in the features", verdict, evidence);
    draw(&chapter.figure("map.png", "Every photo as a point, by its pixels and by its features: the two principal components."), &panels)?;
    Ok(())
}

/// Head steps on kept features, and head steps that run the frozen body on every batch, in turn.
fn clock(chapter: &mut Chapter, body: &Learner, images: &ImageSet, features: &Features, extracted: f64) -> Result<()> {
    let (repeats, steps) = (3, 3);
    let mut options = chapter.flags.fit_options(images.len(), 0);
    let batch = options.batch;
    let probe = chapter.flags.probe_options(ProbeLoss::Softmax, images.len(), 0);
    let mut head = new_head(body, features.classes.len(), 0)?;
    head.freeze_below("fc")?;
    let one = images.subset(&[0])?;
    options.length = Length::Steps(1);
    fit(&mut head, images, &one, &options, "warm-up")?; // the driver compiles kernels when they first run
    options.length = Length::Steps(steps);
    let mut rates = [vec![], vec![]];
    for _ in 0..repeats {
        let run = fit(&mut head, images, &one, &options, "body in every step")?;
        rates[0].push((steps as usize * batch) as f64 / run.seconds);
        let start = Instant::now();
        linear_probe(&chapter.gpu, features, &features.subset(&[0]), &probe)?;
        rates[1].push((probe.steps as usize * batch) as f64 / start.elapsed().as_secs_f64());
    }
    let ratios: Vec<f64> = rates[1].iter().zip(&rates[0]).map(|(kept, run)| kept / run).collect();
    let seen = probe.steps as usize * batch;
    let mut table = Table::new("training a head, images a second (three runs)", &["images/s", "body passes"]);
    table.row("body in every step", [Cell::spread(&rates[0]), Cell::Number(seen as f64, 0)]);
    table.row("features kept", [Cell::spread(&rates[1]), Cell::Number(images.len() as f64, 0)]);
    chapter.table(table);
    let ratio = mean(&ratios);
    let [slow, fast] = [&rates[0], &rates[1]].map(|rates| seen as f64 * rates.len() as f64 / rates.iter().sum::<f64>());
    let evidence = format!(
        "{ratio:.0} times the images a second; {} steps would take {slow:.1} s against {extracted:.1} s once + {fast:.1} s",
        probe.steps
    );
    // Gained: factors above 1.
    chapter.claim("Features that are kept make head steps fast", Verdict::of(&ratios.iter().map(|r| r.ln()).collect::<Vec<_>>()), evidence);
    Ok(())
}
