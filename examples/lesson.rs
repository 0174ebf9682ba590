//! Runs all nine chapters, one after the other, and writes one page with their results.
//!
//! Each chapter is a separate program: if one fails or is stopped, only its part of the page is missing. The
//! page is self-contained: it includes figures, tables and style.
//!
//!     make lesson            # or QUICK=1 make lesson for the short form
//!     cargo run --release --example lesson -- --assemble
//!     make site              # the published results as a static site: out/site
//!     make publish           # from finished studies in out/chN: docs/results, docs/lesson.md, README

use clap::Parser;
use frostline::lesson::page::{STATIONS, Station, page, publish, site};
use frostline::lesson::{Error, Result};
use frostline::loader::atomic::write_atomically;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Runs the nine chapters and writes lesson.html
#[derive(Parser)]
struct Flags {
    /// Folder of the chapters' folders, and of the page
    #[arg(long, default_value = "out", value_name = "DIR")]
    out: PathBuf,
    /// The short form of every chapter
    #[arg(long)]
    quick: bool,
    /// Run only these chapters, separated by commas; the others are unchanged
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(0..9), value_name = "N")]
    only: Vec<u8>,
    /// Run nothing: only write the page from the existing results
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    assemble: bool,
    /// Run nothing: publish the existing results in this folder, and write its lesson.md and the README
    /// beside it
    #[arg(long, conflicts_with_all = ["quick", "only", "assemble"], value_name = "DIR")]
    publish: Option<PathBuf>,
    /// Run nothing: write the lesson as a static site into this folder, from the published results
    #[arg(long, conflicts_with_all = ["quick", "only", "assemble", "publish"], value_name = "DIR")]
    site: Option<PathBuf>,
}

fn main() -> ExitCode {
    match lesson(&Flags::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("error: {failed} of the chapters failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The number of chapters that failed.
fn lesson(flags: &Flags) -> Result<usize> {
    if let Some(docs) = &flags.publish {
        let lines = publish(&flags.out, docs)?;
        lines.iter().for_each(|line| match line {
            Ok(line) => println!("{line}"),
            Err(line) => eprintln!("warning: {line}"),
        });
        return Ok(lines.iter().filter(|line| line.is_err()).count());
    }
    if let Some(out) = &flags.site {
        // The repository that this program was built from.
        let lines = site(Path::new(env!("CARGO_MANIFEST_DIR")), out)?;
        lines.iter().for_each(|line| println!("{line}"));
        return Ok(0);
    }
    let mut notes = vec![None; STATIONS.len()];
    for (number, station) in STATIONS.iter().enumerate() {
        let wanted = flags.only.is_empty() || flags.only.iter().any(|only| usize::from(*only) == number);
        if wanted && !flags.assemble {
            notes[number] = run(number, station, flags).err();
            notes[number].iter().for_each(|note| eprintln!("chapter {number}: {note}"));
        }
    }
    let fail = |path: &Path, error: std::io::Error| Error::Output {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    std::fs::create_dir_all(&flags.out).map_err(|error| fail(&flags.out, error))?;
    let path = flags.out.join("lesson.html");
    let html = page(&flags.out, &notes);
    write_atomically(&path, |file| file.write_all(html.as_bytes()))?;
    println!("the lesson is in {}", path.display());
    Ok(notes.iter().flatten().count())
}

/// Runs a chapter to its end, or returns the reason why not.
fn run(number: usize, station: &Station, flags: &Flags) -> Result<(), String> {
    let binary = station.binary;
    // Cargo puts all examples into one folder.
    let here =
        std::env::current_exe().map_err(|error| format!("cannot find the other examples: {error}."))?;
    let program = here.with_file_name(format!("{binary}{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        return Err(format!("It is not built; run `cargo build --release --example {binary}`."));
    }
    let mut command = Command::new(program);
    command.arg("--out").arg(flags.out.join(format!("ch{number}")));
    if flags.quick {
        command.arg("--quick");
    }
    let status = command.status().map_err(|error| format!("It could not be started: {error}."))?;
    if status.success() { Ok(()) } else { Err(format!("Its last run failed ({status}).")) }
}
