//! A chapter: an experiment, the runs that it asks for, its claims and its report.

use super::lab::Lab;
use super::plan::Plan;
use super::report::Report;
use super::trial::Trial;
use crate::duration::duration;
use crate::error::{Error, Result};
use crate::outline::{Flags, Outline};
use clap::Args;
use frostline_charts::runs_bar;
use frostline_study::{Claim, Runs, Setting, Store, put_to_the_test, read};
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

/// A chapter. `E` are flags of its own.
pub struct Chapter<E = crate::outline::NoFlags> {
    /// What it is about, and its defaults.
    pub outline: Outline,
    /// The runs that it asks for.
    pub plan: fn(&mut Plan<'_>, &E) -> Result<()>,
    /// One run: trains once, and keeps what the trained network answers.
    pub train: fn(&mut Trial<'_>) -> Result<()>,
    /// What is put to the test, before anything runs. A claim about a cell that the plan does not have is left out.
    pub claims: fn(&Plan<'_>, &E) -> Result<Vec<Claim>>,
    /// Tables and figures from finished runs.
    pub report: fn(&mut Report<'_>, &E) -> Result<()>,
}

impl<E: Args> Chapter<E> {
    /// Reads the flags and does what they say. For `main`.
    pub fn main(&self) -> ExitCode {
        let (flags, own) = match self.outline.read::<E>(std::env::args_os()) {
            Ok(read) => read,
            // Prints to the right stream, with the right code: `--help` is one of these errors.
            Err(error) => error.exit(),
        };
        match self.study(flags, &own) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    /// Does the runs that are missing, and reports.
    ///
    /// # Errors
    /// What the chapter's functions say; what reading and writing runs gives.
    pub fn study(&self, flags: Flags, own: &E) -> Result<()> {
        let lab = Lab::new(flags);
        let flags = &lab.flags;
        let say = |words: String| if !flags.json { println!("{words}") };
        let mut plan = Plan::new(&lab, &self.outline);
        (self.plan)(&mut plan, own)?;
        // The short form asks for fewer runs, and claims less.
        let (planned, mut claims) = (plan.cells(), (self.claims)(&plan, own)?);
        claims.retain(|claim| claim.cells().all(|cell| planned.contains(cell)));

        let (mut store, note) = Store::open(flags.out.join("runs.jsonl"))?;
        note.iter().for_each(|note| eprintln!("warning: {note}"));
        for path in &flags.merge {
            let merged = store.merge(read(path)?)?;
            say(format!("{}: {} runs added, {} known", path.display(), merged.added, merged.known));
            if merged.different > 0 {
                let words = "settings have other answers here, as from another adapter; the runs that were here stay";
                eprintln!("warning: {}: {} {words}", path.display(), merged.different);
            }
        }

        let wanted = plan.settings().iter().enumerate().filter(|(index, _)| flags.shard.has(*index)).map(|(_, setting)| setting);
        let named = |setting: &&Setting| flags.only.as_ref().is_none_or(|text| setting.to_string().contains(text));
        let missing: Vec<&Setting> = wanted.filter(named).filter(|setting| store.find(setting).is_none()).collect();
        say(format!("Chapter {}: {}", self.outline.number, self.outline.title));
        if !flags.report_only && flags.merge.is_empty() && !missing.is_empty() {
            self.perform(&lab, &plan, &missing, &mut store)?;
        }

        let (runs, missing) = Runs::of(plan.settings(), |setting| store.find(setting).cloned());
        if missing > 0 {
            let all = plan.settings().len();
            say(format!("{} of {all} runs are finished; the others are not in {}.", all - missing, flags.out.display()));
        }
        if missing > 0 && !flags.report_only && flags.merge.is_empty() {
            say("This part is done. Join the parts with --merge FILE…; --report-only reports on what there is.".to_owned());
            return Ok(());
        }
        let rehearsal = self.outline.is_rehearsal(flags);
        let findings = put_to_the_test(&claims, &runs, rehearsal).map_err(|fault| Error::Claim(fault.to_string()))?;
        let mut report = Report::new(&plan, &self.outline, runs, missing, findings, rehearsal);
        report.accuracies("test");
        (self.report)(&mut report, own)?;
        report.forest()?;
        report.close()
    }

    /// Does `missing`, one after the other, and keeps each as soon as it has finished.
    fn perform(&self, lab: &Lab, plan: &Plan<'_>, missing: &[&Setting], store: &mut Store) -> Result<()> {
        let flags = &lab.flags;
        let adapter = lab.gpu()?.describe();
        let finished = plan.settings().iter().filter(|setting| store.find(setting).is_some()).count();
        let mut words = format!("{} runs on {adapter}", missing.len());
        if finished > 0 {
            words += &format!("; {finished} have finished before");
        }
        let seconds = self.estimate(lab, missing, store)?;
        words += &format!("; about {}", duration(seconds));
        if self.outline.is_rehearsal(flags) {
            words += ". A rehearsal: its runs are too short to conclude from, and get no verdicts";
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

    /// Seconds that `missing` take: those of finished runs of the same kind on this adapter, else from a
    /// rehearsal of one of each kind. A kind is a task, a condition and a batch; its steps cost alike.
    fn estimate(&self, lab: &Lab, missing: &[&Setting], store: &Store) -> Result<f64> {
        let kind = |setting: &Setting| (setting.task.clone(), setting.condition.clone(), setting.batch, setting.steps);
        let mut known = HashMap::new();
        let adapter = lab.gpu()?.describe();
        for run in store.runs().iter().filter(|run| run.adapter == adapter) {
            known.insert(kind(&run.setting), run.seconds);
        }
        let mut seconds = 0.0;
        for setting in missing {
            let one = match known.get(&kind(setting)) {
                Some(&one) => one,
                None => Trial::rehearse(lab, setting, self.train)?,
            };
            known.insert(kind(setting), one);
            seconds += one;
        }
        Ok(seconds)
    }
}
