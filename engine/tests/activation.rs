//! relu, relu6 and add against their twins, alone and fused, with both kinds of mask.

mod common;

use common::{Bench, GPU, filter};
use frostline_engine::Freeze;
use frostline_engine::ops::{Activation, Add, Conv2d, Relu};
use frostline_twin::activation::Activation as Twin;
use frostline_twin::{Array, add, cases, conv2d};

const BOTH: [(Activation, Twin); 2] = [(Activation::Relu, Twin::Relu), (Activation::Relu6, Twin::Relu6)];

/// Odd numbers of rows: the mask packs eight rows of four channels into a word.
const SHAPES: [[usize; 4]; 4] = [[1, 1, 1, 1], [2, 5, 3, 3], [1, 8, 4, 2], [3, 3, 5, 7]];

#[test]
fn forward_and_backward() {
    let mut rng = cases::rng(70);
    for (activation, twin) in BOTH {
        for shape in SHAPES {
            let x = cases::uniform(&mut rng, &shape, -4.0..10.0);
            let dy = cases::uniform(&mut rng, &shape, -1.0..1.0);
            let mut bench = Bench::default();
            let input = bench.image("x", &x);
            let y = bench.graph.record(Relu { activation }, "act", &[input]).unwrap();
            let ran = bench.run(y, &dy, &Freeze::none(), GPU.tuning());
            assert_eq!(
                ran.output,
                twin.forward(&x).value.to_f32(),
                "{activation:?} {shape:?}: nothing is computed, only selected"
            );
            assert_eq!(ran.gradients["x"], twin.backward(&dy, &x).value.to_f32(), "{activation:?} {shape:?}");
        }
    }
}

/// Both kinks block the gradient, as in PyTorch.
#[test]
fn at_the_kinks() {
    let x = Array::new(&[1, 7], vec![-7.0, -0.0, 0.0, 0.5, 5.5, 6.0, 7.0]);
    let dy = Array::new(&[1, 7], vec![1.0; 7]);
    for (activation, open) in
        [(Activation::Relu, [0., 0., 0., 1., 1., 1., 1.]), (Activation::Relu6, [0., 0., 0., 1., 1., 0., 0.])]
    {
        let mut bench = Bench::default();
        let input = bench.image("x", &x);
        let y = bench.graph.record(Relu { activation }, "act", &[input]).unwrap();
        assert_eq!(bench.run(y, &dy, &Freeze::none(), GPU.tuning()).gradients["x"], open, "{activation:?}");
    }
}

/// A diverging run must be visible: max(NaN, 0) is 0 on many adapters.
#[test]
fn nan_and_infinity_come_through() {
    for (activation, infinity) in [(Activation::Relu, f32::INFINITY), (Activation::Relu6, 6.0)] {
        for nan in [f32::NAN, -f32::NAN] {
            let mut bench = Bench::default();
            let x = Array::from_f32(&[1, 4], &[nan, f32::INFINITY, f32::NEG_INFINITY, -1.0]);
            let input = bench.image("x", &x);
            let y = bench.graph.record(Relu { activation }, "act", &[input]).unwrap();
            let ran = bench.run(y, &x, &Freeze::none(), GPU.tuning());
            assert!(ran.output[0].is_nan(), "{activation:?} of {nan}: {:?}", ran.output);
            assert_eq!(ran.output[1..], [infinity, 0.0, 0.0], "{activation:?}");
        }
    }
}

/// The mask is bits if nothing keeps the output, and the output itself if a trainable convolution after it
/// does. Frozen, that convolution needs no input.
#[test]
fn bits_and_output_say_the_same() {
    let mut rng = cases::rng(71);
    for (activation, twin) in BOTH {
        let x = cases::uniform(&mut rng, &[2, 5, 3, 3], -4.0..10.0);
        let w = cases::uniform(&mut rng, &[3, 5, 1, 1], -1.0..1.0);
        let dy = cases::uniform(&mut rng, &[2, 3, 3, 3], -1.0..1.0);
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
        let a = bench.graph.record(Relu { activation }, "act", &inputs[..1]).unwrap();
        let y =
            bench.graph.record(Conv2d { stride: 1, ..Default::default() }, "conv", &[a, inputs[1]]).unwrap();
        let expected = conv2d::backward_input(&dy, &w, x.dims(), 1, [0; 4]);
        let kept = bench.run(y, &dy, &Freeze::none(), GPU.tuning());
        let bits = bench.run(y, &dy, &Freeze::names(["w"]), GPU.tuning());
        assert_eq!((kept.count("relu.mask_bits"), bits.count("relu.mask_bits")), (0, 1));
        assert_eq!(kept.gradients["x"], bits.gradients["x"], "{activation:?}");
        let mut through = expected.clone();
        for (i, &value) in x.data.iter().enumerate().filter(|(_, value)| !twin.passes(**value)) {
            assert_eq!(bits.gradients["x"][i], 0.0, "{activation:?} of {value}");
            through.set([i], frostline_twin::Tracked::ZERO);
        }
        bits.check_gradient("relu before a frozen convolution", "x", &through);
    }
}

#[test]
fn addition() {
    let mut rng = cases::rng(72);
    for (activation, twin) in [(Activation::None, Twin::None), BOTH[0], BOTH[1]] {
        for shape in SHAPES {
            let [a, b] = [-2.0..5.0, -2.0..5.0].map(|range| cases::uniform(&mut rng, &shape, range));
            let dy = cases::uniform(&mut rng, &shape, -1.0..1.0);
            let mut bench = Bench::default();
            let inputs = [bench.image("a", &a), bench.image("b", &b)];
            let y = bench.graph.record(Add, "add", &inputs).unwrap();
            let y = bench.graph.record(Relu { activation }, "act", &[y]).unwrap();
            let ran = bench.run(y, &dy, &Freeze::none(), GPU.tuning());
            let what = format!("add {activation:?} {shape:?}");
            ran.check_output(&what, &add::forward(&a, &b, twin));
            let expected = add::backward(&dy, &ran.output_array(&shape), twin);
            assert_eq!(ran.gradients["a"], expected.value.to_f32(), "{what}");
            assert_eq!(ran.gradients["b"], expected.value.to_f32(), "{what}");
            bench.check_subsets(y, &dy, &Freeze::none(), GPU.tuning(), &[("a", &[]), ("b", &[])]);
        }
    }
}
