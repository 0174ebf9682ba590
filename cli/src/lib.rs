//! The command `frostline`: a classifier from a folder of photos, and a look inside models.
//!
//! Each command has a file in [`commands`], with its flags and its work. Results go to standard output, as
//! text or, with `--json`, as JSON; all else (progress, warnings, errors) goes to standard error, with
//! `--json` as a line of JSON each: `{"error": …}`, `{"warning": …}`. Exit codes: 0, success; 1, an error,
//! which was printed; 2, wrong flags; 130, Ctrl-C.

pub mod commands;
mod embedded;
mod error;
pub mod gpu;
pub mod hub;
mod logging;
pub mod model;
pub mod output;
mod path_json;
pub mod photos;
mod predictions;
mod review;
mod serve;
mod table;
mod train;
pub mod weights;

pub use error::{Error, Result};
pub use output::Output;

use clap::{Parser, Subcommand};
use commands::{
    Bench, Completions, Convert, Doctor, Evaluate, Export, Features, FindLr, Inspect, Plan, Predict, Serve,
    Train,
};
use std::process::ExitCode;

/// Transfer learning on any GPU, or none: a classifier from a folder of photos, and a look inside models
#[derive(Parser, Debug)]
#[command(name = "frostline", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print results as JSON, and errors and warnings to standard error as a line of JSON each
    #[arg(long, global = true)]
    pub json: bool,
    /// The adapter to compute on: its index in `frostline doctor`, a part of its name, `gpu` or `software`;
    /// overrides FROSTLINE_ADAPTER
    #[arg(long, global = true, value_name = "ADAPTER")]
    pub adapter: Option<String>,
}

/// The commands, in the order of `--help`.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Train a classifier on a folder of photos
    Train(Train),
    /// Find a learning rate for a folder of photos by a range test
    FindLr(FindLr),
    /// Predict the classes of photos, with probabilities
    Predict(Predict),
    /// Serve a page for the browser: drop a photo, see its class and where the network looked
    Serve(Serve),
    /// Evaluate a model on a folder of class folders
    Evaluate(Evaluate),
    /// Write the output of a model's stage for photos to a safetensors file
    Features(Features),
    /// Print what a training step would run and keep, for every freeze depth; needs no GPU
    Plan(Plan),
    /// Print what is in a file of weights: tensors, network, names, values that are not finite
    Inspect(Inspect),
    /// Write the same weights under other names, or in another number format
    Convert(Convert),
    /// Export a trained model for other programs: ONNX with the preprocessing inside, or PyTorch
    Export(Export),
    /// List the adapters of this machine and their features, and test every kernel on each
    Doctor(Doctor),
    /// Measure how many images per second this machine trains on and classifies
    Bench(Bench),
    /// Print a script that lets a shell complete this program's commands and flags
    Completions(Completions),
}

impl CommandLine {
    /// Runs the command line.
    ///
    /// # Errors
    /// The errors of the command.
    pub fn run(self) -> Result<()> {
        let output = Output::new(self.json);
        gpu::choose(self.adapter);
        match self.command {
            Command::Train(train) => train.run(&output),
            Command::FindLr(find_lr) => find_lr.run(&output),
            Command::Predict(predict) => predict.run(&output),
            Command::Serve(serve) => serve.run(&output),
            Command::Evaluate(evaluate) => evaluate.run(&output),
            Command::Features(features) => features.run(&output),
            Command::Plan(plan) => plan.run(&output),
            Command::Inspect(inspect) => inspect.run(&output),
            Command::Convert(convert) => convert.run(&output),
            Command::Export(export) => export.run(&output),
            Command::Doctor(doctor) => doctor.run(&output),
            Command::Bench(bench) => bench.run(&output),
            Command::Completions(completions) => completions.run(),
        }
    }
}

/// Reads the program's own command line, runs it, and prints errors.
pub fn main() -> ExitCode {
    logging::begin();
    let line = CommandLine::try_parse().unwrap_or_else(|wrong| refuse(&wrong));
    if line.json {
        output::complain_in_json();
    }
    match line.run() {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has closed the pipe is not an error.
        Err(error) => {
            if !error.is_closed_pipe() {
                output::tell_error(&error);
            }
            error.exit_code()
        }
    }
}

/// Ends the program for an invalid command line, or one that requests help.
fn refuse(wrong: &clap::Error) -> ! {
    if wrong.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        output::complain_in_json();
        let text = wrong.render().to_string();
        output::tell_error(text.trim_start_matches("error: "));
        std::process::exit(wrong.exit_code());
    }
    wrong.exit()
}
