//! Engine tour 2: a graph and its plan. `cargo run --release --example e2_graph_and_plan`
//!
//! Calls record a graph; a plan turns it into a flat list of dispatches, once, before anything runs; a
//! session runs the list. Two kernels run here: batch norm and relu became part of the convolution.

use std::error::Error;
use std::sync::Arc;

use frostline_engine::{Gpu, Graph, Padding, Params, Plan, Session};

fn main() -> Result<(), Box<dyn Error>> {
    // These lines compute nothing: they record shapes and names. Shapes are (N, H, W, C).
    let mut graph = Graph::new();
    let x = graph.input(2, 8, 8, 4);
    let conv = graph.conv2d(x, "conv", 8, 3, 1, Padding::all(1))?;
    let normed = graph.batch_norm(conv, "bn", 1e-5)?;
    let active = graph.relu(normed, "relu")?;
    let pooled = graph.global_avg_pool(active, "avgpool")?;

    let gpu = Arc::new(Gpu::new()?);
    let plan = Plan::inference(&graph, pooled, gpu.tuning())?;
    println!("{plan}\n");
    for dispatch in plan.dispatches() {
        println!("{:<8} {:<28} grid {:?}", dispatch.layer, dispatch.variant.kernel.name(), dispatch.grid);
    }

    // Parameters have values from a seed; a session owns the buffers of one plan.
    let params = Params::new(&gpu, &graph, 0)?;
    let mut session = Session::new(&gpu, plan, &params, None)?;
    session.write_input(&vec![1.0; 2 * 4 * 8 * 8])?;
    session.run()?;
    println!("\noutput {:?}: {:?}", session.plan().output_shape(), &session.read_output()?[..4]);
    Ok(())
}

// Prints:
//  layer                         kept  forward | backward (− = skipped, its layer is frozen)
//  conv                             -  conv2d.forward |
//  avgpool                          -  global_avg_pool.forward |
//
//  a step                                this plan     unfrozen
//  forward dispatches                            2            2
//  backward dispatches                           0            0
//  update dispatches                             0            0
//  million multiply-accumulates                  0            0
//  read and written                       11.2 KiB     11.2 KiB
//  activations kept for backward                 -            -
//  pool                                     4096 B       4096 B
//  gradients                                     -            -
//  optimizer state                               -            -
//  parameters                               1792 B       1792 B
//  once, before the first step                   1            1
//
//  conv     batch_norm.running           grid [1, 1, 1]
//  conv     conv2d.forward               grid [1, 1, 1]
//  avgpool  global_avg_pool.forward      grid [1, 1, 1]
//
//  output Image { n: 2, h: 1, w: 1, c: 8 }: [1.8848109, 0.0012254397, 0.7466737, 0.0]
