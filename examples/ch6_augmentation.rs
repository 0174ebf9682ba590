//! Chapter 6: augmentation.
//!
//! *Label-preserving augmentation makes small data big.* Every epoch sees other shifts, rotations and flips of the
//! same images, made on the device by one kernel; a label must be right for all of them.
//!
//! - **Clothes**, as they are and shifted by up to a fifth of their side, from scratch and from pretrained weights
//!   (of which `layer3` and what is above trains). Test images are as they are, or moved by up to 6 of 28 pixels:
//!   something that augmented training has seen and plain training has not.
//! - **Digits**, with an augmentation that keeps labels and with two that do not: upside down, and turned by up to
//!   180 degrees, a 6 is a 9.
//! - **Normalisation**, forgotten when testing, or always: a head on features of the frozen network.
//!
//!     cargo run --release --example ch6_augmentation -- --help

use frostline::lesson::prelude::*;
use frostline::lesson::{contact_sheet, shifted};
use frostline::trainer::{Augment, FitOptions};

const SCRATCH: [&str; 2] = ["from scratch", "from scratch, augmented"];
const PRETRAINED: [&str; 2] = ["pretrained", "pretrained, augmented"];
/// How far test images are moved, in pixels of an image of 28.
const SHIFTS: [usize; 3] = [2, 4, 6];
const DIGITS: [&str; 4] =
    ["no augmentation", "rotation up to 10°, shift", "and vertical flip", "rotation up to 180°, shift"];
const SIX: &str = "accuracy on 6, %";
const NINE: &str = "accuracy on 9, %";
const NORMALISED: &str = "head, normalised";
const FORGOTTEN: [&str; 2] =
    ["head, normalisation forgotten when testing", "head, normalisation forgotten always"];

fn main() -> std::process::ExitCode {
    let outline = Outline {
        number: 6,
        version: 1,
        title: "augmentation",
        claim: "Label-preserving augmentation makes small data big; one that breaks labels hurts, and so does \
                forgetting to normalise.",
        defaults: Settings { images: &[200], seeds: 5, steps: 150, batch: 32, lr: 0.02 },
        quick: Settings { images: &[50], seeds: 1, steps: 16, batch: 16, lr: 0.02 },
    };
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let (clothes, digits) = (plan.similar()?, plan.different()?);
    for n in plan.flags().images.clone() {
        for condition in SCRATCH {
            plan.add_scratch(&clothes, condition, n)?;
        }
        plan.add_all(&clothes, &PRETRAINED, n)?;
        plan.add_all(&clothes, &[NORMALISED, FORGOTTEN[0], FORGOTTEN[1]], n)?;
        plan.add_all(&digits, &DIGITS, n)?;
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    if trial.condition().starts_with("head") {
        return normalisation(trial);
    }
    let draw = trial.draw()?;
    let start = if SCRATCH.contains(&trial.condition()) { Start::Scratch } else { Start::Pretrained };
    let mut learner = trial.learner(start)?;
    if start == Start::Pretrained {
        learner.freeze_below("layer3")?;
    }
    let options = FitOptions { augment: augmentation(trial.condition()), ..trial.options() };
    trial.fit(&mut learner, &draw.train, &options)?;
    trial.test(&mut learner, &draw)?;
    if DIGITS.contains(&trial.condition()) {
        let classes = learner.evaluate(&draw.test)?.per_class();
        let share = |class: usize| 100.0 * classes.get(class).copied().flatten().unwrap_or_default();
        trial.number(SIX, share(6))?;
        return trial.number(NINE, share(9));
    }
    let moved = |pixels| shifted(&draw.test, pixels * draw.test.width / 28);
    SHIFTS
        .iter()
        .try_for_each(|&pixels| trial.answer(&format!("moved by {pixels}"), &mut learner, &moved(pixels)))
}

/// What changes the training images. In the set of clothes all shoes point left and nothing is turned: flips
/// and rotations would keep the label, but no test image looks like that.
fn augmentation(condition: &str) -> Option<Augment> {
    let small = || Augment::none().bilinear().rotation(10.0).translate(0.04);
    match condition {
        name if name == SCRATCH[1] || name == PRETRAINED[1] => Some(Augment::none().translate(0.2)),
        name if name == DIGITS[1] => Some(small()),
        name if name == DIGITS[2] => Some(small().vertical_flip(0.5)),
        name if name == DIGITS[3] => Some(small().rotation(180.0)),
        _ => None,
    }
}

/// A head on features of the frozen network, with the right normalisation or without.
fn normalisation(trial: &mut Trial<'_>) -> Result<()> {
    let (draw, mut learner) = (trial.draw()?, trial.learner(Start::Pretrained)?);
    let channels = learner.input().channels;
    let mut sets = vec![];
    for (images, forgotten) in [(&draw.train, &FORGOTTEN[1..]), (&draw.test, &FORGOTTEN)] {
        if forgotten.contains(&trial.condition()) {
            learner.normalization(&vec![0.0; channels], &vec![1.0; channels])?;
        }
        sets.push(learner.features(images, "avgpool", 1)?);
    }
    trial.probe(&sets[0], &[("test", &sets[1])], &trial.probe_options())?;
    Ok(())
}

/// What is put to the test.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let (clothes, digits, n) = (plan.similar()?, plan.different()?, plan.flags().images[0]);
    let cell = |condition: &str| Cell::new(&clothes, condition, n);
    let digit = |condition: &str| Cell::new(&digits, condition, n);
    let mut claims = vec![];
    for [plain, augmented] in [SCRATCH, PRETRAINED] {
        let text = format!("augmentation helps a network {plain} on test images moved by 6 pixels");
        claims.push(Claim::better(text, cell(augmented), cell(plain)).on("moved by 6"));
        let text = format!("augmentation helps a network {plain} on test images as they are");
        claims.push(Claim::better(text, cell(augmented), cell(plain)));
    }
    for broken in &DIGITS[2..] {
        let text = format!("digits: labels that an augmentation breaks cost accuracy ({broken})");
        claims.push(Claim::better(text, digit(DIGITS[1]), digit(broken)));
    }
    for forgotten in FORGOTTEN {
        let text = format!("{forgotten}: costs accuracy");
        claims.push(Claim::better(text, cell(NORMALISED), cell(forgotten)));
    }
    Ok(claims)
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    let tests = [(0.0, "test"), (2.0, "moved by 2"), (4.0, "moved by 4"), (6.0, "moved by 6")];
    tests[1..].iter().for_each(|(_, test)| report.accuracies(test));
    let (clothes, n) = (report.lab.track()?.similar.name.clone(), report.lab.flags.images[0]);
    let panel = |pair: [&str; 2]| {
        report.by_test(pair[0], "test images moved by, pixels of 28", (&clothes, n), &pair, &tests)
    };
    let panels = [SCRATCH, PRETRAINED].map(panel);
    draw(&report.figure("moved.png", "Accuracy by how far the test images are moved."), 2, &panels)?;
    report.numbers("digits that turn into each other", &[SIX, NINE]);
    let caption = "One photo as each transform makes it, and two digits that change their class.";
    report.picture("sheet.png", caption, |lab, path| {
        contact_sheet(lab, lab.track()?.different()?.test(), path)
    })?;
    report.quiz("Which augmentation suits a set?", report.verdicts());
    Ok(())
}
