//! A chapter of eight runs, each of a second or less, and a folder of images for it.

use frostline_lesson::{
    Cell, Chapter, Claim, NoFlags, Outline, Plan, Report, Result, Settings, Start, Trial, figure,
};
use std::path::Path;

const SCRATCH: &str = "from scratch";
const HEAD: &str = "head only";
/// Runs of the chapter with its default flags.
pub const RUNS: usize = 8;
/// Classes of the folder, and images of each.
const CLASSES: u8 = 4;
const IMAGES: u8 = 16;

pub fn chapter() -> Chapter {
    let outline = Outline {
        number: 9,
        version: 1,
        title: "a tiny study",
        claim: "A head on pretrained features beats a network from scratch.",
        defaults: Settings { images: &[8, 16], seeds: 2, steps: 8, batch: 8, lr: 0.02 },
        quick: Settings { images: &[8], seeds: 1, steps: 2, batch: 8, lr: 0.02 },
    };
    Chapter { outline, plan, train, claims, report }
}

fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let task = plan.similar()?;
    for n in plan.flags().images.clone() {
        plan.add_at(&task, SCRATCH, n, plan.flags().lr * 2.5)?;
        plan.add(&task, HEAD, n)?;
    }
    Ok(())
}

fn train(trial: &mut Trial<'_>) -> Result<()> {
    let draw = trial.draw()?;
    if trial.condition() == HEAD {
        let mut learner = trial.learner(Start::Pretrained)?;
        let probe = trial.head(&mut learner, &draw, "avgpool", 1, &trial.probe_options())?;
        return trial.number("accuracy on training images, %", 100.0 * probe.train.accuracy);
    }
    let mut learner = trial.learner(Start::Scratch)?;
    let history = trial.fit(&mut learner, &draw.train, &trial.options())?;
    // A number with many digits: it must come back from the file with the same bits.
    let last = history.records.last().map_or(0.0, |record| f64::from(record.loss).sqrt());
    trial.number("root of the last loss", last)?;
    trial.test(&mut learner, &draw)
}

fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let task = plan.similar()?;
    let claim = |&n: &usize| {
        let [head, scratch] = [HEAD, SCRATCH].map(|condition| Cell::new(&task, condition, n));
        Claim::better(format!("{n} images: a head beats a network from scratch"), head, scratch)
    };
    Ok(plan.flags().images.iter().map(claim).collect())
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    let (task, few) = (report.lab.track()?.similar.name.clone(), report.lab.flags.images[0]);
    report.numbers("numbers", &["root of the last loss", "accuracy on training images, %"]);
    let panel = report.by_size(&task);
    figure::draw(&report.figure("curves.png", "Accuracy by number of images."), 1, &[panel])?;
    report.grid("grid.png", "Who is best", &[SCRATCH.to_owned(), HEAD.to_owned()])?;
    let [scratch, head] = [SCRATCH, HEAD].map(|name| report.percent(&Cell::new(&task, name, few), "test"));
    report.quiz("Which is better?", format!("From scratch {scratch}, the head {head}."));
    Ok(())
}

/// Writes grey images of 28 × 28 pixels: bars whose direction and place are those of their class, with noise.
pub fn images(folder: &Path, classes: u8, each: u8) {
    for class in 0..classes {
        let folder = folder.join(format!("kind {class}"));
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..each {
            let mut noise = u32::from(class) * 1000 + u32::from(number) + 1;
            let picture = image::GrayImage::from_fn(28, 28, |x, y| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let along = if class % 2 == 0 { x } else { y };
                let from = 4 + 6 * u32::from(class / 2) + u32::from(number % 4);
                let bar = if (from..from + 6).contains(&along) { 120 } else { 0 };
                image::Luma([bar + (noise >> 24) as u8 / 2])
            });
            picture.save(folder.join(format!("{number:02}.png"))).unwrap();
        }
    }
}

/// The chapter's images.
pub fn usual_images(folder: &Path) {
    images(folder, CLASSES, IMAGES);
}
