//! Measures which algorithm and tile computes each convolution fastest on the adapter at hand, and writes the
//! choices that beat the committed table to a small file.
//!
//! ```sh
//! cargo run --release --example tune                                        # an hour on two cores of a processor
//! cargo run --release --example tune -- --pattern 'resnet18 3x3' --quick    # some of it
//! FROSTLINE_TUNING=tuned cargo run --release --example ch0_why_transfer     # uses what was kept
//! ```
//!
//! A candidate and the table's choice run in turns, forward and backward, in f32. The best candidate is
//! judged in separate rounds and kept if it is faster by a clear margin. The file is written after every
//! convolution, so that a run can be stopped at any time, and a later one adds to it. The file is optional,
//! and is read only if `FROSTLINE_TUNING` is `tuned`: all candidates have the same error bounds, but another
//! order of summation changes the last digits.

use clap::Parser;
use frostline::bench::tune::{self, Effort, Finding, Layer};
use frostline::engine::tuning::{Measured, Pass};
use frostline::engine::{CacheFile, Gpu, GpuOptions};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Measures the fastest kernel shapes for this adapter; used with FROSTLINE_TUNING=tuned.
#[derive(Parser)]
struct Arguments {
    /// Networks whose convolutions are measured, with their batch and the side of their images.
    #[arg(long = "network", value_name = "MODEL:BATCH:SIDE", value_parser = network,
          default_values = ["resnet18:8:224", "resnet50:8:224", "resnet20:64:32", "resnet10:32:28"])]
    networks: Vec<(String, usize, usize)>,
    /// Only convolutions whose name has all of these words, such as '3x3s1 56'.
    #[arg(long, value_name = "WORDS", default_value = "")]
    pattern: String,
    /// Stop after this many seconds, once the current convolution is judged.
    #[arg(long, value_name = "SECONDS")]
    budget: Option<u64>,
    /// Three candidates in two rounds: a trial of the program.
    #[arg(long, conflicts_with_all = ["candidates", "rounds"])]
    quick: bool,
    /// Candidates to try for each pass of a convolution.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    candidates: u32,
    /// Only candidates whose name begins with this: direct, tiled or winograd.
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Rounds in which a candidate is timed; the best is judged in twice as many.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How much faster a candidate must be to be kept.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
    margin: u32,
    /// The file; by default FROSTLINE_TUNING_FILE, or one in the user's cache directory.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write the ratio of every candidate to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn network(text: &str) -> Result<(String, usize, usize), String> {
    let wrong = || "it must be MODEL:BATCH:SIDE, such as resnet18:8:224".to_owned();
    let [model, batch, side] = text.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
    let number =
        |text: &str| text.parse().ok().filter(|number| (1..=1 << 14).contains(number)).ok_or_else(wrong);
    Ok((model.to_owned(), number(batch)?, number(side)?))
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let start = Instant::now();
    let gpu = Arc::new(Gpu::with(&GpuOptions { measured: CacheFile::Off, ..GpuOptions::from_env()? })?);
    for warning in gpu.warnings() {
        eprintln!("warning: {warning}");
    }
    let path = file(arguments, &gpu)?;
    let mut measured = earlier(&path, &gpu)?;
    let layers = chosen(arguments)?;
    let (candidates, rounds) =
        if arguments.quick { (3, 2) } else { (arguments.candidates as usize, arguments.rounds as usize) };
    let effort = Effort {
        candidates,
        only: arguments.only.clone(),
        rounds,
        margin: f64::from(arguments.margin) / 100.0,
    };
    let in_budget = || arguments.budget.is_none_or(|seconds| start.elapsed() < Duration::from_secs(seconds));

    println!("{}, kernels for {:?}\n", gpu.describe(), gpu.tuning().class);
    println!(
        "| {:<34} | {:<15} | {:<24} | {:>8} | {:<24} | {:>6} | kept |",
        "convolution", "pass", "table's choice", "ms", "best", "ratio"
    );
    println!(
        "|{}|{}|{}|{}:|{}|{}:|------|",
        "-".repeat(36),
        "-".repeat(17),
        "-".repeat(26),
        "-".repeat(9),
        "-".repeat(26),
        "-".repeat(7)
    );
    let bar = frostline::charts::bar("tuning", (layers.len() * effort.candidates) as u64);
    let (mut done, mut kept, mut passes) = (0, 0, 0);
    let mut report = vec![];
    for layer in layers.iter().take_while(|_| in_budget()) {
        bar.set_message(layer.name.clone());
        let mut tried = 0;
        let findings = tune::measure(&gpu, layer, &effort, || {
            bar.set_position((done * effort.candidates + tried) as u64);
            tried += 1;
            in_budget()
        })?;
        for (pass, finding) in layer.passes().zip(&findings) {
            match finding.best.filter(|_| finding.kept) {
                Some(algorithm) => measured.insert(&finding.conv, algorithm),
                // If the budget ends before a choice was tried, an earlier choice stays.
                None if finding.tried > 0 => measured.remove(&finding.conv),
                None => {}
            }
            bar.suspend(|| println!("{}", row(layer, pass, finding)));
            report.push(ratios(layer, finding));
            kept += usize::from(finding.kept);
            passes += 1;
        }
        measured.save(&path, gpu.machine())?;
        if let Some(file) = &arguments.report {
            std::fs::write(
                file,
                serde_json::to_string(&json!({ "adapter": gpu.describe(), "passes": report }))?,
            )?;
        }
        done += 1;
    }
    bar.finish_and_clear();
    println!(
        "\n{kept} of {passes} passes have a better choice, {done} of {} convolutions were measured",
        layers.len()
    );
    println!(
        "in {:.0} s; {} holds {} choices.",
        start.elapsed().as_secs_f64(),
        path.display(),
        measured.len()
    );
    println!("FROSTLINE_TUNING=tuned uses them.");
    Ok(())
}

/// The file of the choices.
fn file(arguments: &Arguments, gpu: &Gpu) -> Outcome<PathBuf> {
    let place =
        match (&arguments.out, std::env::var_os("FROSTLINE_TUNING_FILE").filter(|path| !path.is_empty())) {
            (Some(path), _) => CacheFile::At(path.clone()),
            (None, Some(path)) => CacheFile::At(path.into()),
            (None, None) => CacheFile::Default,
        };
    Ok(gpu.machine().file(&place)?)
}

/// The existing choices, if they were measured on this machine by this version.
fn earlier(path: &Path, gpu: &Gpu) -> Outcome<Measured> {
    if !path.exists() {
        return Ok(Measured::default());
    }
    match Measured::load(path, gpu.machine(), gpu.tuning()) {
        Ok(measured) => Ok(measured),
        // No other program writes there.
        Err(error) if gpu.machine().file(&CacheFile::Default).is_ok_and(|default| default == path) => {
            eprintln!("{error}: so it does, over this one");
            Ok(Measured::default())
        }
        Err(error) => Err(format!("{error}. Delete it or name another file").into()),
    }
}

/// The convolutions that match the pattern.
fn chosen(arguments: &Arguments) -> Outcome<Vec<Layer>> {
    let all =
        tune::layers(arguments.networks.iter().map(|(name, batch, side)| (name.as_str(), *batch, *side)))?;
    let fits = |layer: &&Layer| arguments.pattern.split_whitespace().all(|word| layer.name.contains(word));
    let chosen: Vec<Layer> = all.iter().filter(fits).cloned().collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|layer| layer.name.as_str()).collect();
        return Err(format!(
            "no convolution has `{}` in its name; there are {}",
            arguments.pattern,
            names.join(", ")
        )
        .into());
    }
    Ok(chosen)
}

/// The measurements of one pass of a convolution.
fn ratios(layer: &Layer, finding: &Finding) -> Value {
    let candidates: Vec<Value> = finding
        .ratios
        .iter()
        .map(|(algorithm, ratio)| json!({ "algorithm": algorithm, "ratio": ratio }))
        .collect();
    json!({
        "layer": layer.name,
        "conv": finding.conv,
        "table": finding.table,
        "milliseconds": finding.milliseconds,
        "best": finding.best,
        "ratio": finding.ratio,
        "kept": finding.kept,
        "candidates": candidates,
    })
}

fn row(layer: &Layer, pass: Pass, finding: &Finding) -> String {
    let pass = match pass {
        Pass::Forward => "forward",
        Pass::BackwardInput => "backward_input",
        Pass::BackwardWeight => "backward_weight",
    };
    let best = finding.best.map_or("the same".to_owned(), |algorithm| algorithm.to_string());
    let kept = if finding.kept { "yes" } else { "" };
    let refused = if finding.refused > 0 {
        format!(" {} candidates were refused", finding.refused)
    } else {
        String::new()
    };
    format!(
        "| {:<34} | {pass:<15} | {:<24} | {:>8.3} | {best:<24} | {:>6.2} | {kept:<4} |{refused}",
        layer.name, finding.table, finding.milliseconds, finding.ratio
    )
}
