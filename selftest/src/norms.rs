//! Batch norms: with both kinds of statistics, and folded into the convolution before them.

use crate::bench::{Bench, filter, vector};
use crate::{Case, Tester};
use frostline_engine::ops::{Activation, BatchNorm, Conv2d, Relu, Stats};
use frostline_engine::{BatchNormMode, Freeze, Padding, Result, TensorId};
use frostline_twin::activation::Activation as Twin;
use frostline_twin::batch_norm::{
    Parameters, Statistics, backward_batch, backward_running, forward, statistics, update_running,
};
use frostline_twin::{Array, Value, cases, conv2d, exact};
use rand_chacha::ChaCha8Rng;

/// In the order of a network.
pub const CASES: &[Case] = &[
    ("batch_norm, batch statistics", |t| Box::pin(normalise(t, Stats::Batch))),
    ("batch_norm, running statistics", |t| Box::pin(normalise(t, Stats::Running))),
    ("conv2d, frozen batch_norm and relu", |t| Box::pin(folded(t))),
];

const EPS: f32 = 1e-3;
/// Momentum of the running statistics, PyTorch's 0.1 in f32.
const MOMENTUM: f32 = 0.1;

/// γ, β and the running statistics of one batch norm, each (C).
struct Norm {
    gamma: Array,
    beta: Array,
    mean: Array,
    var: Array,
}

impl Norm {
    /// Random values, γ of both signs.
    fn random(rng: &mut ChaCha8Rng, c: usize) -> Self {
        let mut draw = |range| cases::uniform(rng, &[c], range);
        Self { gamma: draw(-1.5..1.5), beta: draw(-0.5..0.5), mean: draw(-0.5..0.5), var: draw(0.5..1.5) }
    }

    fn record(&self, bench: &mut Bench) -> Result<[TensorId; 4]> {
        Ok([
            bench.parameter("bn.weight", vector(&self.gamma), &self.gamma)?,
            bench.parameter("bn.bias", vector(&self.beta), &self.beta)?,
            bench.statistic("bn.running_mean", &self.mean)?,
            bench.statistic("bn.running_var", &self.var)?,
        ])
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { gamma: &self.gamma, beta: &self.beta, eps: f64::from(EPS) }
    }

    fn running(&self) -> Statistics {
        Statistics::given(&self.mean, &self.var)
    }
}

async fn normalise(t: &mut Tester<'_>, stats: Stats) -> Result<()> {
    let shape = [3, 6, 19, 23];
    let (x, dy) =
        (cases::uniform(&mut t.rng, &shape, -2.0..3.0), cases::uniform(&mut t.rng, &shape, -1.0..1.0));
    let norm = Norm::random(&mut t.rng, shape[1]);
    let mut bench = t.bench();
    let input = bench.image("x", &x)?;
    let [weight, bias, mean, var] = norm.record(&mut bench)?;
    let op = BatchNorm { eps: EPS, momentum: MOMENTUM, ..Default::default() };
    let y = bench.graph.record(op, "bn", &[input, weight, bias, mean, var])?;
    let y = bench.graph.relu(y, "relu")?;
    let mut freeze = Freeze::none();
    freeze.batch_norm = if stats == Stats::Batch { BatchNormMode::Batch } else { BatchNormMode::Running };
    let ran = bench.run(y, &dy, &freeze, t.tuning).await?;
    t.ran(&ran.kernels);

    let (used, after) = match stats {
        Stats::Batch => {
            let batch = statistics(&x);
            let after =
                update_running(&norm.running(), &batch, shape[0] * shape[2] * shape[3], f64::from(MOMENTUM));
            (batch, after)
        }
        Stats::Running => (norm.running(), norm.running()),
    };
    t.check("output", &ran.output, &forward(&x, &norm.parameters(), &used, None, Twin::Relu));
    let state = |name: &str| ran.state.get(name).cloned().unwrap_or_default();
    t.check("running mean", &state("bn.running_mean"), &after.mean);
    t.check("running variance", &state("bn.running_var"), &after.var);
    // The output shows where the activation's slope is one, including the effect of rounding.
    let dz = Twin::Relu.backward(&dy, &ran.output_array(&shape)).value;
    let gradients = match stats {
        Stats::Batch => backward_batch(&x, &norm.parameters(), &dz),
        Stats::Running => backward_running(&x, &norm.parameters(), &used, &dz),
    };
    t.check("gradient of x", ran.gradient("x"), &gradients.dx);
    t.check("gradient of weight", ran.gradient("bn.weight"), &gradients.dgamma);
    t.check("gradient of bias", ran.gradient("bn.bias"), &gradients.dbeta);
    Ok(())
}

/// A frozen prefix runs one kernel per block: the convolution, with the norm in its weights.
async fn folded(t: &mut Tester<'_>) -> Result<()> {
    let [x, dy] = [[2, 5, 6, 4], [2, 6, 6, 4]].map(|shape| cases::uniform(&mut t.rng, &shape, -1.0..1.0));
    let w = cases::uniform(&mut t.rng, &[6, 5, 3, 3], -1.0..1.0);
    let norm = Norm::random(&mut t.rng, 6);
    let mut bench = t.bench();
    let inputs = [bench.image("x", &x)?, bench.parameter("w", filter(&w), &w)?];
    let conv = bench.graph.record(
        Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() },
        "conv",
        &inputs,
    )?;
    let [weight, bias, mean, var] = norm.record(&mut bench)?;
    let normalised = bench.graph.record(
        BatchNorm { eps: EPS, ..Default::default() },
        "bn",
        &[conv, weight, bias, mean, var],
    )?;
    let y = bench.graph.record(Relu { activation: Activation::Relu }, "act", &[normalised])?;
    let ran = bench.run(y, &dy, &Freeze::names(["bn.weight", "bn.bias"]), t.tuning).await?;
    t.ran(&ran.kernels);

    let sums = conv2d::forward(&x, &w, 1, [1; 4]);
    let rstd = norm.running().rstd(f64::from(EPS));
    let expected = Value::build(&sums.value.shape, |i| {
        let c = i / (6 * 4) % 6;
        let centred = sums.at([i]) - exact(norm.mean.data[c]);
        Twin::Relu.apply(exact(norm.gamma.data[c]) * (centred * rstd.at([c])) + exact(norm.beta.data[c]))
    });
    t.check("output", &ran.output, &expected);
    Ok(())
}
