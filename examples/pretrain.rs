//! Makes `assets/resnet10_fashion.safetensors`, the pretrained weights of the lesson's ResNet-10.
//!
//! Six of Fashion-MNIST's ten classes, 36,000 images, four passes. The recipe is the usual one for
//! small images (He et al. 2016, section 4.2): SGD with Nesterov's momentum and weight decay, a
//! rate that falls along a cosine after a short warm-up, and every image mirrored at random and shifted by up
//! to two pixels each time it is used. The other four classes are never used: they are the target task of the
//! chapters.
//!
//! The run is saved at intervals; `--resume` continues an interrupted run, bit for bit.
//!
//!     apt install dataset-fashion-mnist
//!     cargo run --release --example pretrain
//!     cp out/pretrain/resnet10_fashion.* assets/

use clap::Parser;
use frostline::charts::bar;
use frostline::engine::Gpu;
use frostline::lesson::{
    Assets, Error, FASHION_FOLDER, FASHION_MEAN, FASHION_SOURCE, FASHION_STD, Moved, Result, fashion, sgd,
};
use frostline::loader::atomic::write_atomically;
use frostline::loader::safetensors::{self, Dtype};
use frostline::models::{LoadOptions, Model, state_dict};
use frostline::trainer::{FitOptions, Learner, Progress, Schedule, StepRecord};
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Number of steps per line of the log, between two checkpoints, and between two evaluations.
const BUNCH: u64 = 25;
const CHECKPOINT: u64 = 75;
const EVALUATION: u64 = 225;
/// Largest shift in pixels.
const SHIFT: usize = 2;

/// Pretrains the lesson's ResNet-10 on six classes of Fashion-MNIST
#[derive(Parser)]
struct Flags {
    /// Folder of the four files *-ubyte.gz
    #[arg(long, default_value = FASHION_FOLDER, value_name = "DIR")]
    data: PathBuf,
    /// Folder for weights, log and checkpoint
    #[arg(long, default_value = "out/pretrain", value_name = "DIR")]
    out: PathBuf,
    /// Optimiser steps; 1125 are four passes
    #[arg(long, default_value_t = 1125, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    steps: u64,
    /// Images in a step
    #[arg(long, default_value_t = 128, value_name = "N")]
    batch: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    lr: f32,
    /// Determines first weights, order, mirrors and shifts
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Resume the run whose checkpoint is in --out; give the same flags as at its start
    #[arg(long)]
    resume: bool,
    /// Twenty steps instead of --steps, and a tenth of the test images: checks that the program works
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let Err(error) = pretrain(&Flags::parse()) else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn pretrain(flags: &Flags) -> Result<()> {
    let steps = if flags.quick { 20 } else { flags.steps };
    let train = Moved { images: fashion(&flags.data, "train", &FASHION_SOURCE)?, shift: SHIFT };
    let all = fashion(&flags.data, "t10k", &FASHION_SOURCE)?;
    let test = if flags.quick { all.subset(&(0..all.len() / 10).collect::<Vec<_>>())? } else { all };
    std::fs::create_dir_all(&flags.out)
        .map_err(|error| Error::Output { path: flags.out.clone(), reason: error.to_string() })?;
    let [checkpoint, weights, log] =
        ["run.safetensors", "resnet10_fashion.safetensors", "resnet10_fashion.log.jsonl"]
            .map(|file| flags.out.join(file));

    let gpu = Arc::new(Gpu::new()?);
    for warning in gpu.warnings() {
        eprintln!("warning: {warning}");
    }
    println!("{} training and {} test images; on {}", train.images.len(), test.len(), gpu.describe());
    let recipe = FitOptions::steps(steps).batch(flags.batch).seed(flags.seed).optim(sgd(flags.lr));
    let recipe = recipe.schedule(Schedule::cosine().warm_up((steps / 20).min(50))).read_every(BUNCH);
    let recipe = recipe.validate(&test, EVALUATION).checkpoint(&checkpoint, CHECKPOINT);
    let mut log = Log::new(log, flags.resume)?;
    if !flags.resume {
        log.add(json!({
            "model": "resnet10", "classes": train.images.classes, "images": train.images.len(), "test_images": test.len(),
            "optimiser": "SGD, Nesterov momentum 0.9, weight decay 5e-4", "lr": flags.lr, "schedule": format!("{:?}", recipe.schedule),
            "steps": steps, "batch": flags.batch, "seed": flags.seed, "augmentation": format!("mirror, shift by up to {SHIFT} pixels"),
            "adapter": gpu.describe(), "frostline": env!("CARGO_PKG_VERSION"),
        }))?;
    }

    let mut learner = if flags.resume {
        Learner::resume(&gpu, &checkpoint)?
    } else {
        fresh(&gpu, &train.images.classes, flags.seed)?
    };
    let bar = bar("pretraining", steps);
    let mut failed = None;
    let on_step = |progress: &Progress<'_>| {
        bar.set_position(progress.step);
        let told = log.bunch(progress.step, progress.read, progress.elapsed.as_secs_f64()).and_then(|()| match progress.evaluation {
            None => Ok(()),
            Some(found) => {
                bar.suspend(|| println!("{progress}"));
                log.add(json!({ "step": progress.step, "test_loss": found.loss, "test_accuracy": found.accuracy }))
            }
        });
        match told {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    if flags.resume {
        learner.continue_fit(&train, &recipe, on_step)?
    } else {
        learner.fit(&train, &recipe, on_step)?
    };
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error);
    }

    save(&weights, &learner, &train.images.classes)?;
    // The rounded weights are tested, because they are the ones that others load.
    let mut rounded = fresh(&gpu, &train.images.classes, 0)?;
    rounded.load(&safetensors::read(&weights)?.tensors, &LoadOptions::strict())?;
    let sheet = Assets::default().sheet("fashion_source_test")?;
    for (name, set) in [("source test", &test), ("fashion_source_test", &sheet)] {
        let right = |learner: &mut Learner| {
            Ok::<_, Error>((learner.evaluate(set)?.accuracy * set.len() as f64).round() as usize)
        };
        let (f32, f16) = (right(&mut learner)?, right(&mut rounded)?);
        println!(
            "{name}: of {} images, F32 gets {f32} right, F16 {f16} ({:.2} %)",
            set.len(),
            100.0 * f16 as f64 / set.len() as f64
        );
        log.add(json!({ "test": name, "images": set.len(), "right_f32": f32, "right_f16": f16 }))?;
    }
    println!("weights in {}, the log beside", weights.display());
    Ok(())
}

/// The network with weights drawn from `seed`.
fn fresh(gpu: &Arc<Gpu>, classes: &[String], seed: u64) -> Result<Learner> {
    let mut learner =
        Learner::new(gpu, Model::new("resnet10")?.in_channels(1).classes(classes.len()), 28, seed)?;
    learner.set_normalization(&[FASHION_MEAN], &[FASHION_STD])?;
    Ok(learner)
}

/// Writes the weights in half precision, with the metadata that a program needs to use them.
fn save(path: &Path, learner: &Learner, classes: &[String]) -> Result<()> {
    let classes =
        format!("[{}]", classes.iter().map(|name| json!(name).to_string()).collect::<Vec<_>>().join(", "));
    let (mean, std) = (format!("{FASHION_MEAN:.4}"), format!("{FASHION_STD:.4}"));
    let pairs = [
        ("architecture", "resnet10"),
        ("width", "16"),
        ("in_channels", "1"),
        ("classes", &classes),
        ("mean", &mean),
        ("std", &std),
        ("input", "28"),
    ];
    let metadata = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Ok(safetensors::write(path, &state_dict::save(learner.params())?, &metadata, Dtype::F16)?)
}

/// The log: one JSON object per line.
struct Log {
    path: PathBuf,
    lines: Vec<Value>,
}

impl Log {
    fn new(path: PathBuf, resume: bool) -> Result<Self> {
        let old = if resume {
            std::fs::read_to_string(&path)
                .map_err(|e| Error::Output { path: path.clone(), reason: e.to_string() })?
        } else {
            String::new()
        };
        let lines = old.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { path, lines })
    }

    /// Adds the means of the steps that were read.
    fn bunch(&mut self, step: u64, read: &[StepRecord], seconds: f64) -> Result<()> {
        let Some(last) = read.last() else { return Ok(()) };
        // A resumed run repeats the steps since its checkpoint.
        self.lines.retain(|line| line["step"].as_u64().is_none_or(|logged| logged < step));
        let mean = |value: fn(&StepRecord) -> f32| {
            f64::from(read.iter().map(value).sum::<f32>()) / read.len() as f64
        };
        let round = |value: f64| (value * 1e4).round() / 1e4;
        self.add(json!({
            "step": step, "epoch": last.epoch, "lr": last.lr, "loss": round(mean(|r| r.loss)), "accuracy": round(mean(|r| r.accuracy)),
            "seconds": seconds.round(),
        }))
    }

    fn add(&mut self, line: Value) -> Result<()> {
        self.lines.push(line);
        let write = |file: &mut dyn Write| self.lines.iter().try_for_each(|line| writeln!(file, "{line}"));
        Ok(write_atomically(&self.path, |file| write(file))?)
    }
}
