//! Chapter 7: the sweet spot.
//!
//! *Accuracy against cost has a sweet spot: freezing a part of the network comes as near to the best
//! accuracy as makes no difference, for less than training everything.* A page on this machine puts
//! that to the test, with a real training run behind every change:
//!
//! - Five groups of layers can be frozen or trained, in any mixture. Frozen ones dispatch no gradient
//!   kernel and keep no activation; the page shows how many and how much.
//! - Few or many images, a similar or a different target, a learning rate. A change stops the run
//!   that is under way and starts another.
//! - All runs so far stand in one picture, by accuracy and by what they cost.
//!
//! Ctrl-C ends it and writes what all runs came to. `--quick` and `--tour` need nobody at the page:
//! they ask for the lesson's scenarios over the same HTTP, training the head alone, the last group
//! below it too, and everything.
//!
//!     cargo run --release --example ch7_explorer

use clap::Args;
use frostline::charts::{figure, runs_bar};
use frostline::lesson::explorer::{Comparison, Explorer, Record, compare, panel, table};
use frostline::lesson::{self, Chapter, Error, Outline, Result, Settings, Track};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::sync::mpsc;
use tokio::sync::oneshot;

const OUTLINE: Outline = Outline {
    number: 7,
    title: "the sweet spot",
    claim: "Accuracy against cost has a sweet spot: a partial freeze comes within a standard deviation of the best, for less than training everything.",
    defaults: Settings { images: &[20, 50, 200, 1000], seeds: 3, steps: 60, batch: 32, lr: 0.02 },
    quick: Settings { images: &[20, 50], seeds: 2, steps: 20, batch: 20, lr: 0.02 },
};

/// The chapter's own flags.
#[derive(Args)]
struct Own {
    /// Port of 127.0.0.1 for the page; 0 for any that is free
    #[arg(long, default_value_t = 7878, value_name = "PORT")]
    port: u16,
    /// Do not open a browser
    #[arg(long)]
    no_browser: bool,
    /// Do the lesson's four scenarios without a page, and end
    #[arg(long)]
    tour: bool,
}

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, own: Own| {
        let track = Track::open(chapter)?;
        let alone = chapter.flags.quick || own.tour;
        let explorer = Explorer::open(track, &chapter.flags, if alone { 0 } else { own.port })?;
        let records = if alone { tour(chapter, explorer)? } else { page(chapter, explorer, own.no_browser)? };
        report(chapter, &records)
    })
}

/// Serves the page to people until Ctrl-C.
fn page(chapter: &Chapter, explorer: Explorer, no_browser: bool) -> Result<Vec<Record>> {
    let url = explorer.url();
    let words = format!("The page is at {url}; Ctrl-C ends it and keeps what the runs came to.");
    if chapter.flags.json {
        eprintln!("{words}");
    } else {
        chapter.say(words);
    }
    if !no_browser && let Err(error) = open::that_detached(&url) {
        eprintln!("no browser could be opened ({error}): open {url} yourself");
    }
    explorer.serve(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("Ctrl-C cannot be heard ({error}), so the explorer ends now");
        }
    })
}

/// Serves the page to a client of our own, which asks for the scenarios' runs one after another.
fn tour(chapter: &Chapter, explorer: Explorer) -> Result<Vec<Record>> {
    let (url, scenarios) = (explorer.url(), if chapter.flags.quick { 1 } else { 4 });
    let (over, until) = oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let visitor = scope.spawn(move || {
            let visited = visit(&url, scenarios);
            drop(over);
            visited
        });
        let records = explorer.serve(async {
            // An error says that the visitor is gone, which is what we wait for.
            let _ = until.await;
        })?;
        let visited = visitor.join().map_err(|_| Error::Server("the visitor broke down".to_owned()))?;
        visited.map_err(|error| Error::Server(error.to_string()))?;
        Ok(records)
    })
}

/// The first `scenarios`, each with the head alone training, then a partial freeze, then everything.
fn visit(url: &str, scenarios: usize) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // The events are read all the time, or the server would have to keep them.
    let (ended, ends) = mpsc::channel();
    let events = BufReader::new(ureq::get(format!("{url}/events")).call()?.into_body().into_reader());
    std::thread::spawn(move || {
        for line in events.lines().map_while(Result::ok) {
            let run = line.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok());
            let Some(run) = run.filter(|run| run["status"] == "finished" || run["status"] == "failed") else { continue };
            if ended.send(run).is_err() {
                break;
            }
        }
    });
    let state: Value = ureq::get(format!("{url}/state")).call()?.into_body().read_json()?;
    let menu = &state["menu"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (groups, seeds) = (list(&menu["groups"]), menu["seeds"].as_u64().unwrap_or(1));
    let depths = [1, 2, groups.len()];
    let scenarios: Vec<Value> = list(&menu["scenarios"]).into_iter().take(scenarios).collect();
    let bar = runs_bar("the lesson's scenarios", (scenarios.len() * depths.len()) as u64 * seeds);
    for scenario in scenarios {
        for (seed, from) in (0..seeds).flat_map(|seed| depths.map(|depth| (seed, groups.len().saturating_sub(depth)))) {
            let wish = json!({
                "trainable": groups[from..], "domain": scenario["domain"], "images": scenario["images"], "lr": menu["lr"], "seed": seed,
            });
            let answer: Value = ureq::post(format!("{url}/run")).send_json(wish)?.into_body().read_json()?;
            let run = ends.iter().find(|run| run["id"] == answer["run"]).ok_or("the events ended before the run did")?;
            if let Some(error) = run["error"].as_str() {
                return Err(error.to_owned().into());
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn report(chapter: &mut Chapter, records: &[Record]) -> Result<()> {
    let comparisons = compare(records);
    chapter.keep("runs", json!(records));
    if comparisons.is_empty() {
        chapter.say("No run came to its end, so there is nothing to compare.");
        return Ok(());
    }
    chapter.table(table(&comparisons));
    for claim in comparisons.iter().filter_map(Comparison::claim) {
        chapter.claim(claim.claim, claim.verdict, claim.evidence);
    }
    let question = "Which part should train, if it should be nearly the best, and cost no more than that takes?";
    chapter.quiz(question, comparisons.iter().filter_map(Comparison::answer).collect::<Vec<_>>().join(" "));
    let caption = "Accuracy (bars: standard deviation over seeds) against the cost of a run; along a curve more and more groups train.";
    figure::draw(&chapter.figure("sweet_spot.png", caption), 1, &[panel(&comparisons)])?;
    Ok(())
}
