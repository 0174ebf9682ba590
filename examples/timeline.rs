//! A picture of one training step: a bar for every kernel, in the order they run, timed by the
//! device, and a ghost for every kernel that the freeze left out.
//!
//! ```sh
//! cargo run --release --example timeline -- --model resnet18 --freeze-below layer4
//! ```
//!
//! The step is planned twice, with the freeze and without. A ghost is a kernel of the second plan
//! that the first does not have; it is as wide as the time it took there.

use clap::Parser;
use frostline::engine::record::{Dispatch, Home, Phase};
use frostline::engine::{Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session, TensorId};
use frostline::lesson::timeline::{self, Span, Timeline};
use frostline::models::Model;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Draws a training step as a timeline, with ghosts for what the freeze skipped.
#[derive(Parser)]
struct Arguments {
    /// The network.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Freeze all that comes before this stage or group.
    #[arg(long, value_name = "GROUP", default_value = "layer4")]
    freeze_below: String,
    /// Images in a step.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Side of the square images in pixels; the network's own by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16384))]
    size: Option<u32>,
    /// Steps to take each kernel's median of.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// The picture.
    #[arg(long, value_name = "FILE", default_value = "out/timeline.png")]
    out: PathBuf,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let model = Model::new(&arguments.model)?;
    let (batch, size) = (arguments.batch as usize, arguments.size.map_or(model.default_size(), |size| size as usize));
    let mut graph = Graph::new();
    let x = graph.input(batch, size, size, model.input_channels());
    let labels = graph.labels(batch);
    let recorded = model.record(&mut graph, x)?;
    let loss = graph.cross_entropy(recorded.output(), labels, 0.0)?;
    let first = model.members(&arguments.freeze_below).map_or(arguments.freeze_below.clone(), |groups| groups[0].clone());
    let freeze = Freeze::below(&graph, &first)?;

    let gpu = Arc::new(Gpu::new()?);
    if !gpu.has_timestamps() {
        return Err(format!("{} cannot time single kernels: it has no timestamp queries", gpu.describe()).into());
    }
    let frozen = profile(&gpu, &graph, loss, &freeze, arguments)?;
    let open = profile(&gpu, &graph, loss, &Freeze::none(), arguments)?;
    let kernels = merge(&frozen, &open);
    let picture = picture(
        &kernels,
        &freeze,
        &graph,
        format!("{} frozen below {}, {batch} × {size} × {size}", model.name(), arguments.freeze_below),
        gpu.describe(),
    );
    timeline::draw(&arguments.out, &picture)?;
    println!("{}\n{}\n{}", picture.title, picture.note, arguments.out.display());
    Ok(())
}

/// A kernel of a step and how long it took.
#[derive(Clone, Debug, PartialEq)]
struct Kernel {
    name: String,
    layer: String,
    phase: Phase,
    /// Which of [`SERIES`].
    series: usize,
    milliseconds: f64,
    ghost: bool,
}

impl Kernel {
    fn is(&self, other: &Kernel) -> bool {
        (&self.name, &self.layer, self.phase) == (&other.name, &other.layer, other.phase)
    }
}

/// The kernels of a training step in the order they run, each with the median of its times.
fn profile(gpu: &Arc<Gpu>, graph: &Graph, loss: TensorId, freeze: &Freeze, arguments: &Arguments) -> Outcome<Vec<Kernel>> {
    let plan = Plan::training(graph, loss, freeze, &Optim::sgd(0.01).momentum(0.9), gpu.tuning())?;
    let mut kernels: Vec<Kernel> = step(&plan).zip(series(&plan)).map(Kernel::from).collect();
    let params = Params::new(gpu, graph, 0)?;
    let optimizer = Optimizer::new(gpu, &plan)?;
    let mut session = Session::new(gpu, plan, &params, Some(&optimizer))?;
    let labels: Vec<u32> = (0..arguments.batch).map(|image| image % 10).collect();
    session.write_labels(&labels)?;
    let mut times = vec![vec![]; kernels.len()];
    session.run()?; // compiles
    for _ in 0..arguments.steps {
        for (times, (_, time)) in times.iter_mut().zip(session.profile()?) {
            times.push(time);
        }
    }
    for (kernel, times) in kernels.iter_mut().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        kernel.milliseconds = times.get(times.len() / 2).copied().ok_or("the step has more kernels than one profile can time")?;
    }
    Ok(kernels)
}

impl From<(&Dispatch, usize)> for Kernel {
    fn from((dispatch, series): (&Dispatch, usize)) -> Self {
        let (name, layer) = (dispatch.variant.kernel.name(), dispatch.layer.clone());
        Self { name, layer, phase: dispatch.phase, series, milliseconds: 0.0, ghost: false }
    }
}

/// The kernels of `frozen`, with those of `open` that it lacks as ghosts where they would have run.
fn merge(frozen: &[Kernel], open: &[Kernel]) -> Vec<Kernel> {
    let mut merged: Vec<Kernel> = open.iter().map(|kernel| Kernel { ghost: true, ..kernel.clone() }).collect();
    let mut after = 0;
    for kernel in frozen {
        match merged.iter().position(|other| other.ghost && other.is(kernel)) {
            Some(at) => {
                merged[at] = kernel.clone();
                after = at + 1;
            }
            // Only the frozen plan has it: it comes behind the one before it.
            None => {
                merged.insert(after, kernel.clone());
                after += 1;
            }
        }
    }
    merged
}

/// Rows are blocks of layers from the image down to the loss; colours are what a kernel is for.
fn picture(kernels: &[Kernel], freeze: &Freeze, graph: &Graph, title: String, adapter: String) -> Timeline {
    let mut rows: Vec<String> = vec![];
    for kernel in kernels.iter().filter(|kernel| kernel.phase == Phase::Forward) {
        if !rows.contains(&block(&kernel.layer)) {
            rows.push(block(&kernel.layer));
        }
    }
    let row = |rows: &mut Vec<String>, layer: &str| {
        let block = block(layer);
        rows.iter().position(|row| *row == block).unwrap_or_else(|| {
            rows.push(block);
            rows.len() - 1
        })
    };
    let mut spans = vec![];
    for kernel in kernels {
        let row = row(&mut rows, &kernel.layer);
        spans.push(Span { row, series: kernel.series, part: part(kernel.phase), milliseconds: kernel.milliseconds, ghost: kernel.ghost });
    }
    // The rows above the first one that a trainable parameter is in.
    let trains: Vec<String> = graph.parameter_names().into_iter().filter(|name| !freeze.is_frozen(name)).map(block).collect();
    let frozen = rows.iter().position(|row| trains.contains(row)).unwrap_or(0);
    let sum = |ghost: bool| kernels.iter().filter(|kernel| kernel.ghost == ghost).map(|kernel| kernel.milliseconds).sum::<f64>();
    let count = |ghost: bool| kernels.iter().filter(|kernel| kernel.ghost == ghost).count();
    let (ran, skipped) =
        (format!("{} kernels, {:.1} ms", count(false), sum(false)), format!("{} kernels, {:.1} ms", count(true), sum(true)));
    Timeline {
        title: format!("A training step of {title}: {ran} ran; {skipped} were left out"),
        note: adapter,
        rows,
        frozen,
        series: SERIES.map(str::to_owned).to_vec(),
        parts: ["forward", "backward", "update"].map(str::to_owned).to_vec(),
        spans,
    }
}

/// `layer2.0` for `layer2.0.conv1`, else the layer's first part.
fn block(layer: &str) -> String {
    let mut parts = layer.split('.');
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        Some(number) if number.parse::<usize>().is_ok() => format!("{first}.{number}"),
        _ => first.to_owned(),
    }
}

const SERIES: [&str; 5] =
    ["convolutions: input gradients", "convolutions: forward", "convolutions: weight gradients", "update of the weights", "all else"];

/// Which of [`SERIES`] each dispatch of the step belongs to. An algorithm may take several kernels:
/// what of a convolution's backward leads to a parameter's gradient belongs to its weight's.
fn series(plan: &Plan) -> Vec<usize> {
    let step: Vec<&Dispatch> = step(plan).collect();
    let mut series = vec![4; step.len()];
    for (at, dispatch) in step.iter().enumerate().rev() {
        let file = dispatch.variant.kernel.file;
        let convolution = ["conv2d", "depthwise_conv2d", "conv2d_tiled", "winograd", "partials"].contains(&file);
        let lands = |id| plan.buffer(id).is_some_and(|buffer| matches!(buffer.home, Home::Gradient(_)));
        let feeds = |id| (at + 1..step.len()).any(|next| series[next] == 2 && step[next].bindings.iter().any(|(_, read)| *read == id));
        let found = match dispatch.phase {
            Phase::Update => 3,
            _ if !convolution => 4,
            Phase::Backward if dispatch.written().any(lands) || dispatch.written().any(feeds) => 2,
            Phase::Backward => 0,
            Phase::Prologue | Phase::Forward => 1,
        };
        series[at] = found;
    }
    series
}

/// The dispatches of a step: all but the prologue.
fn step(plan: &Plan) -> impl Iterator<Item = &Dispatch> {
    plan.dispatches().iter().filter(|dispatch| dispatch.phase != Phase::Prologue)
}

fn part(phase: Phase) -> usize {
    match phase {
        Phase::Prologue | Phase::Forward => 0,
        Phase::Backward => 1,
        Phase::Update => 2,
    }
}
