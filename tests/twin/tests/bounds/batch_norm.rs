//! Batch norm in f32: three ways to the variance, two to the output, and the backward.

use crate::{accepted, refused};
use frostline_twin::activation::Activation;
use frostline_twin::batch_norm::{self, Parameters, Statistics};
use frostline_twin::{Array, Value, cases};

/// One channel after another, each as a vector over N, H and W.
struct Channels {
    shape: [usize; 4],
    x: Vec<Vec<f32>>,
}

impl Channels {
    fn of(array: &Array) -> Channels {
        let shape @ [_, c, h, w] = array.dims();
        let mut x = vec![Vec::new(); c];
        for (i, v) in array.to_f32().into_iter().enumerate() {
            x[i / (h * w) % c].push(v);
        }
        Channels { shape, x }
    }

    /// Back to NCHW.
    fn join(&self) -> Vec<f32> {
        let [n, c, h, w] = self.shape;
        let mut joined = Vec::new();
        for n in 0..n {
            for c in 0..c {
                joined.extend(&self.x[c][n * h * w..(n + 1) * h * w]);
            }
        }
        joined
    }
}

fn mean(x: &[f32]) -> f32 {
    x.iter().sum::<f32>() / x.len() as f32
}

fn two_pass(x: &[f32]) -> (f32, f32) {
    let mu = mean(x);
    let squares: f32 = x.iter().map(|x| (x - mu) * (x - mu)).sum();
    (mu, squares / x.len() as f32)
}

fn welford(x: &[f32]) -> (f32, f32) {
    let (mut mu, mut squares) = (0f32, 0f32);
    for (i, &x) in x.iter().enumerate() {
        let before = x - mu;
        mu += before / (i + 1) as f32;
        squares += before * (x - mu);
    }
    (mu, squares / x.len() as f32)
}

fn one_pass(x: &[f32]) -> (f32, f32) {
    let mu = mean(x);
    let squares: f32 = x.iter().map(|x| x * x).sum();
    (mu, squares / x.len() as f32 - mu * mu)
}

fn unbiased(x: &[f32]) -> (f32, f32) {
    let (mu, var) = two_pass(x);
    (mu, var * x.len() as f32 / (x.len() - 1) as f32)
}

type StatisticsF32 = fn(&[f32]) -> (f32, f32);

struct Layer {
    x: Array,
    gamma: Array,
    beta: Array,
    eps: f64,
}

impl Layer {
    /// Channels of deviation about 1, centred at `offset`.
    fn new(shape: [usize; 4], offset: f32) -> Layer {
        let mut rng = cases::rng(21);
        Layer {
            x: cases::uniform(&mut rng, &shape, offset - 1.7..offset + 1.7),
            gamma: cases::uniform(&mut rng, &[shape[1]], -1.5..1.5),
            beta: cases::uniform(&mut rng, &[shape[1]], -1.0..1.0),
            eps: f64::from(1e-5f32),
        }
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { gamma: &self.gamma, beta: &self.beta, eps: self.eps }
    }

    fn expected(&self) -> Value {
        let statistics = batch_norm::statistics(&self.x);
        batch_norm::forward(&self.x, &self.parameters(), &statistics, None, Activation::None)
    }

    /// y = γ·(x − μ)·rstd + β
    fn forward_f32(&self, statistics: StatisticsF32, eps: f32) -> Vec<f32> {
        self.per_channel(statistics, eps, |x, mu, rstd, gamma, beta| gamma * ((x - mu) * rstd) + beta)
    }

    /// y = x·scale + shift, the multiply-add of a fused kernel.
    fn folded_f32(&self, statistics: StatisticsF32, eps: f32) -> Vec<f32> {
        self.per_channel(statistics, eps, |x, mu, rstd, gamma, beta| {
            let scale = gamma * rstd;
            x * scale + (beta - mu * scale)
        })
    }

    fn per_channel(
        &self,
        statistics: StatisticsF32,
        eps: f32,
        y: fn(f32, f32, f32, f32, f32) -> f32,
    ) -> Vec<f32> {
        let mut channels = Channels::of(&self.x);
        let parameters = self.gamma.to_f32().into_iter().zip(self.beta.to_f32());
        for (x, (gamma, beta)) in channels.x.iter_mut().zip(parameters) {
            let (mu, var) = statistics(x);
            let rstd = 1.0 / (var + eps).sqrt();
            x.iter_mut().for_each(|x| *x = y(*x, mu, rstd, gamma, beta));
        }
        channels.join()
    }
}

const SHAPES: [[usize; 4]; 5] = [[2, 3, 1, 1], [3, 5, 4, 7], [1, 2, 13, 13], [8, 4, 6, 5], [2, 2, 30, 40]];

#[test]
fn forward() {
    let eps = 1e-5;
    for shape in SHAPES {
        for offset in [0.0, -3.0, 30.0, 1000.0] {
            let layer = Layer::new(shape, offset);
            let expected = layer.expected();
            let name = |what| format!("{what}, {shape:?} around {offset}");
            accepted(&name("two passes"), &layer.forward_f32(two_pass, eps), &expected);
            accepted(&name("Welford"), &layer.forward_f32(welford, eps), &expected);
            accepted(&name("folded"), &layer.folded_f32(two_pass, eps), &expected);
            if offset.abs() < 100.0 {
                refused(&name("unbiased"), &layer.forward_f32(unbiased, eps), &expected);
                refused(&name("another eps"), &layer.forward_f32(two_pass, 1e-3), &expected);
            } else if shape[0] * shape[2] * shape[3] > 2 {
                refused(&name("one pass"), &layer.forward_f32(one_pass, eps), &expected);
            }
        }
    }
}

#[test]
fn running_statistics() {
    let layer = Layer::new([3, 5, 4, 7], 2.0);
    let zeros = Array::zeros(&[5]);
    let ones = Array::new(&[5], vec![1.0; 5]);
    let old = Statistics::given(&zeros, &ones);
    let batch = batch_norm::statistics(&layer.x);
    let momentum = f64::from(0.1f32);
    let expected = batch_norm::update_running(&old, &batch, 84, momentum);
    let blend = |old: f32, new: f32| (1.0 - 0.1f32) * old + 0.1 * new;
    let update = |statistics: StatisticsF32| -> (Vec<f32>, Vec<f32>) {
        let channels = Channels::of(&layer.x).x;
        let updated = channels.iter().map(|x| {
            let (mu, var) = statistics(x);
            (blend(0.0, mu), blend(1.0, var))
        });
        updated.unzip()
    };
    let (mean, var) = update(unbiased);
    accepted("running mean", &mean, &expected.mean);
    accepted("running variance", &var, &expected.var);
    refused("biased running variance", &update(two_pass).1, &expected.var);
}

/// What the three terms of dx are multiplied with; all 1 is right.
fn backward_f32(layer: &Layer, dy: &Array, through_mean: f32, through_var: f32) -> [Vec<f32>; 3] {
    let mut dx = Channels::of(dy);
    let (mut dgammas, mut dbetas) = (Vec::new(), Vec::new());
    let xs = Channels::of(&layer.x).x;
    for ((x, d), gamma) in xs.iter().zip(&mut dx.x).zip(layer.gamma.to_f32()) {
        let (mu, var) = two_pass(x);
        let rstd = 1.0 / (var + layer.eps as f32).sqrt();
        let m = x.len() as f32;
        let dbeta: f32 = d.iter().sum();
        let dgamma: f32 = d.iter().zip(x).map(|(d, x)| d * ((x - mu) * rstd)).sum();
        for (d, x) in d.iter_mut().zip(x) {
            let normalised = (x - mu) * rstd;
            let statistics = through_mean * dbeta + through_var * (normalised * dgamma);
            *d = gamma * rstd * (*d - statistics / m);
        }
        dgammas.push(dgamma);
        dbetas.push(dbeta);
    }
    [dx.join(), dgammas, dbetas]
}

#[test]
fn backward() {
    let mut rng = cases::rng(22);
    for shape in SHAPES {
        for offset in [0.0, -3.0, 30.0] {
            let layer = Layer::new(shape, offset);
            let dy = cases::uniform(&mut rng, &shape, -1.0..1.0);
            let expected = batch_norm::backward_batch(&layer.x, &layer.parameters(), &dy);
            let [dx, dgamma, dbeta] = backward_f32(&layer, &dy, 1.0, 1.0);
            let name = |what| format!("{what}, {shape:?} around {offset}");
            accepted(&name("dx"), &dx, &expected.dx);
            accepted(&name("dgamma"), &dgamma, &expected.dgamma);
            accepted(&name("dbeta"), &dbeta, &expected.dbeta);

            let [dx, ..] = backward_f32(&layer, &dy, 1.0, 0.0);
            refused(&name("dx without the variance"), &dx, &expected.dx);
            let [dx, ..] = backward_f32(&layer, &dy, 0.0, 1.0);
            refused(&name("dx without the mean"), &dx, &expected.dx);
            let m = (shape[0] * shape[2] * shape[3]) as f32;
            let wrong = m / (m - 1.0);
            let [dx, ..] = backward_f32(&layer, &dy, wrong, wrong);
            refused(&name("dx divided by m - 1"), &dx, &expected.dx);
        }
    }
}
