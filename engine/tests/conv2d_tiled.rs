//! The tiled convolution kernels of GPUs against the twin of conv2d, tile by tile.
//!
//! The tile on a GPU depends on the size of a layer, and the tensors of tests are small, so each tile is
//! forced here. Compiling one takes a software driver seconds: all of them are tested if they are this
//! adapter's kernels (also with `FROSTLINE_TUNING=gpu`), otherwise one of them.

mod common;

use common::{Bench, GPU, filter, padding};
use frostline_engine::ops::Conv2d;
use frostline_engine::tuning::{Algorithm, Class, Conv, Measured, Pass, Tiles};
use frostline_engine::{Freeze, Tuning};
use frostline_twin::cases::{self, ConvCase};
use frostline_twin::conv2d;
use std::sync::Arc;

fn case(
    n: usize,
    [c_in, c_out]: [usize; 2],
    size: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 4],
) -> ConvCase {
    ConvCase { n, c_in, c_out, size, kernel, stride, padding }
}

/// Several taps in a slice and several slices in a tap; strides with phases that no tap reaches;
/// padding on one side; more than one tile in both directions; rests everywhere; splits.
fn cases() -> [ConvCase; 7] {
    [
        case(2, [3, 8], [13, 11], [7, 7], 2, [3; 4]),
        case(2, [20, 68], [6, 7], [3, 3], 1, [1; 4]),
        case(2, [3, 5], [8, 9], [3, 3], 3, [0, 1, 2, 0]),
        case(1, [12, 20], [6, 5], [1, 1], 2, [0; 4]),
        case(3, [72, 20], [5, 4], [1, 1], 1, [0; 4]),
        case(1, [5, 3], [2, 3], [3, 2], 1, [2, 0, 0, 1]),
        case(2, [4, 4], [21, 30], [3, 3], 1, [1; 4]),
    ]
}

/// They include fragments of 4 × 4 held by one thread, which represent those of subgroups: the addresses are
/// the same, and only the fragment type differs.
fn tiles() -> Vec<Tiles> {
    let uneven = Tiles { bm: 64, bn: 32, bk: 8, rm: 8, rn: 4, buffers: 2, fragment: 1, lanes: 1 };
    let fragments = Tiles { bm: 32, bn: 32, bk: 8, rm: 4, rn: 8, buffers: 1, fragment: 4, lanes: 1 };
    if GPU.tuning().class != Class::Gpu {
        return vec![uneven, fragments];
    }
    let deep = Tiles { bm: 32, bn: 64, bk: 32, rm: 4, rn: 8, ..uneven };
    let own = GPU
        .tuning()
        .fragments
        .into_iter()
        .flat_map(|fragments| Tiles::all_for_fragments().map(move |tiles| tiles.in_fragments(fragments)));
    Tiles::all().chain([uneven, fragments, deep]).chain(own.filter(|tiles| tiles.fragment == 8)).collect()
}

/// The GPU's tuning, but with every pass of `case` done with `tiles`.
fn forced(case: ConvCase, tiles: Tiles) -> Tuning {
    let ConvCase { n, c_in, c_out, size, kernel: [kh, kw], stride, padding } = case;
    let [h_out, w_out] =
        [0, 1].map(|i| (size[i] + padding[i] + padding[i + 2] - case.kernel[i]) / stride + 1);
    let long = (kh, kw, stride) == (1, 1, 1);
    let mut measured = Measured::default();
    for (pass, width) in [
        (Pass::Forward, w_out),
        (Pass::BackwardInput, size[1].div_ceil(stride)),
        (Pass::BackwardWeight, w_out),
    ] {
        let (width, rows) = if long { (n * h_out * w_out, 1) } else { (width, n * h_out) };
        measured.insert(&Conv { pass, kh, kw, stride, c_in, c_out, width, rows }, Algorithm::Tiled(tiles));
    }
    Tuning { measured: Some(Arc::new(measured)), ..Tuning::portable() }
}

/// If the result fills at most half of the machine, its depth is split, in forward and in backward_input,
/// whose phases have separate depths.
#[test]
fn a_depth_in_splits() {
    let tiles = Tiles { bm: 32, bn: 32, bk: 8, rm: 4, rn: 4, buffers: 1, fragment: 1, lanes: 1 };
    let cases = [
        case(2, [36, 44], [5, 6], [3, 3], 1, [1; 4]),
        case(1, [72, 68], [7, 6], [3, 3], 2, [1; 4]),
        case(3, [530, 260], [1, 1], [1, 1], 1, [0; 4]),
    ];
    for (seed, case) in cases.into_iter().enumerate() {
        let mut rng = cases::rng(100 + seed as u64);
        let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
        let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
        let dy = cases::uniform(&mut rng, &case.y_shape(), -1.0..1.0);
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
        let op = Conv2d { stride: case.stride, padding: padding(case.padding), ..Default::default() };
        let y = bench.graph.record(op, "conv", &inputs).unwrap();
        let tuning = Tuning { fill: 64, ..forced(case, tiles) };
        let ran = bench.run(y, &dy, &Freeze::none(), &tuning);
        assert_eq!(ran.count("conv2d_tiled.finish"), 2, "{case:?}: {:?}", ran.kernels);
        let what = format!("{case:?} in splits");
        ran.check_output(&what, &conv2d::forward(&x, &w, case.stride, case.padding));
        ran.check_gradient(&what, "x", &conv2d::backward_input(&dy, &w, x.dims(), case.stride, case.padding));
        ran.check_gradient(
            &what,
            "w",
            &conv2d::backward_weight(&x, &dy, w.dims(), case.stride, case.padding),
        );
    }
}

/// The epilogue is applied once, when the splits are summed: residual and activation in forward, the earlier
/// contribution to a gradient in backward.
#[test]
fn an_epilogue_after_splits() {
    let tiles = Tiles { bm: 32, bn: 32, bk: 8, rm: 4, rn: 4, buffers: 1, fragment: 1, lanes: 1 };
    let case = case(2, [64, 64], [5, 6], [3, 3], 1, [1; 4]);
    let mut rng = cases::rng(7);
    let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
    let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
    let dy = cases::uniform(&mut rng, &case.y_shape(), -1.0..1.0);
    let mut bench = Bench::default();
    let (image, weight) = (bench.image("x", &x), bench.parameter("w", filter(&w), &w));
    let op = Conv2d { padding: padding(case.padding), stride: 1, ..Default::default() };
    let first = bench.graph.record(op.clone(), "conv", &[image, weight]).unwrap();
    let sum = bench.graph.add(first, image, "sum").unwrap();
    let y = bench.graph.relu(sum, "relu").unwrap();
    let tuning = forced(case, tiles);
    let whole = bench.run(y, &dy, &Freeze::none(), &Tuning { fill: 1, ..tuning.clone() });
    let split = bench.run(y, &dy, &Freeze::none(), &Tuning { fill: 64, ..tuning });
    assert_eq!(
        (whole.count("conv2d_tiled.finish"), split.count("conv2d_tiled.finish")),
        (0, 2),
        "{:?}",
        split.kernels
    );
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-5 * (1.0 + a.abs()));
    assert!(whole.output.contains(&0.0) && close(&whole.output, &split.output));
    for name in ["x", "w"] {
        assert!(close(&whole.gradients[name], &split.gradients[name]), "gradient of {name}");
    }
}

#[test]
fn every_tile() {
    for (seed, case) in cases().into_iter().enumerate() {
        let mut rng = cases::rng(seed as u64);
        let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
        let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
        let dy = cases::uniform(&mut rng, &case.y_shape(), -1.0..1.0);
        let mut bench = Bench::default();
        let inputs = [bench.image("x", &x), bench.parameter("w", filter(&w), &w)];
        let op = Conv2d { stride: case.stride, padding: padding(case.padding), ..Default::default() };
        let y = bench.graph.record(op, "conv", &inputs).unwrap();
        for tiles in tiles() {
            let what = format!("{case:?} {tiles:?}");
            let ran = bench.run(y, &dy, &Freeze::none(), &forced(case, tiles));
            for entry in ["forward", "backward_input", "backward_weight"] {
                assert_eq!(ran.count(&format!("conv2d_tiled.{entry}")), 1, "{what}: {:?}", ran.kernels);
            }
            ran.check_output(&what, &conv2d::forward(&x, &w, case.stride, case.padding));
            ran.check_gradient(
                &what,
                "x",
                &conv2d::backward_input(&dy, &w, x.dims(), case.stride, case.padding),
            );
            ran.check_gradient(
                &what,
                "w",
                &conv2d::backward_weight(&x, &dy, w.dims(), case.stride, case.padding),
            );
        }
    }
}
