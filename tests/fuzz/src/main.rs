//! `frostline-fuzz TARGET --cases N --seed S`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use frostline_fuzz::corpus;
use frostline_fuzz::memory::Counting;
use frostline_fuzz::run::{self, Cases, Limits};
use frostline_fuzz::target::Target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Damages valid files and checks the readers: no panic, no hang, no excessive memory
#[derive(Parser)]
struct Flags {
    /// What is read
    #[arg(required_unless_present = "make_corpus")]
    target: Option<Target>,
    /// Number of damaged files
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// Seed of all of them
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of the first: with `--cases 1`, a single case again
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Write the first case to this file, and read none
    #[arg(long)]
    write: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Write the valid files again (not the images)
    #[arg(long)]
    make_corpus: bool,
}

fn main() -> ExitCode {
    match fuzz(&Flags::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn fuzz(flags: &Flags) -> Result<bool, Box<dyn std::error::Error>> {
    if flags.make_corpus {
        corpus::make()?;
    }
    let Some(target) = flags.target else { return Ok(true) };
    let corpus = corpus::load(target)?;
    if let Some(path) = &flags.write {
        std::fs::write(path, run::case(target, &corpus, flags.seed, flags.first))?;
        return Ok(true);
    }
    let cases = Cases { seed: flags.seed, first: flags.first, count: flags.cases };
    let outcome = run::run(target, &corpus, cases, Limits::default(), |done| {
        if done.is_multiple_of(100_000) {
            eprintln!("{done} of {} cases", flags.cases);
        }
    });
    let text = if flags.json { serde_json::to_string_pretty(&outcome)? } else { outcome.to_string() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(outcome.failures.is_empty())
}
