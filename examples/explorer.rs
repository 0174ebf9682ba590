//! The explorer: a page on this machine, with a real training run behind every change.
//!
//! - Five groups of layers can be frozen or trained, in any mixture. Frozen ones dispatch no gradient kernel and
//!   keep no activation; the page shows how many and how much.
//! - Few or many images, a similar or a different target, a learning rate. A change stops the current run and
//!   starts another.
//! - One picture shows all runs so far, by accuracy and cost.
//!
//! Ctrl-C ends it and writes the results of all runs. Chapter 7 (`ch7_sweet_spot`) tests the same question
//! with enough runs for conclusions.
//!
//!     cargo run --release --example explorer

use clap::Args;
use frostline::charts::figure;
use frostline::lesson::explorer::{Comparison, Explorer, Record, compare, panel, table};
use frostline::lesson::{Lab, Outline, Result, Settings, Track, write_json};
use serde_json::json;
use std::process::ExitCode;

const OUTLINE: Outline = Outline {
    number: 7,
    version: 1,
    title: "the explorer",
    claim: "Freeze layers and train, on a page.",
    defaults: Settings { images: &[20, 50, 200, 1000], seeds: 3, steps: 60, batch: 32, lr: 0.02 },
    quick: Settings { images: &[20, 50], seeds: 2, steps: 20, batch: 20, lr: 0.02 },
};

#[derive(Args)]
struct Own {
    /// Port of 127.0.0.1 for the page; 0 for a free one
    #[arg(long, default_value_t = 7878, value_name = "PORT")]
    port: u16,
    /// Do not open a browser
    #[arg(long)]
    no_browser: bool,
}

fn main() -> ExitCode {
    let (flags, own) = match OUTLINE.read::<Own>(std::env::args_os()) {
        Ok(read) => read,
        Err(error) => error.exit(),
    };
    match serve(&Lab::new(flags), &own) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the page until Ctrl-C, then reports.
fn serve(lab: &Lab, own: &Own) -> Result<()> {
    let track = Track::open(&lab.flags, &lab.assets)?;
    let explorer = Explorer::open(lab.gpu()?.clone(), track, &lab.flags, own.port)?;
    let url = explorer.url();
    println!("The page is at {url}; Ctrl-C ends it and writes the results of the runs.");
    if !own.no_browser
        && let Err(error) = open::that_detached(&url)
    {
        eprintln!("no browser could be opened ({error}): open {url} yourself");
    }
    let records = explorer.serve(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot listen for Ctrl-C ({error}), so the explorer ends now");
        }
    })?;
    report(lab, &records)
}

fn report(lab: &Lab, records: &[Record]) -> Result<()> {
    let (comparisons, out) = (compare(records), &lab.flags.out);
    write_json(&out.join("explorer.json"), &json!({ "adapter": lab.gpu()?.describe(), "runs": records }))?;
    if comparisons.is_empty() {
        println!("No run has finished, so there is nothing to compare.");
        return Ok(());
    }
    println!("{}", table(&comparisons));
    comparisons.iter().filter_map(Comparison::answer).for_each(|answer| println!("{answer}"));
    figure::draw(&out.join("explorer.png"), 1, &[panel(&comparisons)])?;
    println!("Figures and numbers are in {}.", out.display());
    Ok(())
}
