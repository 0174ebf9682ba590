//! Engine tour 6: a network from a file. `cargo run --release --example e6_network_from_file`
//!
//! Reads a ResNet-10 from a safetensors file, draws the output of one channel of its first stage for a
//! picture, and classifies the picture. Both are inference plans of one graph that end at different tensors.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use frostline::loader::{ImageSet, normalize, safetensors};
use frostline::models::{LoadOptions, Model};
use frostline_engine::{Gpu, Graph, Params, Plan, Session};

const IMAGE: usize = 8;
const CHANNEL: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let read = |name: &str| std::fs::read(assets.join(name));
    let test = ImageSet::from_sheet(&read("fashion_source_test.png")?, &read("fashion_source_test.json")?)?;
    // The model records its layers; its parameters have torchvision's names, as in the file.
    let model = Model::new("resnet10")?.width(16).classes(test.classes.len());
    let mut graph = Graph::new();
    let x = graph.input(1, 28, 28, 1);
    let recorded = model.record(&mut graph, x)?;
    let file = safetensors::read(assets.join("resnet10_fashion.safetensors"))?;
    let gpu = Arc::new(Gpu::new()?);
    let params = Params::new(&gpu, &graph, 0)?;
    let report = frostline::models::state_dict::load(&params, &file.tensors, &LoadOptions::default())?;
    println!("{} tensors of {}\n", report.loaded.len(), model);

    let pixels = normalize(test.image(IMAGE), 1, &[0.2860], &[0.3530])?;
    let run = |output| -> Result<Vec<f32>, Box<dyn Error>> {
        let plan = Plan::inference(&graph, output, gpu.tuning())?;
        let mut session = Session::new(&gpu, plan, &params, None)?;
        session.write_input(&pixels)?;
        session.run()?;
        Ok(session.read_output()?)
    };
    // Values are ordered channel by channel, as in PyTorch.
    let stage = run(recorded.stages["layer1"])?;
    println!("the picture, and channel {CHANNEL} of layer1:\n");
    let pictures = [shades(&pixels), shades(&stage[CHANNEL * 28 * 28..][..28 * 28])];
    // A character is twice as high as wide: every second row.
    for row in (0..28).step_by(2) {
        let [left, right] = pictures.each_ref().map(|picture| &picture[28 * row..][..28]);
        println!("  {left}   {right}");
    }

    let logits = run(recorded.logits.ok_or("a network without head")?)?;
    let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
    println!();
    for (class, logit) in test.classes.iter().zip(&logits) {
        println!("  {class:<8} {:5.1}%", 100.0 * logit.exp() / sum);
    }
    println!("\nit is a {}", test.classes[test.labels[IMAGE] as usize]);
    Ok(())
}

/// A character for every value, the larger the darker.
fn shades(values: &[f32]) -> String {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let steps = [' ', '.', ':', 'o', '#', '@'];
    values.iter().map(|value| steps[(5.99 * (value - least) / (most - least).max(1e-9)) as usize]).collect()
}

// Prints:
//  62 tensors of resnet10 (width 16, 1 channel, 6 classes)
//
//  the picture, and channel 5 of layer1:
//
//
//             :o##@@@#oo:           oo:...::           .o#o...
//             o####oo##oo           :o:.....     ...   .oo:...
//             :#####o###:           :o:.....            o#:...
//             :#oo#@#oo#.           :o:....             o#:...
//             .o::#.#::o            :o:....        .   .oo:...
//             .o::# #::o            :o:....        .   :oo:...
//              o.:o #:::            :o:....      .    .:o:....
//              o.:o #::o            :o:.....     .    .oo:....
//              o.oo #::o            :o:......         .:o:....
//              oo#o ##oo            :o:......         .oo:....
//              o##o ###o            :o:......    .    .o#:....
//              o##o o##o            :o:......         .oo:....
//              #### #@##            ##o::::.          .@@#::::
//
//    t-shirt    0.0%
//    trouser  100.0%
//    dress      0.0%
//    sandal     0.0%
//    sneaker    0.0%
//    bag        0.0%
//
//  it is a trouser
