//! Chapter 7: the sweet spot.
//!
//! *Accuracy against cost has a sweet spot: a partial freeze has the accuracy of training everything, up to
//! a negligible difference, at a lower cost.* Every depth is trained on a similar task, a
//! different one, and on photos. The depth is chosen on validation images, among those that train something
//! below the head and not everything; on photos, which are too few to choose by, it is `layer3`. Costs are
//! multiply-accumulates of a training step, dispatches, and the bytes that are kept for the backward pass:
//! the figures of the plan, before anything runs. `cargo run --release --example explorer` shows the same
//! question on an interactive page.
//!
//!     $ cargo run --release --example ch7_sweet_spot -- --only clothes
//!                                       accuracy  million MACs  dispatches  kept, KiB
//!       clothes, 200 images, head only   76.9±0.8         416.5          28         17
//!       clothes, 200 images, layer3 on   81.7±1.6         799.1         104       3154
//!       clothes, 200 images, everything  80.9±1.0        1245.9         176      12172

use frostline::lesson::FreezeDepth;
use frostline::lesson::prelude::*;

const HEAD: &str = "head only";
const EVERYTHING: &str = "everything";
/// The trained parts on photos, besides the head only and everything.
const PHOTO_DEPTHS: [&str; 2] = ["layer4 on", "layer3 on"];
const PHOTO_IMAGES: usize = 90;

fn main() -> std::process::ExitCode {
    let claim = "Accuracy against cost has a sweet spot: a partial freeze is as good as training everything, \
                 for less.";
    let defaults = Settings { images: &[200], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[50], seeds: 1, steps: 10, batch: 16, lr: 0.02 };
    let outline = Outline::new(7, "the sweet spot", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let depths: Vec<String> =
        FreezeDepth::all(plan.lab.track()?).into_iter().map(|depth| depth.label).collect();
    for n in plan.flags().images.clone() {
        for task in [plan.similar()?, plan.different()?] {
            plan.add_head(&task, HEAD, n)?;
            plan.add_all(&task, &depths[1..], n)?;
        }
    }
    if !plan.flags().quick {
        plan.add_head(PHOTOS, HEAD, PHOTO_IMAGES)?;
        plan.add_all(PHOTOS, &PHOTO_DEPTHS, PHOTO_IMAGES)?;
        plan.add(PHOTOS, EVERYTHING, PHOTO_IMAGES)?;
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let (draw, head) = (trial.draw()?, trial.probe_options());
    let mut learner = trial.learner(Start::Pretrained)?;
    match trial.condition() {
        HEAD => {
            trial.head(&mut learner, &draw, "avgpool", 1, &head)?;
            return Ok(());
        }
        EVERYTHING => {}
        from => learner.freeze_below(from.trim_end_matches(" on"))?,
    }
    trial.fit(&mut learner, &draw.train, &trial.options().cache_frozen(true))?;
    trial.test(&mut learner, &draw)
}

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let everything = plan.cells().into_iter().filter(|cell| cell.condition == EVERYTHING);
    let claim = |all: Cell| {
        let is_partial = |cell: &Cell| cell.condition != HEAD && cell.condition != EVERYTHING;
        let same = |cell: &Cell| (cell.task == all.task) && cell.images == all.images;
        let partial: Vec<Cell> =
            plan.cells().into_iter().filter(|cell| same(cell) && is_partial(cell)).collect();
        let ours = match all.task.as_str() {
            PHOTOS => Cell::new(PHOTOS, PHOTO_DEPTHS[1], PHOTO_IMAGES).into(),
            _ => Side::Best(partial),
        };
        let text = format!(
            "{}, {} images: a partial freeze is as good as training everything",
            all.task, all.images
        );
        Claim::not_worse(text, ours, all)
    };
    Ok(everything.map(claim).collect())
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    report.costs();
    let caption = "Accuracy (bars: standard deviation over seeds) against the cost of a step.";
    draw(&report.figure("sweet_spot.png", caption), 1, &[report.by_cost()])?;
    report.quiz("Which part should train, to cost less than everything and be as good?", report.verdicts());
    Ok(())
}
