//! Puzzles: kernels to write yourself. `cargo run --example puzzle` lists them; with a name it writes a WGSL
//! file with an empty body, and marks it the next time.
//!
//! ```sh
//! cargo run --example puzzle -- relu.backward            # writes out/puzzles/relu.backward.wgsl, then marks it
//! cargo run --example puzzle -- relu.backward --hint     # the next hint, of three
//! ```
//!
//! The kernel runs at even, odd and random shapes, and is compared with the same computation in f64. Errors
//! are reported by element. `puzzles/` contains the puzzles and the marking; this file manages the folder and
//! the solved puzzles.

use clap::Parser;
use frostline_puzzles::device::Device;
use frostline_puzzles::{PUZZLES, Puzzle, mark};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Parser)]
#[command(about = "Kernels to write yourself, marked by this program. Without a name: the list.")]
struct Args {
    /// The puzzle, such as relu.backward
    name: Option<String>,
    /// Shows the hints up to this one, of three; without a number, the next one
    #[arg(long, num_args = 0..=1, default_missing_value = "0", value_parser = clap::value_parser!(u8).range(0..=3))]
    hint: Option<u8>,
    /// Folder of the files
    #[arg(long, default_value = "out/puzzles")]
    out: PathBuf,
    /// Draws the random shapes of this seed again; every marking prints its seed
    #[arg(long)]
    seed: Option<u64>,
}

/// The state of a reader's puzzle.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
struct Progress {
    tries: u32,
    hints: u8,
    solved: bool,
}

type All = BTreeMap<String, Progress>;

fn main() -> ExitCode {
    let done = run(&Args::parse());
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let record = args.out.join("progress.json");
    let mut all = read_progress(&record)?;
    let Some(name) = &args.name else {
        list(&all);
        return Ok(ExitCode::SUCCESS);
    };
    let puzzle = Puzzle::find(name).ok_or_else(|| {
        let names: Vec<&str> = PUZZLES.iter().map(|puzzle| puzzle.name).collect();
        format!("there is no puzzle `{name}`; the puzzles are {}", names.join(", "))
    })?;
    let progress = all.entry(name.clone()).or_default();
    let path = args.out.join(format!("{name}.wgsl"));
    let passed = if let Some(hint) = args.hint {
        progress.hints = if hint == 0 { (progress.hints + 1).min(3) } else { progress.hints.max(hint) };
        let shown = if hint == 0 { progress.hints } else { hint };
        for (number, hint) in (1..=shown).zip(puzzle.hints) {
            println!("hint {number} of 3: {hint}");
        }
        true
    } else if path.exists() {
        try_it(puzzle, &path, progress, args.seed)?
    } else {
        write(&path, puzzle.template)?;
        println!("{}: {}\n", puzzle.name, puzzle.about);
        println!("Written: {}. Fill in the body, and run the same command again.", path.display());
        true
    };
    write(&record, &serde_json::to_string_pretty(&all)?)?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Marks the file at `path`, and prints the result.
fn try_it(
    puzzle: &Puzzle,
    path: &Path,
    progress: &mut Progress,
    seed: Option<u64>,
) -> Result<bool, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = seed.unwrap_or_else(now);
    let device = pollster::block_on(Device::open())?;
    progress.tries += 1;
    let marked = pollster::block_on(mark(&device, puzzle, &text, &path.display().to_string(), seed));
    progress.solved = marked.is_ok();
    match marked {
        Ok(shapes) => {
            shapes.iter().for_each(|shape| println!("  right at {shape}"));
            println!("\n{} is solved.", puzzle.name);
            let next = PUZZLES.iter().skip_while(|other| other.name != puzzle.name).nth(1);
            if let Some(next) = next {
                println!("Next: cargo run --example puzzle -- {}   ({})", next.name, next.about);
            }
        }
        Err(complaint) => {
            println!("{complaint}\n\n{} is not solved yet (seed {seed}).", puzzle.name);
            if progress.hints < 3 {
                let number = progress.hints + 1;
                println!("Hint {number} of 3: cargo run --example puzzle -- {} --hint", puzzle.name);
            }
        }
    }
    Ok(progress.solved)
}

fn list(all: &All) {
    let solved = PUZZLES.iter().filter(|puzzle| all.get(puzzle.name).is_some_and(|one| one.solved)).count();
    println!("{solved} of {} puzzles are solved.\n", PUZZLES.len());
    for (number, puzzle) in (1..).zip(PUZZLES) {
        let progress = all.get(puzzle.name).copied().unwrap_or_default();
        let state = match progress {
            Progress { solved: true, .. } => "solved",
            Progress { tries: 0, .. } => "",
            _ => "tried",
        };
        println!("{number:>3}  {:<27} {state:<7} {}", puzzle.name, puzzle.about);
    }
    println!("\ncargo run --example puzzle -- {}", next(all).unwrap_or(PUZZLES[0].name));
}

/// The first puzzle that is not solved.
fn next(all: &All) -> Option<&'static str> {
    let open = |puzzle: &&Puzzle| !all.get(puzzle.name).is_some_and(|one| one.solved);
    PUZZLES.iter().find(open).map(|puzzle| puzzle.name)
}

fn read_progress(path: &Path) -> Result<All, Box<dyn Error>> {
    if !path.exists() {
        return Ok(All::new());
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let damaged =
        |error| format!("{}: {error}; delete it, and solved puzzles are marked again", path.display());
    Ok(serde_json::from_str(&text).map_err(damaged)?)
}

fn write(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
    Ok(written.map_err(|error| format!("{}: {error}", path.display()))?)
}
