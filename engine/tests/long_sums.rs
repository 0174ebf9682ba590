//! Sums of many terms, at the sizes at which errors occurred: thousands of inputs or classes of `linear`,
//! tens of thousands of rows or pixels under one weight.
//!
//! Each size runs with terms of both signs, whose partial sums stay small, and with positive terms only,
//! whose partial sums are as large as the sum: the worst case for rounding. A sample of the results is
//! compared with a plain sum in f64.

mod common;

use common::{Bench, depthwise, filter, matrix, padding, tunings, vector};
use frostline_engine::ops::{Conv2d, DepthwiseConv2d, Linear};
use frostline_engine::{Freeze, TensorId};
use frostline_twin::cases::ConvCase;
use frostline_twin::{Array, Value, compare, filler};

/// Units of 2⁻²³·Σ|terms|.
const BOUND: f64 = 4.0;

/// The same for y and dx, which are one running sum up to 4,608 terms and sums of 1,024 terms each beyond:
/// with positive terms only, n roundings of the size of the sum accumulate like a random walk.
fn bound(depth: usize, low: f32) -> f64 {
    let run = if depth <= 4_608 { depth } else { 1_024 };
    if low < 0.0 { BOUND } else { BOUND.max((run as f64).sqrt() / 2.0) }
}
const SIGNS: [(&str, f32); 2] = [("both signs", -1.0), ("positive", 0.0)];

fn array(name: &str, shape: &[usize], low: f32) -> Array {
    Array::from_f32(shape, &filler::fill(name, shape.iter().product(), low, 1.0))
}

/// Compares the elements `sample` of `gpu` with the sums of `terms`.
fn check<I: Iterator<Item = f64>>(
    what: &str,
    gpu: &[f32],
    sample: impl Iterator<Item = usize>,
    terms: impl Fn(usize) -> I,
) {
    check_by(what, BOUND, gpu, sample, terms);
}

fn check_by<I: Iterator<Item = f64>>(
    what: &str,
    bound: f64,
    gpu: &[f32],
    sample: impl Iterator<Item = usize>,
    terms: impl Fn(usize) -> I,
) {
    let sample: Vec<usize> = sample.collect();
    let mut expected = Value::zeros(&[sample.len()]);
    for (place, &i) in sample.iter().enumerate() {
        let (value, size) =
            terms(i).fold((0.0, 0.0), |(value, size), term| (value + term, size + term.abs()));
        (expected.value.data[place], expected.terms.data[place]) = (value, size);
    }
    let gpu: Vec<f32> = sample.iter().map(|&i| gpu[i]).collect();
    let ratio = compare::assert_close_by(what, &gpu, &expected, bound);
    println!("{what}: {:.2} units of {} sums", ratio * bound, gpu.len());
}

/// About `wanted` of `0..count`, spread over all of it.
fn spread(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by((count / wanted).max(1) | 1)
}

/// y, dx, dw and db of `linear`.
fn check_linear(rows: usize, c_in: usize, c_out: usize) {
    for (signs, low) in SIGNS {
        let [x, w] = [array("x", &[rows, c_in], low), array("w", &[c_out, c_in], low)];
        let [b, dy] = [array("b", &[c_out], low), array("dy", &[rows, c_out], low)];
        let mut bench = Bench::default();
        let inputs = [
            bench.image("x", &x),
            bench.parameter("w", matrix(&w), &w),
            bench.parameter("b", vector(&b), &b),
        ];
        let y = bench.graph.record(Linear, "fc", &inputs).unwrap();
        for tuning in &tunings() {
            let ran = bench.run(y, &dy, &Freeze::none(), tuning);
            let what = |which: &str| {
                format!("{which} of linear {rows}x{c_in} -> {c_out}, {signs}, {:?}", tuning.class)
            };
            check_by(&what("y"), bound(c_in, low), &ran.output, spread(rows * c_out, 500), |i| {
                let (n, o) = (i / c_out, i % c_out);
                let products = (0..c_in).map(move |k| (n * c_in + k, o * c_in + k));
                let products = products.map(|(from_x, from_w)| x.data[from_x] * w.data[from_w]);
                products.chain([b.data[o]])
            });
            check_by(&what("dx"), bound(c_out, low), &ran.gradients["x"], spread(rows * c_in, 500), |i| {
                let (n, k) = (i / c_in, i % c_in);
                let products = (0..c_out).map(move |o| (n * c_out + o, o * c_in + k));
                products.map(|(from_dy, from_w)| dy.data[from_dy] * w.data[from_w])
            });
            check(&what("dw"), &ran.gradients["w"], spread(c_out * c_in, 500), |i| {
                let (o, k) = (i / c_in, i % c_in);
                let products = (0..rows).map(move |n| (n * c_out + o, n * c_in + k));
                products.map(|(from_dy, from_x)| dy.data[from_dy] * x.data[from_x])
            });
            check(&what("db"), &ran.gradients["b"], 0..c_out, |o| {
                (0..rows).map(move |n| n * c_out + o).map(|i| dy.data[i])
            });
        }
    }
}

#[test]
fn linear_with_many_inputs() {
    check_linear(3, 25_088, 40);
}

#[test]
fn linear_with_many_outputs() {
    check_linear(3, 12, 20_000);
}

/// The maximum depth of one running sum.
#[test]
fn linear_with_as_many_inputs_or_outputs_as_one_sum_may_have() {
    check_linear(3, 4_608, 100);
    check_linear(3, 100, 4_608);
}

/// Prime numbers of rows, which cannot be divided evenly, and a round number; with few outputs, whose rows
/// are split anyway to fill the machine, and with many.
#[test]
fn linear_over_many_rows() {
    check_linear(30_011, 12, 5);
    check_linear(40_009, 64, 256);
    check_linear(100_000, 4, 4);
}

/// The terms of dw[co, ci, kh, kw], where the pixels of x under the tap are inside.
fn terms_of_dw<'a>(
    case: ConvCase,
    x: &'a Array,
    dy: &'a Array,
    [co, ci, kh, kw]: [usize; 4],
) -> impl Iterator<Item = f64> + 'a {
    let ([_, c_in, h, w], [n, c_out, h_out, w_out]) = (case.x_shape(), dy.dims());
    let [top, left, ..] = case.padding;
    let rows = (0..n * h_out).map(move |row| (row / h_out, row % h_out));
    rows.filter(move |(_, oh)| (top..top + h).contains(&(oh * case.stride + kh))).flat_map(move |(n, oh)| {
        let from_x = ((n * c_in + ci) * h + oh * case.stride + kh - top) * w;
        let from_dy = ((n * c_out + co) * h_out + oh) * w_out;
        let columns = (0..w_out).filter(move |ow| (left..left + w).contains(&(ow * case.stride + kw)));
        columns.map(move |ow| x.data[from_x + ow * case.stride + kw - left] * dy.data[from_dy + ow])
    })
}

/// The weight gradient of a convolution; `is_depthwise`: of c_in channels, each separately.
fn check_weight(case: ConvCase, is_depthwise: bool, wanted: usize) {
    for (signs, low) in SIGNS {
        let [x, dy] = [array("x", &case.x_shape(), low), array("dy", &case.y_shape(), low)];
        let [c_out, c_in, kh, kw] = case.w_shape();
        let w = array("w", &[c_out, if is_depthwise { 1 } else { c_in }, kh, kw], low);
        let mut bench = Bench::default();
        let shape = if is_depthwise { depthwise(&w) } else { filter(&w) };
        let inputs = [bench.image("x", &x), bench.parameter("w", shape, &w)];
        let y = record(&mut bench, case, is_depthwise, &inputs);
        for tuning in &tunings() {
            let ran = bench.run(y, &dy, &Freeze::names(["x"]), tuning);
            let what = format!("dw of {case:?}, {signs}, {:?}", tuning.class);
            let gradient = &ran.gradients["w"];
            let place = |i: usize| {
                let (co, ci) = (i / (w.shape[1] * kh * kw), i / (kh * kw) % w.shape[1]);
                [co, if is_depthwise { co } else { ci }, i / kw % kh, i % kw]
            };
            check(&what, gradient, spread(gradient.len(), wanted), |i| terms_of_dw(case, &x, &dy, place(i)));
        }
    }
}

fn record(bench: &mut Bench, case: ConvCase, is_depthwise: bool, inputs: &[TensorId]) -> TensorId {
    let (stride, padding) = (case.stride, padding(case.padding));
    let recorded = if is_depthwise {
        bench.graph.record(DepthwiseConv2d { stride, padding }, "conv", inputs)
    } else {
        bench.graph.record(Conv2d { stride, padding, ..Default::default() }, "conv", inputs)
    };
    recorded.unwrap()
}

/// `layer1.0.conv3` of ResNet-50 at 224 with batch 24.
#[test]
fn a_1x1_convolution_over_many_pixels() {
    let case =
        ConvCase { n: 24, c_in: 64, c_out: 256, size: [56, 56], kernel: [1, 1], stride: 1, padding: [0; 4] };
    check_weight(case, false, 64);
}

#[test]
fn a_3x3_convolution_over_many_pixels() {
    let case =
        ConvCase { n: 32, c_in: 8, c_out: 8, size: [112, 112], kernel: [3, 3], stride: 2, padding: [1; 4] };
    check_weight(case, false, 60);
}

/// From 32 channels on it is Winograd's algorithm, on adapters that use it.
#[test]
fn a_3x3_convolution_of_many_channels_over_many_pixels() {
    let case =
        ConvCase { n: 22, c_in: 32, c_out: 32, size: [112, 112], kernel: [3, 3], stride: 1, padding: [1; 4] };
    check_weight(case, false, 60);
}

/// The first layer of a ResNet at 224 with batch 32.
#[test]
fn a_stem_over_many_pixels() {
    let case =
        ConvCase { n: 32, c_in: 3, c_out: 64, size: [224, 224], kernel: [7, 7], stride: 2, padding: [3; 4] };
    check_weight(case, false, 60);
}

#[test]
fn a_depthwise_convolution_over_many_pixels() {
    let case =
        ConvCase { n: 96, c_in: 4, c_out: 4, size: [224, 224], kernel: [3, 3], stride: 1, padding: [1; 4] };
    check_weight(case, true, 12);
}
