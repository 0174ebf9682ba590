//! Engine tour 3: a gradient, checked. `cargo run --release --example e3_gradient`
//!
//! The backward pass of a small network gives the derivative of the loss by every weight. Here one weight
//! after another is changed by a small amount up and down, and the change of the loss is compared with the
//! derivative.

use std::error::Error;
use std::sync::Arc;

use frostline_engine::{Freeze, Gpu, Graph, Optim, Optimizer, Padding, Params, Plan, Session};

/// Change of a weight: small compared with the curvature, large compared with the rounding of a 32-bit loss.
const STEP: f32 = 1e-2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut graph = Graph::new();
    let x = graph.input(4, 6, 6, 4);
    let labels = graph.labels(4);
    let conv = graph.conv2d(x, "conv", 8, 3, 1, Padding::all(1))?;
    let active = graph.relu(conv, "relu")?;
    let pooled = graph.global_avg_pool(active, "avgpool")?;
    let logits = graph.linear(pooled, "fc", 3)?;
    let loss = graph.cross_entropy(logits, labels, 0.0)?;

    let gpu = Arc::new(Gpu::new()?);
    // A rate of 0: a step computes all gradients and changes nothing.
    let optim = Optim::sgd(0.0);
    let plan = Plan::training(&graph, loss, &Freeze::none(), &optim, gpu.tuning())?;
    let kernels: Vec<String> =
        plan.dispatches().iter().map(|dispatch| dispatch.variant.kernel.name()).collect();
    println!("kernels of a step:");
    kernels.chunks(4).for_each(|four| println!("  {}", four.join(", ")));
    println!();
    let params = Params::new(&gpu, &graph, 1)?;
    let mut optimizer = Optimizer::new(&gpu, &plan)?;
    let mut session = Session::new(&gpu, plan, &params, Some(&optimizer))?;
    let pixels: Vec<f32> = (0..4 * 4 * 6 * 6).map(|i| (i as f32 * 0.7).sin()).collect();
    session.write_input(&pixels)?;
    session.write_labels(&[0, 1, 2, 1])?;
    // The loss with these weights, and its gradient by them.
    let mut step = |name: &str, weights: &[f32]| -> Result<(f32, Vec<f32>), Box<dyn Error>> {
        params.set(name, weights)?;
        session.begin_step(&mut optimizer, 0.0)?;
        session.run()?;
        Ok((session.read_summary()?.loss, session.read_gradient(name)?))
    };

    println!("{:<16} {:>10} {:>12} {:>8}", "weight", "backward", "difference", "apart");
    for (name, index) in [("conv.weight", 5), ("conv.weight", 100), ("fc.weight", 3), ("fc.bias", 1)] {
        let weights = params.get(name)?;
        let moved = |by: f32| {
            let mut weights = weights.clone();
            weights[index] += by;
            weights
        };
        let difference = (step(name, &moved(STEP))?.0 - step(name, &moved(-STEP))?.0) / (2.0 * STEP);
        let gradient = step(name, &weights)?.1[index];
        let apart = (gradient - difference).abs();
        println!("{:<16} {gradient:>10.6} {difference:>12.6} {apart:>8.0e}", format!("{name}[{index}]"));
        assert!(apart < 1e-3, "the gradient of {name}[{index}] is wrong");
    }
    Ok(())
}

// Prints:
//  kernels of a step:
//    conv2d.forward, relu.mask_bits, global_avg_pool.forward, conv2d.forward
//    cross_entropy.forward, cross_entropy.mean, cross_entropy.backward, partials.rows
//    conv2d.backward_weight, conv2d.backward_input, global_avg_pool.backward, relu.backward
//    conv2d.backward_weight, partials.sum, sgd.step
//
//  weight             backward   difference    apart
//  conv.weight[5]    -0.006166    -0.006127     4e-5
//  conv.weight[100]  -0.007921    -0.007921     5e-7
//  fc.weight[3]       0.013932     0.013936     3e-6
//  fc.bias[1]        -0.087041    -0.087035     7e-6
