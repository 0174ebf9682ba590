//! The native engine's results for the run that `tests/browser/engine.py` trains in a tab, and for some
//! images: `tests/browser/native.json`. `FROSTLINE_WRITE=1` writes the file again.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frostline_engine::{Gpu, GpuOptions, Kernels};
use frostline_loader::{ImageSet, Preprocessing, safetensors};
use frostline_models::{LoadOptions, Model};
use frostline_trainer::{FitOptions, Learner, Length};
use frostline_web::Images;
use frostline_web::recipe::Recipe;
use serde::{Deserialize, Serialize};

/// Between kernels of different classes: they sum in different orders, and ten steps accumulate the
/// difference.
const BOUND: f32 = 1e-5;

const STEPS: u64 = 10;
const RECIPE: &str = r#"{ "freezeBelow": "layer3", "rate": 0.02, "batch": 4, "seed": 0 }"#;

#[derive(Deserialize, Serialize)]
struct Native {
    recipe: serde_json::Value,
    per_class: usize,
    losses: Vec<f32>,
    /// For the first three images of `fashion_source_test` from the pretrained network.
    logits: Vec<f32>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sheet(name: &str) -> Images {
    let read = |extension: &str| std::fs::read(root().join(format!("assets/{name}.{extension}"))).unwrap();
    Images::sheet(&read("png"), &read("json")).unwrap()
}

fn learner(gpu: &Arc<Gpu>, classes: Option<usize>) -> Learner {
    let file = safetensors::read(root().join("assets/resnet10_fashion.safetensors")).unwrap();
    let model = Model::new("resnet10").unwrap().classes(classes.unwrap_or(6));
    let mut learner = Learner::new(gpu, model, 28, 0).unwrap();
    let input = Preprocessing { resize: Some(28), ..Preprocessing::imagenet(28) };
    let input = Preprocessing { channels: 1, mean: vec![0.2860], std: vec![0.3530], ..input };
    learner.set_preprocessing(input).unwrap();
    let options = if classes.is_some() { LoadOptions::skip_head() } else { LoadOptions::strict() };
    learner.load(&file.tensors, &options).unwrap();
    learner
}

fn native(kernels: Kernels) -> Native {
    let gpu = Arc::new(Gpu::with(&GpuOptions { kernels, ..GpuOptions::default() }).unwrap());
    let per_class = 2;
    let recipe = Recipe::parse(RECIPE).unwrap();
    let images: ImageSet =
        sheet("digits_train").pool().unwrap().draw(10 * per_class, recipe.seed).unwrap().set().clone();
    let mut digits = learner(&gpu, Some(10));
    let options = recipe.options(digits.model()).unwrap();
    digits.freeze_below(&recipe.freeze_below).unwrap();
    let options = FitOptions { length: Length::Steps(STEPS), ..options };
    let (mut fifth, mut last) = (Duration::ZERO, Duration::ZERO);
    let options = options.read_every(5);
    let history = digits
        .fit(&images, &options, |progress| {
            if progress.step == 5 {
                fifth = progress.elapsed;
            }
            last = progress.elapsed;
            ControlFlow::Continue(())
        })
        .unwrap();
    println!("{kernels:?} kernels: {:.0} ms a step", (last - fifth).as_secs_f64() * 1e3 / 5.0);
    let first = sheet("fashion_source_test").set().subset(&[0, 1, 2]).unwrap();
    Native {
        recipe: serde_json::from_str(RECIPE).unwrap(),
        per_class,
        losses: history.losses(),
        logits: learner(&gpu, None).logits(&first).unwrap(),
    }
}

#[test]
fn the_tab_is_compared_with_what_the_native_engine_computes() {
    let path = root().join("tests/browser/native.json");
    let portable = native(Kernels::Portable);
    if std::env::var("FROSTLINE_WRITE").is_ok() {
        std::fs::write(&path, serde_json::to_string_pretty(&portable).unwrap() + "\n").unwrap();
    }
    let written: Native = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut worst = 0f32;
    for found in [portable, native(Kernels::Fitting), native(Kernels::Gpu)] {
        assert_eq!(found.recipe, written.recipe);
        assert_eq!((found.losses.len(), found.logits.len()), (STEPS as usize, 18));
        let pairs = found.losses.iter().zip(&written.losses).chain(found.logits.iter().zip(&written.logits));
        for (found, written) in pairs {
            let error = (found - written).abs() / written.abs().max(1.0);
            worst = worst.max(error);
            assert!(error <= BOUND, "{found}, the file has {written}: {error:e}");
        }
    }
    println!("largest difference {worst:e}, as a share of the value or of 1");
    assert!(written.losses[0] > 1.5 && written.losses[9] < written.losses[0], "{:?}", written.losses);
}
