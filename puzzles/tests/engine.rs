//! The engine's own kernels solve the puzzles: where their layout is the puzzle's, their text is run and marked
//! as a reader's is; the others run in a plan, and the marking gets what the plan computed.

use frostline_engine::ops::{Conv2d, Linear, Padding};
use frostline_engine::tensor::Init;
use frostline_engine::{Freeze, Gpu, Graph, Params, Plan, Session, Shape, TensorId, Tuning};
use frostline_puzzles::case::{Case, Input, permuted};
use frostline_puzzles::device::{Device, Scalar};
use frostline_puzzles::interface::interface;
use frostline_puzzles::verdict::{BEHIND, UNWRITTEN, judge};
use frostline_puzzles::{Puzzle, try_case};
use frostline_shaders::{Share, source};
use frostline_twin::Array;
use std::sync::Arc;

const SEED: u64 = 3;

fn cases(name: &str) -> Vec<Case> {
    (Puzzle::find(name).expect("a puzzle").cases)(SEED)
}

fn size(case: &Case, name: &str) -> usize {
    match case.params.iter().find(|(known, _)| *known == name) {
        Some((_, Scalar::Whole(value))) => *value as usize,
        other => panic!("{name}: {other:?}"),
    }
}

fn words<'a>(case: &'a Case, name: &str) -> &'a [u32] {
    &case.inputs.iter().find(|input| input.name == name).expect("an input").words
}

fn floats(case: &Case, name: &str) -> Vec<f32> {
    words(case, name).iter().map(|word| f32::from_bits(*word)).collect()
}

/// `case` with another name for its output, and arrays and numbers that only the engine's kernel has.
fn as_the_engine(case: &Case, output: &'static str, arrays: &[(&'static str, Vec<f32>)]) -> Case {
    let mut case = case.clone();
    let shape = case.expected.value.value.shape.clone();
    let channels = *shape.last().expect("an axis");
    let rows = shape.iter().product::<usize>() / channels;
    let c4 = channels / 4;
    case.expected.name = output;
    for (name, values) in arrays {
        let words = values.iter().map(|value| value.to_bits()).collect();
        case.inputs.push(Input { name, words, float: true });
    }
    // What constants leave out is bound all the same.
    for name in ["mask", "residual", "argmax_out", "mixes", "class_weights", "scaler", "y"] {
        if name != output && case.inputs.iter().all(|input| input.name != name) {
            case.inputs.push(Input { name, words: vec![0; 4096], float: true });
        }
    }
    case.sizes(&[("rows", rows), ("c4", c4), ("items", rows.div_ceil(8) * c4)])
}

/// Runs an entry point of `shaders/<file>.wgsl` and marks it.
fn check(device: &Device, name: &str, file: &str, entry: &str, prepare: impl Fn(&Case) -> Case) {
    let text = source(file, &[], Share::Portable, &[]).unwrap();
    let found = interface(&text, entry, file).unwrap_or_else(|fault| panic!("{fault}"));
    let program = pollster::block_on(device.program(&text, entry, found)).unwrap();
    for case in cases(name) {
        let marked = pollster::block_on(try_case(device, &program, &prepare(&case)));
        marked.unwrap_or_else(|complaint| panic!("{name} by {file}.{entry}: {complaint}"));
    }
}

#[test]
fn texts_of_the_engine_pass() {
    let device = pollster::block_on(Device::open()).unwrap();
    check(&device, "add.forward", "add", "forward", |case| as_the_engine(case, "y", &[]));
    check(&device, "relu.forward", "relu", "forward", |case| as_the_engine(case, "out", &[]));
    check(&device, "relu.backward", "relu", "backward", |case| as_the_engine(case, "out", &[]));
    let averaged = |case: &Case, output| {
        let (images, pixels, c4) = (size(case, "images"), size(case, "pixels"), size(case, "channels") / 4);
        let mut case = as_the_engine(case, output, &[]);
        case.params.retain(|(name, _)| *name != "items");
        let items = if output == "y" { images * c4 } else { images * pixels * c4 };
        case.sizes(&[("items", items), ("per_part", pixels), ("parts", 1)]).float("divisor", pixels as f32)
    };
    check(&device, "global_avg_pool.forward", "global_avg_pool", "forward", |case| averaged(case, "y"));
    check(&device, "global_avg_pool.backward", "global_avg_pool", "backward", |case| averaged(case, "dx"));
    let pooled = |case: &Case, output| {
        let items = case.expected.value.value.data.len() / 4;
        let mut prepared = as_the_engine(case, output, &[]);
        prepared.params.retain(|(name, _)| *name != "items");
        if output == "dx" {
            // The engine keeps the places of four channels as the bytes of a word.
            let fours = words(case, "place").chunks_exact(4);
            let packed = fours.map(|four| four.iter().rev().fold(0, |all, place| all << 8 | place));
            prepared = prepared.words("argmax", packed.collect());
        }
        // Squares of one pixel, as the engine has them for large strides.
        let [first, cells_h, cells_w] = ["padding", "h_in", "w_in"].map(|name| size(case, name));
        prepared.sizes(&[("items", items), ("first", first), ("cells_h", cells_h), ("cells_w", cells_w)])
    };
    check(&device, "max_pool2d.forward", "max_pool2d", "forward", |case| pooled(case, "y"));
    check(&device, "max_pool2d.backward", "max_pool2d", "backward", |case| pooled(case, "dx"));
    check(&device, "cross_entropy.backward", "cross_entropy", "backward", |case| {
        let rows = size(case, "rows");
        let norm = |logits: &[f32]| {
            let largest = logits.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
            [largest, sum.ln() as f32]
        };
        let logits = floats(case, "logits");
        let norms = logits.chunks_exact(size(case, "classes")).flat_map(norm).collect();
        let summary = vec![0.0, 0.0, rows as f32, rows as f32];
        as_the_engine(case, "dlogits", &[("norms", norms), ("summary", summary)])
            .sizes(&[("slot", 0)])
            .float("smoothing", 0.0)
            .float("mean_weight", 1.0)
    });
    let normed = |case: Case| {
        case.sizes(&[("rows_per_chunk", 1), ("chunks", 1)]).float("eps", 1e-5).float("momentum", 0.1)
    };
    check(&device, "batch_norm.forward", "batch_norm", "forward", |case| {
        let [mean, variance, gamma, beta] =
            ["mean", "variance", "gamma", "beta"].map(|name| floats(case, name));
        let scale: Vec<f32> = (0..mean.len()).map(|c| gamma[c] / (variance[c] + 1e-5).sqrt()).collect();
        let shift: Vec<f32> = (0..mean.len()).map(|c| beta[c] - mean[c] * scale[c]).collect();
        normed(as_the_engine(case, "out", &[("affine", [scale, shift].concat())]))
    });
    check(&device, "batch_norm.backward_input", "batch_norm", "backward_input", |case| {
        let [mean, rstd, gamma] = ["mean", "rstd", "gamma"].map(|name| floats(case, name));
        let scale: Vec<f32> = gamma.iter().zip(&rstd).map(|(gamma, rstd)| gamma * rstd).collect();
        let affine = [scale, vec![0.0; mean.len()]].concat();
        let sums = [floats(case, "dbeta"), floats(case, "dgamma")].concat();
        let stats = [mean, rstd].concat();
        normed(as_the_engine(case, "out", &[("stats", stats), ("affine", affine), ("sums", sums)]))
    });
}

/// A plan of one layer: what it computes, and the gradients of its parameters.
struct Layer {
    gpu: Arc<Gpu>,
    graph: Graph,
    values: Vec<(&'static str, Vec<f32>)>,
}

impl Layer {
    fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: gpu.clone(), graph: Graph::new(), values: vec![] }
    }

    fn parameter(&mut self, name: &'static str, shape: Shape, values: Vec<f32>) -> TensorId {
        self.values.push((name, values));
        self.graph.parameter(name, shape, Init::Constant(0.0)).unwrap()
    }

    /// Runs to `output` and back from `dy`, both in PyTorch's order.
    fn run(&self, output: TensorId, dy: &[f32]) -> Session {
        let plan = Plan::gradient(&self.graph, output, &Freeze::none(), &Tuning::portable()).unwrap();
        let params = Params::new(&self.gpu, &self.graph, 0).unwrap();
        for (name, values) in &self.values {
            params.set(name, values).unwrap();
        }
        let mut session = Session::new(&self.gpu, plan, &params, None).unwrap();
        session.write_grad_output(dy).unwrap();
        session.run().unwrap();
        session
    }
}

/// Marks values in the order of memory.
fn accept(name: &str, case: &Case, values: &[f32]) {
    let words = values.iter().map(|value| value.to_bits());
    let words: Vec<u32> = words.chain(std::iter::repeat_n(UNWRITTEN, BEHIND)).collect();
    judge(case, &words).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
}

/// Stored (N, H, W, C) or (H, W, I, O) to PyTorch's (N, C, H, W) or (O, I, H, W).
fn for_pytorch(values: &[f32], shape: [usize; 4], order: [usize; 4]) -> Vec<f32> {
    permuted(&Array::from_f32(&shape, values), order).to_f32()
}

#[test]
fn convolutions_of_the_engine_pass() {
    let gpu = Arc::new(Gpu::new().unwrap());
    const IMAGE: [usize; 4] = [0, 3, 1, 2];
    const FILTER: [usize; 4] = [3, 2, 0, 1];
    let [forward, backward_input, backward_weight] =
        ["conv2d.forward", "conv2d.backward_input", "conv2d.backward_weight"].map(cases);
    for (at, case) in forward.iter().enumerate() {
        let of = |name| size(case, name);
        let [n, h, w, c_in] = ["images", "h_in", "w_in", "c_in"].map(of);
        let [h_out, w_out, c_out, kernel] = ["h_out", "w_out", "c_out", "kernel"].map(of);
        let (x, weight) = (floats(case, "x"), floats(case, "w"));
        // All three puzzles draw the same cases from a seed.
        let dy = floats(&backward_weight[at], "dy");
        assert_eq!(floats(&backward_input[at], "w"), weight);
        let mut layer = Layer::new(&gpu);
        let image = Shape::Image { n, h, w, c: c_in };
        let filter = Shape::Filter { kh: kernel, kw: kernel, c_in, c_out };
        let x = layer.parameter("x", image, for_pytorch(&x, [n, h, w, c_in], IMAGE));
        let weight =
            layer.parameter("w", filter, for_pytorch(&weight, [kernel, kernel, c_in, c_out], FILTER));
        let op = Conv2d { stride: of("stride"), padding: Padding::all(of("padding")), ..Default::default() };
        let y = layer.graph.record(op, "conv", &[x, weight]).unwrap();
        let session = layer.run(y, &for_pytorch(&dy, [n, h_out, w_out, c_out], IMAGE));
        let stored = |values: Vec<f32>, shape, order| for_pytorch(&values, shape, order);
        let result = session.read_output().unwrap();
        accept("conv2d.forward", case, &stored(result, [n, c_out, h_out, w_out], [0, 2, 3, 1]));
        let dx = session.read_gradient("x").unwrap();
        accept("conv2d.backward_input", &backward_input[at], &stored(dx, [n, c_in, h, w], [0, 2, 3, 1]));
        let dw = session.read_gradient("w").unwrap();
        let dw = stored(dw, [c_out, c_in, kernel, kernel], [2, 3, 1, 0]);
        accept("conv2d.backward_weight", &backward_weight[at], &dw);
    }
}

#[test]
fn linear_layers_of_the_engine_pass() {
    let gpu = Arc::new(Gpu::new().unwrap());
    let run = |[rows, inputs, outputs]: [usize; 3], x: Vec<f32>, w: &[f32], bias: Vec<f32>, dy: &[f32]| {
        let mut layer = Layer::new(&gpu);
        let x = layer.parameter("x", Shape::Image { n: rows, h: 1, w: 1, c: inputs }, x);
        // PyTorch stores a linear weight as (outputs, inputs).
        let transposed = (0..w.len()).map(|i| w[i % inputs * outputs + i / inputs]).collect();
        let w = layer.parameter("w", Shape::Matrix { c_in: inputs, c_out: outputs }, transposed);
        let bias = layer.parameter("bias", Shape::Vector { c: outputs }, bias);
        let y = layer.graph.record(Linear, "fc", &[x, w, bias]).unwrap();
        layer.run(y, dy)
    };
    for case in &cases("linear.forward") {
        let sizes = ["rows", "inputs", "outputs"].map(|name| size(case, name));
        let [x, w, bias] = ["x", "w", "bias"].map(|name| floats(case, name));
        let session = run(sizes, x, &w, bias, &vec![0.0; sizes[0] * sizes[2]]);
        accept("linear.forward", case, &session.read_output().unwrap());
    }
    for case in &cases("matmul.tiled") {
        let sizes = ["rows", "inner", "columns"].map(|name| size(case, name));
        let zeros = vec![0.0; sizes[2]];
        let session =
            run(sizes, floats(case, "a"), &floats(case, "b"), zeros, &vec![0.0; sizes[0] * sizes[2]]);
        accept("matmul.tiled", case, &session.read_output().unwrap());
    }
    for case in &cases("linear.backward_bias") {
        let [rows, outputs] = ["rows", "outputs"].map(|name| size(case, name));
        let (x, w, bias) = (vec![1.0; rows], vec![1.0; outputs], vec![0.0; outputs]);
        let session = run([rows, 1, outputs], x, &w, bias, &floats(case, "dy"));
        accept("linear.backward_bias", case, &session.read_gradient("bias").unwrap());
    }
}

/// Dispatches entry points of one file one after the other, and reads the arrays `wanted`.
fn dispatched(
    device: &Device,
    file: &str,
    entries: &[(&str, u32)],
    arrays: &[(&str, Vec<u32>)],
    params: &[(&str, Scalar)],
    wanted: &[&str],
) -> Vec<Vec<f32>> {
    let text = source(file, &[], Share::Portable, &[]).unwrap();
    let uploaded: Vec<_> = arrays.iter().map(|(name, words)| (*name, device.upload(words))).collect();
    let buffers: Vec<_> = uploaded.iter().map(|(name, buffer)| (*name, buffer)).collect();
    for (entry, groups) in entries {
        let found = interface(&text, entry, file).unwrap();
        let program = pollster::block_on(device.program(&text, entry, found)).unwrap();
        device.dispatch(&[&device.bind(&program, &buffers, params, [*groups, 1, 1]).unwrap()], 1);
    }
    let read = |name: &&str| {
        let (_, buffer) = buffers.iter().find(|(known, _)| known == name).unwrap();
        pollster::block_on(device.read(buffer)).unwrap().into_iter().map(f32::from_bits).collect()
    };
    wanted.iter().map(read).collect()
}

#[test]
fn losses_and_statistics_of_the_engine_pass() {
    let device = pollster::block_on(Device::open()).unwrap();
    let whole = |value: usize| Scalar::Whole(value as u32);
    let room = vec![0; 4096];
    for case in &cases("cross_entropy.forward") {
        let [rows, classes] = ["rows", "classes"].map(|name| size(case, name));
        let (logits, labels) = (words(case, "logits").to_vec(), words(case, "labels").to_vec());
        let mut arrays = vec![("logits", logits), ("labels", labels)];
        arrays.extend(["class_weights", "mixes", "norms_out", "rows_out"].map(|name| (name, room.clone())));
        let params = [
            ("rows", whole(rows)),
            ("classes", whole(classes)),
            ("c4", whole(classes / 4)),
            ("slot", whole(0)),
            ("smoothing", Scalar::Float(0.0)),
            ("mean_weight", Scalar::Float(1.0)),
        ];
        let groups = rows.div_ceil(64) as u32;
        let found =
            dispatched(&device, "cross_entropy", &[("forward", groups)], &arrays, &params, &["rows_out"]);
        // A row has its loss, whether it is right, whether it is labelled, and its weight.
        let losses: Vec<f32> = found[0].chunks_exact(4).take(rows).map(|row| row[0]).collect();
        accept("cross_entropy.forward", case, &losses);
    }
    for case in &cases("batch_norm.statistics") {
        let [rows, channels] = ["rows", "channels"].map(|name| size(case, name));
        // One chunk of rows: its partial result is read by the next entry point under another name.
        let params = [
            ("rows", whole(rows)),
            ("c4", whole(channels / 4)),
            ("items", whole(0)),
            ("rows_per_chunk", whole(rows)),
            ("chunks", whole(1)),
            ("eps", Scalar::Float(0.0)),
            ("momentum", Scalar::Float(1.0)),
        ];
        let x = ("x", words(case, "x").to_vec());
        let partial = [x, ("partial_out", room.clone())];
        let partial =
            dispatched(&device, "batch_norm", &[("statistics", 1)], &partial, &params, &["partial_out"]);
        let partial = partial[0].iter().map(|value| value.to_bits()).collect();
        let mut arrays = vec![("partial_in", partial)];
        let others = ["weight", "bias", "stats_out", "affine_out", "running_mean", "running_var"];
        arrays.extend(others.map(|name| (name, room.clone())));
        let wanted = ["running_mean", "running_var"];
        let found = dispatched(&device, "batch_norm", &[("finish", 1)], &arrays, &params, &wanted);
        // With a momentum of 1 the running statistics are the batch's, the variance divided by rows − 1.
        let biased = |variance: &f32| (f64::from(*variance) * (rows - 1) as f64 / rows as f64) as f32;
        let variance: Vec<f32> = found[1][..channels].iter().map(biased).collect();
        accept("batch_norm.statistics", case, &[&found[0][..channels], &variance].concat());
    }
}
