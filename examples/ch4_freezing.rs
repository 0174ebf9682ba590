//! Chapter 4: how much to freeze?
//!
//! *The number of labelled images, and their similarity to those of pretraining, decide how much to freeze.*
//!  Few and many images of a similar task (other kinds of clothes) and of a different one
//! (digits); every depth is trained: the head alone, everything from `layer4` on, … everything. The same on
//! photos, with fewer depths. All runs of a column have the same steps and batch; the depth is chosen on
//! validation images. Outputs of the frozen stages are computed once per run and kept (`cache_frozen`).
//!
//!     $ cargo run --release --example ch4_freezing -- --only digits
//!                   50 images  500 images
//!       head only    71.5±4.2    90.3±0.5
//!       layer4 on    80.4±3.2    92.6±0.2
//!       everything   83.5±2.4    96.0±0.5

use frostline::lesson::prelude::*;
use frostline::lesson::{Error, FreezeDepth, draw_step};
const HEAD: &str = "head only";
const LAYER4: &str = "layer4 on";
const EVERYTHING: &str = "everything";
const SCRATCH: &str = "everything, from scratch";
/// Heads on means of a 2 × 2 grid of a stage half way up, and of the last.
const EARLY: &str = "head on layer2, 2 × 2";
const LATE: &str = "head on layer4, 2 × 2";

fn main() -> std::process::ExitCode {
    let claim = "The number of images and their likeness to what the network knows decide how much of it to \
                 freeze.";
    let defaults = Settings { images: &[50, 1000], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[20, 100], seeds: 1, steps: 3, batch: 16, lr: 0.02 };
    let outline = Outline::new(4, "how much to freeze?", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// Task and number of images of the four quadrants, the small ones first. A task with fewer images than
/// `--images` uses all its images.
fn quadrants(plan: &Plan<'_>) -> Result<Vec<(String, usize)>> {
    let &[small, large] = plan.flags().images.as_slice() else {
        return Err(Error::Flags(
            "--images takes two numbers in this chapter, few and many: 50,1000".to_owned(),
        ));
    };
    let tasks = [plan.similar()?, plan.different()?];
    // At most five eighths of the images, so that seeds draw different ones.
    let most = plan.lab.task(&tasks[1])?.1.most() * 5 / 8;
    let [few, many] = [small, large].map(|n| [(tasks[0].clone(), n), (tasks[1].clone(), n.min(most))]);
    Ok([few, many].concat())
}

/// The trained parts, from the head down to the image.
fn depths(lab: &Lab) -> Result<Vec<String>> {
    Ok(FreezeDepth::all(lab.track()?).into_iter().map(|depth| depth.label).collect())
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    for (task, n) in quadrants(plan)? {
        [HEAD, EARLY, LATE].iter().try_for_each(|head| plan.add_head(&task, *head, n))?;
        plan.add_all(&task, &depths(plan.lab)?[1..], n)?;
        plan.add_scratch(&task, SCRATCH, n)?;
    }
    let sizes: &[usize] = if plan.flags().quick { &[] } else { &[30, 90] };
    for &n in sizes {
        plan.add_head(PHOTOS, HEAD, n)?;
        plan.add_all(PHOTOS, &[LAYER4, EVERYTHING], n)?;
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let (draw, options) = (trial.draw()?, trial.probe_options());
    let start = if trial.condition() == SCRATCH { Start::Scratch } else { Start::Pretrained };
    let mut learner = trial.learner(start)?;
    match trial.condition() {
        HEAD => return trial.head(&mut learner, &draw, "avgpool", 1, &options).map(|_| ()),
        EARLY => return trial.head(&mut learner, &draw, "layer2", 2, &options).map(|_| ()),
        LATE => return trial.head(&mut learner, &draw, "layer4", 2, &options).map(|_| ()),
        EVERYTHING | SCRATCH => {}
        from => learner.freeze_below(from.trim_end_matches(" on"))?,
    }
    trial.fit(&mut learner, &draw.train, &trial.options().cache_frozen(true))?;
    trial.test(&mut learner, &draw)
}

/// The claims that are tested: the advice for each quadrant.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let (quadrants, depths) = (quadrants(plan)?, depths(plan.lab)?);
    let cell = |place: usize, condition: &str| Cell::new(&quadrants[place].0, condition, quadrants[place].1);
    let best = |place, of: &[String]| Side::Best(of.iter().map(|depth| cell(place, depth)).collect());
    let middle = best(1, &depths[2..depths.len() - 1]);
    let advice = [
        (0, "few and similar: the head or the last stage, not everything", best(0, &depths[..2]), EVERYTHING),
        (1, "few and different: from earlier layers on, not the head alone", middle, HEAD),
        (1, "few and different: features of an earlier layer, not the last", cell(1, EARLY).into(), LATE),
        (2, "many and similar: everything, not the last stage alone", cell(2, EVERYTHING).into(), LAYER4),
        (3, "many and different: everything, not the head alone", cell(3, EVERYTHING).into(), HEAD),
    ];
    let claim = |(place, text, ours, theirs)| Claim::better(text, ours, cell(place, theirs));
    let mut claims: Vec<Claim> = advice.into_iter().map(claim).collect();
    let text = "many and different: from scratch is as good";
    claims.push(Claim::not_worse(text, cell(3, SCRATCH), cell(3, EVERYTHING)));
    for n in plan.sizes(PHOTOS) {
        let photos = |condition| Cell::new(PHOTOS, condition, n);
        let text = format!("{n} photos, similar: the last stage, not everything");
        claims.push(Claim::better(text, photos(LAYER4), photos(EVERYTHING)));
    }
    Ok(claims)
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    report.grid("grid.png", "How much to train, by task and number of images", &depths(report.lab)?)?;
    report.quiz("How much of the network should train?", report.verdicts());
    let caption = "A training step, with a ghost for every kernel that the freeze left out.";
    let side = report.lab.track()?.input().crop;
    report.picture("timeline.png", caption, |lab, path| draw_step(lab, "layer3", side, path))
}
