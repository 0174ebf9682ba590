//! A picture of one training step: a bar for every kernel, in the order they run, timed by the
//! device, and a ghost for every kernel that the freeze left out.
//!
//! ```sh
//! cargo run --release --example timeline -- --model resnet18 --freeze-below layer4
//! ```
//!
//! The step is planned twice, with the freeze and without. A ghost is a kernel of the second plan
//! that the first does not have; it is as wide as the time it took there.

use clap::Parser;
use frostline::bench::profile;
use frostline::charts::timeline;
use frostline::engine::Gpu;
use frostline::models::Model;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Draws a training step as a timeline, with ghosts for the kernels that the freeze skipped.
#[derive(Parser)]
struct Arguments {
    /// The network.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Freeze everything before this stage or group.
    #[arg(long, value_name = "GROUP", default_value = "layer4")]
    freeze_below: String,
    /// Images in a step.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Side of the square images in pixels; by default that of the network.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16384))]
    size: Option<u32>,
    /// Number of steps for the median of each kernel.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// The picture.
    #[arg(long, value_name = "FILE", default_value = "out/timeline.png")]
    out: PathBuf,
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
    let model = Model::new(&arguments.model)?;
    let (batch, size) =
        (arguments.batch as usize, arguments.size.map_or(model.default_size(), |size| size as usize));
    let gpu = Arc::new(Gpu::new()?);
    for warning in gpu.warnings() {
        eprintln!("warning: {warning}");
    }
    let picture =
        profile::picture(&gpu, &model, &arguments.freeze_below, (batch, size), arguments.steps as usize)?;
    let files = timeline::draw(&arguments.out, &picture)?;
    println!("{}\n{}\n{} and {}", picture.title, picture.note, files.png.display(), files.svg.display());
    Ok(())
}
