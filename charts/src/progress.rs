//! Progress on the terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `length` steps of the run `name`; hidden without a terminal.
pub fn bar(name: &str, length: u64) -> ProgressBar {
    styled(name, length, "{prefix:<34} {bar:30} {pos}/{len} {elapsed:>4} left {eta:<5} {msg}")
}

/// A bar over several runs.
pub fn runs_bar(name: &str, runs: u64) -> ProgressBar {
    styled(name, runs, "{prefix:<34} {bar:30} run {pos}/{len} {elapsed:>4} left {eta:<5} {msg}")
}

fn styled(name: &str, length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.with_prefix(name.to_owned())
}
