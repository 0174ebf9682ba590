//! The long forms of the trust suite, each a command; see the library.

use clap::{Parser, Subcommand};
use frostline_trust::faults::{CASES, Subject};
use frostline_trust::run::Settings;
use frostline_trust::{Result, disk, kill, steady};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Test the state of a training run after a kill, a lost device, a full disk or 10,000 steps
#[derive(Parser)]
#[command(name = "frostline-trust")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kills a training process at random moments: always a complete checkpoint, and the same bits in the end
    Kill {
        /// How often.
        #[arg(long, default_value_t = 200)]
        runs: u64,
        /// Of the moments.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Loses the device, or its memory, at every allocation, submission and write of a run
    Faults {
        /// Stride of the writes that are tried; of the other places, all are tried.
        #[arg(long, default_value_t = 1)]
        stride: usize,
    },
    /// Fills the disk while a checkpoint is saved
    Disk {
        /// Number of sizes to stop at.
        #[arg(long, default_value_t = 100)]
        limits: u64,
    },
    /// Trains for a long time: memory does not grow
    Steps {
        /// How long.
        #[arg(long, default_value_t = 10_000)]
        steps: u64,
    },
    /// The process that is killed
    #[command(hide = true)]
    Child { folder: PathBuf },
    /// Loads and saves a checkpoint
    #[command(hide = true)]
    Resave { folder: PathBuf },
    /// Continues a run
    #[command(hide = true)]
    Half { folder: PathBuf },
    /// Fills the file system of a folder
    #[command(hide = true)]
    Fill { folder: PathBuf },
}

fn run(command: Command) -> Result<()> {
    let program = std::env::current_exe()?;
    match command {
        Command::Kill { runs, seed } => {
            let report = kill::kill(&program, runs, seed, |run, report| {
                if run % 20 == 0 {
                    eprintln!("{report:?}");
                }
            })?;
            println!("{report:#?}");
        }
        Command::Faults { stride } => {
            let subject = Subject::new(Settings { steps: 6, save: 2, evaluate: 3 })?;
            for (fault, place) in CASES {
                let stride = if place == frostline_engine::faults::Place::Write { stride } else { 1 };
                let report = subject.inject(fault, place, stride, |nth, of| {
                    if nth % 50 == 0 {
                        eprintln!("{fault:?} at {place:?}: {nth} of {of}");
                    }
                })?;
                println!("{fault:?} at {place:?}: {report:#?}");
            }
        }
        Command::Disk { limits } => {
            println!("{} limits: {}", limits + 1, disk::limited(&program, limits)?.trim());
            match disk::fill_in_memory(&program)? {
                Some(message) => println!("a full file system of 1 MiB: {message}"),
                None => println!("a full file system: not tried, this user may not mount one"),
            }
        }
        Command::Steps { steps } => {
            let report = steady::steady(steps)?;
            println!("{report:#?}\nresident memory grew by {:.3}%", 100.0 * report.growth());
        }
        Command::Child { folder } => kill::child(&folder)?,
        Command::Resave { folder } => disk::resave(&folder)?,
        Command::Half { folder } => disk::second_half(&folder)?,
        Command::Fill { folder } => println!("{}", disk::fill(&folder)?),
    }
    Ok(())
}

fn main() -> ExitCode {
    let (start, command) = (Instant::now(), CommandLine::parse().command);
    let long = matches!(
        command,
        Command::Kill { .. } | Command::Faults { .. } | Command::Disk { .. } | Command::Steps { .. }
    );
    match run(command) {
        Ok(()) => {
            if long {
                println!("all held, in {:.0} s", start.elapsed().as_secs_f64());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
