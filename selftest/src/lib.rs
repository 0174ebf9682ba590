//! Runs every kernel once on an adapter and compares it with its twin: plain loops in double precision.
//!
//! A driver can compile a kernel wrongly, and the cause of the resulting training failures is then hard to
//! find. Here each op runs on small arrays, forward and backward, and each element must be within
//! 4·2⁻²³·Σ|terms| of the result of the f64 loops: the bound of the engine's own tests. The device's memory
//! is filled with NaN before each run, so a kernel that reads memory that was not written fails too.

mod bench;
mod layers;
mod norms;
mod steps;

use bench::Bench;
use frostline_engine::blocking::block_on;
use frostline_engine::tuning::Class;
use frostline_engine::{Error, Gpu, Tuning};
use frostline_twin::{Value, cases, compare};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

/// The result of a self-test.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SelfTest {
    /// In the order they were made.
    pub checks: Vec<Check>,
    /// Kernels that ran, such as `conv2d.forward`.
    pub ran: BTreeSet<String>,
}

/// The comparison of one computed array with its twin's.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The op and its settings.
    pub op: String,
    /// The class of kernels: portable, subgroup or gpu.
    pub kernels: &'static str,
    /// The output, or the gradient of an input.
    pub what: String,
    /// The largest difference from the twin; `None` if the op did not run.
    pub largest_error: Option<f64>,
    /// The worst element's difference, as a share of the allowed difference; `None` if the op did not run.
    pub of_tolerance: Option<f64>,
    /// Whether all elements are within the tolerance.
    pub passed: bool,
    /// Why the op did not run.
    pub error: Option<String>,
}

/// Runs every op on `gpu`, with the kernels that fit it and with those that run everywhere.
pub fn self_test(gpu: &Arc<Gpu>) -> SelfTest {
    let found = block_on(async { Ok::<_, Error>(self_test_async(gpu, |_| ()).await) });
    // Only a browser cannot block, and it uses the other function.
    found.unwrap_or_default()
}

/// [`self_test`] for callers that must not block. `on_check` is called for each check, after its op has run.
pub async fn self_test_async(gpu: &Arc<Gpu>, mut on_check: impl FnMut(&Check)) -> SelfTest {
    let mut found = SelfTest::default();
    let mut tunings = vec![gpu.tuning().clone()];
    if gpu.tuning().class != Class::Portable {
        tunings.push(Tuning::portable());
    }
    for tuning in &tunings {
        for (op, case) in layers::CASES.iter().chain(norms::CASES).chain(steps::CASES) {
            let before = found.checks.len();
            let mut tester = Tester { gpu, tuning, op, rng: cases::rng(1), found: &mut found };
            if let Err(error) = case(&mut tester).await {
                tester.failed("the run", error.to_string());
            }
            found.checks[before..].iter().for_each(&mut on_check);
        }
    }
    found
}

impl SelfTest {
    /// Checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed)
    }

    /// Kernels of this program that no check ran: those for other classes of adapters.
    pub fn not_run(&self) -> Vec<String> {
        let all = frostline_shaders::kernels().map(|(file, entry)| format!("{file}.{entry}"));
        all.filter(|kernel| !self.ran.contains(kernel)).collect()
    }
}

/// A case of an op: its name, and the function that compares it.
type Case = (&'static str, for<'t> fn(&'t mut Tester<'_>) -> Running<'t>);

/// A case that runs.
type Running<'t> = Pin<Box<dyn Future<Output = frostline_engine::Result<()>> + 't>>;

/// A running case.
struct Tester<'a> {
    gpu: &'a Arc<Gpu>,
    tuning: &'a Tuning,
    op: &'a str,
    /// The same random numbers for every case, on every machine.
    rng: ChaCha8Rng,
    found: &'a mut SelfTest,
}

impl Tester<'_> {
    fn bench(&self) -> Bench {
        Bench::new(self.gpu)
    }

    /// Compares what was computed with its twin.
    fn check(&mut self, what: &str, computed: &[f32], expected: &Value) {
        let twin = &expected.value.data;
        if computed.len() != twin.len() || twin.is_empty() {
            return self.failed(what, format!("{} values instead of {}", computed.len(), twin.len()));
        }
        let worst = compare::worst(self.op, computed, expected, compare::FACTOR);
        let errors = computed.iter().zip(twin).map(|(value, twin)| (f64::from(*value) - twin).abs());
        // `max` would ignore a NaN.
        let largest = errors
            .fold(0.0, |largest: f64, error| if error > largest || error.is_nan() { error } else { largest });
        let check = self.outcome(what);
        self.found.checks.push(Check {
            largest_error: Some(largest),
            of_tolerance: Some(worst.ratio),
            passed: worst.ratio <= 1.0,
            ..check
        });
    }

    fn failed(&mut self, what: &str, error: String) {
        let check = self.outcome(what);
        self.found.checks.push(Check { error: Some(error), ..check });
    }

    fn outcome(&self, what: &str) -> Check {
        let (op, what) = (self.op.to_owned(), what.to_owned());
        Check {
            op,
            kernels: class(self.tuning),
            what,
            largest_error: None,
            of_tolerance: None,
            passed: false,
            error: None,
        }
    }

    /// Records which kernels ran.
    fn ran<'k>(&mut self, kernels: impl IntoIterator<Item = &'k String>) {
        self.found.ran.extend(kernels.into_iter().cloned());
    }
}

/// A class of kernels in one word, as in `FROSTLINE_TUNING`.
pub fn class(tuning: &Tuning) -> &'static str {
    match tuning.class {
        Class::Subgroup { .. } => "subgroup",
        Class::Gpu if tuning.fragments.is_some() => "cooperative",
        Class::Gpu => "gpu",
        Class::Portable => "portable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_twin::Array;

    /// A wrong number, a NaN and a missing one must each be detected.
    #[test]
    fn what_is_wrong_fails() {
        let gpu = Arc::new(Gpu::new().unwrap());
        let tuning = Tuning::portable();
        let mut found = SelfTest::default();
        let expected = Value::exact(&Array::new(&[3], vec![1.0, -2.0, 0.5]));
        for (computed, passes) in [
            (&[1.0, -2.0, 0.5][..], true),
            (&[1.0, -2.0, 0.500_01], false),
            (&[1.0, f32::NAN, 0.5], false),
            (&[1.0, -2.0], false),
            (&[f32::INFINITY, -2.0, 0.5], false),
        ] {
            let mut tester =
                Tester { gpu: &gpu, tuning: &tuning, op: "test", rng: cases::rng(1), found: &mut found };
            tester.check("output", computed, &expected);
            let check = found.checks.pop().unwrap();
            assert_eq!(check.passed, passes, "{computed:?}: {check:?}");
        }
    }

    /// The adapter of the tests passes, and all kernels run except those for other adapters.
    #[test]
    fn every_kernel_of_this_adapter_runs_and_passes() {
        let gpu = Arc::new(Gpu::new().unwrap());
        let found = self_test(&gpu);
        let failed: Vec<&Check> = found.failed().collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let mut of_others = vec!["conv2d_tiled."];
        if !gpu.has_f16() {
            of_others.push("loss_scale.");
        }
        let here = |kernel: &String| !of_others.iter().any(|file| kernel.starts_with(file));
        let left: Vec<String> = found.not_run().into_iter().filter(here).collect();
        assert!(left.is_empty(), "no check runs {left:?}");
    }
}
