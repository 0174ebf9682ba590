//! Chapter 0: why transfer learning?
//!
//! *From scratch, few images lead to overfitting; pretrained weights converge faster and generalise better.*
//! A ResNet-10 learns four kinds of clothes from scratch, or from weights that were trained on six *other*
//! kinds, frozen below `layer4`. The same on photos, with distilled weights; and a head on an
//! EfficientNet-Lite0, with random or ImageNet weights.
//!
//!     $ cargo run --release --example ch0_why_transfer
//!                     50 images  200 images  1000 images
//!       from scratch   63.1±1.9    74.9±0.6     83.3±0.9
//!       pretrained     74.1±1.4    80.8±1.3     85.5±0.2

use frostline::lesson::prelude::*;
use frostline::lesson::{photo_body, photos};
const SCRATCH: &str = "from scratch";
const PRETRAINED: &str = "pretrained";
const RANDOM_FEATURES: &str = "head on random features";
const FEATURES: &str = "head on ImageNet's features";
const TRAINING: &str = "accuracy on training images, %";
const EARLY: &str = "validation after a fifth of the steps";

fn main() -> std::process::ExitCode {
    let claim = "Training from scratch on few images overfits; starting from pretrained weights converges \
                 faster and generalises better.";
    let defaults = Settings { images: &[50, 200, 1000], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[50], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let outline = Outline::new(0, "why transfer learning?", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let clothes = plan.similar()?;
    for n in plan.flags().images.clone() {
        plan.add_scratch(&clothes, SCRATCH, n)?;
        plan.add(&clothes, PRETRAINED, n)?;
    }
    // The short form leaves out the slow runs; the others are the same.
    for n in if plan.flags().quick { vec![30] } else { vec![30, 90] } {
        plan.add_head(PHOTOS, RANDOM_FEATURES, n)?;
        plan.add_head(PHOTOS, FEATURES, n)?;
        if !plan.flags().quick {
            plan.add_scratch(PHOTOS, SCRATCH, n)?;
            plan.add(PHOTOS, PRETRAINED, n)?;
        }
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let start = match trial.condition() {
        SCRATCH => Start::Scratch,
        PRETRAINED => Start::Pretrained,
        features => return head(trial, features),
    };
    let draw = trial.draw()?;
    let mut learner = trial.learner(start)?;
    if start == Start::Pretrained {
        learner.freeze_below("layer4")?;
    }
    trial.fit_watched(&mut learner, &draw, trial.options(), EARLY)?;
    trial.test(&mut learner, &draw)?;
    trial.number(TRAINING, 100.0 * learner.evaluate(&draw.train)?.accuracy)
}

/// A softmax head on the features of EfficientNet-Lite0 at 128 × 128 pixels.
fn head(trial: &mut Trial<'_>, features: &str) -> Result<()> {
    let (lab, setting) = (trial.lab, trial.setting);
    let start = if features == FEATURES { Start::Pretrained } else { Start::Scratch };
    let features = lab.features(&format!("{features}, seed {}", setting.seed), || {
        let mut body = photo_body(lab, 128, start, setting.seed)?;
        let images = photos(lab, body.preprocessing())?;
        Ok(body.features(&images, "avgpool", 1)?)
    })?;
    let [train, test] = trial.task()?.1.divide(&features, setting.images, setting.seed)?;
    trial.probe(&train, &[("test", &test)], &trial.probe_options())?;
    Ok(())
}

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let clothes = plan.similar()?;
    let mut claims = vec![];
    for &n in &plan.flags().images {
        let [ours, theirs] = [PRETRAINED, SCRATCH].map(|condition| Cell::new(&clothes, condition, n));
        let text = format!("{clothes}, {n} images: pretrained weights generalise better than random ones");
        claims.push(Claim::better(text, ours, theirs));
    }
    let [ours, theirs] = [PRETRAINED, SCRATCH].map(|name| Cell::new(&clothes, name, plan.flags().images[0]));
    let text = "after a fifth of its steps the pretrained network is as good as the other at the end";
    claims.push(Claim::not_worse(text, ours.clone(), theirs.clone()).on("validation").first_on(EARLY));
    let gap = |sign: f64, cell: &Cell| {
        [Term::number(sign, cell.clone(), TRAINING), Term::accuracy(-sign, cell.clone(), "test")]
    };
    let terms = [gap(1.0, &theirs), gap(-1.0, &ours)].concat();
    claims.push(Claim::better("from scratch, few images are overfitted more", theirs, ours).terms(terms));
    for n in plan.sizes(PHOTOS) {
        let cell = |condition| Cell::new(PHOTOS, condition, n);
        let text = format!("{n} photos: distilled weights generalise better than random ones");
        claims.push(Claim::better(text, cell(PRETRAINED), cell(SCRATCH)));
        let text = format!("{n} photos: a head on ImageNet's features beats one on random features");
        claims.push(Claim::better(text, cell(FEATURES), cell(RANDOM_FEATURES)));
    }
    Ok(claims)
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    let clothes = report.lab.track()?.similar.name.clone();
    let few = report.lab.flags.images[0];
    let panels = [report.by_size(&clothes), report.by_size(PHOTOS), report.by_step(&clothes, few)];
    draw(&report.figure("curves.png", "Accuracy by number of images and by step."), 3, &panels)?;
    let [random, pretrained] =
        [SCRATCH, PRETRAINED].map(|name| report.percent(&Cell::new(&clothes, name, few), "test"));
    report.quiz(
        format!("With {few} images, what do pretrained weights gain, and what do they cost?"),
        format!("{pretrained} against {random}. The frozen layers dispatched no gradient kernel."),
    );
    Ok(())
}
