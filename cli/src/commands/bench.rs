//! `frostline bench`: how many steps and images per second this machine computes, for each choice of layers
//! that train. `make bench` is the long form.

use crate::{Error, Output, Result, gpu};
use clap::Args;
use frostline_bench::{KernelSum, KernelTime, Step, StepSpeed, Workload, by_kernel, measure};
use frostline_engine::Storage;
use frostline_models::Model;
use serde_json::json;

/// The flags.
#[derive(Args, Debug)]
pub struct Bench {
    /// The network, such as resnet18 or resnet50.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Side of the square images in pixels; by default that of the network.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=16384))]
    size: Option<u16>,
    /// Images per step.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// How long to measure each kind of step; at least three steps are taken.
    #[arg(long, default_value_t = 3.0, value_name = "S", value_parser = seconds)]
    seconds: f64,
    /// Store activations as 16-bit floats, where the adapter has them.
    #[arg(long)]
    f16: bool,
    /// Also time every kernel of a step by the device's clock, and sum the times by kernel name.
    #[arg(long)]
    kernels: bool,
    /// Only this kind of step: infer, full, the last stage's name, head or features.
    #[arg(long, value_name = "STEP")]
    only: Option<String>,
}

impl Bench {
    /// Measures, and prints one line per kind of step as soon as it is measured.
    ///
    /// # Errors
    /// For an unknown model, or a batch that does not fit into memory.
    pub fn run(&self, output: &Output) -> Result<()> {
        let gpu = gpu::open()?;
        let model = Model::new(&self.model)?;
        let size = self.size.map_or(model.default_size(), usize::from);
        let storage = if self.f16 { Storage::f16() } else { Storage::F32 };
        let workload =
            Workload { name: self.model.clone(), model, batch: usize::from(self.batch), size, storage };
        output.say(format_args!(
            "{}, {} × {size} × {size} on {}",
            workload.model,
            self.batch,
            gpu.describe()
        ))?;
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
            let row = measure(&gpu, &workload, step, self.seconds, self.kernels)?;
            let StepSpeed {
                step,
                images_per_second,
                milliseconds,
                resident_milliseconds,
                first_milliseconds,
                gflops,
                samples,
                ..
            } = &row;
            output.say(format_args!(
                "{step:<10} {images_per_second:>9.1} {milliseconds:>10.2} {resident_milliseconds:>12.3} {first_milliseconds:>12.0} \
                 {gflops:>9.1} {samples:>6}"
            ))?;
            if self.kernels {
                output.say(table(&row.kernels))?;
            }
            rows.push(row);
        }
        output.json(
            &json!({ "model": self.model, "batch": self.batch, "size": size, "f16": self.f16, "adapter": gpu.describe(), "steps": rows }),
        )
    }
}

/// A table of the kernels' times, the slowest first.
fn table(kernels: &[KernelTime]) -> String {
    let sums = by_kernel(kernels);
    let total: f64 = sums.iter().map(|sum| sum.milliseconds).sum();
    let mut text = format!(
        "  {:<34} {:>5} {:>10} {:>6} {:>9} {:>8}",
        "kernel", "count", "ms", "share", "GFLOP/s", "GB/s"
    );
    for sum in sums {
        let (share, gflops, gigabytes) =
            (100.0 * sum.milliseconds / total.max(1e-9), sum.gflops(), sum.gigabytes());
        let KernelSum { kernel, count, milliseconds, .. } = sum;
        text += &format!(
            "\n  {kernel:<34} {count:>5} {milliseconds:>10.3} {share:>5.1}% {gflops:>9.1} {gigabytes:>8.1}"
        );
    }
    format!("{text}\n  {:<34} {:>5} {total:>10.3}", "all", kernels.len())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "a number of seconds from 0 to 3600".to_owned())
}
