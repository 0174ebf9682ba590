//! Engine tour 4: the frostline. `cargo run --release --example e4_frostline`
//!
//! The same graph is planned twice: with nothing frozen, and frozen below its second block. The dispatches
//! that the second list lacks, and the bytes that it need not keep, are the whole effect of freezing.

use std::collections::BTreeMap;
use std::error::Error;

use frostline_engine::{Freeze, Graph, Optim, Padding, Plan, Tuning};

fn main() -> Result<(), Box<dyn Error>> {
    let mut graph = Graph::new();
    let mut x = graph.input(8, 32, 32, 4);
    let labels = graph.labels(8);
    for (layer, channels) in [("block1", 16), ("block2", 32)] {
        x = graph.conv2d(x, &format!("{layer}.conv"), channels, 3, 2, Padding::all(1))?;
        x = graph.batch_norm(x, &format!("{layer}.bn"), 1e-5)?;
        x = graph.relu(x, &format!("{layer}.relu"))?;
    }
    let pooled = graph.global_avg_pool(x, "avgpool")?;
    let logits = graph.linear(pooled, "fc", 10)?;
    let loss = graph.cross_entropy(logits, labels, 0.0)?;

    // A plan is data: it needs no device. These are the kernels that run everywhere.
    let (tuning, optim) = (Tuning::portable(), Optim::sgd(0.1).momentum(0.9));
    let below = Freeze::below(&graph, "block2")?;
    let all = Plan::training(&graph, loss, &Freeze::none(), &optim, &tuning)?;
    let frozen = Plan::training(&graph, loss, &below, &optim, &tuning)?;

    let count = |plan: &Plan| {
        let mut kernels = BTreeMap::new();
        for dispatch in plan.dispatches() {
            *kernels.entry((dispatch.layer.clone(), dispatch.variant.kernel.name())).or_insert(0) += 1;
        }
        kernels
    };
    let (of_all, of_frozen) = (count(&all), count(&frozen));
    println!("dispatched with nothing frozen, and not below the frostline:");
    for ((layer, kernel), times) in &of_all {
        let left = of_frozen.get(&(layer.clone(), kernel.clone())).copied().unwrap_or(0);
        if left < *times {
            println!("  {layer:<14} {kernel}{}", if times - left > 1 { " (twice)" } else { "" });
        }
    }
    println!("\n{:<32} {:>10} {:>10}", "a step", "unfrozen", "frozen");
    let row = |name, of: &dyn Fn(&Plan) -> u64| println!("{name:<32} {:>10} {:>10}", of(&all), of(&frozen));
    row("dispatches", &|plan| plan.dispatches().len() as u64);
    row("bytes kept for backward", &|plan| plan.ledger().kept_bytes);
    row("bytes of gradients", &|plan| plan.ledger().gradient_bytes);
    row("bytes of momentum", &|plan| plan.ledger().optimizer_bytes);
    println!("\ntrains: {}", frozen.trainable_names().collect::<Vec<_>>().join(", "));
    Ok(())
}

// Prints:
//  dispatched with nothing frozen, and not below the frostline:
//    block1.bn      batch_norm.backward_finish
//    block1.bn      batch_norm.backward_input
//    block1.bn      batch_norm.backward_reduce
//    block1.bn      batch_norm.finish
//    block1.bn      batch_norm.forward (twice)
//    block1.bn      batch_norm.statistics
//    block1.conv    conv2d.backward_weight
//    block1.conv    partials.sum
//    block2.conv    conv2d.backward_input
//
//  a step                             unfrozen     frozen
//  dispatches                               30         21
//  bytes kept for backward              329920     198592
//  bytes of gradients                    23552      20736
//  bytes of momentum                     23552      20736
//
//  trains: block2.conv.weight, block2.bn.weight, block2.bn.bias, fc.weight, fc.bias
