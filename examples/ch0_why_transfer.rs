//! Chapter 0: why transfer learning?
//!
//! *Training from scratch on few images overfits; starting from pretrained weights converges faster
//! and generalises better.* Two tracks put that to the test, several seeds each:
//!
//! - **ResNet**: a ResNet-10 learns four kinds of clothes from 20 to 500 images, from scratch or
//!   from weights that know six *other* kinds. Pretrained, everything below `layer4` is frozen:
//!   those layers dispatch no gradient kernel and keep no activation.
//! - **Photos**: six kinds of public-domain photos, 30 and 90 of them. A ResNet-10 from scratch
//!   against a softmax head on features of an EfficientNet-Lite0 that has seen ImageNet: the
//!   frozen body runs once per photo, and its features are kept.
//!
//!     cargo run --release --example ch0_why_transfer -- --help

use clap::Parser;
use frostline::engine::{Gpu, Optim};
use frostline::lesson::figure::{Curve, Panel, draw};
use frostline::lesson::{Assets, FASHION_MEAN, FASHION_STD, Result, bar, runs_bar, write_json};
use frostline::loader::{ImageSet, Preprocessing, stratified_subset};
use frostline::models::{LoadOptions, Model};
use frostline::trainer::{FitOptions, Learner, ProbeOptions, Spread, linear_probe};
use serde_json::json;
use std::{ops::ControlFlow, path::PathBuf, sync::Arc, time::Instant};

/// Chapter 0: training from scratch against starting from pretrained weights.
#[derive(Parser)]
struct Args {
    /// Seeds (draws of the training images and first weights) of each setting
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Numbers of labelled images on the ResNet track
    #[arg(long, value_delimiter = ',', default_values_t = [20, 50, 500])]
    images: Vec<usize>,
    /// Steps of a run on the ResNet track
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Folder for figures and results
    #[arg(long, default_value = "out/ch0")]
    out: PathBuf,
    /// The short form: one seed, two sizes
    #[arg(long)]
    quick: bool,
}

/// One run: test accuracy, accuracy by step, training loss by step, seconds.
struct Run {
    accuracy: f64,
    curve: Vec<(f64, f64)>,
    losses: Vec<f32>,
}

const PHOTO_SIZES: [usize; 2] = [30, 90];
/// Pixels a side that the ResNet sees of a photo.
const PHOTO_SIDE: usize = 40;
/// The sizes that `results.json` reports.
const REPORTED: (usize, usize) = (50, 90);

fn main() -> std::process::ExitCode {
    match chapter(Args::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn chapter(mut args: Args) -> Result<()> {
    if args.quick {
        (args.seeds, args.images, args.steps) = (1, vec![20, 50], args.steps.min(40));
    }
    let gpu = Arc::new(Gpu::new()?);
    println!("Chapter 0: why transfer learning?   on {}\n", gpu.describe());
    let start = Instant::now();
    let assets = Assets::default();
    let (fashion, photos) = (resnet_track(&gpu, &assets, &args)?, photo_track(&gpu, &assets, &args)?);

    println!("\ntest accuracy in %, mean ± standard deviation over seeds; chance is 25 for clothes, 17 for photos");
    println!("{:<22}{:>14}{:>14}{:>14}", "", "from scratch", "pretrained", "difference");
    for (track, table) in [("clothes", &fashion), ("photos", &photos)] {
        for (n, [scratch, pretrained]) in table {
            let (a, b) = (spread(scratch), spread(pretrained));
            let row = [a.to_string(), b.to_string(), format!("{:+.1}", b.mean - a.mean)];
            println!("{:<22}{:>14}{:>14}{:>14}", format!("{track}, {n} images"), row[0], row[1], row[2]);
        }
    }
    figure(&args, &fashion, &photos)?;
    let report = |table: &Table, n: usize| {
        let row = table.iter().find(|row| row.0 == n).or(table.last());
        let part = |runs: &[Run]| {
            let s = spread(runs);
            json!({ "mean": s.mean / 100.0, "std": s.deviation / 100.0, "seeds": s.count })
        };
        row.map(|(n, [scratch, pretrained])| json!({ "images": n, "scratch": part(scratch), "pretrained": part(pretrained) }))
    };
    let all = |table: &Table| table.iter().filter_map(|row| report(table, row.0)).collect::<Vec<_>>();
    let results = json!({
        "resnet": report(&fashion, REPORTED.0), "photos": report(&photos, REPORTED.1),
        "all": { "resnet": all(&fashion), "photos": all(&photos) },
        "steps": args.steps, "adapter": gpu.describe(), "seconds": start.elapsed().as_secs_f64(),
    });
    write_json(&args.out.join("results.json"), &results)?;
    let (first, out) = (fashion.first(), args.out.display());
    if let Some((n, [scratch, pretrained])) = first {
        let gain = spread(pretrained).mean - spread(scratch).mean;
        println!(
            "\nQuiz: with {n} images, what do pretrained weights gain? In this run: {gain:+.1} points, with the frozen layers' kernels never dispatched."
        );
    }
    println!("{:.0} s; figure {out}/curves.png, numbers {out}/results.json", start.elapsed().as_secs_f64());
    Ok(())
}

/// Number of images, and the runs from scratch and pretrained.
type Table = Vec<(usize, [Vec<Run>; 2])>;

fn spread(runs: &[Run]) -> Spread {
    let accuracies: Vec<f64> = runs.iter().map(|run| 100.0 * run.accuracy).collect();
    Spread::of(&accuracies).unwrap_or(Spread { mean: f64::NAN, deviation: 0.0, count: 0 })
}

fn resnet_track(gpu: &Arc<Gpu>, assets: &Assets, args: &Args) -> Result<Table> {
    let (pool, test) = (assets.sheet("fashion_train")?, assets.sheet("fashion_test")?);
    // 600 images tell accuracies apart to 2 points; all 1,500 would take the time of a run.
    let test = test.subset(&stratified_subset(&test.label_indices(), 600, test.classes.len(), 0)?)?;
    let watched = test.subset(&stratified_subset(&test.label_indices(), 300, test.classes.len(), 0)?)?;
    let weights = assets.weights("resnet10_fashion")?;
    let model = Model::new("resnet10")?.in_channels(1).classes(pool.classes.len());
    let mut table: Table = vec![];
    let mut told = false;
    let all = runs_bar("clothes: ResNet-10", args.images.len() as u64 * args.seeds * 2);
    for &n in &args.images {
        let mut runs = [vec![], vec![]];
        for seed in 0..args.seeds {
            let train = pool.subset(&stratified_subset(&pool.label_indices(), n, pool.classes.len(), seed)?)?;
            for (pretrained, runs) in runs.iter_mut().enumerate() {
                let mut learner = Learner::new(gpu, model.clone(), 28, seed)?;
                learner.normalization(&[FASHION_MEAN], &[FASHION_STD])?;
                let mut options = FitOptions::steps(args.steps).batch(n.min(32)).optim(sgd(0.05)).seed(seed);
                if pretrained == 1 {
                    learner.load(&weights.tensors, &LoadOptions::skip_head())?;
                    learner.freeze_below("layer4")?;
                }
                if pretrained == 1 && !told {
                    let plan = learner.training_plan(&options)?;
                    all.suspend(|| println!("{plan}\n"));
                    told = true;
                }
                if n == REPORTED.0 {
                    options = options.validate(&watched, (args.steps / 5).max(1));
                }
                let name = ["from scratch", "pretrained"][pretrained];
                runs.push(fit(&mut learner, &train, &test, options, &format!("{name}, {n} images, seed {seed}"))?);
                all.inc(1);
            }
        }
        table.push((n, runs));
    }
    all.finish();
    Ok(table)
}

fn photo_track(gpu: &Arc<Gpu>, assets: &Assets, args: &Args) -> Result<Table> {
    let small = assets.photos(&Preprocessing { resize: Some(PHOTO_SIDE), ..Preprocessing::imagenet(PHOTO_SIDE) })?;
    let large = assets.photos(&Preprocessing::efficientnet_lite(128))?;
    let mut teacher = Learner::new(gpu, Model::new("efficientnet_lite0")?.without_head(), 128, 0)?;
    teacher.load(&assets.weights("efficientnet_lite0")?.tensors, &LoadOptions::strict())?;
    teacher.evaluation_batch(21);
    let seconds = Instant::now();
    let features = teacher.features(&large, "avgpool", 1)?;
    println!("\nfeatures of {} photos: computed once, in {:.1} s", large.len(), seconds.elapsed().as_secs_f64());
    let mut table: Table = vec![];
    let all = runs_bar("photos", PHOTO_SIZES.len() as u64 * args.seeds);
    for n in PHOTO_SIZES {
        let mut runs = [vec![], vec![]];
        for seed in 0..args.seeds {
            let train = stratified_subset(&small.label_indices(), n, small.classes.len(), seed)?;
            let test: Vec<usize> = (0..small.len()).filter(|i| !train.contains(i)).collect();
            let model = Model::new("resnet10")?.in_channels(3).classes(small.classes.len());
            let mut learner = Learner::new(gpu, model, PHOTO_SIDE, seed)?;
            let options = FitOptions::steps(args.steps * 3 / 4).batch(16).optim(sgd(0.05)).seed(seed);
            let (few, rest) = (small.subset(&train)?, small.subset(&test)?);
            runs[0].push(fit(&mut learner, &few, &rest, options, &format!("from scratch, {n} photos, seed {seed}"))?);
            let options = ProbeOptions { seed, ..ProbeOptions::default() };
            let probe = linear_probe(gpu, &features.subset(&train), &features.subset(&test), &options)?;
            let losses = probe.records.iter().map(|record| record.loss).collect();
            runs[1].push(Run { accuracy: probe.test.accuracy, curve: vec![], losses });
            all.inc(1);
        }
        table.push((n, runs));
    }
    all.finish();
    Ok(table)
}

fn sgd(lr: f32) -> Optim {
    Optim::sgd(lr).momentum(0.9).nesterov().weight_decay(5e-4)
}

fn fit(learner: &mut Learner, train: &ImageSet, test: &ImageSet, options: FitOptions<'_>, name: &str) -> Result<Run> {
    let bar = bar(name, 1);
    let history = learner.fit(train, &options, |progress| {
        bar.set_length(progress.steps);
        bar.set_position(progress.step);
        bar.set_message(progress.latest.map_or(String::new(), |latest| format!("loss {:.3}", latest.loss)));
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let curve = history.evaluations.iter().map(|(step, evaluation)| (*step as f64, 100.0 * evaluation.accuracy)).collect();
    Ok(Run { accuracy: learner.evaluate(test)?.accuracy, curve, losses: history.losses() })
}

fn figure(args: &Args, fashion: &Table, photos: &Table) -> Result<()> {
    let names = ["from scratch", "pretrained"];
    let by_size = |title: &str, table: &Table| {
        let curve = |i: usize| {
            let points = table.iter().map(|(n, runs)| (*n as f64, spread(&runs[i]).mean, spread(&runs[i]).deviation)).collect();
            Curve { name: names[i].to_owned(), color: i, points }
        };
        let (x, y) = ("labelled images".to_owned(), "test accuracy, %".to_owned());
        Panel { title: title.to_owned(), x, y, log_x: true, range: (20.0, 100.0), curves: vec![curve(0), curve(1)] }
    };
    let by_step = |title: &str, y: &str, range, table: &Table, n: usize, points: &dyn Fn(&Run) -> Vec<(f64, f64)>| {
        let runs = table.iter().find(|row| row.0 == n).into_iter().flat_map(|row| row.1.iter().enumerate());
        let curves = runs.flat_map(|(i, runs)| runs.iter().enumerate().map(move |(seed, run)| (i, seed, run)));
        let curves = curves.map(|(i, seed, run)| {
            let points = points(run).into_iter().map(|(x, y)| (x, y, 0.0)).collect();
            Curve { name: format!("{}, seed {seed}", names[i]), color: i, points }
        });
        Panel { title: title.to_owned(), x: "step".to_owned(), y: y.to_owned(), log_x: false, range, curves: curves.collect() }
    };
    let losses = |run: &Run| run.losses.iter().enumerate().map(|(i, loss)| (i as f64 + 1.0, f64::from(*loss).min(2.5))).collect();
    let panels = [
        by_size("clothes: a pretrained ResNet-10 and one from scratch", fashion),
        by_step("clothes, 50 images: accuracy while training", "test accuracy, %", (20.0, 100.0), fashion, REPORTED.0, &|run| {
            run.curve.clone()
        }),
        by_size("photos: features from ImageNet and a ResNet from scratch", photos),
        by_step("photos, 90 images: training loss", "loss (cut at 2.5)", (0.0, 2.6), photos, REPORTED.1, &losses),
    ];
    draw(&args.out.join("curves.png"), 2, &panels)
}
