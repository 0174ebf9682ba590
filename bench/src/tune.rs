//! Which algorithm and tile computes a convolution fastest on the adapter at hand.
//!
//! A candidate and the table's choice run in turns, and the ratio of their times within a round is used,
//! because both then ran on the machine in the same state. The best of many noisy ratios is partly chance, so
//! the candidate with the best ratio is judged in separate rounds. A candidate whose result differs from that
//! of the table's choice is rejected.

use crate::error::{Error, Result};
use crate::profile;
use frostline_engine::ops::{Conv2d, MaxPool2d};
use frostline_engine::tensor::Init;
use frostline_engine::tuning::{Algorithm, Conv, Measured, Pass};
use frostline_engine::{
    Error as EngineError, Freeze, Gpu, Graph, Params, Plan, Session, Shape, TensorId, Tuning,
};
use frostline_models::Model;
use std::any::Any;
use std::sync::Arc;

/// The passes of a convolution, in the order in which they are reported.
pub const PASSES: [Pass; 3] = [Pass::Forward, Pass::BackwardInput, Pass::BackwardWeight];

/// y = x, by an op that nothing is folded into. It copies images into the memory pool and out of it, so that
/// the convolution reads them from the same place as in a network.
const IDENTITY: MaxPool2d = MaxPool2d { kernel: 1, stride: 1, padding: 0 };
const LAYER: &str = "measured";
/// A candidate that is this far behind after one round gets no further round.
const HOPELESS: f64 = 0.75;
/// Runs before a timed one on a GPU.
const WARM_UPS: usize = 5;
/// Relative error (L2) between two algorithms: F(4×4, 3×3) stays below a hundredth of this.
const TOLERANCE: f64 = 1e-3;

/// A convolution of a network, on a batch.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The first network that has it, and its sizes: `resnet18 3x3s2 64-128 at 56` is a 3×3
    /// convolution of stride 2, from 64 to 128 channels, on images of 56×56.
    pub name: String,
    op: Conv2d,
    x: Shape,
    weight: Shape,
    /// It reads the photo, whose gradient is not needed.
    first: bool,
}

/// The convolutions of `networks` (name, images in a batch, side of the images), one of each class
/// that is tuned together.
///
/// # Errors
/// If a network is unknown or cannot be recorded at that size.
pub fn layers<'n>(networks: impl IntoIterator<Item = (&'n str, usize, usize)>) -> Result<Vec<Layer>> {
    let (mut layers, mut classes) = (vec![], vec![]);
    for (name, batch, side) in networks {
        let model = Model::new(name)?;
        let mut graph = Graph::new();
        let images = graph.input(batch, side, side, model.input_channels());
        model.record(&mut graph, images)?;
        for node in graph.nodes() {
            let op: &dyn Any = &*node.op;
            let Some(op) = op.downcast_ref::<Conv2d>() else { continue };
            let (x, weight) = (graph.shape(node.inputs[0]), graph.shape(node.inputs[1]));
            let layer = Layer {
                name: format!("{name} {}", sizes(op, x, weight)),
                op: op.clone(),
                x,
                weight,
                first: node.inputs[0] == images,
            };
            let class = layer.conv(Pass::Forward)?.class();
            if !classes.contains(&class) {
                classes.push(class);
                layers.push(layer);
            }
        }
    }
    Ok(layers)
}

fn sizes(op: &Conv2d, x: Shape, weight: Shape) -> String {
    match (x, weight) {
        (Shape::Image { h, .. }, Shape::Filter { kh, kw, c_in, c_out }) => {
            format!("{kh}x{kw}s{} {c_in}-{c_out} at {h}", op.stride)
        }
        _ => format!("{weight} of {x}"),
    }
}

impl Layer {
    /// Its passes in training.
    pub fn passes(&self) -> impl Iterator<Item = Pass> {
        PASSES.into_iter().filter(|pass| !(self.first && *pass == Pass::BackwardInput))
    }

    fn conv(&self, pass: Pass) -> Result<Conv> {
        Ok(self.op.conv(pass, self.x, self.weight)?)
    }
}

/// The extent of the measurement.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Candidates tried per pass, those that resemble the table's choice first.
    pub candidates: usize,
    /// Only candidates whose short form begins with this, such as `tiled`.
    pub only: String,
    /// Rounds that pick the best candidate; it is judged in twice as many, and one.
    pub rounds: usize,
    /// How much faster it must be: with 0.1, the table's choice must take at least 1.1 times as long.
    pub margin: f64,
}

/// The findings about one pass of a layer.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The convolution.
    pub conv: Conv,
    /// The table's choice.
    pub table: Algorithm,
    /// Its median time in the last rounds.
    pub milliseconds: f64,
    /// The candidate that was judged, if one looked faster.
    pub best: Option<Algorithm>,
    /// The time of `table` over the time of `best`: the median of the last rounds.
    pub ratio: f64,
    /// Faster by the margin in the median, and faster at all in three of four rounds.
    pub kept: bool,
    /// Candidates that were timed.
    pub tried: usize,
    /// Each of them, with the time of `table` over its time: the median of its rounds.
    pub ratios: Vec<(Algorithm, f64)>,
    /// Candidates with a different result, or that the driver refused.
    pub refused: usize,
}

/// Measures `layer` on the device of `gpu`; it calls `go_on` before every further candidate.
///
/// # Errors
/// If the device fails, or cannot time single kernels.
pub fn measure(
    gpu: &Arc<Gpu>,
    layer: &Layer,
    effort: &Effort,
    mut go_on: impl FnMut() -> bool,
) -> Result<Vec<Finding>> {
    let tuning = Tuning { measured: None, ..gpu.tuning().clone() };
    let mut findings = vec![];
    let mut candidates = vec![];
    for pass in layer.passes() {
        let conv = layer.conv(pass)?;
        let table = tuning.table(&conv);
        let named = |algorithm: &Algorithm| algorithm.to_string().starts_with(&effort.only);
        let fit = |algorithm: &Algorithm| {
            *algorithm != table && named(algorithm) && tuning.suits_class(&conv, *algorithm)
        };
        candidates.push(
            tuning.candidates(&conv).into_iter().filter(fit).take(effort.candidates).collect::<Vec<_>>(),
        );
        findings.push(Finding {
            conv,
            table,
            milliseconds: 0.0,
            best: None,
            ratio: 1.0,
            kept: false,
            tried: 0,
            ratios: vec![],
            refused: 0,
        });
    }
    let bench = Bench::new(gpu, layer)?;
    let mut own = Probe::new(gpu, layer, &tuning, &bench)?;
    let expected = own.values(layer)?;
    for turn in 0..candidates.iter().map(Vec::len).max().unwrap_or(0) {
        if !go_on() {
            break;
        }
        // All passes of a layer try their next candidate at once.
        let choices: Vec<Option<Algorithm>> =
            candidates.iter().map(|candidates| candidates.get(turn).copied()).collect();
        let table = Turn { layer, tuning: &tuning, bench: &bench, findings: &findings };
        let Some((lanes, other)) = race(gpu, &table, &choices, &mut own, effort.rounds)? else {
            for (finding, _) in findings.iter_mut().zip(choices).filter(|(_, choice)| choice.is_some()) {
                finding.refused += 1;
            }
            continue;
        };
        // A kernel with a different result is not a candidate. It is checked first, because reading back
        // takes longer than a round.
        let faster =
            findings.iter().zip(&lanes).any(|(finding, lane)| quantile(&lane.ratios, 0.5) > finding.ratio);
        let values = if faster { other.values(layer)? } else { vec![] };
        for (at, (finding, choice)) in findings.iter_mut().zip(choices).enumerate() {
            let (Some(algorithm), lane) = (choice, &lanes[at]) else { continue };
            if values.get(at).is_some_and(|values| !agree(&expected[at], values)) {
                finding.refused += 1;
                continue;
            }
            finding.tried += 1;
            let ratio = quantile(&lane.ratios, 0.5);
            finding.ratios.push((algorithm, ratio));
            if ratio > finding.ratio {
                (finding.best, finding.ratio) = (Some(algorithm), ratio);
            }
        }
    }
    let best: Vec<Option<Algorithm>> = findings.iter().map(|finding| finding.best).collect();
    let table = Turn { layer, tuning: &tuning, bench: &bench, findings: &findings };
    let Some((lanes, _)) = race(gpu, &table, &best, &mut own, 2 * effort.rounds + 1)? else {
        for finding in &mut findings {
            (finding.best, finding.ratio) = (None, 1.0);
        }
        return Ok(findings);
    };
    for (finding, lane) in findings.iter_mut().zip(lanes) {
        finding.milliseconds = quantile(&lane.milliseconds, 0.5);
        if finding.best.is_some() {
            finding.ratio = quantile(&lane.ratios, 0.5);
            finding.kept = finding.ratio >= 1.0 + effort.margin && quantile(&lane.ratios, 0.25) > 1.0;
        }
    }
    Ok(findings)
}

/// The rounds of one pass.
#[derive(Default)]
struct Lane {
    /// Times of the table's choice.
    milliseconds: Vec<f64>,
    /// The time of the table's choice over the other's.
    ratios: Vec<f64>,
}

/// The sides of a race.
struct Turn<'a> {
    layer: &'a Layer,
    tuning: &'a Tuning,
    bench: &'a Bench,
    findings: &'a [Finding],
}

/// Runs the table's choices and `choices` in turns; if there is none, the table's again. Returns the rounds
/// of each pass and the side that ran against `own`, or `None` if the adapter refuses a choice.
fn race(
    gpu: &Arc<Gpu>,
    turn: &Turn<'_>,
    choices: &[Option<Algorithm>],
    own: &mut Probe,
    rounds: usize,
) -> Result<Option<(Vec<Lane>, Probe)>> {
    let mut measured = Measured::default();
    for (finding, choice) in turn.findings.iter().zip(choices) {
        if let Some(algorithm) = choice {
            measured.insert(&finding.conv, *algorithm);
        }
    }
    let tuning = Tuning { measured: Some(Arc::new(measured)), ..turn.tuning.clone() };
    let mut other = match Probe::new(gpu, turn.layer, &tuning, turn.bench) {
        Ok(probe) => probe,
        Err(error @ Error::Engine(EngineError::DeviceLost { .. })) => return Err(error),
        // Too large for this adapter, or its compiler fails.
        Err(_) => return Ok(None),
    };
    let mut lanes: Vec<Lane> = own.passes.iter().map(|_| Lane::default()).collect();
    for round in 0..rounds.max(1) {
        // The second side may run on a warmer machine.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = own.sample(gpu)?;
            (ours, other.sample(gpu)?)
        } else {
            let theirs = other.sample(gpu)?;
            (own.sample(gpu)?, theirs)
        };
        for (lane, (ours, theirs)) in lanes.iter_mut().zip(ours.into_iter().zip(theirs)) {
            lane.milliseconds.push(ours);
            lane.ratios.push(ours / theirs);
        }
        let hopeless =
            |(lane, choice): (&Lane, &Option<Algorithm>)| choice.is_none() || lane.ratios[0] < HOPELESS;
        if lanes.iter().zip(choices).all(hopeless) && choices.iter().any(Option::is_some) {
            break;
        }
    }
    Ok(Some((lanes, other)))
}

/// A layer as a graph, with the values that all candidates compute from.
struct Bench {
    graph: Graph,
    output: TensorId,
    params: Params,
    images: Vec<f32>,
    grad_output: Vec<f32>,
}

impl Bench {
    fn new(gpu: &Arc<Gpu>, layer: &Layer) -> Result<Self> {
        let mut graph = Graph::new();
        let x = match layer.x {
            Shape::Image { n, h, w, c } if layer.first => graph.input(n, h, w, c),
            // An image that needs a gradient.
            shape => {
                let image = graph.parameter("image", shape, Init::Uniform { fan_in: 1 })?;
                graph.record(IDENTITY, "in", &[image])?
            }
        };
        let weight = graph.parameter("weight", layer.weight, Init::KaimingNormal)?;
        let y = graph.record(layer.op.clone(), LAYER, &[x, weight])?;
        let output = graph.record(IDENTITY, "out", &[y])?;
        let numbers = |count| (0..count).map(|i| (i as f32 * 0.618_034).fract() - 0.5).collect::<Vec<_>>();
        Ok(Self {
            params: Params::new(gpu, &graph, 0)?,
            images: numbers(if layer.first { layer.x.count() } else { 0 }),
            grad_output: numbers(graph.shape(output).padded_count()),
            graph,
            output,
        })
    }
}

/// A layer on the device: for each pass, which of the step's dispatches belong to it.
struct Probe {
    session: Session,
    passes: Vec<Vec<bool>>,
}

impl Probe {
    /// Runs the layer once, forward and backward with everything that trains, because the driver compiles a
    /// kernel when it first runs.
    fn new(gpu: &Arc<Gpu>, layer: &Layer, tuning: &Tuning, bench: &Bench) -> Result<Self> {
        let plan = Plan::gradient(&bench.graph, bench.output, &Freeze::none(), tuning)?;
        let kernels = profile::kernels(&plan);
        let belongs = |pass: Pass| {
            kernels.iter().map(|kernel| kernel.layer == LAYER && kernel.purpose == purpose(pass)).collect()
        };
        let passes = layer.passes().map(belongs).collect();
        let mut session = Session::new(gpu, plan, &bench.params, None)?;
        if layer.first {
            session.write_input(&bench.images)?;
        }
        session.write_packed_grad_output(&bench.grad_output)?;
        session.run()?;
        Ok(Self { session, passes })
    }

    /// The result of each pass.
    fn values(&self, layer: &Layer) -> Result<Vec<Vec<f32>>> {
        let values = layer.passes().map(|pass| match pass {
            Pass::Forward => self.session.read_output(),
            Pass::BackwardInput => self.session.read_gradient("image"),
            Pass::BackwardWeight => self.session.read_gradient("weight"),
        });
        Ok(values.collect::<Result<_, _>>()?)
    }

    /// Milliseconds of each pass.
    fn sample(&mut self, gpu: &Gpu) -> Result<Vec<f64>> {
        // A GPU lowers its clock between two rounds.
        for _ in 0..if gpu.is_software() { 0 } else { WARM_UPS } {
            self.session.run()?;
        }
        let times = self.session.profile()?;
        if times.is_empty() {
            return Err(EngineError::Graph(format!(
                "{} cannot time single kernels, which tuning needs",
                gpu.describe()
            ))
            .into());
        }
        let sum = |pass: &Vec<bool>| {
            times.iter().zip(pass).filter(|(_, belongs)| **belongs).map(|((_, time), _)| time).sum()
        };
        Ok(self.passes.iter().map(sum).collect())
    }
}

fn purpose(pass: Pass) -> usize {
    match pass {
        Pass::Forward => profile::FORWARD,
        Pass::BackwardInput => profile::INPUT_GRADIENT,
        Pass::BackwardWeight => profile::WEIGHT_GRADIENT,
    }
}

/// Whether these are equal up to rounding. A value that is not finite is equal to none.
fn agree(a: &[f32], b: &[f32]) -> bool {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let error = squares(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    a.len() == b.len() && error.sqrt() <= TOLERANCE * squares(&mut a.iter().map(|a| f64::from(*a))).sqrt()
}

/// The quantile `part` of `values`, without interpolation.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_a_network_is_there_once() {
        let found = layers([("resnet18", 8, 224), ("resnet18", 8, 224)]).unwrap();
        let names: Vec<&str> = found.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names.len(), 11, "{names:?}");
        assert_eq!((names[0], names[1]), ("resnet18 7x7s2 3-64 at 224", "resnet18 3x3s1 64-64 at 56"));
        assert_eq!(
            (found[0].passes().count(), found[1].passes().count()),
            (2, 3),
            "the photo's gradient is not needed"
        );
        assert_eq!(
            layers([("resnet18", 8, 224), ("resnet18", 7, 224)]).unwrap().len(),
            11,
            "7 and 8 images are one class"
        );
        assert!(layers([("resnet19", 8, 224)]).is_err());
    }

    #[test]
    fn results_agree_up_to_rounding() {
        assert!(agree(&[1.0, -2.0], &[1.0, -2.0001]));
        assert!(!agree(&[1.0, -2.0], &[1.0, -2.1]));
        assert!(!agree(&[1.0, -2.0], &[1.0, f32::NAN]));
        assert!(!agree(&[1.0, -2.0], &[1.0]));
    }

    #[test]
    fn quantiles_are_values() {
        let values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.25), quantile(&[7.0], 0.5)), (3.0, 2.0, 7.0));
    }

    #[test]
    fn a_small_layer_is_measured_and_a_budget_of_nothing_tries_nothing() {
        let gpu = Arc::new(Gpu::new().unwrap());
        let layer = &layers([("resnet10", 4, 8)]).unwrap()[1];
        let effort = Effort { candidates: 1, only: String::new(), rounds: 1, margin: 1e9 };
        let findings = measure(&gpu, layer, &effort, || true).unwrap();
        assert_eq!(findings.len(), 3);
        for finding in findings {
            assert_eq!((finding.tried, finding.refused, finding.kept), (1, 0, false), "{finding:?}");
            assert!(finding.milliseconds > 0.0 && finding.ratio.is_finite(), "{finding:?}");
        }
        let untried = measure(&gpu, layer, &effort, || false).unwrap();
        assert!(untried.iter().all(|finding| finding.tried == 0 && finding.best.is_none()));
    }
}
