//! batch_norm.

use super::{IMAGE, images, words_of};
use crate::case::{Case, stored, stored_value};
use frostline_twin::activation::Activation;
use frostline_twin::batch_norm::{self as twin, Parameters, Statistics};
use frostline_twin::{Array, Value, cases};

const EPS: f32 = 1e-5;

/// A batch with statistics and parameters. The deviation is about 1, the mean of channel c is about c.
struct Batch {
    shape: [usize; 4],
    x: Array,
    dy: Array,
    gamma: Array,
    beta: Array,
}

fn all(seed: u64, case: impl Fn(&Batch) -> Case) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 12);
    // One pixel has no variance to divide by.
    let shapes = images(seed).into_iter().filter(|[n, _, h, w]| n * h * w > 1);
    let draw = |shape: [usize; 4]| {
        let [n, c, h, w] = shape;
        let mut x = cases::uniform(&mut rng, &shape, -1.7..1.7);
        for (i, value) in x.data.iter_mut().enumerate() {
            // As f32, so that what is uploaded is what the twin computes with.
            *value = f64::from((*value + (i / (h * w) % c) as f64) as f32);
        }
        let dy = cases::uniform(&mut rng, &shape, -1.0..1.0);
        let gamma = cases::uniform(&mut rng, &[c], 0.5..1.5);
        let beta = cases::uniform(&mut rng, &[c], -1.0..1.0);
        let batch = Batch { shape, x, dy, gamma, beta };
        case(&batch).sizes(&[("rows", n * h * w), ("channels", c)]).count("rows", n * h * w)
    };
    shapes.map(draw).collect()
}

pub(super) fn statistics(seed: u64) -> Vec<Case> {
    all(seed, |batch| {
        let mut x = batch.x.clone();
        // Far from zero: a variance by differences of squares would have no right digit.
        x.data.iter_mut().for_each(|value| *value = f64::from((*value + 500.0) as f32));
        let Statistics { mean, var } = twin::statistics(&x);
        let channels = batch.shape[1];
        let both =
            |mean: &Array, var: &Array| Array::new(&[2, channels], [&mean.data[..], &var.data[..]].concat());
        let value = Value { value: both(&mean.value, &var.value), terms: both(&mean.terms, &var.terms) };
        let mut case = Case::new(words_of(batch.shape), "stats", &["statistic", "channel"], value);
        case.grid = crate::case::Grid::Invocations(channels);
        case.input("x", &stored(&x))
    })
}

pub(super) fn forward(seed: u64) -> Vec<Case> {
    all(seed, |batch| {
        let found = twin::statistics(&batch.x);
        let [mean, var] = [&found.mean, &found.var].map(|value| rounded(&value.value));
        let parameters = Parameters { gamma: &batch.gamma, beta: &batch.beta, eps: f64::from(EPS) };
        let y = twin::forward(&batch.x, &parameters, &Statistics::given(&mean, &var), None, Activation::None);
        Case::new(words_of(batch.shape), "y", &IMAGE, stored_value(&y))
            .float("eps", EPS)
            .input("x", &stored(&batch.x))
            .input("mean", &mean)
            .input("variance", &var)
            .input("gamma", &batch.gamma)
            .input("beta", &batch.beta)
    })
}

pub(super) fn backward_input(seed: u64) -> Vec<Case> {
    all(seed, |batch| {
        let parameters = Parameters { gamma: &batch.gamma, beta: &batch.beta, eps: f64::from(EPS) };
        let gradients = twin::backward_batch(&batch.x, &parameters, &batch.dy);
        let found = twin::statistics(&batch.x);
        // Rounded as they are given: the twin's terms allow for their rounding.
        Case::new(words_of(batch.shape), "dx", &IMAGE, stored_value(&gradients.dx))
            .input("x", &stored(&batch.x))
            .input("dy", &stored(&batch.dy))
            .input("mean", &rounded(&found.mean.value))
            .input("rstd", &rounded(&found.rstd(f64::from(EPS)).value))
            .input("gamma", &batch.gamma)
            .input("dgamma", &rounded(&gradients.dgamma.value))
            .input("dbeta", &rounded(&gradients.dbeta.value))
    })
}

fn rounded(array: &Array) -> Array {
    Array::from_f32(&array.shape, &array.to_f32())
}
