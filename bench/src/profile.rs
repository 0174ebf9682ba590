//! The kernels of a training step with their times, and those that a freeze left out: the same step is
//! planned twice, with the freeze and without, and a kernel that only the second contains is a *ghost*: it is
//! drawn as left out.

use crate::error::Result;
use crate::measure::median;
use frostline_charts::timeline::{Span, Timeline};
use frostline_engine::dispatch::{Dispatch, Home, Phase};
use frostline_engine::{Error, Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session, TensorId};
use frostline_models::Model;
use std::sync::Arc;

/// A kernel of a step and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// Such as `conv2d.forward`.
    pub name: String,
    /// Such as `layer2.0.conv1`.
    pub layer: String,
    /// When it runs.
    pub phase: Phase,
    /// Its purpose: the index in [`PURPOSES`].
    pub purpose: usize,
    /// The median of its times.
    pub milliseconds: f64,
    /// The freeze left it out.
    pub ghost: bool,
}

/// What kernels are for.
pub const PURPOSES: [&str; 5] = [
    "convolutions: input gradients",
    "convolutions: forward",
    "convolutions: weight gradients",
    "update of the weights",
    "all else",
];
pub(crate) const INPUT_GRADIENT: usize = 0;
pub(crate) const FORWARD: usize = 1;
pub(crate) const WEIGHT_GRADIENT: usize = 2;
const UPDATE: usize = 3;
const ELSE: usize = 4;

/// The kernels of a training step under `freeze` in the order they run, and among them as ghosts
/// those of the step with nothing frozen, each with the median of `steps` times. Both steps take turns, so
/// that they run under the same conditions.
///
/// # Errors
/// If the device fails, or cannot time single kernels.
pub fn step(
    gpu: &Arc<Gpu>,
    (graph, loss): (&Graph, TensorId),
    freeze: &Freeze,
    (images, labels): (&[f32], &[u32]),
    steps: usize,
) -> Result<Vec<Kernel>> {
    let mut profilers = vec![];
    for freeze in [freeze, &Freeze::none()] {
        let plan = Plan::training(graph, loss, freeze, &Optim::sgd(0.01).momentum(0.9), gpu.tuning())?;
        let kernels = kernels(&plan);
        let optimizer = Optimizer::new(gpu, &plan)?;
        let mut session = Session::new(gpu, plan, &Params::new(gpu, graph, 0)?, Some(&optimizer))?;
        session.write_input(images)?;
        session.write_labels(labels)?;
        session.run()?; // the driver compiles a kernel when it first runs
        profilers.push((session, vec![vec![]; kernels.len()], kernels));
    }
    for _ in 0..steps.max(1) {
        for (session, times, _) in &mut profilers {
            times.iter_mut().zip(session.profile()?).for_each(|(times, (_, time))| times.push(time));
        }
    }
    let timed = profilers.into_iter().map(|(_, times, mut kernels)| {
        for (kernel, mut times) in kernels.iter_mut().zip(times) {
            if times.is_empty() {
                return Err(Error::Graph(format!(
                    "{} cannot time single kernels, or not as many as this step has",
                    gpu.describe()
                ))
                .into());
            }
            kernel.milliseconds = median(&mut times);
        }
        Ok(kernels)
    });
    let timed = timed.collect::<Result<Vec<_>>>()?;
    Ok(merge(&timed[0], &timed[1]))
}

/// The kernels of `plan`'s step in the order they run, not yet timed. A convolution's algorithm may have
/// several kernels: those of its backward pass that lead to a parameter's gradient belong to the weight's
/// gradient.
pub(crate) fn kernels(plan: &Plan) -> Vec<Kernel> {
    let step: Vec<&Dispatch> =
        plan.dispatches().iter().filter(|dispatch| dispatch.phase != Phase::Prologue).collect();
    let mut kernels: Vec<Kernel> = vec![];
    for (at, dispatch) in step.iter().enumerate().rev() {
        let convolution = ["conv2d", "conv2d_tiled", "winograd", "depthwise_conv2d", "partials"]
            .contains(&dispatch.variant.kernel.file);
        let lands = |id| plan.buffer(id).is_some_and(|buffer| matches!(buffer.home, Home::Gradient(_)));
        // `kernels` contains, in reverse, those after this one.
        let behind = || {
            step[at + 1..].iter().zip(kernels.iter().rev()).filter(|(next, _)| next.layer == dispatch.layer)
        };
        let feeds = |id| {
            behind()
                .any(|(next, kernel)| kernel.purpose == WEIGHT_GRADIENT && next.used().any(|read| read == id))
        };
        let purpose = match dispatch.phase {
            Phase::Update => UPDATE,
            _ if !convolution => ELSE,
            Phase::Backward if dispatch.written().any(|id| lands(id) || feeds(id)) => WEIGHT_GRADIENT,
            Phase::Backward => INPUT_GRADIENT,
            Phase::Prologue | Phase::Forward => FORWARD,
        };
        let (name, layer) = (dispatch.variant.kernel.name(), dispatch.layer.clone());
        kernels.push(Kernel { name, layer, phase: dispatch.phase, purpose, milliseconds: 0.0, ghost: false });
    }
    kernels.reverse();
    kernels
}

/// The kernels of `frozen`, with those of `open` that it lacks as ghosts where they would have run.
fn merge(frozen: &[Kernel], open: &[Kernel]) -> Vec<Kernel> {
    let key = |kernel: &Kernel| (kernel.name.clone(), kernel.layer.clone(), kernel.phase);
    let mut merged: Vec<Kernel> =
        open.iter().map(|kernel| Kernel { ghost: true, ..kernel.clone() }).collect();
    let mut after = 0;
    for kernel in frozen {
        match merged.iter().position(|other| other.ghost && key(other) == key(kernel)) {
            Some(at) => {
                merged[at] = kernel.clone();
                after = at + 1;
            }
            // Only the frozen plan has it: it comes after the one before it.
            None => {
                merged.insert(after, kernel.clone());
                after += 1;
            }
        }
    }
    merged
}

/// A training step of `model`, frozen below the stage or group `below`, on `batch` made-up images of
/// `size` × `size` pixels as a picture; kernels are timed over `steps` steps.
///
/// # Errors
/// For an unknown group; if the device fails, or cannot time single kernels.
pub fn picture(
    gpu: &Arc<Gpu>,
    model: &Model,
    below: &str,
    (batch, size): (usize, usize),
    steps: usize,
) -> Result<Timeline> {
    let mut graph = Graph::new();
    let x = graph.input(batch, size, size, model.input_channels());
    let labels = graph.labels(batch);
    let recorded = model.record(&mut graph, x)?;
    let loss = graph.cross_entropy(recorded.output(), labels, 0.0)?;
    let first = model.members(below).map_or(below.to_owned(), |groups| groups[0].clone());
    let freeze = Freeze::below(&graph, &first)?;
    let images: Vec<f32> =
        (0..graph.shape(x).count()).map(|i| (i as f32 * 0.618_034).fract() - 0.5).collect();
    let labels: Vec<u32> = (0..batch as u32).map(|image| image % 2).collect();
    let kernels = step(gpu, (&graph, loss), &freeze, (&images, &labels), steps)?;
    let title =
        format!("A training step of {} frozen below {below}, {batch} × {size} × {size}", model.name());
    Ok(timeline(&kernels, (&graph, &freeze), &title, &gpu.describe()))
}

/// `kernels` as a picture: rows are blocks of layers from the image down to the loss.
pub fn timeline(kernels: &[Kernel], (graph, freeze): (&Graph, &Freeze), step: &str, note: &str) -> Timeline {
    let mut rows: Vec<String> = vec![];
    for kernel in kernels.iter().filter(|k| k.phase == Phase::Forward).chain(kernels) {
        if !rows.contains(&block(&kernel.layer)) {
            rows.push(block(&kernel.layer));
        }
    }
    let span = |kernel: &Kernel| Span {
        row: rows.iter().position(|row| *row == block(&kernel.layer)).unwrap_or_default(),
        series: kernel.purpose,
        part: match kernel.phase {
            Phase::Prologue | Phase::Forward => 0,
            Phase::Backward => 1,
            Phase::Update => 2,
        },
        milliseconds: kernel.milliseconds,
        ghost: kernel.ghost,
    };
    let spans = kernels.iter().map(span).collect();
    // The rows above the first one with a trainable parameter.
    let trains: Vec<String> =
        graph.parameter_names().into_iter().filter(|name| !freeze.is_frozen(name)).map(block).collect();
    let frozen = rows.iter().position(|row| trains.contains(row)).unwrap_or(0);
    let sum = |ghost: bool| {
        let chosen: Vec<f64> =
            kernels.iter().filter(|kernel| kernel.ghost == ghost).map(|kernel| kernel.milliseconds).collect();
        format!("{} kernels, {:.1} ms", chosen.len(), chosen.iter().sum::<f64>())
    };
    Timeline {
        title: format!("{step}: {} ran; {} were left out", sum(false), sum(true)),
        note: note.to_owned(),
        frozen,
        series: PURPOSES.map(str::to_owned).to_vec(),
        parts: ["forward", "backward", "update"].map(str::to_owned).to_vec(),
        spans,
        rows,
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

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_engine::{Padding, Tuning};

    fn kernel(name: &str, phase: Phase, milliseconds: f64, ghost: bool) -> Kernel {
        Kernel { name: name.to_owned(), layer: "layer".to_owned(), phase, purpose: 4, milliseconds, ghost }
    }

    #[test]
    fn a_ghost_stands_where_its_kernel_would_have_run() {
        let run = |name, time| kernel(name, Phase::Forward, time, false);
        let ghost = |name, time| kernel(name, Phase::Forward, time, true);
        let open = [run("conv", 4.0), run("norm", 1.0), run("conv", 5.0), run("norm", 2.0), run("mean", 3.0)];
        let frozen = [run("conv", 4.5), run("mask", 0.1), run("conv", 5.5), run("mean", 3.5)];
        let expected = [
            run("conv", 4.5),
            run("mask", 0.1),
            ghost("norm", 1.0),
            run("conv", 5.5),
            ghost("norm", 2.0),
            run("mean", 3.5),
        ];
        assert_eq!(merge(&frozen, &open), expected);
    }

    #[test]
    fn every_algorithms_kernels_are_counted_for_the_gradient_they_lead_to() {
        let mut graph = Graph::new();
        let x = graph.input(2, 14, 14, 8);
        let labels = graph.labels(2);
        let a = graph.conv2d(x, "a", 32, 3, 1, Padding::all(1)).unwrap();
        let b = graph.conv2d(a, "b", 32, 3, 1, Padding::all(1)).unwrap();
        let c = graph.conv2d(b, "c", 32, 3, 1, Padding::all(1)).unwrap();
        let mean = graph.global_avg_pool(c, "mean").unwrap();
        let loss = graph.cross_entropy(mean, labels, 0.0).unwrap();
        let freeze = Freeze::names(["b.weight"]);
        for tuning in [Tuning::portable(), Tuning::subgroup(8), Tuning::gpu()] {
            let plan = Plan::training(&graph, loss, &freeze, &Optim::sgd(0.1), &tuning).unwrap();
            let purposes = |layer: &str| {
                let mut found: Vec<usize> = kernels(&plan)
                    .into_iter()
                    .filter(|k| k.layer == layer && k.phase == Phase::Backward)
                    .map(|k| k.purpose)
                    .collect();
                found.sort();
                found.dedup();
                found
            };
            assert_eq!(purposes("a"), [2], "the image's gradient is not needed");
            assert_eq!(purposes("b"), [0], "its weight is frozen");
            assert_eq!(purposes("c"), [0, 2]);
        }
    }
}
