//! Chapter 6: augmentation.
//!
//! *Label-preserving augmentation makes small data big.* Every epoch has other shifts, rotations and flips
//! of the same images, computed on the device by one kernel. **Clothes**, tested unchanged or moved by up to
//! 6 of 28 pixels. **Digits**, with an augmentation that keeps labels and with two that do not: upside down,
//! a 6 is a 9. **Normalisation**, forgotten when testing, or always.
//!
//!     $ cargo run --release --example ch6_augmentation -- --only clothes
//!                                200 images
//!       pretrained                 81.7±1.6
//!       pretrained, augmented      74.5±1.5

use frostline::lesson::prelude::*;
use frostline::lesson::{contact_sheet, head_without_normalisation, shifted};
use frostline::trainer::{Augment, FitOptions};

const SCRATCH: [&str; 2] = ["from scratch", "from scratch, augmented"];
const PRETRAINED: [&str; 2] = ["pretrained", "pretrained, augmented"];
const DIGITS: [&str; 4] =
    ["no augmentation", "rotation up to 10°, shift", "and vertical flip", "rotation up to 180°, shift"];
const HEADS: [&str; 3] = [
    "head, normalised",
    "head, normalisation forgotten when testing",
    "head, normalisation forgotten always",
];

fn main() -> std::process::ExitCode {
    let claim = "Label-preserving augmentation makes small data big; one that breaks labels hurts, and so \
                 does forgetting to normalise.";
    let defaults = Settings { images: &[200], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[50], seeds: 1, steps: 16, batch: 16, lr: 0.02 };
    let outline = Outline::new(6, "augmentation", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    let (clothes, digits) = (plan.similar()?, plan.different()?);
    for n in plan.flags().images.clone() {
        SCRATCH.iter().try_for_each(|condition| plan.add_scratch(&clothes, *condition, n))?;
        plan.add_all(&clothes, &PRETRAINED, n)?;
        HEADS.iter().try_for_each(|condition| plan.add_head(&clothes, *condition, n))?;
        plan.add_all(&digits, &DIGITS, n)?;
    }
    Ok(())
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    if let Some(head) = HEADS.iter().position(|head| *head == trial.condition()) {
        return head_without_normalisation(trial, head == 2, head > 0);
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
    let shifts: &[usize] = if DIGITS.contains(&trial.condition()) { &[] } else { &[2, 4, 6] };
    for pixels in shifts {
        let moved = shifted(&draw.test, pixels * draw.test.width / 28);
        trial.answer(&format!("moved by {pixels}"), &mut learner, &moved)?;
    }
    Ok(())
}

/// The changes of the training images. Clothes are only shifted: no test image is flipped or rotated.
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

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let (clothes, digits, n) = (plan.similar()?, plan.different()?, plan.flags().images[0]);
    let cell = |condition: &str| Cell::new(&clothes, condition, n);
    let digit = |condition: &str| Cell::new(&digits, condition, n);
    let mut claims = vec![];
    for [plain, augmented] in [SCRATCH, PRETRAINED] {
        for (test, words) in [("moved by 6", "moved by 6 pixels"), ("test", "as they are")] {
            let text = format!("augmentation helps a network {plain} on test images {words}");
            claims.push(Claim::better(text, cell(augmented), cell(plain)).on(test));
        }
    }
    for broken in &DIGITS[2..] {
        let text = format!("digits: labels that an augmentation breaks cost accuracy ({broken})");
        claims.push(Claim::better(text, digit(DIGITS[1]), digit(broken)));
    }
    for forgotten in &HEADS[1..] {
        claims.push(Claim::better(format!("{forgotten}: costs accuracy"), cell(HEADS[0]), cell(forgotten)));
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
    report.by_class(&report.lab.track()?.different()?.clone(), &["6", "9"]);
    let caption = "One photo as each transform makes it, and two digits that change their class.";
    report.picture("sheet.png", caption, |lab, path| {
        contact_sheet(lab, lab.track()?.different()?.test(), path)
    })?;
    report.quiz("Which augmentation suits a set?", report.verdicts());
    Ok(())
}
