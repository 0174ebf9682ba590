//! Chapter 0: why transfer learning?
//!
//! *Training from scratch on few images overfits; starting from pretrained weights converges faster and
//! generalises better.* Two networks put that to the test:
//!
//! - **Clothes**: a ResNet-10 learns four kinds of clothes from scratch, or from weights that know six *other*
//!   kinds. Pretrained, all below `layer4` is frozen: those layers dispatch no gradient kernel and keep no
//!   activation.
//! - **Photos**: six kinds of public-domain photos. A ResNet-10 from scratch, or from weights that were distilled
//!   from other photos; and a softmax head on the features of an EfficientNet-Lite0, with random weights or
//!   with those of ImageNet, which no gradient ever changes.
//!
//!     cargo run --release --example ch0_why_transfer -- --help

use frostline::lesson::figure::draw;
use frostline::lesson::{
    Cell, Chapter, Claim, NoFlags, Outline, Plan, Report, Result, Settings, Start, Trial,
};
use frostline::lesson::{photo_body, photos};

const SCRATCH: &str = "from scratch";
const PRETRAINED: &str = "pretrained";
const RANDOM_FEATURES: &str = "head on random features";
const FEATURES: &str = "head on ImageNet's features";
const PHOTOS: &str = "photos";
/// Rate of a network from scratch, and of a head on features, in units of --lr.
const SCRATCH_RATE: f32 = 2.5;
const EARLY: &str = "validation after a fifth of the steps";

fn main() -> std::process::ExitCode {
    let outline = Outline {
        number: 0,
        version: 1,
        title: "why transfer learning?",
        claim: "Training from scratch on few images overfits; starting from pretrained weights converges faster \
                and generalises better.",
        defaults: Settings { images: &[50, 200, 1000], seeds: 5, steps: 150, batch: 32, lr: 0.02 },
        quick: Settings { images: &[50], seeds: 1, steps: 20, batch: 32, lr: 0.02 },
    };
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let (clothes, lr) = (plan.similar()?, plan.flags().lr);
    for n in plan.flags().images.clone() {
        plan.add_at(&clothes, SCRATCH, n, lr * SCRATCH_RATE)?;
        plan.add(&clothes, PRETRAINED, n)?;
    }
    for &n in photo_sizes(plan) {
        plan.add_at(PHOTOS, SCRATCH, n, lr * SCRATCH_RATE)?;
        plan.add_all(PHOTOS, &[PRETRAINED, RANDOM_FEATURES, FEATURES], n)?;
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
    let mut options = trial.options();
    if !draw.validation.is_empty() {
        options = options.validate(&draw.validation, (trial.setting.steps / 10).max(1));
    }
    let history = trial.fit(&mut learner, &draw.train, &options)?;
    for (i, (step, found)) in history.evaluations.iter().enumerate() {
        trial.number(format!("validation after {step} steps, %"), 100.0 * found.accuracy)?;
        if i == 1 {
            trial.keep(EARLY, &draw.validation.labels, &found.predictions);
        }
    }
    trial.test(&mut learner, &draw)?;
    let train = learner.evaluate(&draw.train)?;
    trial.number("accuracy on training images, %", 100.0 * train.accuracy)
}

/// A softmax head on what EfficientNet-Lite0 makes of 128 × 128 pixels.
fn head(trial: &mut Trial<'_>, features: &str) -> Result<()> {
    let (lab, setting) = (trial.lab, trial.setting);
    let start = if features == FEATURES { Start::Pretrained } else { Start::Scratch };
    let name =
        if start == Start::Pretrained { FEATURES.to_owned() } else { format!("{features} {}", setting.seed) };
    let features = lab.features(&name, || {
        let mut body = photo_body(lab, 128, start, setting.seed)?;
        let images = photos(lab, body.input())?;
        Ok(body.features(&images, "avgpool", 1)?)
    })?;
    let [train, test] = trial.task()?.1.divide(&features, setting.images, setting.seed)?;
    trial.probe(&train, &[("test", &test)], &trial.probe_options())?;
    Ok(())
}

/// What is put to the test.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let clothes = plan.similar()?;
    let mut claims = vec![];
    for (i, &n) in plan.flags().images.iter().enumerate() {
        let [ours, theirs] = [PRETRAINED, SCRATCH].map(|condition| Cell::new(&clothes, condition, n));
        let text = format!("{clothes}, {n} images: pretrained weights generalise better than random ones");
        claims.push(Claim::better(text, ours.clone(), theirs.clone()));
        if i == 0 {
            let text = "after a fifth of its steps the pretrained network is as good as the other at the end";
            claims.push(Claim::not_worse(text, ours, theirs).on("validation").first_on(EARLY));
        }
    }
    for &n in photo_sizes(plan) {
        let cell = |condition| Cell::new(PHOTOS, condition, n);
        let text = format!("{n} photos: distilled weights generalise better than random ones");
        claims.push(Claim::better(text, cell(PRETRAINED), cell(SCRATCH)));
        let text = format!("{n} photos: a head on ImageNet's features beats one on random features");
        claims.push(Claim::better(text, cell(FEATURES), cell(RANDOM_FEATURES)));
    }
    Ok(claims)
}

fn photo_sizes(plan: &Plan<'_>) -> &'static [usize] {
    if plan.flags().quick { &[30] } else { &[30, 90] }
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    let clothes = report.lab.track()?.similar.name.clone();
    let few = report.lab.flags.images[0];
    let steps = report.by_step(&clothes, few, "validation after ", "validation accuracy, %");
    let panels = [report.by_size(&clothes), report.by_size(PHOTOS), steps];
    draw(&report.figure("curves.png", "Accuracy by number of images and by step."), 3, &panels)?;
    let [random, pretrained] =
        [SCRATCH, PRETRAINED].map(|name| report.percent(&Cell::new(&clothes, name, few), "test"));
    report.quiz(
        format!("With {few} images, what do pretrained weights gain, and what do they cost?"),
        format!("{pretrained} against {random}. The frozen layers dispatched no gradient kernel."),
    );
    Ok(())
}
