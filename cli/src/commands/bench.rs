//! `frostline bench`: what this machine does a second, by what trains. `make bench` is the long form.

use crate::{Error, Output, Result, gpu};
use clap::Args;
use frostline_engine::{Gpu, Storage};
use frostline_models::Model;
use frostline_trainer::{KernelTime, Runner, Step, Workload};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The flags.
#[derive(Args, Debug)]
pub struct Bench {
    /// The network, such as resnet18 or resnet50.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Side of the square images in pixels; the network's own by default.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=16384))]
    size: Option<u16>,
    /// Images per step.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// How long to measure each kind of step; three steps at least are taken.
    #[arg(long, default_value_t = 3.0, value_name = "S", value_parser = seconds)]
    seconds: f64,
    /// Store activations as 16-bit floats, where the adapter has them.
    #[arg(long)]
    f16: bool,
    /// Also time every kernel of a step by the device's own clock, and add the kernels up by name.
    #[arg(long)]
    kernels: bool,
    /// Only this kind of step: infer, full, the last stage's name, head or features.
    #[arg(long, value_name = "STEP")]
    only: Option<String>,
}

/// Fewer have no middle.
const FEWEST: usize = 3;
/// Steps that are submitted without a wait between them.
const RESIDENT: usize = 4;
/// Steps that a kernel's time is the median of.
const PROFILED: usize = 5;

/// One kind of step.
#[derive(Serialize)]
struct Row {
    /// infer, full, the last stage's name, head, or features.
    step: String,
    images_per_second: f64,
    /// The median step, from handing over a batch to the end.
    milliseconds: f64,
    /// A step of several that are submitted without a wait, on a batch that is on the device already.
    resident_milliseconds: f64,
    /// The first step, with buffers, pipelines and what the driver compiles.
    first_milliseconds: f64,
    gflops: f64,
    /// Steps measured.
    samples: usize,
    /// Every dispatch of a step, with `--kernels`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kernels: Vec<KernelTime>,
}

impl Bench {
    /// Measures, and prints a line a kind of step as it is done.
    ///
    /// # Errors
    /// For a model that there is not, or a batch that does not fit.
    pub fn run(&self, output: &Output) -> Result<()> {
        let gpu = gpu::open()?;
        let model = Model::new(&self.model)?;
        let size = self.size.map_or(model.default_size(), usize::from);
        let storage = if self.f16 { Storage::f16() } else { Storage::F32 };
        let workload = Workload { name: self.model.clone(), model, batch: usize::from(self.batch), size, storage };
        output.say(format_args!("{}, {} × {size} × {size} on {}", workload.model, self.batch, gpu.describe()))?;
        output.say(format_args!(
            "{:<10} {:>9} {:>10} {:>12} {:>12} {:>9} {:>6}",
            "step", "images/s", "ms", "resident ms", "first ms", "GFLOP/s", "steps"
        ))?;
        let mut rows = vec![];
        let wanted = |step: &Step| self.only.as_ref().is_none_or(|only| *only == workload.name(*step));
        let steps: Vec<Step> = Step::ALL.into_iter().filter(wanted).collect();
        if steps.is_empty() {
            let known = Step::ALL.map(|step| workload.name(step)).join(", ");
            let only = self.only.as_deref().unwrap_or_default();
            return Err(Error::Flags(format!("--only {only}: the steps of {} are {known}", self.model)));
        }
        for step in steps {
            let row = self.measure(&gpu, &workload, step)?;
            let Row { step, images_per_second, milliseconds, resident_milliseconds, first_milliseconds, gflops, samples, .. } = &row;
            output.say(format_args!(
                "{step:<10} {images_per_second:>9.1} {milliseconds:>10.2} {resident_milliseconds:>12.3} {first_milliseconds:>12.0} \
                 {gflops:>9.1} {samples:>6}"
            ))?;
            if self.kernels {
                output.say(by_kernel(&row.kernels))?;
            }
            rows.push(row);
        }
        output.json(
            &json!({ "model": self.model, "batch": self.batch, "size": size, "f16": self.f16, "adapter": gpu.describe(), "steps": rows }),
        )
    }

    fn measure(&self, gpu: &Arc<Gpu>, workload: &Workload, step: Step) -> Result<Row> {
        let mut runner = Runner::new(gpu, workload, step)?;
        let mut times = vec![];
        let start = Instant::now();
        while times.len() < FEWEST || start.elapsed() < Duration::from_secs_f64(self.seconds) {
            let step = Instant::now();
            runner.run()?;
            times.push(step.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let time = times[times.len() / 2];
        let (mut resident, start) = (vec![], Instant::now());
        while resident.len() < FEWEST || start.elapsed() < Duration::from_secs_f64(self.seconds / 2.0) {
            resident.push(runner.run_resident(RESIDENT)?.as_secs_f64());
        }
        resident.sort_by(f64::total_cmp);
        let kernels = if self.kernels { runner.profile(PROFILED)? } else { vec![] };
        Ok(Row {
            step: workload.name(step),
            images_per_second: workload.batch as f64 / time,
            milliseconds: 1e3 * time,
            resident_milliseconds: 1e3 * resident[resident.len() / 2],
            first_milliseconds: 1e3 * runner.first.as_secs_f64(),
            gflops: 2.0 * runner.macs() as f64 / time / 1e9,
            samples: times.len(),
            kernels,
        })
    }
}

/// A table of the kernels' times, added up by name, the slowest first.
fn by_kernel(kernels: &[KernelTime]) -> String {
    let mut sums: Vec<(&str, usize, f64, u64, u64)> = vec![];
    for kernel in kernels {
        let at = sums.iter().position(|(name, ..)| *name == kernel.kernel).unwrap_or_else(|| {
            sums.push((&kernel.kernel, 0, 0.0, 0, 0));
            sums.len() - 1
        });
        let (_, count, time, macs, bytes) = &mut sums[at];
        *count += 1;
        *time += kernel.milliseconds;
        *macs += kernel.macs;
        *bytes += kernel.bytes;
    }
    sums.sort_by(|a, b| b.2.total_cmp(&a.2));
    let total: f64 = sums.iter().map(|(_, _, time, ..)| time).sum();
    let mut text = format!("  {:<34} {:>5} {:>10} {:>6} {:>9} {:>8}", "kernel", "count", "ms", "share", "GFLOP/s", "GB/s");
    for (name, count, time, macs, bytes) in sums {
        let rate = |amount: f64| amount / (1e6 * time.max(1e-9));
        let (share, gflops, gigabytes) = (100.0 * time / total.max(1e-9), rate(2.0 * macs as f64), rate(bytes as f64));
        text += &format!("\n  {name:<34} {count:>5} {time:>10.3} {share:>5.1}% {gflops:>9.1} {gigabytes:>8.1}");
    }
    format!("{text}\n  {:<34} {:>5} {total:>10.3}", "all", kernels.len())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "a number of seconds from 0 to 3600".to_owned())
}
