//! Chapter 2: feature extraction.
//!
//! *A frozen network makes classes linearly separable: a linear head on its features beats one on pixels.*
//!  **Load** a network that was trained on ImageNet, **remove** its classifier, **freeze** the rest,
//! **extract** the features of every photo once, and **train** a head on them: softmax, a linear SVM, or the
//! nearest photo. The same on pixels, and a timing: features that are kept, or computed again.
//!
//!     $ cargo run --release --example ch2_feature_extraction
//!                          12 images  30 images  60 images  90 images
//!       pixels, softmax     34.2±3.8   39.3±6.9   42.1±7.3   36.8±8.1
//!       features, softmax   63.5±6.8   82.6±3.1   85.8±4.2   87.7±2.2

use frostline::lesson::prelude::*;
use frostline::lesson::{RATES, clock, measure::pca, photo_body, photos, scatter};
use frostline::loader::Preprocessing;
use frostline::trainer::{Features, ProbeLoss, ProbeOptions, Standardization};
use std::rc::Rc;

const SPACES: [&str; 2] = ["pixels", "features"];
const HEADS: [&str; 3] = ["softmax", "linear SVM", "nearest photo"];
const CLOCK: &str = "clock";
/// Side in pixels of a photo, as input of the network, and as input of heads on pixels.
const SIDE: usize = 128;
const PIXEL_SIDE: usize = 32;

fn main() -> std::process::ExitCode {
    let claim = "A frozen network turns pixels into concepts: a linear head on its features beats the same \
                 head on pixels, and the features need computing only once.";
    let defaults = Settings { images: &[12, 30, 60, 90], seeds: 6, steps: 200, batch: 32, lr: 0.02 };
    let quick = Settings { images: &[30], seeds: 3, steps: 200, batch: 32, lr: 0.02 };
    let outline = Outline::new(2, "feature extraction", claim, [defaults, quick]);
    Chapter { outline, plan, train, claims, report }.main()
}

/// The runs that are compared.
fn plan(plan: &mut Plan<'_>, _: &NoFlags) -> Result<()> {
    for n in plan.flags().images.clone() {
        for head in HEADS {
            plan.add_all(PHOTOS, &SPACES.map(|space| [space, head].join(", ")), n)?;
        }
    }
    plan.add(PHOTOS, CLOCK, plan.flags().images[0])
}

/// The features of all photos in a space; the frozen body runs once on each photo.
fn space(lab: &Lab, name: &str) -> Result<Rc<Features>> {
    lab.features(name, || {
        if name == SPACES[0] {
            let small = Preprocessing { resize: Some(PIXEL_SIDE), ..Preprocessing::imagenet(PIXEL_SIDE) };
            return Ok(Features::pixels(&photos(lab, &small)?, &small.mean, &small.std)?);
        }
        let mut body = photo_body(lab, SIDE, Start::Pretrained, 0)?;
        let images = photos(lab, body.preprocessing())?;
        Ok(body.features(&images, "avgpool", 1)?)
    })
}

/// One run.
fn train(trial: &mut Trial<'_>) -> Result<()> {
    let Some((of, head)) = trial.condition().split_once(", ") else {
        let body = photo_body(trial.lab, SIDE, Start::Pretrained, 0)?;
        let (images, all) = (photos(trial.lab, body.preprocessing())?, space(trial.lab, SPACES[1])?);
        return clock(trial, &body, &images, &all, &options(trial, ProbeLoss::Softmax));
    };
    let all = space(trial.lab, of)?;
    let [train, test] = trial.task()?.1.divide(&all, trial.setting.images, trial.setting.seed)?;
    if head == HEADS[2] {
        let scale = Standardization::of(&train, 1e-5);
        let found = pca::nearest(&scale.apply(&train), &scale.apply(&test));
        trial.keep("test", &test.labels, &found);
        return Ok(());
    }
    let loss = if head == HEADS[0] { ProbeLoss::Softmax } else { ProbeLoss::Hinge };
    trial.probe(&train, &[("test", &test)], &options(trial, loss))?;
    Ok(())
}

/// AdamW along a cosine, as in the trainer's probe.
fn options(trial: &Trial<'_>, loss: ProbeLoss) -> ProbeOptions {
    let ProbeOptions { mut optim, .. } = ProbeOptions::default();
    optim.lr = trial.setting.lr;
    ProbeOptions { loss, optim, ..trial.probe_options() }
}

/// The claims that are tested.
fn claims(plan: &Plan<'_>, _: &NoFlags) -> Result<Vec<Claim>> {
    let cell = |space, head, n| Cell::new(PHOTOS, [space, head].join(", "), n);
    let mut claims = vec![];
    for &n in &plan.flags().images {
        for head in HEADS {
            let text = format!("{n} photos: features beat pixels ({head})");
            claims.push(Claim::better(text, cell(SPACES[1], head, n), cell(SPACES[0], head, n)));
        }
    }
    Ok(claims)
}

fn report(report: &mut Report<'_>, _: &NoFlags) -> Result<()> {
    report.numbers("training a head on this machine", &RATES);
    draw(
        &report.figure("heads.png", "Accuracy by number of photos, by space and head."),
        1,
        &[report.by_size(PHOTOS)],
    )?;
    let caption = "Every photo as a point, by its pixels and by its features: the two principal components.";
    report.picture("map.png", caption, |lab, path| {
        let [pixels, features] = [space(lab, SPACES[0])?, space(lab, SPACES[1])?];
        scatter::draw(path, &[pca::scatter(SPACES[0], &pixels), pca::scatter(SPACES[1], &features)])?;
        Ok(())
    })?;
    let n = report.lab.flags.images.iter().copied().find(|&n| n >= 30).unwrap_or(report.lab.flags.images[0]);
    let [few, many] =
        SPACES.map(|space| report.percent(&Cell::new(PHOTOS, [space, HEADS[0]].join(", "), n), "test"));
    report.quiz(
        format!("With {n} labelled photos and no GPU: what can you train that recognises new ones?"),
        format!("One linear layer on a frozen network's features: {many}. The same layer on pixels: {few}."),
    );
    Ok(())
}
