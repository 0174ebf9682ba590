//! Invalid settings and sizes are refused when a graph is recorded or planned, with an error that names the
//! problem; nothing panics. No device is needed.

use frostline_engine::context::{Backward, Forward};
use frostline_engine::dispatch::MOST_TURNS;
use frostline_engine::kernel::Kernel;
use frostline_engine::ops::{BatchNorm, CrossEntropy, MaxPool2d, MultiMargin, Op};
use frostline_engine::request::Request;
use frostline_engine::{Error, Freeze, Graph, Group, Optim, Padding, Plan, Rule, Shape, TensorId, Tuning};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn text<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error.to_string(),
    }
}

fn training(optim: &Optim) -> Result<Plan, Error> {
    let mut graph = Graph::new();
    let (x, labels) = (graph.input(4, 1, 1, 6), graph.labels(4));
    let logits = graph.linear(x, "fc", 3)?;
    let loss = graph.cross_entropy(logits, labels, 0.0)?;
    Plan::training(&graph, loss, &Freeze::none(), optim, &Tuning::portable())
}

#[test]
fn optimisers() {
    let adamw = |beta1, beta2, eps| Optim { rule: Rule::AdamW { beta1, beta2, eps }, ..Optim::adamw(0.1) };
    let sgd = |momentum, nesterov| Optim { rule: Rule::Sgd { momentum, nesterov }, ..Optim::sgd(0.1) };
    let group =
        |rate, weight_decay| Group { members: vec!["fc".to_owned()], rate, weight_decay, frozen: false };
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        for (optim, name) in [
            (adamw(0.9, 0.999, bad), "eps"),
            (adamw(f64::from(bad), 0.999, 1e-8), "beta1"),
            (adamw(0.9, f64::from(bad), 1e-8), "beta2"),
            (sgd(bad, false), "momentum"),
            (Optim::sgd(bad), "learning rate"),
            (Optim::adamw(0.1).weight_decay(bad), "weight decay"),
            (Optim::sgd(0.1).group(group(bad, 0.0)), "factor on the learning rate"),
            (Optim::sgd(0.1).group(group(1.0, bad)), "weight decay"),
        ] {
            assert!(
                text(training(&optim)).starts_with(&format!("{name} = {bad}")),
                "{}",
                text(training(&optim))
            );
        }
    }
    assert!(text(training(&adamw(0.9, 1.0, 1e-8))).starts_with("beta2 = 1: "));
    assert!(text(training(&sgd(1.0, false))).starts_with("momentum = 1: "));
    assert!(text(training(&sgd(0.0, true))).contains("Nesterov"));
    for good in [adamw(0.0, 0.0, 0.0), sgd(0.9, true), sgd(0.0, false), Optim::sgd(0.0)] {
        training(&good).unwrap();
    }
}

#[test]
fn batch_norms() {
    let refused = |eps: f32, momentum: f32| {
        let mut graph = Graph::new();
        let x = graph.input(2, 3, 3, 5);
        graph.batch_norm(x, "bn", 1e-5).unwrap();
        let inputs = graph.nodes()[0].inputs.clone();
        text(graph.record(BatchNorm { eps, momentum, ..Default::default() }, "bn", &inputs))
    };
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        assert!(refused(bad, 0.1).contains(&format!("batch_norm bn: eps {bad}")), "{}", refused(bad, 0.1));
        assert!(refused(1e-5, bad).contains(&format!("momentum {bad}")), "{}", refused(1e-5, bad));
    }
    assert!(refused(1e-5, 1.5).contains("momentum 1.5"));
}

/// Records a loss of logits and labels.
type RecordLoss<'a> = &'a dyn Fn(&mut Graph, [TensorId; 2]) -> Result<TensorId, Error>;

#[test]
fn losses() {
    let refused = |loss: RecordLoss| {
        let mut graph = Graph::new();
        let inputs = [graph.input(4, 1, 1, 3), graph.labels(4)];
        text(loss(&mut graph, inputs))
    };
    for bad in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
        let smooth = |graph: &mut Graph, [z, labels]: [TensorId; 2]| graph.cross_entropy(z, labels, bad);
        assert!(refused(&smooth).contains(&format!("label smoothing {bad}")));
        let weighted = |graph: &mut Graph, inputs: [TensorId; 2]| {
            graph.record(
                CrossEntropy { class_weights: vec![1.0, -bad.abs(), 1.0], ..Default::default() },
                "loss",
                &inputs,
            )
        };
        assert!(refused(&weighted).contains("class 1 has weight"));
    }
    for margin in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let svm =
            |graph: &mut Graph, inputs: [TensorId; 2]| graph.record(MultiMargin { margin }, "loss", &inputs);
        assert!(refused(&svm).contains(&format!("margin {margin}")));
    }
}

#[test]
fn windows() {
    let recorded = |c_out: usize, kernel: usize, stride: usize, padding: usize| {
        let mut graph = Graph::new();
        let x = graph.input(2, 8, 8, 3);
        graph.conv2d(x, "conv1", c_out, kernel, stride, Padding::all(padding))
    };
    assert!(text(recorded(0, 3, 1, 1)).contains("conv1.weight"));
    assert!(text(recorded(4, 0, 1, 0)).contains("conv1"));
    assert!(text(recorded(4, 3, 0, 1)).contains("conv2d conv1: stride 0"));
    assert!(text(recorded(4, 11, 1, 0)).contains("does not fit"));
    for huge in [usize::MAX, usize::MAX / 2, 1 << 33] {
        assert!(text(recorded(4, 3, huge, 1)).contains("too large"));
        assert!(text(recorded(4, 3, 1, huge)).contains("too large"));
    }
    let mut graph = Graph::new();
    let x = graph.input(2, 8, 8, 3);
    let mut pool =
        |kernel, stride, padding| text(graph.record(MaxPool2d { kernel, stride, padding }, "pool", &[x]));
    assert!(pool(3, 0, 1).contains("max_pool2d pool: stride 0"));
    assert!(pool(0, 1, 0).contains("max_pool2d pool: kernel 0x0"));
    assert!(pool(3, 1, 2).contains("padding at most half"));
    assert!(pool(3, 1, usize::MAX).contains("too large"));
    assert!(text(graph.depthwise_conv2d(x, "dw", 3, 0, Padding::all(1))).contains("stride 0"));
}

#[test]
fn empty_inputs() {
    for [n, h, w, c] in [[0, 8, 8, 3], [2, 0, 8, 3], [2, 8, 0, 3], [2, 8, 8, 0]] {
        let mut graph = Graph::new();
        let x = graph.input(n, h, w, c);
        let text = text(graph.relu(x, "relu"));
        assert!(
            text.contains("`input`")
                && text.contains(&format!("({n}, {c}, {h}, {w})"))
                && text.contains("1 or more"),
            "{text}"
        );
    }
}

/// An op that copies its input by a request of these numbers.
#[derive(Clone, Copy, Debug)]
struct Odd {
    size4: usize,
    turns: usize,
}

impl Op for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn output_shape(&self, _layer: &str, inputs: &[Shape]) -> Result<Shape, Error> {
        Ok(inputs[0])
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<(), Error> {
        let bindings = [("x", f.input(0)), ("y", f.output())];
        let request = Request::new(Kernel { file: "copy", entry: "forward" }, [1, 1, 1]).bind(&bindings);
        f.dispatch(request.params(&[("size4", self.size4)]).turns(self.turns))
    }

    fn backward(&self, _b: &mut Backward<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

/// A number beyond 32 bits, or too many loop turns, is refused and not truncated.
#[test]
fn requests() {
    let planned = |odd: Odd| {
        let mut graph = Graph::new();
        let x = graph.input(1, 2, 2, 4);
        let y = graph.record(odd, "layer", &[x])?;
        Plan::inference(&graph, y, &Tuning::portable())
    };
    planned(Odd { size4: u32::MAX as usize, turns: MOST_TURNS as usize }).unwrap();
    // A negative number is passed on as it is.
    planned(Odd { size4: 0usize.wrapping_sub(3), turns: 0 }).unwrap();
    for size4 in [1 << 32, usize::MAX / 2] {
        let text = text(planned(Odd { size4, turns: 0 }));
        assert!(
            text.contains("layer: copy.forward") && text.contains(&format!("size4 would be {size4}")),
            "{text}"
        );
    }
    let text = text(planned(Odd { size4: 1, turns: 65_001 }));
    assert!(text.contains("layer: copy.forward") && text.contains("65001 loop turns"), "{text}");
}

/// Only a loss can be trained on: any other output has no given gradient.
#[test]
fn training_needs_a_loss() {
    let mut graph = Graph::new();
    let x = graph.input(1, 2, 2, 4);
    let y = graph.conv2d(x, "conv", 4, 1, 1, Padding::all(0)).unwrap();
    let plan = Plan::training(&graph, y, &Freeze::none(), &Optim::sgd(0.1), &Tuning::portable());
    let text = text(plan);
    assert!(text.contains("`conv`") && text.contains("not a loss"), "{text}");
}

/// Any call of the public API with small, odd and huge numbers: an error, or a plan, and no panic.
#[test]
fn odd_values_never_panic() {
    const SIZES: [usize; 14] = [0, 1, 2, 3, 4, 5, 7, 15, 16, 64, 65_536, 1 << 32, usize::MAX / 2, usize::MAX];
    let tunings = [Tuning::portable(), Tuning::gpu(), Tuning::subgroup(8)];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut planned = 0;
    for _ in 0..6000 {
        // Mostly small, so that some graphs get far.
        let mut size =
            || if rng.random_bool(0.8) { rng.random_range(1..9) } else { *SIZES.choose(&mut rng).unwrap() };
        let mut graph = Graph::new();
        let (n, h, w, c) = (size(), size(), size(), size());
        let x = graph.input(n, h, w, c);
        let labels = graph.labels(n);
        let numbers: Vec<usize> = (0..16).map(|_| size()).collect();
        let float = [0.0, 1e-5, 0.1, 1.0, -1.0, f32::NAN, f32::INFINITY][numbers[15] % 7];
        let mut build = || {
            let padding = match numbers[0] % 3 {
                0 => Padding::same(h, w, numbers[1], numbers[2]),
                1 => Padding::all(numbers[3]),
                _ => Padding { top: numbers[3], left: numbers[4], bottom: numbers[5], right: numbers[1] },
            };
            let x = match numbers[6] % 4 {
                0 => graph.conv2d(x, "conv", numbers[7], numbers[1], numbers[2], padding)?,
                1 => graph.conv2d_bias(x, "conv", numbers[7], numbers[1], numbers[2], padding)?,
                2 => graph.depthwise_conv2d(x, "conv", numbers[1], numbers[2], padding)?,
                _ => x,
            };
            let x = if numbers[8].is_multiple_of(2) { graph.batch_norm(x, "bn", float.abs())? } else { x };
            let x = if numbers[9].is_multiple_of(2) {
                graph.max_pool2d(x, "pool", numbers[10], numbers[11], numbers[12] % 3)?
            } else {
                x
            };
            let x = graph.relu(x, "relu")?;
            let x = graph.global_avg_pool(x, "average")?;
            let logits = graph.linear(x, "fc", numbers[13])?;
            let loss = if numbers[14].is_multiple_of(2) {
                graph.cross_entropy(logits, labels, float)?
            } else {
                graph.multi_margin(logits, labels, float)?
            };
            Ok::<_, Error>((logits, loss))
        };
        let Ok((logits, loss)) = build() else { continue };
        for tuning in &tunings {
            planned +=
                usize::from(Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.1), tuning).is_ok());
            let _ = Plan::inference(&graph, logits, tuning);
            let _ = Plan::input_gradient(&graph, logits, tuning);
        }
    }
    assert!(planned > 300, "{planned} plans");
}
