//! batch_norm: y = γ·x̂ + β, x̂ = (x − μ)·rstd, rstd = 1/√(σ² + eps), μ and σ² per channel.
//! backward, statistics of this batch: dβ = Σ dy, dγ = Σ dy·x̂,
//! dx = γ·rstd·(dy − (dβ + x̂·dγ) / m), m = N·H·W.
//! backward, running statistics: the same dβ and dγ, dx = γ·rstd·dy.
//!
//! # The tolerance
//!
//! μ and σ² are themselves sums with terms, which [`crate::Tracked`] carries through the
//! difference, the root and the division to y and to the gradients. What σ² may be off by follows
//! from (x − μ)², whose excess is 2·|x − μ| times that of the difference, at most |x| + terms(μ).
//! So the bound grows like eps32·σ·|μ|: enough for two passes or Welford's recurrence, which round
//! μ at the scale of |x|, and too little for `E[x²] − μ²`, which errs by eps32·μ², once a channel
//! lies hundreds of deviations from zero. All is first order in eps32: it holds while eps32·|μ| is
//! small against √(σ² + eps).

mod moments;

pub use moments::{Statistics, statistics, update_running};

use crate::activation::Activation;
use crate::{Array, Value, exact};
use moments::{channel, sum_per_channel};

/// A layer's parameters, and its constant.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// γ, (C): PyTorch's `weight`.
    pub gamma: &'a Array,
    /// β, (C): PyTorch's `bias`.
    pub beta: &'a Array,
    /// Added to the variance; 1e-5 in ResNets, 1e-3 in EfficientNets.
    pub eps: f64,
}

/// The gradients of all three inputs.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// dx, (N, C, H, W).
    pub dx: Value,
    /// dγ, (C).
    pub dgamma: Value,
    /// dβ, (C).
    pub dbeta: Value,
}

/// `batch_norm.forward`: x (N, C, H, W) -> y of the same shape; for training, with the
/// [`statistics`] of x; frozen or in evaluation, with running ones.
///
/// Optionally fused with the next operations of a residual block: `y = activation(y + residual)`.
pub fn forward(
    x: &Array,
    parameters: &Parameters<'_>,
    statistics: &Statistics,
    residual: Option<&Array>,
    activation: Activation,
) -> Value {
    if let Some(residual) = residual {
        residual.expect_shape("residual", &x.shape);
    }
    let normalised = normalised(x, statistics, parameters.eps);
    Value::build(&x.shape, |i| {
        let c = channel(x.dims(), i);
        let gamma = exact(parameters.gamma.data[c]);
        let mut y = gamma * normalised.at([i]) + exact(parameters.beta.data[c]);
        if let Some(residual) = residual {
            y += exact(residual.data[i]);
        }
        activation.apply(y)
    })
}

/// x̂ = (x − μ)·rstd
fn normalised(x: &Array, statistics: &Statistics, eps: f64) -> Value {
    let shape = x.dims();
    statistics.mean.value.expect_shape("mean", &[shape[1]]);
    let rstd = statistics.rstd(eps);
    Value::build(&x.shape, |i| {
        let c = channel(shape, i);
        (exact(x.data[i]) - statistics.mean.at([c])) * rstd.at([c])
    })
}

/// dβ and dγ, which do not depend on the source of the statistics.
fn backward_parameters(normalised: &Value, dy: &Array) -> (Value, Value) {
    dy.expect_shape("grad_output", &normalised.value.shape);
    let dbeta = sum_per_channel(dy.dims(), |i| exact(dy.data[i]));
    let dgamma = sum_per_channel(dy.dims(), |i| exact(dy.data[i]) * normalised.at([i]));
    (dbeta, dgamma)
}

/// `batch_norm.backward` through the statistics of this batch.
///
/// A fused activation is undone first: pass [`Activation::backward`] of the stored output as dy.
/// It only selects, so the fused kernel's tolerance is the same.
pub fn backward_batch(x: &Array, parameters: &Parameters<'_>, dy: &Array) -> Gradients {
    let shape @ [n, _, h, w] = x.dims();
    let m = exact((n * h * w) as f64);
    let statistics = statistics(x);
    let rstd = statistics.rstd(parameters.eps);
    let normalised = normalised(x, &statistics, parameters.eps);
    let (dbeta, dgamma) = backward_parameters(&normalised, dy);
    let dx = Value::build(&x.shape, |i| {
        let c = channel(shape, i);
        let through_statistics = (dbeta.at([c]) + normalised.at([i]) * dgamma.at([c])) / m;
        let scale = exact(parameters.gamma.data[c]) * rstd.at([c]);
        scale * (exact(dy.data[i]) - through_statistics)
    });
    Gradients { dx, dgamma, dbeta }
}

/// `batch_norm.backward` with running statistics, which are constants to the gradient.
///
/// A fused activation is undone first, as in [`backward_batch`].
pub fn backward_running(
    x: &Array,
    parameters: &Parameters<'_>,
    running: &Statistics,
    dy: &Array,
) -> Gradients {
    let rstd = running.rstd(parameters.eps);
    let normalised = normalised(x, running, parameters.eps);
    let (dbeta, dgamma) = backward_parameters(&normalised, dy);
    let dx = Value::build(&x.shape, |i| {
        let c = channel(x.dims(), i);
        exact(parameters.gamma.data[c]) * rstd.at([c]) * exact(dy.data[i])
    });
    Gradients { dx, dgamma, dbeta }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, gradcheck};

    const SHAPES: [[usize; 4]; 4] = [[4, 3, 1, 1], [1, 2, 5, 3], [3, 5, 2, 2], [2, 1, 7, 1]];

    /// No kinks. Not linear in x: eps 1e-4 leaves an error of eps²·f''' ≈ 1e-8 for channels of
    /// unit variance, and 1e-12/eps of rounding.
    #[test]
    fn gradients_through_batch_statistics() {
        let mut rng = cases::rng(6);
        for shape in SHAPES {
            let x = cases::uniform(&mut rng, &shape, -2.0..3.0);
            let gamma = cases::uniform(&mut rng, &[shape[1]], 0.5..1.5);
            let beta = cases::uniform(&mut rng, &[shape[1]], -1.0..1.0);
            let eps = 1e-2;
            let f = |v: &[Array]| {
                let p = Parameters { gamma: &v[1], beta: &v[2], eps };
                forward(&v[0], &p, &statistics(&v[0]), None, Activation::None)
            };
            let p = Parameters { gamma: &gamma, beta: &beta, eps };
            let g = backward_batch(&x, &p, &gradcheck::grad_output(&shape));
            let grads = [g.dx, g.dgamma, g.dbeta];
            gradcheck::check(&format!("{shape:?}"), f, &[x, gamma, beta], &grads, 1e-4, 1e-6);
        }
    }

    /// No kinks; linear in x, γ and β, each for itself: any eps is exact, here 0.5.
    #[test]
    fn gradients_with_running_statistics() {
        let mut rng = cases::rng(7);
        for shape in SHAPES.into_iter().chain([[1, 1, 1, 1]]) {
            let x = cases::uniform(&mut rng, &shape, -2.0..3.0);
            let gamma = cases::uniform(&mut rng, &[shape[1]], 0.5..1.5);
            let beta = cases::uniform(&mut rng, &[shape[1]], -1.0..1.0);
            let running = Statistics::given(
                &cases::uniform(&mut rng, &[shape[1]], -1.0..1.0),
                &cases::uniform(&mut rng, &[shape[1]], 0.5..2.0),
            );
            let eps = 1e-5;
            let f = |v: &[Array]| {
                let p = Parameters { gamma: &v[1], beta: &v[2], eps };
                forward(&v[0], &p, &running, None, Activation::None)
            };
            let p = Parameters { gamma: &gamma, beta: &beta, eps };
            let g = backward_running(&x, &p, &running, &gradcheck::grad_output(&shape));
            let grads = [g.dx, g.dgamma, g.dbeta];
            gradcheck::check(&format!("{shape:?}"), f, &[x, gamma, beta], &grads, 0.5, 1e-11);
        }
    }

    /// Kink of the fused relu at 0: draws until every pre-activation keeps 0.01 away, which a
    /// step of eps 1e-4 cannot cross. The residual's gradient is the masked dy itself.
    #[test]
    fn gradients_through_a_fused_residual_and_relu() {
        let mut rng = cases::rng(8);
        let shape = [2, 2, 2, 3];
        let eps = 1e-2;
        let f = |v: &[Array]| {
            let p = Parameters { gamma: &v[1], beta: &v[2], eps };
            forward(&v[0], &p, &statistics(&v[0]), Some(&v[3]), Activation::Relu)
        };
        let inputs = loop {
            let inputs = [
                cases::uniform(&mut rng, &shape, -2.0..2.0),
                cases::uniform(&mut rng, &[2], 0.5..1.5),
                cases::uniform(&mut rng, &[2], -0.5..0.5),
                cases::uniform(&mut rng, &shape, -1.0..1.0),
            ];
            let p = Parameters { gamma: &inputs[1], beta: &inputs[2], eps };
            let s = statistics(&inputs[0]);
            let before = forward(&inputs[0], &p, &s, Some(&inputs[3]), Activation::None);
            if before.value.data.iter().all(|z| z.abs() > 0.01) {
                break inputs;
            }
        };
        let y = f(&inputs).value;
        let masked = Activation::Relu.backward(&gradcheck::grad_output(&shape), &y);
        let p = Parameters { gamma: &inputs[1], beta: &inputs[2], eps };
        let g = backward_batch(&inputs[0], &p, &masked.value);
        let grads = [g.dx, g.dgamma, g.dbeta, masked];
        gradcheck::check("batch_norm add relu", f, &inputs, &grads, 1e-4, 1e-6);
    }
}
