//! Chapter 8: beyond. Pretrain once, fine-tune many; and when is scratch justified?
//!
//! *Pretraining pays as long as labelled images are few or the task is like the old one. With enough images of
//! something else, training from scratch catches up.* Four strategies meet growing data, on a task like what the
//! network knows and on one unlike it. All see the same number of samples.
//!
//! | strategy | starts from | trains |
//! |---|---|---|
//! | scratch | random weights | everything |
//! | head only | pretrained | a softmax on standardised features that the frozen body computed once |
//! | partial | pretrained | `layer4` and the head |
//! | full | pretrained | everything |
//!
//! Then one backbone serves several tasks: the base is stored once, and of every task only the tensors that
//! trained. A task loaded from base and delta must give the same logits, bit for bit.
//!
//!     cargo run --release --example ch8_beyond -- --help

use frostline::lesson::figure::draw;
use frostline::lesson::stored;
use frostline::lesson::{
    Cell, Chapter, Claim, NoFlags, Outline, Plan, Report, Result, Settings, Start, Trial,
};

const SCRATCH: &str = "scratch";
const HEAD: &str = "head only";
const PARTIAL: &str = "partial";
const FULL: &str = "full";
/// Rate of a network from scratch, in units of --lr.
const SCRATCH_RATE: f32 = 2.5;

fn main() -> std::process::ExitCode {
    let outline = Outline {
        number: 8,
        version: 1,
        title: "pretrain once, fine-tune many; when is scratch justified?",
        claim: "Pretraining pays where labelled images are few or the task is like the old one; with enough images \
                of something else, training from scratch catches up. One backbone serves many tasks that share \
                its frozen bytes.",
        defaults: Settings { images: &[50, 200, 500, 1000], seeds: 5, steps: 150, batch: 32, lr: 0.02 },
        quick: Settings { images: &[50, 100], seeds: 1, steps: 6, batch: 16, lr: 0.02 },
    };
    Chapter { outline, plan, train, claims, report }.main()
}

/// The task's numbers of images: where the different one has fewer than `--images` asks for, all that it has.
fn sizes(plan: &Plan<'_>, task: &str) -> Result<Vec<usize>> {
    let most = if task == plan.different()? { plan.lab.task(task)?.1.most() } else { usize::MAX };
    Ok(plan.flags().images.iter().map(|&n| n.min(most)).collect())
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    for task in [plan.similar()?, plan.different()?] {
        for n in sizes(plan, &task)? {
            plan.add_at(&task, SCRATCH, n, plan.flags().lr * SCRATCH_RATE)?;
            plan.add_all(&task, &[HEAD, PARTIAL, FULL], n)?;
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
        learner.set_head(&probe)?;
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

/// What is put to the test.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let (similar, different) = (plan.similar()?, plan.different()?);
    let (few, many) = (sizes(plan, &similar)?[0], *sizes(plan, &similar)?.last().unwrap_or(&0));
    let all = *sizes(plan, &different)?.last().unwrap_or(&0);
    let like = |condition, n| Cell::new(&similar, condition, n);
    let unlike = |condition, n| Cell::new(&different, condition, n);
    let text = |task: &str, n, words: &str| format!("{task}, {n} images: {words}");
    Ok(vec![
        Claim::better(
            text(&similar, few, "partial fine-tuning beats scratch"),
            like(PARTIAL, few),
            like(SCRATCH, few),
        ),
        Claim::better(
            text(&similar, many, "full fine-tuning still beats scratch"),
            like(FULL, many),
            like(SCRATCH, many),
        ),
        Claim::better(
            text(&similar, many, "full fine-tuning beats the head alone"),
            like(FULL, many),
            like(HEAD, many),
        ),
        Claim::not_worse(
            text(&different, all, "scratch is as good as full fine-tuning"),
            unlike(SCRATCH, all),
            unlike(FULL, all),
        ),
        Claim::better(
            text(&different, few, "full fine-tuning beats scratch"),
            unlike(FULL, few),
            unlike(SCRATCH, few),
        ),
    ])
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
