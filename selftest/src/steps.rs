//! The parts of a training step besides layers: images of bytes, augmentation, mixup and the optimisers.

use crate::bench::kernels;
use crate::{Case, Tester};
use frostline_engine::ops::{Augment, Interpolation, Jitter, Mix, Transform, Window};
use frostline_engine::{Freeze, Graph, Optim, Optimizer, Params, Plan, Result, Rule, Session, Storage};
use frostline_twin::adamw::AdamW;
use frostline_twin::sgd::Sgd;
use frostline_twin::{Array, Value, augment as twin, cases, mixup, normalize};
use std::collections::BTreeMap;

/// In the order of a step.
pub const CASES: &[Case] = &[
    ("normalize, grey", |t| Box::pin(normalization(t, 1))),
    ("normalize, RGB", |t| Box::pin(normalization(t, 3))),
    ("augment", |t| Box::pin(augmentation(t))),
    ("mixup", |t| Box::pin(mixing(t))),
    ("sgd with momentum", |t| {
        Box::pin(step(t, Optim::sgd(RATE).momentum(0.9).weight_decay(0.01), Storage::F32))
    }),
    ("adamw", |t| Box::pin(step(t, Optim::adamw(RATE), Storage::F32))),
    ("adamw with a loss scale", |t| Box::pin(half_step(t))),
];

/// Every byte value, in images whose bytes do not fill whole words.
async fn normalization(t: &mut Tester<'_>, c: usize) -> Result<()> {
    let [n, h, w] = [3, 11, 17];
    let bytes: Vec<u8> = (0..n * h * w * c).map(|i| (i * 151 + i / 256) as u8).collect();
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let mut graph = Graph::new();
    let pixels = graph.pixels(n, h, w, c);
    let y = graph.normalize(pixels, &mean[..c], &std[..c])?;
    let y = graph.max_pool2d(y, "out of the pool", 1, 1, 0)?;
    let plan = Plan::inference(&graph, y, t.tuning)?;
    t.ran(&kernels(&plan));
    let mut session = Session::open(t.gpu, plan, &Params::new(t.gpu, &graph, 0)?, None).await?;
    session.write_pixels(&bytes)?;
    session.poison();
    session.run_async().await?;

    // From (N, H, W, C) to (N, C, H, W).
    let (image, plane) = (h * w * c, h * w);
    let at = |i: usize| i / image * image + i % plane * c + i % image / plane;
    let x = Array::new(&[n, c, h, w], (0..bytes.len()).map(|i| f64::from(bytes[at(i)])).collect());
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
    t.check(
        "output",
        &session.read_output_async().await?,
        &normalize::forward(&x, &wide(&mean[..c]), &wide(&std[..c])),
    );
    Ok(())
}

/// A crop, a flip, a rotation and every change of colour, on one image; nothing on the other.
async fn augmentation(t: &mut Tester<'_>) -> Result<()> {
    let [n, c, h, w] = [2, 3, 17, 19];
    let x = cases::uniform(&mut t.rng, &[n, c, h, w], 0.0..1.0);
    let augment = Augment {
        size: [11, 13],
        mean: vec![0.4; c],
        std: vec![0.3; c],
        interpolation: Interpolation::Bilinear,
        fill: 0.2,
    };
    let changed = Transform {
        window: Window { top: 2, left: 3, height: 14, width: 15 },
        flip_horizontal: true,
        flip_vertical: false,
        angle: 20.0,
        shift: [1.5, -0.5],
        jitter: vec![
            Jitter::Brightness(1.2),
            Jitter::Contrast(0.8),
            Jitter::Saturation(1.3),
            Jitter::Hue(0.1),
        ],
    };
    let transforms = [changed, Transform::identity(h, w)];

    let mut graph = Graph::new();
    let input = graph.input(n, h, w, c);
    let y = graph.augment(input, augment.clone())?;
    let y = graph.max_pool2d(y, "out of the pool", 1, 1, 0)?;
    let plan = Plan::inference(&graph, y, t.tuning)?;
    t.ran(&kernels(&plan));
    let mut session = Session::open(t.gpu, plan, &Params::new(t.gpu, &graph, 0)?, None).await?;
    session.write_input(&interleaved(&x))?;
    session.write_transforms(&transforms)?;
    session.poison();
    session.run_async().await?;

    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
    let settings = twin::Settings {
        size: augment.size,
        bilinear: true,
        fill: f64::from(augment.fill),
        mean: wide(&augment.mean),
        std: wide(&augment.std),
    };
    let transforms: Vec<twin::Transform> = transforms.iter().map(of_twin).collect();
    t.check("output", &session.read_output_async().await?, &twin::forward(&x, &transforms, &settings));
    Ok(())
}

/// Two images mixed with each other, and one with itself.
async fn mixing(t: &mut Tester<'_>) -> Result<()> {
    let [n, c, h, w] = [3, 3, 5, 7];
    let x = cases::uniform(&mut t.rng, &[n, c, h, w], -1.0..1.0);
    let mixes = [(1, 0.7), (0, 0.2), (2, 0.4)].map(|(partner, share)| Mix { partner, share });
    let mut graph = Graph::new();
    let input = graph.input(n, h, w, c);
    let wanted = graph.mixes(n);
    let y = graph.mixup(input, wanted)?;
    let y = graph.max_pool2d(y, "out of the pool", 1, 1, 0)?;
    let plan = Plan::inference(&graph, y, t.tuning)?;
    t.ran(&kernels(&plan));
    let mut session = Session::open(t.gpu, plan, &Params::new(t.gpu, &graph, 0)?, None).await?;
    session.write_input(&interleaved(&x))?;
    session.write_mixes(&mixes)?;
    session.poison();
    session.run_async().await?;
    let mixes = mixes.map(|mix| (mix.partner, f64::from(mix.share)));
    t.check("output", &session.read_output_async().await?, &mixup::forward(&x, &mixes));
    Ok(())
}

fn of_twin(transform: &Transform) -> twin::Transform {
    let jitter = |jitter: &Jitter| match *jitter {
        Jitter::Brightness(factor) => twin::Jitter::Brightness(f64::from(factor)),
        Jitter::Contrast(factor) => twin::Jitter::Contrast(f64::from(factor)),
        Jitter::Saturation(factor) => twin::Jitter::Saturation(f64::from(factor)),
        Jitter::Hue(turns) => twin::Jitter::Hue(f64::from(turns)),
    };
    let Window { top, left, height, width } = transform.window;
    twin::Transform {
        window: [top, left, height, width],
        flip_horizontal: transform.flip_horizontal,
        flip_vertical: transform.flip_vertical,
        angle: f64::from(transform.angle),
        shift: transform.shift.map(f64::from),
        jitter: transform.jitter.iter().map(jitter).collect(),
    }
}

/// (N, C, H, W) in the order of decoders: (N, H, W, C).
fn interleaved(x: &Array) -> Vec<f32> {
    let [n, c, h, w] = x.dims();
    let places = (0..n).flat_map(|n| (0..h).flat_map(move |i| (0..w).map(move |j| (n, i, j))));
    places.flat_map(|(n, i, j)| (0..c).map(move |c| x[[n, c, i, j]] as f32)).collect()
}

const RATE: f32 = 0.1;

/// Gradients as f16, if the adapter supports it.
async fn half_step(t: &mut Tester<'_>) -> Result<()> {
    if t.gpu.has_f16() { step(t, Optim::adamw(RATE), Storage::f16()).await } else { Ok(()) }
}

/// One step of a linear layer, from the weights, gradients and moments that are read back.
async fn step(t: &mut Tester<'_>, optim: Optim, storage: Storage) -> Result<()> {
    let (rows, features, classes) = (4, 6, 5);
    let mut graph = Graph::new();
    let x = graph.input(rows, 1, 1, features);
    let labels = graph.labels(rows);
    let logits = graph.linear(x, "fc", classes)?;
    let loss = graph.cross_entropy(logits, labels, 0.0)?;
    let plan = Plan::training(&graph, loss, &Freeze::none(), &optim, &t.tuning.with_storage(storage))?;
    t.ran(&kernels(&plan));
    let params = Params::new(t.gpu, &graph, 7)?;
    let mut optimizer = Optimizer::new(t.gpu, &plan)?;
    let mut session = Session::open(t.gpu, plan, &params, Some(&optimizer)).await?;
    session.write_input(&cases::uniform(&mut t.rng, &[rows, features], -2.0..2.0).to_f32())?;
    session.write_labels(&cases::labels(&mut t.rng, rows, classes))?;
    // The first step fills the moments.
    let mut before = BTreeMap::new();
    for _ in 0..2 {
        before = state(&params, &optimizer).await?;
        session.begin_step(&mut optimizer, RATE)?;
        session.poison();
        session.run_async().await?;
    }
    let after = state(&params, &optimizer).await?;
    for name in ["fc.weight", "fc.bias"] {
        let at = |slot: &str| before.get(&key(slot, name)).cloned().unwrap_or_else(|| Array::zeros(&[0]));
        let weight = at(WEIGHT);
        let gradient = Array::from_f32(&weight.shape, &session.read_gradient_async(name).await?);
        let (rate, decay) = (f64::from(RATE), f64::from(optim.weight_decay));
        let expected: Vec<(&str, Value)> = match optim.rule {
            Rule::Sgd { momentum, nesterov } => {
                let sgd =
                    Sgd { learning_rate: rate, momentum: momentum.into(), weight_decay: decay, nesterov };
                let stepped = sgd.step(&weight, &gradient, &at("momentum_buffer"));
                vec![(WEIGHT, stepped.weight), ("momentum_buffer", stepped.velocity)]
            }
            Rule::AdamW { beta1, beta2, eps } => {
                let adamw = AdamW { learning_rate: rate, beta1, beta2, eps: eps.into(), weight_decay: decay };
                let stepped = adamw.step(2, &weight, &gradient, &at("exp_avg"), &at("exp_avg_sq"));
                vec![(WEIGHT, stepped.weight), ("exp_avg", stepped.mean), ("exp_avg_sq", stepped.mean_square)]
            }
        };
        for (slot, expected) in expected {
            let computed = after.get(&key(slot, name)).map(Array::to_f32).unwrap_or_default();
            t.check(&format!("{name}, {slot}"), &computed, &expected);
        }
    }
    Ok(())
}

/// The slot of the parameters themselves.
const WEIGHT: &str = "weight";

fn key(slot: &str, name: &str) -> (String, String) {
    (slot.to_owned(), name.to_owned())
}

/// Parameters and moments by slot and name.
async fn state(params: &Params, optimizer: &Optimizer) -> Result<BTreeMap<(String, String), Array>> {
    let weights = params
        .to_host_async()
        .await?
        .into_iter()
        .map(|(name, shape, values)| (key(WEIGHT, &name), Array::from_f32(&shape, &values)));
    let moments = optimizer.to_host_async().await?.into_iter();
    Ok(weights
        .chain(
            moments.map(|(slot, name, shape, values)| (key(slot, &name), Array::from_f32(&shape, &values))),
        )
        .collect())
}
