//! How long a training step takes under a freeze, in images per second on this adapter.
//!
//! ```sh
//! cargo run --release --example step -- --model resnet18 --batch 8 --size 224 --steps 10
//! ```
//!
//! Five rows: inference; a step of the whole network; one of its last stage and head; one of the
//! head alone with the frozen body run every time; and one of the head on features computed before,
//! which is what a frozen body should cost. `benches/peers.sh` puts PyTorch beside them.

use clap::Parser;
use frostline_engine::{Error, Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session, TensorId};
use frostline_models::{Model, POOLED};
use serde_json::{Map, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Measures steps of a model, each the median of several.
#[derive(Parser)]
struct Arguments {
    /// The network.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Images per step.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Side of the square images in pixels.
    #[arg(long, default_value_t = 224, value_parser = clap::value_parser!(u32).range(1..=16384))]
    size: u32,
    /// Steps to take the median of, after one that is not counted.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// A network recorded with its loss.
struct Network {
    graph: Graph,
    /// Values of one batch of inputs.
    inputs: usize,
    output: TensorId,
    loss: TensorId,
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let model = Model::new(&arguments.model)?;
    let (batch, size) = (arguments.batch as usize, arguments.size as usize);
    let record = |shape: [usize; 3], record: &dyn Fn(&mut Graph, TensorId) -> frostline_models::Result<TensorId>| -> Outcome<Network> {
        let mut graph = Graph::new();
        let x = graph.input(batch, shape[0], shape[1], shape[2]);
        let labels = graph.labels(batch);
        let output = record(&mut graph, x)?;
        let loss = graph.cross_entropy(output, labels, 0.0)?;
        let inputs = graph.shape(x).count();
        Ok(Network { graph, inputs, output, loss })
    };
    let whole = record([size, size, model.input_channels()], &|graph, x| Ok(model.record(graph, x)?.output()))?;
    let head = record([1, 1, model.feature_count()], &|graph, x| Ok(model.record_from(graph, POOLED, x)?.output()))?;

    let gpu = Arc::new(Gpu::new()?);
    let optim = Optim::sgd(0.01).momentum(0.9);
    let training = |network: &Network, freeze: &Freeze| Plan::training(&network.graph, network.loss, freeze, &optim, gpu.tuning());
    let groups = model.groups();
    let [.., last, fc] = groups.as_slice() else { return Err("a network has a body and a head".into()) };
    let plans = [
        ("inference".to_owned(), &whole, Plan::inference(&whole.graph, whole.output, gpu.tuning())?),
        ("full".to_owned(), &whole, training(&whole, &Freeze::none())?),
        (format!("{last}+{fc}"), &whole, training(&whole, &Freeze::below(&whole.graph, last)?)?),
        (fc.clone(), &whole, training(&whole, &Freeze::below(&whole.graph, fc)?)?),
        ("features".to_owned(), &head, training(&head, &Freeze::none())?),
    ];

    let (mut rates, mut times) = (Map::new(), Map::new());
    if !arguments.json {
        println!("{model}, {batch} × {size} × {size}, on {}", gpu.describe());
    }
    for (name, network, plan) in plans {
        let milliseconds = median_step(&gpu, network, plan, arguments)?;
        let rate = batch as f64 * 1e3 / milliseconds;
        if !arguments.json {
            println!("{name:<12} {milliseconds:>10.2} ms a step {rate:>10.1} images/s");
        }
        rates.insert(name.clone(), json!(rate));
        times.insert(name, json!(milliseconds));
    }
    if arguments.json {
        let line = json!({
            "engine": "frostline", "adapter": gpu.describe(), "model": model.name(), "batch": batch, "size": size,
            "steps": arguments.steps, "milliseconds": times, "images_per_second": rates,
        });
        println!("{line}");
    }
    Ok(())
}

/// Milliseconds from handing over the batch to the end of the step.
fn median_step(gpu: &Arc<Gpu>, network: &Network, plan: Plan, arguments: &Arguments) -> Result<f64, Error> {
    let params = Params::new(gpu, &network.graph, 0)?;
    let trains = plan.trainable_names().next().is_some();
    let mut optimizer = if trains { Some(Optimizer::new(gpu, &plan)?) } else { None };
    let mut session = Session::new(gpu, plan, &params, optimizer.as_ref())?;
    let images: Vec<f32> = (0..network.inputs).map(|i| (i as f32 * 0.618_034).fract() - 0.5).collect();
    let labels: Vec<u32> = (0..arguments.batch).map(|image| image % 10).collect();
    let mut times = vec![];
    for _ in 0..=arguments.steps {
        let start = Instant::now();
        session.write_input(&images)?;
        if let Some(optimizer) = &mut optimizer {
            session.write_labels(&labels)?;
            session.begin_step(optimizer, 0.01)?;
        }
        session.run()?;
        gpu.wait()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.remove(0); // compiles, and fills the caches
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
