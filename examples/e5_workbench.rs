//! Engine tour 5: the workbench. `cargo run --release --example e5_workbench`
//!
//! One convolution and one matrix product, from the plain formula to fast kernels: the files in
//! `shaders/workbench/`, checked against loops in f64 and timed beside the engine's kernel and the roofline.
//! A number after the command is the number of images: a GPU needs more than the 1 of the table.

#[path = "../benches/common/mod.rs"]
mod common;

use std::sync::Arc;

use common::{Outcome, median, roofline::Roofline, timer::Timer};
use frostline_engine::{Gpu, Graph, Padding, Plan, TensorId};
use frostline_puzzles::case::{permuted, stored, stored_value};
use frostline_puzzles::{device::Device, workbench::Work};
use frostline_twin::{Array, Value, cases, compare, conv2d, linear};

const SAMPLES: usize = 5;

fn main() -> Outcome<()> {
    let images = std::env::args().nth(1).map_or(Ok(1), |number| number.parse())?;
    let (side, channels, rows) = (56, 64, 512);
    let gpu = Arc::new(Gpu::new()?);
    let mut roofline = Roofline::new(&gpu)?;
    let best = (0..SAMPLES).map(|_| roofline.product()).collect::<Result<Vec<_>, _>>()?;
    println!("{}\nroofline: {}", gpu.describe(), roofline.describe());

    let mut rng = cases::rng(5);
    let x = cases::uniform(&mut rng, &[images, channels, side, side], -1.0..1.0);
    let w = cases::uniform(&mut rng, &[channels, channels, 3, 3], -1.0..1.0);
    let exact = stored_value(&conv2d::forward(&x, &w, 1, [1; 4]));
    let (height, width) = (side, side);
    let work = Work::Convolution { images, height, width, channels_in: channels, channels_out: channels };
    let mut graph = Graph::new();
    let input = graph.input(images, side, side, channels);
    let output = graph.conv2d(input, "conv", channels, 3, 1, Padding::all(1))?;
    let engine = timer(&gpu, &graph, output)?;
    println!("\n3×3 convolution, {images}×{side}×{side} pixels, {channels} to {channels} channels");
    table(work, [stored(&x), permuted(&w, [2, 3, 1, 0])], &exact, engine, &best)?;

    let a = cases::uniform(&mut rng, &[rows, rows], -1.0..1.0);
    let b = cases::uniform(&mut rng, &[rows, rows], -1.0..1.0);
    let across = (0..rows * rows).map(|i| b[[i % rows, i / rows]]).collect();
    let exact = linear::forward(&a, &Array::new(&[rows, rows], across), None);
    let work = Work::Product { rows, inner: rows, columns: rows };
    let mut graph = Graph::new();
    let input = graph.input(rows, 1, 1, rows);
    let output = graph.linear(input, "fc", rows)?;
    let engine = timer(&gpu, &graph, output)?;
    println!("\nmatrix product, {rows}×{rows} by {rows}×{rows}");
    table(work, [a, b], &exact, engine, &best)
}

/// The engine's kernels for the computation of `graph`.
fn timer(gpu: &Arc<Gpu>, graph: &Graph, output: TensorId) -> Outcome<Timer> {
    Timer::new(gpu, graph, Plan::inference(graph, output, gpu.tuning())?, |_| true)
}

/// One line for each kernel of `work`, and one for the engine's.
fn table(work: Work, inputs: [Array; 2], exact: &Value, mut engine: Timer, best: &[f64]) -> Outcome<()> {
    println!("{:<27} {:>9} {:>9} {:>10} {:>14}", "", "ms", "GFLOP/s", "roofline", "of its bound");
    let line = |name: &str, seconds: f64, worst: &str| {
        let rate = 2e-9 * work.multiply_adds() as f64 / seconds;
        let share = 100.0 * rate / median(best);
        println!("{name:<27} {:>9.3} {rate:>9.1} {share:>9.0}% {worst:>14}", 1e3 * seconds);
    };
    let device = pollster::block_on(Device::open())?;
    let [first, second] = inputs.map(|input| input.to_f32());
    for kernel in work.kernels() {
        let outcome = pollster::block_on(work.run(&device, kernel, [&first, &second], SAMPLES))?;
        let worst = compare::assert_close(kernel, &outcome.result, exact);
        line(kernel, outcome.seconds, &format!("{worst:.2}"));
    }
    let samples = (0..SAMPLES).map(|_| Ok(engine.sample()?.as_secs_f64()));
    line("the engine's", median(&samples.collect::<Outcome<Vec<_>>>()?), "");
    Ok(())
}

// Prints, with the times of an AMD EPYC with 2 threads (no GPU) and other work beside it:
//  llvmpipe (LLVM 15.0.6, 256 bits) (Cpu, Vulkan, llvmpipe Mesa 22.3.6 (LLVM 15.0.6))
//  roofline: the processor's sgemm 1024×1024×1024 (gemm crate) and memcpy of 128 MiB, on 2 threads
//
//  3×3 convolution, 1×56×56 pixels, 64 to 64 channels
//                                     ms   GFLOP/s   roofline   of its bound
//  conv2d_1_naive                248.243       0.9         2%           0.55
//  conv2d_2_registers             17.968      12.9        31%           0.28
//  conv2d_3_workgroup_memory      34.671       6.7        16%           0.25
//  conv2d_4_implicit_gemm         43.572       5.3        13%           0.28
//  conv2d_5_winograd_2x2          81.258       2.8         7%           0.12
//  the engine's                    5.614      41.2        98%
//
//  matrix product, 512×512 by 512×512
//                                     ms   GFLOP/s   roofline   of its bound
//  matmul_1_naive                246.886       1.1         3%           0.49
//  matmul_2_workgroup_tile       468.361       0.6         1%           0.49
//  matmul_3_registers             74.034       3.6         9%           0.49
//  the engine's                    6.672      40.2        96%
