//! Chapter 0: why transfer learning?
//!
//! *Training from scratch on few images overfits; starting from pretrained weights converges faster
//! and generalises better.* Two tracks put that to the test, several seeds each:
//!
//! - **ResNet**: a ResNet-10 learns four kinds of clothes from 50 images to all there are, from
//!   scratch or from weights that know six *other* kinds. Pretrained, everything below `layer4` is
//!   frozen: those layers dispatch no gradient kernel and keep no activation.
//! - **Photos**: six kinds of public-domain photos, 30 and 90 of them. A ResNet-10 from scratch
//!   against a softmax head on features of an EfficientNet-Lite0 that has seen ImageNet: the
//!   frozen body runs once per photo, and its features are kept.
//!
//!     cargo run --release --example ch0_why_transfer -- --help

use frostline::charts::figure::{Curve, Panel, draw};
use frostline::charts::{Cell, Table, runs_bar};
use frostline::lesson::{self, Chapter, NoFlags, Outline, Result, Run, Settings, Start, Track, Verdict};
use frostline::lesson::{accuracies, fit, gains, mean, photo_body, sgd, signed, spread};
use frostline::loader::{Preprocessing, stratified_subset};
use frostline::models::Model;
use frostline::trainer::{FitOptions, Learner, ProbeOptions, linear_probe};
use serde_json::json;

const OUTLINE: Outline = Outline {
    number: 0,
    title: "why transfer learning?",
    claim: "Training from scratch on few images overfits; starting from pretrained weights converges faster and generalises better.",
    defaults: Settings { images: &[50, 200, 1500], seeds: 3, steps: 26, batch: 32, lr: 0.05 },
    quick: Settings { images: &[50], seeds: 1, steps: 20, batch: 32, lr: 0.05 },
};
const NAMES: [&str; 2] = ["from scratch", "pretrained"];
const PHOTO_SIZES: [usize; 2] = [30, 90];
/// Pixels a side that the ResNet from scratch sees of a photo.
const PHOTO_SIDE: usize = 40;

/// Number of images, and the runs from scratch and pretrained.
type Runs = Vec<(usize, [Vec<Run>; 2])>;

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, _: NoFlags| {
        let track = Track::open(chapter)?;
        let resnet = resnet_track(chapter, &track)?;
        let photos = photo_track(chapter)?;

        let title = "test accuracy in %, mean ± standard deviation over seeds";
        let mut table = Table::new(title, &["from scratch", "pretrained", "difference", "chance"]);
        let chances = [track.similar.chance(), 100.0 / 6.0];
        for ((name, runs), chance) in [(track.similar.name.as_str(), &resnet), ("photos", &photos)].into_iter().zip(chances) {
            for (n, [scratch, pretrained]) in runs {
                let gain = signed(&gains(pretrained, scratch)).into();
                let cells = [Cell::spread(&accuracies(scratch)), Cell::spread(&accuracies(pretrained)), gain, Cell::Number(chance, 0)];
                table.row(format!("{name}, {n} images"), cells);
            }
        }
        chapter.table(table);
        judge(chapter, &resnet, &photos);
        figure(chapter, &track.similar.name, &resnet, &photos)
    })
}

fn resnet_track(chapter: &Chapter, track: &Track) -> Result<Runs> {
    let flags = &chapter.flags;
    // 400 images tell accuracies apart to 3 points, and a curve needs less.
    let (test, watched) = (track.similar.some_tests(400)?, track.similar.some_tests(150)?);
    let bar = runs_bar("clothes: ResNet", flags.images.len() as u64 * flags.seeds * 2);
    let mut runs: Runs = vec![];
    for &n in &flags.images {
        let mut pair = [vec![], vec![]];
        for seed in 0..flags.seeds {
            let train = track.similar.draw(n, seed)?;
            for (start, name, runs) in [(Start::Scratch, NAMES[0], 0), (Start::Pretrained, NAMES[1], 1)] {
                let mut learner = track.learner(&track.similar, start, seed)?;
                let mut options = flags.fit_options(n, seed);
                if start == Start::Pretrained {
                    learner.freeze_below("layer4")?;
                    if runs == 1 && bar.position() == 1 {
                        let plan = learner.training_plan(&options)?;
                        bar.suspend(|| chapter.say(format!("{plan}\n")));
                    }
                }
                if n == flags.images[0] {
                    options = options.validate(&watched, (flags.steps / 10).max(1));
                }
                pair[runs].push(fit(&mut learner, &train, &test, &options, &format!("{name}, {n} images, seed {seed}"))?);
                bar.inc(1);
            }
        }
        runs.push((n, pair));
    }
    bar.finish_and_clear();
    Ok(runs)
}

fn photo_track(chapter: &Chapter) -> Result<Runs> {
    let flags = &chapter.flags;
    let small = chapter.assets.photos(&Preprocessing { resize: Some(PHOTO_SIDE), ..Preprocessing::imagenet(PHOTO_SIDE) })?;
    let mut body = photo_body(chapter, 128)?;
    let large = chapter.assets.photos(body.input())?;
    let features = body.features(&large, "avgpool", 1)?;
    let sizes = if flags.quick { &PHOTO_SIZES[..1] } else { &PHOTO_SIZES };
    let bar = runs_bar("photos", sizes.len() as u64 * flags.seeds);
    let mut runs: Runs = vec![];
    for &n in sizes {
        let mut pair = [vec![], vec![]];
        for seed in 0..flags.seeds {
            let train = stratified_subset(&small.label_indices(), n, small.classes.len(), seed)?;
            let test: Vec<usize> = (0..small.len()).filter(|i| !train.contains(i)).collect();
            let model = Model::new("resnet10")?.in_channels(3).classes(small.classes.len());
            let mut learner = Learner::new(&chapter.gpu, model, PHOTO_SIDE, seed)?;
            let options = FitOptions::steps(flags.steps * 3 / 4).batch(16).optim(sgd(flags.lr)).seed(seed);
            let (few, rest) = (small.subset(&train)?, small.subset(&test)?);
            pair[0].push(fit(&mut learner, &few, &rest, &options, &format!("from scratch, {n} photos, seed {seed}"))?);
            let options = ProbeOptions { seed, ..ProbeOptions::default() };
            let probe = linear_probe(&chapter.gpu, &features.subset(&train), &features.subset(&test), &options)?;
            pair[1].push(Run { accuracy: probe.test.accuracy, records: probe.records, curve: vec![], seconds: 0.0 });
            bar.inc(1);
        }
        runs.push((n, pair));
    }
    bar.finish_and_clear();
    Ok(runs)
}

fn judge(chapter: &mut Chapter, resnet: &Runs, photos: &Runs) {
    for (name, runs) in [("resnet", resnet), ("photos", photos)] {
        let all: Vec<f64> = runs.iter().flat_map(|(_, [scratch, pretrained])| gains(pretrained, scratch)).collect();
        let each: Vec<String> = runs.iter().map(|(n, [s, p])| format!("{:+.1} at {n}", mean(&gains(p, s)))).collect();
        let evidence = format!("gain in points: {}", each.join(", "));
        chapter.claim(format!("Pretrained weights generalise better ({name} track)"), Verdict::of(&all), evidence);
        let cell = |runs| Cell::spread(&accuracies(runs));
        let rows = runs.iter().map(|(n, [s, p])| json!({ "images": n, "scratch": cell(s), "pretrained": cell(p) }));
        chapter.keep(name, rows.collect());
    }
    let Some((n, [scratch, pretrained])) = resnet.first() else { return };
    // Training accuracy of the last ten steps against the test: what overfitting means.
    let gap = |runs: &[Run]| -> Vec<f64> {
        let last =
            |run: &Run| run.records.iter().rev().take(10).map(|r| f64::from(r.accuracy)).sum::<f64>() / run.records.len().min(10) as f64;
        runs.iter().map(|run| 100.0 * (last(run) - run.accuracy)).collect()
    };
    let wider: Vec<f64> = gap(scratch).iter().zip(gap(pretrained)).map(|(s, p)| s - p).collect();
    let [wide, narrow] = [scratch, pretrained].map(|runs| Cell::spread(&gap(runs)));
    let evidence = format!("training less test accuracy with {n} images: {wide} points from scratch, {narrow} pretrained");
    chapter.claim("From scratch, few images are overfitted more", Verdict::of(&wider), evidence);

    let best = |run: &Run| run.curve.iter().map(|point| point.accuracy).fold(0.0, f64::max);
    let reach = |run: &Run, goal: f64| run.curve.iter().find(|point| point.accuracy >= goal).map(|point| point.seconds);
    let times: Vec<(f64, Option<f64>)> =
        scratch.iter().zip(pretrained).filter_map(|(s, p)| Some((reach(s, best(s))?, reach(p, best(s))))).collect();
    // Who never gets there is no faster than the whole run of the other.
    let saved: Vec<f64> = times.iter().map(|(s, p)| s - p.unwrap_or(*s)).collect();
    let [slow, fast] =
        [times.iter().map(|t| t.0).collect(), times.iter().filter_map(|t| t.1).collect()].map(|times: Vec<f64>| mean(&times));
    let reached = times.iter().filter(|t| t.1.is_some()).count();
    let evidence =
        format!("the scratch net's best test accuracy takes it {slow:.2} s; pretrained {fast:.2} s in {reached} of {} runs", times.len());
    chapter.claim("Starting pretrained converges faster", Verdict::of(&saved), evidence);
    let answer = format!(
        "In this run {:+.1} points, and the frozen layers' gradient kernels were never dispatched.",
        mean(&gains(pretrained, scratch))
    );
    chapter.quiz(format!("With {n} images, what do pretrained weights gain, and what does it cost?"), answer);
}

/// What a curve draws of a run: step and accuracy.
type Points<'a> = &'a dyn Fn(&Run) -> Vec<(f64, f64)>;

fn figure(chapter: &mut Chapter, task: &str, resnet: &Runs, photos: &Runs) -> Result<()> {
    let by_size = |title: String, runs: &Runs| {
        let curve =
            |i: usize| Curve::new(NAMES[i], i, runs.iter().map(|(n, pair)| (*n as f64, spread(&pair[i]).mean, spread(&pair[i]).deviation)));
        let (x, y) = ("labelled images".to_owned(), "test accuracy, %".to_owned());
        Panel { title, x, y, log_x: true, range: (20.0, 100.0), curves: vec![curve(0), curve(1)] }
    };
    let by_step = |title: String, points: Points| {
        let pair = resnet.first().into_iter().flat_map(|(_, pair)| pair.iter().enumerate());
        let curves = pair.flat_map(|(i, runs)| runs.iter().enumerate().map(move |(seed, run)| (i, seed, run)));
        let curves = curves.map(|(i, seed, run)| Curve::new(format!("{}, seed {seed}", NAMES[i]), i, points(run))).collect();
        Panel { title, x: "step".to_owned(), y: "accuracy, %".to_owned(), log_x: false, range: (20.0, 100.0), curves }
    };
    // Batches are few images: the mean of ten steps can be read.
    let training = |run: &Run| {
        let bunches = run.records.chunks(10).map(|bunch| {
            let mean = bunch.iter().map(|record| f64::from(record.accuracy)).sum::<f64>() / bunch.len() as f64;
            (bunch[bunch.len() - 1].step as f64, 100.0 * mean)
        });
        bunches.collect()
    };
    let n = resnet.first().map_or(0, |row| row.0);
    let panels = [
        by_size(format!("{task}: a pretrained ResNet and one from scratch"), resnet),
        by_size("photos: ImageNet's features and a ResNet from scratch".to_owned(), photos),
        by_step(format!("{task}, {n} images: on the training images"), &training),
        by_step(format!("{task}, {n} images: on test images"), &|run| {
            run.curve.iter().map(|point| (point.step as f64, 100.0 * point.accuracy)).collect()
        }),
    ];
    draw(&chapter.figure("curves.png", "Accuracy by number of images (bars: standard deviation over seeds) and by step."), 2, &panels)?;
    Ok(())
}
