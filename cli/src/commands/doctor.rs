//! `frostline doctor`: the adapters of this machine, what they can do, and whether they compute correctly;
//! with `--adapter`, only that adapter.

use crate::output::warn;
use crate::{Error, Output, Result, gpu};
use clap::Args;
use frostline_engine::{Adapter, AdapterReport, Gpu, GpuOptions, adapters};
use frostline_self_test::{Check, SelfTest, class, self_test};
use indicatif::BinaryBytes;
use serde::Serialize;
use std::sync::Arc;

/// The flags.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Leave out the test of every kernel.
    #[arg(long)]
    no_self_test: bool,
}

/// The findings for one adapter.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    adapter: AdapterReport,
    /// The class of kernels that it gets, and why; `None` if no device could be opened on it.
    kernels: Option<&'static str>,
    reason: Option<String>,
    self_test: Option<SelfTest>,
    /// Why no device could be opened.
    error: Option<String>,
}

impl Doctor {
    /// Examines every adapter, and prints the findings.
    ///
    /// # Errors
    /// If there is no adapter; [`Error::SelfTest`] if an adapter computes wrong results or cannot be opened.
    pub fn run(&self, output: &Output) -> Result<()> {
        let options = gpu::options()?;
        let mut all = vec![];
        let mut warnings = vec![];
        let looked_at = match &options.adapter {
            None => adapters()?,
            wanted => vec![Adapter::find(wanted.as_deref())?],
        };
        for (i, adapter) in looked_at.iter().enumerate() {
            let (mut found, gpu) = look(adapter, &options);
            let gap = if i == 0 { "" } else { "\n" };
            // Printed before the self-test, which is slow and may hang.
            output.say(format_args!("{gap}{}", text(&found)))?;
            if let Some(gpu) = gpu {
                warnings.extend_from_slice(gpu.warnings());
                if !self.no_self_test {
                    let test = self_test(&gpu);
                    output.say(self_test_text(&test))?;
                    found.self_test = Some(test);
                }
            }
            all.push(found);
        }
        output.json(&all)?;
        // For a GPU that no driver offers; not printed if there is another GPU.
        if all.iter().all(|found| found.adapter.kind == "Cpu") {
            warnings.dedup();
            warnings.iter().for_each(warn);
        }
        let tests = || all.iter().filter_map(|found| found.self_test.as_ref());
        let closed = all.iter().filter(|found| found.error.is_some()).count();
        let failed = closed + tests().map(|test| test.failed().count()).sum::<usize>();
        let checks = closed + tests().map(|test| test.checks.len()).sum::<usize>();
        if failed == 0 { Ok(()) } else { Err(Error::SelfTest { failed, checks }) }
    }
}

/// What an adapter reports about itself, and a device on it.
fn look(adapter: &Adapter, options: &GpuOptions) -> (Found, Option<Arc<Gpu>>) {
    let mut found =
        Found { adapter: adapter.report(), kernels: None, reason: None, self_test: None, error: None };
    match adapter.open(options) {
        Ok(gpu) => {
            found.kernels = Some(class(gpu.tuning()));
            found.reason = Some(gpu.tuning_reason().to_owned());
            (found, Some(Arc::new(gpu)))
        }
        Err(error) => {
            found.error = Some(error.to_string());
            (found, None)
        }
    }
}

fn text(found: &Found) -> String {
    let adapter = &found.adapter;
    let bytes = |count: u64| BinaryBytes(count).to_string();
    let features = |wanted: bool| {
        let names: Vec<&str> =
            adapter.features.iter().filter(|(_, has)| *has == wanted).map(|(name, _)| *name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let lanes = match adapter.subgroup_sizes {
        [0, 0] => "no subgroups".to_owned(),
        [smallest, largest] if smallest == largest => format!("subgroups of {smallest} lanes"),
        [smallest, largest] => format!("subgroups of {smallest} to {largest} lanes"),
    };
    let mut lines = vec![
        adapter.index.map_or(adapter.name.clone(), |index| format!("{index}: {}", adapter.name)),
        format!("  {}, {}, driver {}", adapter.kind, adapter.backend, adapter.driver),
        format!(
            "  buffers up to {}, of which one kernel can bind {}",
            bytes(adapter.buffer_bytes),
            bytes(adapter.binding_bytes)
        ),
        format!(
            "  workgroups of {} threads with {}; {lanes}",
            adapter.workgroup_threads,
            bytes(adapter.workgroup_bytes.into())
        ),
        format!("  has {}; has not: {}", features(true), features(false)),
    ];
    if let (Some(kernels), Some(reason)) = (found.kernels, &found.reason) {
        lines.push(format!("  kernels: {kernels}, because this is {reason}"));
    }
    lines.extend(found.error.iter().map(|error| format!("  FAILED: {error}")));
    lines.join("\n")
}

/// One line per op and class of kernels, with the worst of its checks.
fn self_test_text(test: &SelfTest) -> String {
    let widest = test.checks.iter().map(|check| check.op.chars().count()).max().unwrap_or(0);
    let mut lines = vec![format!(
        "  {:widest$}  {:<11} {:>13} {:>13}",
        "self-test", "kernels", "largest error", "of tolerance"
    )];
    let same = |a: &Check, b: &Check| (&a.op, a.kernels) == (&b.op, b.kernels);
    for checks in test.checks.chunk_by(same) {
        let largest = |of: fn(&Check) -> Option<f64>| checks.iter().filter_map(of).fold(0.0, f64::max);
        let (error, ratio) = (largest(|check| check.largest_error), largest(|check| check.of_tolerance));
        let failed: Vec<String> = checks.iter().filter(|check| !check.passed).map(why).collect();
        let verdict =
            if failed.is_empty() { "passed".to_owned() } else { format!("FAILED: {}", failed.join("; ")) };
        lines.push(format!(
            "  {:widest$}  {:<11} {error:>13.1e} {ratio:>13.2}  {verdict}",
            checks[0].op, checks[0].kernels
        ));
    }
    let passed = test.checks.iter().filter(|check| check.passed).count();
    lines.push(format!(
        "  {passed} of {} arrays are within the tolerance; {} kernels ran",
        test.checks.len(),
        test.ran.len()
    ));
    let left = test.not_run();
    if !left.is_empty() {
        lines.push(format!("  not run, because no op here uses them: {}", left.join(", ")));
    }
    lines.join("\n")
}

/// Which part of a check failed, and why.
fn why(check: &Check) -> String {
    match &check.error {
        Some(error) => format!("{}: {error}", check.what),
        None => check.what.clone(),
    }
}
