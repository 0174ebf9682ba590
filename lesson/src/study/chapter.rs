//! A chapter: an experiment, the runs that it needs, its claims and its report.

use super::lab::Lab;
use super::plan::Plan;
use super::report::Report;
use super::trial::{Trial, without_rate};
use crate::duration::duration;
use crate::error::{Error, Result};
use crate::outline::{Flags, Outline};
use clap::Args;
use frostline_charts::runs_bar;
use frostline_study::{Claim, Runs, Setting, Store, put_to_the_test, read};
use serde::Serialize;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// A chapter. `E` contains the flags that only this chapter has.
pub struct Chapter<E = crate::outline::NoFlags> {
    /// Its subject, and its defaults.
    pub outline: Outline,
    /// The runs that it needs.
    pub plan: fn(&mut Plan<'_>, &E) -> Result<()>,
    /// One run: trains once, and stores the answers of the trained network.
    pub train: fn(&mut Trial<'_>) -> Result<()>,
    /// The claims, written before the runs. A claim about a cell that is not in the plan is left out.
    pub claims: fn(&Plan<'_>, &E) -> Result<Vec<Claim>>,
    /// Tables and figures from finished runs.
    pub report: fn(&mut Report<'_>, &E) -> Result<()>,
}

impl<E: Args> Chapter<E> {
    /// Reads the flags and runs the chapter. For `main`.
    pub fn main(&self) -> ExitCode {
        self.run(std::env::args_os()).into()
    }

    /// Runs the command line `words`, the program's name first. Returns the exit status: 2 for flags that
    /// cannot be read.
    pub fn run(&self, words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
        let (flags, own) = match self.outline.read::<E>(words) {
            Ok(read) => read,
            Err(error) => {
                // Prints to the right stream, because `--help` is one of these errors. The stream may be
                // closed.
                let _ = error.print();
                return u8::try_from(error.exit_code()).unwrap_or(2);
            }
        };
        match self.study(flags, &own) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("error: {error}");
                1
            }
        }
    }

    /// Executes the missing runs, and reports.
    ///
    /// # Errors
    /// The errors of the chapter's functions, and of reading and writing runs.
    pub fn study(&self, flags: Flags, own: &E) -> Result<()> {
        let lab = Lab::new(flags);
        let flags = &lab.flags;
        let say = |words: String| {
            if !flags.json {
                println!("{words}")
            }
        };
        let mut plan = Plan::new(&lab, &self.outline);
        (self.plan)(&mut plan, own)?;
        // The short form needs fewer runs, and makes fewer claims.
        let (planned, mut claims) = (plan.cells(), (self.claims)(&plan, own)?);
        claims.retain(|claim| claim.cells().all(|cell| planned.contains(cell)));
        let wanted = wanted(&plan)?;

        let mut store = open(flags)?;
        if flags.list {
            return list(&wanted, &store);
        }
        merge(flags, &plan, &mut store, &say)?;

        say(format!("Chapter {}: {}", self.outline.number, self.outline.title));
        let unfinished = |setting: &&Setting| store.find(setting).is_none();
        let missing: Vec<&Setting> = wanted.into_iter().filter(unfinished).collect();
        let only_reports = flags.report_only || !flags.merge.is_empty();
        if !only_reports && !missing.is_empty() {
            self.perform(&lab, &plan, &missing, &mut store)?;
            // Other processes may have done other parts in the meantime.
            store = open(flags)?;
        }

        let (runs, missing) = Runs::of(plan.settings(), |setting| store.find(setting).cloned());
        let all = plan.settings().len();
        if missing > 0 {
            say(format!(
                "{} of {all} runs are finished; the others are not in {}.",
                all - missing,
                flags.out.display()
            ));
        }
        if missing > 0 && !only_reports {
            say("This part is done. Join the parts with --merge FILE…; --report-only reports on the \
                 finished runs."
                .to_owned());
            return Ok(());
        }
        if runs.all().is_empty() {
            return Err(nothing_to_report(all, &store));
        }
        let rehearsal = self.outline.is_rehearsal(flags);
        let findings =
            put_to_the_test(&claims, &runs, rehearsal).map_err(|fault| Error::Claim(fault.to_string()))?;
        let mut report = Report::new(&plan, &self.outline, runs, missing, findings, rehearsal);
        report.accuracies("test");
        (self.report)(&mut report, own)?;
        report.forest()?;
        report.close()
    }

    /// Executes the runs in `missing`, one after the other, and stores each as soon as it has finished.
    fn perform(&self, lab: &Lab, plan: &Plan<'_>, missing: &[&Setting], store: &mut Store) -> Result<()> {
        let flags = &lab.flags;
        let adapter = lab.gpu()?.describe();
        store.prepare()?;
        let finished = plan.settings().iter().filter(|setting| store.find(setting).is_some()).count();
        let mut words = format!("{} runs on {adapter}", missing.len());
        if finished > 0 {
            words += &format!("; {finished} have finished before");
        }
        let seconds = self.estimate(lab, missing)?;
        words += &format!("; about {}", duration(seconds));
        if self.outline.is_rehearsal(flags) {
            words += ". A rehearsal: its runs are too short for conclusions, and get no verdicts";
        }
        eprintln!("{words}.");
        let bar = runs_bar("", missing.len() as u64);
        bar.enable_steady_tick(Duration::from_millis(500));
        for setting in missing {
            bar.set_prefix(setting.to_string());
            let run = Trial::perform(lab, setting, bar.clone(), self.train).inspect_err(|_| bar.abandon())?;
            store.append(run)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Estimated seconds of the runs in `missing`, from a rehearsal of one run of each kind. A kind is a
    /// task, a condition at any rate, a batch and a number of steps.
    fn estimate(&self, lab: &Lab, missing: &[&Setting]) -> Result<f64> {
        let mut known = HashMap::new();
        let mut seconds = 0.0;
        for setting in missing {
            let kind = (&setting.task, without_rate(&setting.condition), setting.batch, setting.steps);
            seconds += match known.get(&kind) {
                Some(&one) => one,
                None => *known.entry(kind).or_insert(Trial::rehearse(lab, setting, self.train)?),
            };
        }
        Ok(seconds)
    }
}

/// The runs of `plan` that --shard and --only select.
fn wanted<'a>(plan: &'a Plan<'_>) -> Result<Vec<&'a Setting>> {
    let (flags, all) = (plan.flags(), plan.settings());
    let named = |setting: &Setting| flags.only.as_ref().is_none_or(|text| setting.to_string().contains(text));
    if let (Some(text), Some(first), false) = (&flags.only, all.first(), all.iter().any(named)) {
        let words = format!("--only {text}: no name of these {} runs contains it", all.len());
        return Err(Error::Flags(format!("{words}. The first is \"{first}\"; --list prints all")));
    }
    let part = all.iter().enumerate().filter(|(index, _)| flags.shard.has(*index));
    Ok(part.map(|(_, setting)| setting).filter(|setting| named(setting)).collect())
}

fn open(flags: &Flags) -> Result<Store> {
    let (store, note) = Store::open(flags.out.join("runs.jsonl"))?;
    note.iter().for_each(|note| eprintln!("warning: {note}"));
    Ok(store)
}

/// Adds the runs of --merge to `store`; if a file is broken, adds none of any file.
fn merge(flags: &Flags, plan: &Plan<'_>, store: &mut Store, say: &impl Fn(String)) -> Result<()> {
    let files = flags.merge.iter().map(|path| Ok((path, read(path)?))).collect::<Result<Vec<_>>>()?;
    for (path, runs) in files {
        let path = path.display();
        let others = runs.iter().filter(|run| !plan.settings().contains(&run.setting)).count();
        let merged = store.merge(runs)?;
        say(format!(
            "{path}: {} runs added, {} were already here",
            merged.added,
            merged.known + merged.different
        ));
        if others > 0 {
            let words = "of its runs have other settings than these flags; they are kept, not reported";
            say(format!("{path}: {others} {words}"));
        }
        if merged.different > 0 {
            let words = "settings have other answers here, as from another adapter; the earlier runs stay";
            eprintln!("warning: {path}: {} {words}", merged.different);
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Listed<'a> {
    name: String,
    #[serde(flatten)]
    setting: &'a Setting,
    epochs: f64,
    finished: bool,
}

/// Prints `settings`, one line of JSON for each.
fn list(settings: &[&Setting], store: &Store) -> Result<()> {
    let fail = |reason: String| Error::Output { path: "the list".into(), reason };
    let mut text = String::new();
    for setting in settings {
        let (name, finished) = (setting.to_string(), store.find(setting).is_some());
        let line = Listed { name, setting, epochs: setting.epochs(), finished };
        text += &serde_json::to_string(&line).map_err(|error| fail(error.to_string()))?;
        text.push('\n');
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(fail(error.to_string())),
        _ => Ok(()),
    }
}

fn nothing_to_report(wanted: usize, store: &Store) -> Error {
    let mut words = format!("nothing to report: none of the {wanted} runs is in {}", store.path().display());
    if !store.runs().is_empty() {
        let others = store.runs().len();
        words += &format!(
            ". Its {others} runs have other settings: other flags, data, weights or another version"
        );
    }
    Error::Flags(words + ". Without --report-only and --merge the chapter does its runs")
}
