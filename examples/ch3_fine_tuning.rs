//! Chapter 3: fine-tuning.
//!
//! *How much to train, and at which rate: the head only, the last stage too, or all; a rate that is too
//! large destroys what was pretrained.* Head only, `layer4` and head, everything; batch norms that keep their
//! running statistics; a head that trains alone first (LP-FT, Kumar et al. 2022); each at several rates,
//! chosen on validation images. Then the old head is put back: what has the body forgotten? And on few
//! photos, do the weights or the running statistics change the network's predictions (at rate 0 only the
//! statistics change)?
//!
//!     $ cargo run --release --example ch3_fine_tuning -- --only clothes
//!                      200 images
//!       head only        76.9±0.8
//!       full at 0.001    69.2±2.1
//!       full at 0.03     81.0±0.8
//!       full at 0.3      75.8±1.4

use frostline::engine::BatchNormMode::Running;
use frostline::lesson::prelude::*;
use frostline::lesson::{sgd, shifted, with_old_head};
use frostline::trainer::ProbeOptions;

const HEAD: &str = "head only";
const PARTIAL: &str = "partial";
const FULL: &str = "full";
const FROZEN_NORMS: &str = "full, batch norm frozen";
const HEAD_FIRST: &str = "full, head first (LP-FT)";
/// Rates of full fine-tuning, in units of --lr; and the rates of the other approaches, of which one is
/// chosen.
const SWEEP: [f32; 6] = [0.05, 0.15, 0.5, 1.5, 5.0, 15.0];
const CHOICE: [f32; 3] = [0.15, 0.5, 1.5];
const HEAD_RATE: f32 = 0.1;
const PHOTO_IMAGES: usize = 30;
const STATISTICS: &str = "statistics only (rate 0)";
const MOVED: &str = "moved";
const OLD: &str = "old classes";

fn main() -> std::process::ExitCode {
    let claim = "Head only, partial or full: each is best somewhere; a rate that is too large destroys what \
                 was pretrained.";
    let defaults = Settings { images: &[200], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[50], seeds: 1, steps: 4, batch: 16, lr: 0.02 };
    let outline = Outline::new(3, "fine-tuning", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let (clothes, n) = (plan.similar()?, plan.flags().images[0]);
    plan.add_head(&clothes, HEAD, n)?;
    plan.add(&clothes, PARTIAL, n)?;
    plan.add_rates(&clothes, FULL, n, &SWEEP)?;
    plan.add_rates(&clothes, FROZEN_NORMS, n, &CHOICE)?;
    plan.add_rates(&clothes, HEAD_FIRST, n, &CHOICE)?;
    if !plan.flags().quick {
        plan.add_head(PHOTOS, HEAD, PHOTO_IMAGES)?;
        plan.add_all(PHOTOS, &[HEAD_FIRST, FROZEN_NORMS], PHOTO_IMAGES)?;
        plan.add_at(PHOTOS, STATISTICS, PHOTO_IMAGES, 0.0)?;
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let (draw, (track, task), approach) = (trial.draw()?, trial.task()?, trial.condition());
    let mut learner = trial.learner(Start::Pretrained)?;
    match approach {
        PARTIAL => learner.freeze_below("layer4")?,
        FROZEN_NORMS => learner.set_batch_norm(Running),
        _ => {}
    }
    // On photos all runs begin with a fitted head, so that every change comes from fine-tuning.
    if [HEAD_FIRST, HEAD].contains(&approach) || task.name == PHOTOS {
        let options = ProbeOptions { optim: sgd(HEAD_RATE), ..trial.probe_options() };
        let probe = trial.head(&mut trial.learner(Start::Pretrained)?, &draw, "avgpool", 1, &options)?;
        learner.set_head(&probe.head)?;
    }
    if approach != HEAD {
        trial.fit(&mut learner, &draw.train, &trial.options())?;
        trial.test(&mut learner, &draw)?;
    }
    trial.answer(MOVED, &mut learner, &shifted(&draw.test, draw.test.width / 7))?;
    if let Some(source) = &track.source {
        let found = with_old_head(&mut track.pretrained(trial.lab.gpu()?)?, &learner, source)?;
        trial.keep(OLD, &source.labels, &found.predictions);
    }
    Ok(())
}

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let (clothes, n) = (plan.similar()?, plan.flags().images[0]);
    let cell = |condition: &str| Cell::new(&clothes, condition, n);
    let full = || plan.best(&clothes, FULL, n, &SWEEP);
    let [norms, head_first] = [FROZEN_NORMS, HEAD_FIRST].map(|name| plan.best(&clothes, name, n, &CHOICE));
    let largest = cell(&plan.at(FULL, SWEEP[5]));
    let photos = |condition| Cell::new(PHOTOS, condition, PHOTO_IMAGES);
    Ok(vec![
        Claim::better("the last stage and the head beat the head alone", cell(PARTIAL), cell(HEAD)),
        Claim::better("full fine-tuning at its best rate beats partial", full(), cell(PARTIAL)),
        Claim::better("frozen batch norms help full fine-tuning", norms, full()),
        Claim::better("a head trained first helps full fine-tuning", head_first.clone(), full()),
        Claim::better("a head trained first helps on moved images", head_first, full()).on(MOVED),
        Claim::better("too large a rate costs what was to be learned", full(), largest.clone()),
        Claim::better("too large a rate destroys what was pretrained", full(), largest).on(OLD),
        Claim::better("few photos: moved statistics alone cost accuracy", photos(HEAD), photos(STATISTICS)),
        Claim::better("few photos: frozen statistics help", photos(FROZEN_NORMS), photos(HEAD_FIRST)),
    ])
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    [MOVED, OLD].iter().for_each(|test| report.accuracies(test));
    let clothes = report.lab.track()?.similar.name.clone();
    let panel = report.by_rate(&clothes, FULL, report.lab.flags.images[0], &["test", MOVED, OLD]);
    draw(&report.figure("rates.png", "Accuracy on new, moved and old classes by rate."), 1, &[panel])?;
    let evidence = report.findings.iter().find(|found| found.claim.starts_with("too large a rate destroys"));
    let answer = evidence.map_or(String::new(), |found| found.evidence.clone());
    report.quiz("A pretrained network is tuned at a rate that is far too large. What happens?", answer);
    Ok(())
}
