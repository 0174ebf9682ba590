//! silu against its twin, alone, at the end of other ops, and with the tensors that its backward pass keeps.

mod common;

use common::norm::{EPS, Norm};
use common::{Bench, GPU, chained, filter, tunings};
use frostline_engine::ops::{Activation, BatchNorm, Conv2d, DepthwiseConv2d, Relu};
use frostline_engine::{Error, Freeze, Graph, Padding, Plan, Session, TensorId, Tuning};
use frostline_twin::activation::{Activation as Twin, silu_slope};
use frostline_twin::{Array, Value, cases, conv2d};

fn alone(x: &Array, dy: &Array, tuning: &Tuning) -> common::Ran {
    let mut bench = Bench::default();
    let input = bench.image("x", x);
    let y = bench.graph.silu(input, "act").unwrap();
    let ran = bench.run(y, dy, &Freeze::none(), tuning);
    assert_eq!((ran.count("silu.forward"), ran.count("silu.backward")), (1, 1));
    ran
}

#[test]
fn forward_and_backward() {
    let mut rng = cases::rng(75);
    for shape in [[1, 1, 1, 1], [2, 5, 3, 3], [1, 8, 4, 2], [3, 3, 5, 7]] {
        let x = cases::uniform(&mut rng, &shape, -9.0..9.0);
        let dy = cases::uniform(&mut rng, &shape, -1.0..1.0);
        for tuning in &tunings() {
            let ran = alone(&x, &dy, tuning);
            let what = format!("silu of {shape:?}, {tuning:?}");
            ran.check_output(&what, &Twin::Silu.forward(&x));
            ran.check_gradient(&what, "x", &Twin::Silu.backward(&dy, &x));
        }
    }
}

/// exp(89) is beyond f32: neither it nor a quotient by it may be computed.
#[test]
fn far_from_zero() {
    let x = Array::new(&[1, 8], vec![-700.0, -104.0, -88.0, -17.0, 0.0, 17.0, 104.0, 700.0]);
    let dy = Array::new(&[1, 8], vec![1.0; 8]);
    let ran = alone(&x, &dy, GPU.tuning());
    ran.check_output("far", &Twin::Silu.forward(&x));
    ran.check_gradient("far", "x", &Twin::Silu.backward(&dy, &x));
    // The twin's exp is infinite here.
    let ran =
        alone(&Array::new(&[1, 2], vec![-1e38, 1e38]), &Array::new(&[1, 2], vec![1.0; 2]), GPU.tuning());
    assert_eq!((&ran.output[..], &ran.gradients["x"][..]), (&[0.0, 1e38][..], &[0.0, 1.0][..]));
}

/// A diverging run must be visible. −∞ · σ(−∞) is −∞ · 0: NaN, as in PyTorch.
#[test]
fn nan_and_infinity_come_through() {
    for nan in [f32::NAN, -f32::NAN] {
        let x = Array::from_f32(&[1, 4], &[nan, f32::INFINITY, f32::NEG_INFINITY, 0.0]);
        let ran = alone(&x, &Array::new(&[1, 4], vec![1.0; 4]), GPU.tuning());
        assert!(ran.output[0].is_nan() && ran.output[2].is_nan(), "{:?}", ran.output);
        assert_eq!((ran.output[1], ran.output[3]), (f32::INFINITY, 0.0));
        assert!(ran.gradients["x"][0].is_nan(), "{:?}", ran.gradients);
    }
}

/// x → convolution `a` → silu → convolution `b`. Below the frostline silu is at the end of `a` and keeps
/// nothing. Above it silu keeps only its input: for the gradient of `b.weight` its output is computed again.
#[test]
fn between_convolutions() {
    let mut rng = cases::rng(76);
    let [x, a, b] =
        [[2, 5, 4, 6], [6, 5, 3, 3], [3, 6, 1, 1]].map(|shape| cases::uniform(&mut rng, &shape, -1.0..1.0));
    let dy = cases::uniform(&mut rng, &[2, 3, 4, 6], -1.0..1.0);
    let mut bench = Bench::default();
    let inputs = [bench.image("x", &x), bench.parameter("a.weight", filter(&a), &a)];
    let conv = Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() };
    let z = bench.graph.record(conv, "a", &inputs).unwrap();
    let h = bench.graph.silu(z, "act").unwrap();
    let weight = bench.parameter("b.weight", filter(&b), &b);
    let y = bench.graph.record(Conv2d { stride: 1, ..Default::default() }, "b", &[h, weight]).unwrap();

    let z = conv2d::forward(&x, &a, 1, [1; 4]);
    let h = Value::build(&z.value.shape, |i| Twin::Silu.apply(z.at([i])));
    let dh = conv2d::backward_input(&dy, &b, h.value.dims(), 1, [0; 4]);
    let dz = Value::build(&dh.value.shape, |i| dh.at([i]) * silu_slope(z.at([i])));
    let counts = |ran: &common::Ran| (ran.count("silu.forward"), ran.count("silu.backward"));
    for tuning in &tunings() {
        let ran = bench.run(y, &dy, &Freeze::none(), tuning);
        assert_eq!(counts(&ran), (2, 1), "once forward, once in backward: {:?}", ran.kernels);
        let what = format!("convolutions around silu, {tuning:?}");
        ran.check_output(&what, &chained(|h, b| conv2d::forward(h, b, 1, [0; 4]), &h, &b));
        let db = chained(|h, dy| conv2d::backward_weight(h, dy, b.dims(), 1, [0; 4]), &h, &dy);
        ran.check_gradient(&what, "b.weight", &db);
        let dx = chained(|dz, a| conv2d::backward_input(dz, a, x.dims(), 1, [1; 4]), &dz, &a);
        ran.check_gradient(&what, "x", &dx);
        let da = chained(|dz, x| conv2d::backward_weight(x, dz, a.dims(), 1, [1; 4]), &dz, &x);
        ran.check_gradient(&what, "a.weight", &da);

        let passed = bench.run(y, &dy, &Freeze::names(["b.weight"]), tuning);
        assert_eq!(counts(&passed), (1, 1), "a frozen convolution needs no input: {:?}", passed.kernels);
        let frozen = bench.run(y, &dy, &Freeze::names(["x", "a.weight"]), tuning);
        assert_eq!(counts(&frozen), (0, 0), "{:?}", frozen.kernels);
    }
    let inputs: &[(&str, &[&str])] = &[("x", &[]), ("a.weight", &[]), ("b.weight", &[])];
    bench.check_subsets(y, &dy, &Freeze::none(), GPU.tuning(), inputs);
}

/// Inference has silu at the end of the op before it, and the bits that the separate kernel gives.
#[test]
fn folded_it_has_the_same_bits() {
    type Record = fn(&mut Bench, TensorId) -> TensorId;
    let cases: [(&str, Record); 4] = [
        ("conv2d.forward", |bench, x| bench.graph.conv2d_bias(x, "conv", 6, 3, 1, Padding::all(1)).unwrap()),
        ("add.forward", |bench, x| {
            let pooled = bench.graph.max_pool2d(x, "pool", 3, 1, 1).unwrap();
            bench.graph.add(x, pooled, "add").unwrap()
        }),
        ("batch_norm.forward", norm),
        ("depthwise_conv2d.forward", |bench, x| {
            let weight = cases::uniform(&mut cases::rng(78), &[5, 1, 3, 3], -1.0..1.0);
            let weight = bench.parameter("w", common::depthwise(&weight), &weight);
            let op = DepthwiseConv2d { stride: 1, padding: Padding::all(1) };
            let y = bench.graph.record(op, "depthwise", &[x, weight]).unwrap();
            norm(bench, y)
        }),
    ];
    let x = cases::uniform(&mut cases::rng(77), &[2, 5, 4, 6], -4.0..4.0);
    for (kernel, record) in cases {
        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let before = record(&mut bench, input);
        let y = bench.graph.silu(before, "act").unwrap();
        let dy = Array::zeros(&[2, bench.graph.shape(y).channels(), 4, 6]);
        for tuning in &tunings() {
            let ran = bench.run(y, &dy, &Freeze::names(["bn.weight", "bn.bias"]), tuning);
            assert!(ran.count(kernel) > 0, "{:?}", ran.kernels);
            assert_eq!(ran.count("silu.forward"), 1, "{:?}", ran.kernels);

            let mut graph = bench.graph.clone();
            // The output itself is the host's; a pooling keeps the op inside.
            let out = graph.max_pool2d(y, "out", 1, 1, 0).unwrap();
            let plan = Plan::inference(&graph, out, tuning).unwrap();
            let kernels: Vec<_> = plan.dispatches().iter().map(|d| d.variant.kernel.name()).collect();
            assert!(!kernels.contains(&"silu.forward".to_owned()), "{kernels:?}");
            let mut session = Session::new(&GPU, plan, &bench.params(), None).unwrap();
            session.poison();
            common::run(&mut session);
            assert_eq!(session.read_output().unwrap(), ran.output, "{kernel} {tuning:?}");
        }
    }
}

fn norm(bench: &mut Bench, x: TensorId) -> TensorId {
    let [weight, bias, mean, var] = Norm::random(&mut cases::rng(79), 5).record(bench, "bn");
    let op = BatchNorm { eps: EPS, ..Default::default() };
    bench.graph.record(op, "bn", &[x, weight, bias, mean, var]).unwrap()
}

/// Its backward pass would read a mask, and silu has none.
#[test]
fn relu_refuses_it() {
    let mut graph = Graph::new();
    let x = graph.input(1, 2, 2, 4);
    let refused = graph.record(Relu { activation: Activation::Silu }, "act", &[x]);
    assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
}
