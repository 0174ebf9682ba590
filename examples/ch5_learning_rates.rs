//! Chapter 5: learning rates.
//!
//! *Layers should not learn at one speed: early ones know what all images share and should move less.*
//! First a range test (`Learner::find_lr`) raises the rate at every step until the loss explodes, and
//! suggests one. Then a pretrained ResNet learns four other kinds of clothes
//!
//! - at one rate for all stages,
//! - at a rate for each stage: a tenth of that of the stage above (`layer_decay`), or from a
//!   hundredth at the image up to the whole at the head (`slice`),
//! - or one stage more at a time, the head first (gradual unfreezing).
//!
//! All of that at a good base rate, `--lr`, and at one that is `--too-large` times as large. Stages
//! have *factors* on the base rate, so the flag, or a schedule, cascades through all of them. At the
//! end: how far did each stage move?
//!
//!     cargo run --release --example ch5_learning_rates -- --help

use clap::Args;
use frostline::charts::bars::{self, Bar, Bars};
use frostline::charts::figure::draw;
use frostline::charts::{Cell, Spread, Table, runs_bar};
use frostline::engine::Optim;
use frostline::lesson::{self, Chapter, Error, FreezeDepth, Outline, Result, Settings, Start, Track, Verdict};
use frostline::lesson::{points, range_test, sgd};
use frostline::loader::ImageSet;
use frostline::trainer::{self, FitOptions, Learner, LrRange, LrSuggestions, StageUpdate};
use serde_json::json;
use std::ops::ControlFlow::Continue;

const OUTLINE: Outline = Outline {
    number: 5,
    title: "should all layers learn at one speed?",
    claim: "Layers should not learn at one speed: early ones know what all images share and should move less.",
    defaults: Settings { images: &[100], seeds: 4, steps: 26, batch: 16, lr: 0.02 },
    quick: Settings { images: &[50], seeds: 1, steps: 6, batch: 16, lr: 0.02 },
};

#[derive(Args)]
struct Own {
    /// How many times --lr the rate is that is too large
    #[arg(long, default_value_t = 15.0, value_name = "FACTOR")]
    too_large: f32,
}

/// Ways to train, the first being one rate for all stages.
const WAYS: [&str; 4] = ["one rate", "÷10 a stage", "slice: 1/100 to 1", "gradual unfreezing"];
const FLAT: usize = 0;
const TENTHS: usize = 1;
const GRADUAL: usize = 3;

/// What a run came to: accuracy in %, and how far each stage moved.
struct Outcome(f64, Vec<StageUpdate>);

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, own: Own| {
        let (&[images], lr) = (chapter.flags.images.as_slice(), chapter.flags.lr) else {
            return Err(Error::Flags("--images takes one number in this chapter, such as 200".to_owned()));
        };
        let track = Track::open(chapter)?;
        show_rates(chapter, &track.learner(&track.similar, Start::Pretrained, 0)?)?;
        let found = find_lr(chapter, &track, images)?;

        let test = track.similar.some_tests(if chapter.flags.quick { 100 } else { 300 })?;
        let rates = [lr, lr * own.too_large].into_iter().chain(found.into_iter().flat_map(|found| [found.valley, found.minimum]));
        let bar = runs_bar("ways to train", chapter.flags.seeds * 2 * (WAYS.len() as u64 + 1));
        // By rate, way and seed; the suggested rates are for the first way only.
        let mut outcomes: Vec<Vec<Vec<Outcome>>> = vec![];
        for (rate, ways) in rates.zip([&WAYS[..], &WAYS[..], &WAYS[..1], &WAYS[..1]]) {
            let mut by_way = vec![];
            for way in 0..ways.len() {
                let mut runs = vec![];
                for seed in 0..chapter.flags.seeds {
                    let options = chapter.flags.fit_options(images, seed).lr(rate);
                    runs.push(train(&track, way, &track.similar.draw(images, seed)?, &test, options)?);
                    bar.inc(1);
                }
                by_way.push(runs);
            }
            outcomes.push(by_way);
        }
        bar.finish_and_clear();

        let heads = [format!("rate {lr:.1e}"), format!("rate {:.1e}, too large", lr * own.too_large)];
        let title = format!("test accuracy in %, {images} images, mean ± standard deviation over seeds");
        let mut table = Table::new(title, &heads.each_ref().map(String::as_str));
        for (way, name) in WAYS.iter().enumerate() {
            table.row(*name, (0..2).map(|rate| Cell::spread(&accuracies(&outcomes[rate][way]))));
        }
        chapter.table(table);
        judge(chapter, &outcomes, found);
        draw_updates(chapter, &outcomes[0])
    })
}

/// The optimiser of a way to train.
fn optim(learner: &Learner, way: usize, lr: f32) -> trainer::Result<Optim> {
    match way {
        TENTHS => learner.layer_decay(sgd(lr), 0.1),
        2 => learner.slice(sgd(lr), lr / 100.0..lr),
        _ => Ok(sgd(lr)),
    }
}

fn train(track: &Track, way: usize, train: &ImageSet, test: &ImageSet, options: FitOptions<'_>) -> Result<Outcome> {
    let mut learner = track.learner(&track.similar, Start::Pretrained, options.seed)?;
    let before = learner.snapshot()?;
    let options = FitOptions { optim: optim(&learner, way, options.optim.lr)?, ..options };
    let end = if way == GRADUAL {
        let depths = FreezeDepth::all(track);
        let stages: Vec<&str> = depths.iter().map(|depth| depth.from.as_str()).collect();
        learner.fit_gradually(train, &options.cache_frozen(true), &stages, |_, _| Continue(())).map(|_| ())
    } else {
        learner.fit(train, &options, |_| Continue(())).map(|_| ())
    };
    match end {
        // Too large a rate indeed: the weights are those before the loss overflowed.
        Ok(()) | Err(trainer::Error::Diverged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Outcome(100.0 * learner.evaluate(test)?.accuracy, learner.updates_since(&before)?))
}

/// What `--lr` makes of each stage's rate.
fn show_rates(chapter: &mut Chapter, learner: &Learner) -> Result<()> {
    let stages = learner.model().stages();
    let title = format!("learning rate of each stage with --lr {}; another base rate scales them all", chapter.flags.lr);
    let mut table = Table::new(title, &stages.iter().map(String::as_str).collect::<Vec<_>>());
    for (way, name) in WAYS[..GRADUAL].iter().enumerate() {
        let rates = learner.rates(&optim(learner, way, chapter.flags.lr)?)?;
        table.row(*name, rates.into_iter().map(|(_, rate)| Cell::Text(format!("{rate:.1e}"))));
    }
    chapter.table(table);
    Ok(())
}

fn find_lr(chapter: &mut Chapter, track: &Track, images: usize) -> Result<Option<LrSuggestions>> {
    let mut learner = track.learner(&track.similar, Start::Pretrained, 0)?;
    let options = chapter.flags.fit_options(images, 0);
    let curve = learner.find_lr(&track.similar.draw(images, 0)?, &options, LrRange::default())?;
    let found = curve.suggestions();
    if let Some(LrSuggestions { valley, steep, minimum }) = found {
        chapter.say(format!("find_lr suggests {valley:.1e} (valley), {steep:.1e} (steep), {minimum:.1e} (minimum / 10)\n"));
    }
    chapter.keep("find_lr", json!(curve.points.iter().map(|point| [point.lr, point.loss, point.smoothed]).collect::<Vec<_>>()));
    let path = chapter.figure("find_lr.png", "The loss while the rate rises, and the rates that it suggests.");
    draw(&path, 1, &[range_test(&curve)])?;
    Ok(found)
}

fn accuracies(runs: &[Outcome]) -> Vec<f64> {
    runs.iter().map(|run| run.0).collect()
}

fn judge(chapter: &mut Chapter, outcomes: &[Vec<Vec<Outcome>>], found: Option<LrSuggestions>) {
    let gains = |of: &[Outcome], over: &[Outcome]| -> Vec<f64> { of.iter().zip(over).map(|(of, over)| of.0 - over.0).collect() };
    let [good, large] =
        [0, 1].map(|rate| (0..WAYS.len()).map(|way| gains(&outcomes[rate][way], &outcomes[rate][FLAT])).collect::<Vec<_>>());
    let evidence = |all: &[Vec<f64>]| {
        let parts: Vec<String> = (1..WAYS.len()).map(|way| format!("{} {}", WAYS[way], points(&all[way]))).collect();
        format!("over one rate: {}", parts.join(", "))
    };
    chapter.claim("At a good base rate, a tenth of it a stage is better", Verdict::of(&good[TENTHS]), evidence(&good));
    chapter.claim("At a good base rate, gradual unfreezing is better", Verdict::of(&good[GRADUAL]), evidence(&good));
    chapter.claim("At too large a rate, a tenth of it a stage saves the pretrained layers", Verdict::of(&large[TENTHS]), evidence(&large));
    if let Some(LrSuggestions { valley, minimum, .. }) = found {
        let [tuned, valleys, minima] = [0, 2, 3].map(|rate| Cell::spread(&accuracies(&outcomes[rate][FLAT])));
        let nearly = |rate: usize| gains(&outcomes[rate][FLAT], &outcomes[0][FLAT]).iter().map(|gain| gain + 2.0).collect::<Vec<_>>();
        let evidence = format!("valley {valley:.1e}: {valleys}, minimum / 10 {minimum:.1e}: {minima}, --lr: {tuned}");
        chapter.claim("find_lr's valley is as good as the tuned rate, within two points", Verdict::of(&nearly(2)), evidence.clone());
        chapter.claim("find_lr's minimum / 10 is as good as the tuned rate, within two points", Verdict::of(&nearly(3)), evidence);
    }
    let answer = format!("{} at a good base rate, {} at one that is too large.", points(&good[TENTHS]), points(&large[TENTHS]));
    chapter.quiz("What is a tenth of the rate at every stage down good for?", answer);
}

fn draw_updates(chapter: &mut Chapter, outcomes: &[Vec<Outcome>]) -> Result<()> {
    let shown = [FLAT, TENTHS, GRADUAL];
    // The head starts at random: it has no size before that its update could be compared with.
    let stages = outcomes[FLAT].first().map_or(0, |run| run.1.len() - 1);
    let mean = |way: usize, stage: usize| {
        let moved: Vec<f64> = outcomes[way].iter().map(|run| 100.0 * run.1[stage].relative).collect();
        Spread::of(&moved).map_or(0.0, |moved| moved.mean)
    };
    let row = |stage: usize| {
        let text = |value: f64| if value < 0.01 { "below 0.01%".to_owned() } else { format!("{value:.2}%") };
        let bar = |(series, &way): (usize, &usize)| Bar { series, value: mean(way, stage), text: text(mean(way, stage)) };
        let label = outcomes[FLAT][0].1[stage].stage.clone();
        bars::Row { label, bars: shown.iter().enumerate().map(bar).collect() }
    };
    let chart = Bars {
        title: "How far each stage moved from its pretrained weights".to_owned(),
        note: format!("|Δw| / |w| at --lr {}, mean over seeds; fc, which starts at random, is left out", chapter.flags.lr),
        axis: "relative update, %".to_owned(),
        series: shown.iter().map(|&way| WAYS[way].to_owned()).collect(),
        rows: (0..stages).map(row).collect(),
    };
    chapter.keep("updates", json!(chart.rows));
    bars::draw(&chapter.figure("updates.png", "Relative size of the update of each stage."), &chart)?;
    Ok(())
}
