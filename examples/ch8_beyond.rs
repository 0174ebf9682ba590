//! Chapter 8: beyond. Pretrain once, fine-tune many; and when is scratch justified?
//!
//! *Pretraining gains accuracy as long as labelled images are few or the task is like the old one. With
//! enough images of a different task, training from scratch catches up.* Growing data, on a task similar to
//! pretraining and on a different one: everything from random weights (scratch); a softmax on standardised
//! features (head only); `layer4` and the head (partial); everything (full). All are trained on the same
//! number of samples.
//!
//! Then several tasks share one backbone: the base is stored once, and for every task only the tensors that
//! trained. A task loaded from base and delta must give the same logits, bit for bit.
//!
//!     $ cargo run --release --example ch8_beyond -- --only digits
//!                  50 images  200 images  500 images
//!       scratch     82.4±2.7    93.9±1.7    97.7±0.2
//!       head only   71.5±4.2    86.3±0.4    90.3±0.5
//!       full        83.5±2.4    94.0±0.8    96.0±0.5

use frostline::lesson::prelude::*;
use frostline::lesson::{Error, measure::stored};
const SCRATCH: &str = "scratch";
const HEAD: &str = "head only";
const PARTIAL: &str = "partial";
const FULL: &str = "full";

fn main() -> std::process::ExitCode {
    let claim = "Pretraining pays where labelled images are few or the task is like the old one; with enough \
                 images of something else, training from scratch catches up. One backbone serves many tasks \
                 that share its frozen bytes.";
    let defaults = Settings { images: &[50, 200, 500, 1000], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[50, 100], seeds: 1, steps: 6, batch: 16, lr: 0.02 };
    let outline = Outline::new(
        8,
        "pretrain once, fine-tune many; when is scratch justified?",
        claim,
        [defaults, quick],
    );
    Chapter { outline, plan, train, claims, report }.main()
}

/// The task's numbers of images; for the different task without those that it does not have.
fn sizes(plan: &Plan<'_>, task: &str) -> Result<Vec<usize>> {
    let (most, images) = (plan.lab.task(task)?.1.most(), &plan.flags().images);
    let has = |n: &usize| *n <= most || task != plan.different().unwrap_or_default();
    let sizes: Vec<usize> = images.iter().copied().filter(has).collect();
    if sizes.is_empty() {
        return Err(Error::Flags(format!("--images {}: {task} has {most} training images", images[0])));
    }
    Ok(sizes)
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    for task in [plan.similar()?, plan.different()?] {
        for n in sizes(plan, &task)? {
            plan.add_scratch(&task, SCRATCH, n)?;
            plan.add_head(&task, HEAD, n)?;
            plan.add_all(&task, &[PARTIAL, FULL], n)?;
        }
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let draw = trial.draw()?;
    let start = if trial.condition() == SCRATCH { Start::Scratch } else { Start::Pretrained };
    let mut learner = trial.learner(start)?;
    if trial.condition() == HEAD {
        let probe = trial.head(&mut learner, &draw, "avgpool", 1, &trial.probe_options())?;
        learner.set_head(&probe.head)?;
    } else {
        if trial.condition() == PARTIAL {
            learner.freeze_below("layer4")?;
        }
        trial.fit(&mut learner, &draw.train, &trial.options().cache_frozen(true))?;
        trial.test(&mut learner, &draw)?;
    }
    if start == Start::Pretrained && trial.setting.seed == 0 {
        stored::measure(trial, learner)
    } else {
        Ok(())
    }
}

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let [like, unlike] = [plan.similar()?, plan.different()?];
    let ends = |task: &str| Ok::<_, Error>([sizes(plan, task)?[0], *sizes(plan, task)?.last().unwrap_or(&0)]);
    let ([few, many], [_, all]) = (ends(&like)?, ends(&unlike)?);
    let claim = |(task, n, words, ours, theirs): (&String, usize, &str, &str, &str)| {
        let [ours, theirs] = [ours, theirs].map(|condition| Cell::new(task, condition, n));
        Claim::better(format!("{task}, {n} images: {words}"), ours, theirs)
    };
    let mut claims = [
        (&like, few, "partial fine-tuning beats scratch", PARTIAL, SCRATCH),
        (&like, many, "full fine-tuning still beats scratch", FULL, SCRATCH),
        (&like, many, "full fine-tuning beats the head alone", FULL, HEAD),
        (&unlike, few, "full fine-tuning beats scratch", FULL, SCRATCH),
    ]
    .map(claim)
    .to_vec();
    let text = format!("{unlike}, {all} images: scratch is as good as full fine-tuning");
    claims.push(Claim::not_worse(text, Cell::new(&unlike, SCRATCH, all), Cell::new(&unlike, FULL, all)));
    Ok(claims)
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    let panels: Vec<_> = report.tasks().iter().map(|task| report.by_size(task)).collect();
    draw(
        &report.figure("strategies.png", "Test accuracy of the strategies by number of images."),
        2,
        &panels,
    )?;
    report.numbers("one base, many tasks: a task's file", &stored::NUMBERS);
    report.quiz("When is training from scratch justified?", report.verdicts());
    Ok(())
}
