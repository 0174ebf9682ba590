//! Chapter 5: learning rates.
//!
//! *Layers should not have the same rate: early ones compute general features and should change less.* One
//! rate; a tenth per stage (`layer_decay`); a hundredth up to the head's (`slice`); one more stage at a time.
//!
//!     $ cargo run --release --example ch5_learning_rates -- --only digits
//!                                 100 images
//!       one rate at 0.1             90.9±1.5
//!       a tenth a stage at 0.1      85.0±1.2

use frostline::engine::Optim;
use frostline::lesson::prelude::*;
use frostline::lesson::{FreezeDepth, draw_range_test, sgd};
use frostline::trainer::{self, FitOptions, Learner, LrRange};

const FLAT: &str = "one rate";
const TENTHS: &str = "a tenth a stage";
const SLICE: &str = "slice from a hundredth";
const GRADUAL: &str = "gradual unfreezing";
const VALLEY: &str = "one rate, the valley of find_lr";
const MINIMUM: &str = "one rate, the minimum of find_lr / 10";
/// Base rates in units of --lr; the last is too large.
const RATES: [f32; 4] = [0.5, 1.5, 5.0, 15.0];
const PHOTO_IMAGES: usize = 30;

fn main() -> std::process::ExitCode {
    let claim = "Layers should not learn at one speed: early ones see what all images share and should move \
                 less.";
    let defaults = Settings { images: &[100], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[50], seeds: 1, steps: 6, batch: 16, lr: 0.02 };
    let outline = Outline::new(5, "should all layers learn at one speed?", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let (clothes, digits, n) = (plan.similar()?, plan.different()?, plan.flags().images[0]);
    for way in [FLAT, TENTHS, SLICE, GRADUAL] {
        plan.add_rates(&clothes, way, n, &RATES)?;
    }
    plan.add_all(&clothes, &[VALLEY, MINIMUM], n)?;
    for way in [FLAT, TENTHS] {
        plan.add_rates(&digits, way, n, &RATES[..3])?;
        if !plan.flags().quick {
            plan.add_rates(PHOTOS, way, PHOTO_IMAGES, &RATES[1..])?;
        }
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let (draw, way) = (trial.draw()?, trial.condition());
    let (mut learner, mut lr) = (trial.learner(Start::Pretrained)?, trial.setting.lr);
    if [VALLEY, MINIMUM].contains(&way) {
        let mut other = trial.learner(Start::Pretrained)?;
        let found = other.find_lr(&draw.train, &trial.options(), LrRange::default())?.suggestions();
        lr = found.map_or(lr, |found| if way == VALLEY { found.valley } else { found.minimum });
        trial.number("suggested rate", f64::from(lr))?;
    }
    let before = learner.snapshot()?;
    let options = FitOptions { optim: optim(&learner, way, lr)?, ..trial.options() };
    if way == GRADUAL {
        let depths = FreezeDepth::all(trial.task()?.0);
        let stages: Vec<&str> = depths.iter().map(|depth| depth.from.as_str()).collect();
        trial.fit_gradually(&mut learner, &draw.train, &options.cache_frozen(true), &stages)?;
    } else {
        trial.fit(&mut learner, &draw.train, &options)?;
    }
    for update in learner.updates_since(&before)? {
        trial.number(format!("update of {}, %", update.stage), 100.0 * update.relative)?;
    }
    trial.test(&mut learner, &draw)
}

/// Stages have factors on the base rate.
fn optim(learner: &Learner, way: &str, lr: f32) -> trainer::Result<Optim> {
    match way {
        TENTHS => learner.layer_decay(sgd(lr), 0.1),
        SLICE => learner.slice(sgd(lr), lr / 100.0..lr),
        _ => Ok(sgd(lr)),
    }
}

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let (clothes, digits, n) = (plan.similar()?, plan.different()?, plan.flags().images[0]);
    let tuned = |way| plan.best(&clothes, way, n, &RATES);
    let large = |way| Cell::new(&clothes, plan.at(way, RATES[3]), n);
    let found = |way| Cell::new(&clothes, way, n);
    let on_digits = |way| plan.best(&digits, way, n, &RATES[..3]);
    let photos = |way| Cell::new(PHOTOS, plan.at(way, RATES[3]), PHOTO_IMAGES);
    let [tenths, flat] = [TENTHS, FLAT].map(on_digits);
    Ok(vec![
        Claim::better("at the best rates a tenth a stage beats one rate", tuned(TENTHS), tuned(FLAT)),
        Claim::better("at the best rates gradual unfreezing beats one rate", tuned(GRADUAL), tuned(FLAT)),
        Claim::better("digits: at the best rates a tenth a stage beats one rate", tenths, flat),
        Claim::better("at too large a rate a tenth a stage beats one rate", large(TENTHS), large(FLAT)),
        Claim::better("photos: the same at too large a rate", photos(TENTHS), photos(FLAT)),
        Claim::not_worse("find_lr's valley is as good as the tuned rate", found(VALLEY), tuned(FLAT)),
        Claim::not_worse("find_lr's minimum / 10 is as good as the tuned rate", found(MINIMUM), tuned(FLAT)),
    ])
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    let (clothes, n) = (report.lab.track()?.similar.name.clone(), report.lab.flags.images[0]);
    let panels = [FLAT, TENTHS, SLICE, GRADUAL].map(|way| report.by_rate(&clothes, way, n, &["test"]));
    draw(&report.figure("rates.png", "Accuracy by base rate, for each way to train."), 2, &panels)?;

    // The head starts at random, so its update has no reference.
    let stages = report.lab.track()?.body();
    let rows: Vec<_> = stages.iter().map(|name| (name.clone(), format!("update of {name}, %"))).collect();
    let ways = [FLAT, TENTHS, GRADUAL].map(|way| report.at(way, RATES[1]));
    let words = ["updates.png", "How far each stage moved from its pretrained weights", "|Δw| / |w|, %"];
    report.bars(words, (&clothes, n), &ways, &rows)?;
    let caption = "The loss while the rate rises, and the rates that it suggests.";
    report.picture("find_lr.png", caption, |lab, path| draw_range_test(lab, n, path))?;
    report.quiz("What is a tenth of the rate at every stage down good for?", report.verdicts());
    Ok(())
}
