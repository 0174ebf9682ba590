//! How many images a second a step takes, by what trains: ResNet-18, ResNet-20 and ResNet-10.
//!
//! ```sh
//! cargo bench --bench step                                     # all
//! cargo bench --bench step -- 'resnet18/(infer|full)'          # what a pattern names
//! FROSTLINE_STEPS="resnet50:8:224 resnet50:8:224:f16" cargo bench --bench step   # and MODEL:BATCH:SIDE
//! ```
//!
//! Each row has a separate device, so that the first step shows the cost of a first run: buffers, pipelines,
//! and the driver's own compiling. `benches/README.md` explains the figures.

mod common;

use common::report::{FOLDER, significant};
use common::roofline::Roofline;
use common::steps::workloads;
use common::{Outcome, describe, median, or_exit, wall};
use criterion::{Criterion, SamplingMode, Throughput};
use frostline::bench::{Runner, Step, Workload};
use frostline::engine::Gpu;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One step of one network.
struct Row {
    name: String,
    images_per_second: f64,
    milliseconds: f64,
    /// Of the first step, with all that it has to prepare.
    first_milliseconds: f64,
    gflops: f64,
    /// Of the rate of the matrix product.
    share: f64,
    samples: usize,
}

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .nresamples(2000)
        .warm_up_time(Duration::from_millis(1)) // the first step, timed apart, has warmed it up
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    or_exit(run(&mut criterion));
    criterion.final_summary();
}

fn run(criterion: &mut Criterion) -> Outcome<()> {
    let gpu = Arc::new(Gpu::new()?);
    let mut roofline = Roofline::new(&gpu)?;
    let (mut rows, mut products) = (vec![], vec![]);
    for workload in workloads(&std::env::var("FROSTLINE_STEPS").unwrap_or_default())? {
        for step in Step::ALL {
            rows.extend(measure(criterion, &mut roofline, &workload, step, &mut products)?);
        }
    }
    if rows.is_empty() {
        return Ok(()); // a pattern that names none, or `--list`
    }
    write(&rows, &describe(&gpu), &roofline.describe(), median(&products))
}

/// Measures `step` if criterion's arguments select it; adds the roofline's rates to `products`.
fn measure(
    criterion: &mut Criterion,
    roofline: &mut Roofline,
    workload: &Workload,
    step: Step,
    products: &mut Vec<f64>,
) -> Outcome<Option<Row>> {
    let name = workload.name(step);
    let mut runner: Option<Runner> = None;
    let (mut seconds, mut best) = (vec![], vec![]);
    let mut group = criterion.benchmark_group(&workload.name);
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(workload.batch as u64));
    group.bench_function(&name, |bencher| {
        let runner = runner.get_or_insert_with(|| {
            let gpu = Arc::new(or_exit(Gpu::new().map_err(Into::into)));
            or_exit(Runner::new(&gpu, workload, step).map_err(Into::into))
        });
        bencher.iter_custom(|count| {
            best.push(or_exit(roofline.product()));
            let mut total = Duration::ZERO;
            for _ in 0..count {
                let time = wall(|| or_exit(runner.run().map_err(Into::into)));
                seconds.push(time.as_secs_f64());
                total += time;
            }
            total
        });
    });
    group.finish();
    let Some(runner) = runner else { return Ok(None) };
    let (time, product) = (median(&seconds), median(&best));
    let gflops = 2.0 * runner.macs() as f64 / time / 1e9;
    products.append(&mut best);
    Ok(Some(Row {
        name: format!("{}/{name}", workload.name),
        images_per_second: workload.batch as f64 / time,
        milliseconds: 1e3 * time,
        first_milliseconds: 1e3 * runner.first.as_secs_f64(),
        gflops,
        share: gflops / product,
        samples: seconds.len(),
    }))
}

/// Writes `step.json` and `step.md`, and prints the table.
fn write(rows: &[Row], adapter: &str, roofline: &str, product: f64) -> Outcome<()> {
    let mut json: Map<String, Value> =
        rows.iter().map(|row| (row.name.clone(), json!(row.images_per_second))).collect();
    let column = |value: &dyn Fn(&Row) -> f64| -> Value {
        rows.iter().map(|row| (row.name.clone(), json!(value(row)))).collect()
    };
    json.insert("adapter".to_owned(), json!(adapter));
    json.insert("milliseconds".to_owned(), column(&|row| row.milliseconds));
    json.insert("first_milliseconds".to_owned(), column(&|row| row.first_milliseconds));
    json.insert("gflops".to_owned(), column(&|row| row.gflops));
    json.insert("share_of_roofline".to_owned(), column(&|row| row.share));
    json.insert("roofline_gflops".to_owned(), json!(product));

    let mut text = format!(
        "## Steps\n\nAdapter: {adapter}.\nRoofline: {roofline}: {product:.0} GFLOP/s, median of this run.\n\n"
    );
    let _ = writeln!(
        text,
        "| {:<24} | images/s | ms a step | GFLOP/s | roofline | first step, ms | steps |",
        "step"
    );
    let _ = writeln!(
        text,
        "|{}|---------:|----------:|--------:|---------:|---------------:|------:|",
        "-".repeat(26)
    );
    for row in rows {
        let [rate, time, gflops, first] =
            [row.images_per_second, row.milliseconds, row.gflops, row.first_milliseconds].map(significant);
        let (name, share, samples) = (&row.name, 100.0 * row.share, row.samples);
        let _ = writeln!(
            text,
            "| {name:<24} | {rate:>8} | {time:>9} | {gflops:>7} | {share:>7.0}% | {first:>14} | {samples:>5} |"
        );
    }
    let folder = Path::new(FOLDER);
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("step.json"), serde_json::to_string_pretty(&json)?)?;
    std::fs::write(folder.join("step.md"), &text)?;
    println!("\n{text}");
    Ok(())
}
