//! Every kernel beside the machine's limits: milliseconds, GFLOP/s or GB/s, share of the roofline.
//!
//! ```sh
//! cargo bench --bench kernels                                       # all, a few minutes
//! cargo bench --bench kernels -- 'resnet18/conv2d 3x3.*forward'     # what a pattern names
//! cargo bench --bench kernels -- --quick                            # fewer samples
//! ```
//!
//! Between any two samples of a kernel the roofline is sampled too, so that both run under the same
//! conditions, and a share of the roofline is more reliable than either alone. `benches/README.md` explains
//! the figures.

mod common;

use common::cases::{self, Case, NETWORKS, Pass};
use common::report::{Report, Row, rate};
use common::roofline::Roofline;
use common::timer::{Timer, step};
use common::{Outcome, describe, median, or_exit};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use frostline::engine::Gpu;
use std::sync::Arc;
use std::time::Duration;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .nresamples(2000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    or_exit(run(&mut criterion));
    criterion.final_summary();
}

fn run(criterion: &mut Criterion) -> Outcome<()> {
    let gpu = Arc::new(Gpu::new()?);
    let mut roofline = Roofline::new(&gpu)?;
    let (mut rows, mut products, mut copies) = (vec![], vec![], vec![]);
    let cases = cases::all()?;
    for case in &cases {
        for &pass in case.passes() {
            let rates = if case.macs().is_some() { &mut products } else { &mut copies };
            rows.extend(measure(criterion, &gpu, &mut roofline, case, pass, rates)?);
        }
    }
    if rows.is_empty() {
        return Ok(()); // a pattern that names none, or `--list`
    }
    let complete = |network: usize| {
        let wanted = cases
            .iter()
            .filter(|case| case.macs().is_some() && case.layers[network] > 0)
            .map(|case| case.passes().len());
        let measured = rows.iter().filter(|row: &&Row| row.op == "conv2d" && row.layers[network] > 0);
        measured.count() == wanted.sum::<usize>()
    };
    let report = Report {
        adapter: describe(&gpu),
        roofline: roofline.describe(),
        product_gflops: (!products.is_empty()).then(|| median(&products)),
        copy_gbytes: (!copies.is_empty()).then(|| median(&copies)),
        clock: if gpu.has_timestamps() { "device timestamps" } else { "host clock" },
        networks: NETWORKS.to_vec(),
        complete: (0..NETWORKS.len()).map(complete).collect(),
        rows,
    };
    report.write()
}

/// Measures `pass` of `case` if criterion's arguments select it; adds the roofline's rates to `rates`.
fn measure(
    criterion: &mut Criterion,
    gpu: &Arc<Gpu>,
    roofline: &mut Roofline,
    case: &Case,
    pass: Pass,
    rates: &mut Vec<f64>,
) -> Outcome<Option<Row>> {
    let (graph, plan) = case.plan(pass, gpu.tuning())?;
    let counted = step(&plan).filter(|dispatch| cases::counts(pass, dispatch));
    let bytes: u64 = counted.map(|dispatch| dispatch.bytes_read + dispatch.bytes_written).sum();
    let flops = case.macs().map(|macs| 2 * macs);
    let (work, unit) = (flops.unwrap_or(bytes), if flops.is_some() { "GFLOP/s" } else { "GB/s" });

    let mut timer: Option<Timer> = None;
    let (mut seconds, mut best) = (vec![], vec![]);
    let mut group = criterion.benchmark_group(case.network());
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(flops.map_or(Throughput::Bytes(bytes), Throughput::Elements));
    group.bench_function(
        BenchmarkId::new(format!("{} {}", case.op(), case.shape()), pass.name()),
        |bencher| {
            let put = || Timer::new(gpu, &graph, plan.clone(), |dispatch| cases::counts(pass, dispatch));
            let timer = timer.get_or_insert_with(|| or_exit(put()));
            bencher.iter_custom(|count| {
                let mut total = Duration::ZERO;
                for _ in 0..count {
                    best.push(or_exit(if flops.is_some() { roofline.product() } else { roofline.copy() }));
                    let time = or_exit(timer.sample());
                    seconds.push(time.as_secs_f64());
                    total += time;
                }
                total
            });
        },
    );
    group.finish();
    if seconds.is_empty() {
        return Ok(None);
    }
    let work = work as f64 / 1e9;
    let (milliseconds, rate, share) = rate(&seconds, work, &best);
    let row = Row {
        network: case.network(),
        op: case.op(),
        shape: case.shape(),
        pass: pass.name(),
        layers: case.layers.to_vec(),
        milliseconds,
        work,
        unit,
        rate,
        roofline: median(&best),
        share,
        samples: seconds.len(),
    };
    rates.append(&mut best);
    Ok(Some(row))
}
