//! A description of what was run.

use super::results::{Claim, Results, Table};
use crate::duration::duration;
use frostline_study::{LEAST_EPOCHS, signed};

impl Results {
    /// The settings in one line.
    pub(crate) fn settings_in_words(&self) -> String {
        let settings = &self.settings;
        let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let mut parts = vec![settings.model.clone(), format!("{} images", list(&settings.images))];
        parts.extend(settings.seeds.map(|seeds| format!("{seeds} seeds")));
        let mut steps: Vec<u64> = self.runs.iter().filter_map(|run| run.setting.steps).collect();
        steps.sort_unstable();
        steps.dedup();
        if !steps.is_empty() {
            let steps = steps.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ");
            parts.push(format!("{steps} steps"));
        }
        parts.extend(settings.batch.map(|batch| format!("batches of {batch}")));
        parts.extend(settings.lr.map(|lr| format!("base rate {lr}")));
        parts.retain(|part| !part.is_empty() && part != " images");
        parts.join("; ")
    }

    /// How many runs there are, how long they trained and on what, in one line.
    pub(crate) fn runs_in_words(&self) -> String {
        let (done, all) = (self.runs.len(), self.runs.len() + self.missing_runs);
        let of = if done == all { String::new() } else { format!(" of {all}") };
        let on = self.adapters.join("; ");
        let on = if on.is_empty() { String::new() } else { format!(" on {on}") };
        let left = self.runs.iter().filter(|run| run.converged == Some(false)).count();
        let left = if left == 0 { String::new() } else { format!("; {left} not converged") };
        format!("{done}{of} runs{left}; {} of training{on}", duration(self.seconds.iter().sum()))
    }

    /// Warnings that are shown before the verdicts.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = vec![];
        if self.rehearsal {
            warnings
                .push("A rehearsal: its runs are too short for conclusions, and get no verdicts.".to_owned());
        }
        if self.missing_runs > 0 {
            let (missing, all) = (self.missing_runs, self.runs.len() + self.missing_runs);
            let rest = if missing < all { " What follows is from the others." } else { "" };
            warnings.push(format!("Missing runs: {missing} of {all}.{rest}"));
        }
        warnings
    }

    /// The meaning of the star in `tables`, if there is one.
    pub(crate) fn star(tables: &[Table]) -> Option<String> {
        tables.iter().any(Table::is_starred).then(|| {
            format!(
                "* Some of these runs have not converged: fewer than {LEAST_EPOCHS} passes over their images, \
                 or a training loss that still fell at the end. Nothing is concluded from them."
            )
        })
    }
}

impl Claim {
    /// The difference and its interval: `+12.3 points (+9.1 to +15.5)`.
    pub(crate) fn difference(&self) -> Option<String> {
        let signed = |value| signed(value, &self.unit);
        let mean = format!("{} {}", signed(self.mean?), self.unit);
        Some(match self.interval {
            Some((low, high)) => format!("{mean} ({} to {})", signed(low), signed(high)),
            None => mean,
        })
    }
}
