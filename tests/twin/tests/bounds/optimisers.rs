//! SGD and AdamW in f32.

use crate::{accepted, refused};
use frostline_twin::adamw::AdamW;
use frostline_twin::sgd::Sgd;
use frostline_twin::{Array, cases};

/// Two arrays of 37 values in −1..1, two of the size that gradients and their squares have.
fn state() -> [Array; 4] {
    let mut rng = cases::rng(24);
    [
        cases::uniform(&mut rng, &[37], -1.0..1.0),
        cases::uniform(&mut rng, &[37], -0.1..0.1),
        cases::uniform(&mut rng, &[37], -0.1..0.1),
        cases::uniform(&mut rng, &[37], 0.0..0.01),
    ]
}

/// (weights, velocities)
fn sgd_f32(lr: f32, mu: f32, decay: f32, nesterov: bool) -> (Vec<f32>, Vec<f32>) {
    let [w, g, v, _] = state().map(|a| a.to_f32());
    (0..w.len())
        .map(|i| {
            let g = g[i] + decay * w[i];
            let v = mu * v[i] + g;
            let direction = if nesterov { g + mu * v } else { v };
            (w[i] - lr * direction, v)
        })
        .unzip()
}

#[test]
fn sgd() {
    let [w, g, v, _] = state();
    for nesterov in [false, true] {
        let sgd = Sgd {
            learning_rate: f64::from(0.05f32),
            momentum: f64::from(0.9f32),
            weight_decay: f64::from(1e-3f32),
            nesterov,
        };
        let expected = sgd.step(&w, &g, &v);
        let (weights, velocities) = sgd_f32(0.05, 0.9, 1e-3, nesterov);
        accepted("sgd weight", &weights, &expected.weight);
        accepted("sgd velocity", &velocities, &expected.velocity);
        let wrong = sgd_f32(0.05, 0.9, 1e-3, !nesterov).0;
        refused("the other momentum", &wrong, &expected.weight);
        let wrong = sgd_f32(0.05, 0.9, 0.0, nesterov).0;
        refused("no weight decay", &wrong, &expected.weight);
    }
}

/// (weights, means, mean squares) after step `t`; `rest2` is 1 − β₂ as the kernel has it.
fn adamw_f32(t: i32, rest2: f32, eps_in_root: bool, coupled: bool) -> [Vec<f32>; 3] {
    let [w, g, m, v] = state().map(|a| a.to_f32());
    let (lr, b1, b2, eps, decay) = (0.01f32, 0.9f32, 0.999f32, 1e-3f32, 0.1f32);
    let correction1 = (1.0 - f64::from(b1).powi(t)) as f32;
    let correction2 = (1.0 - f64::from(b2).powi(t)) as f32;
    let mut result: [Vec<f32>; 3] = Default::default();
    for i in 0..w.len() {
        let g = if coupled { g[i] + decay * w[i] } else { g[i] };
        let m = b1 * m[i] + (1.0 - f64::from(b1)) as f32 * g;
        let v = b2 * v[i] + rest2 * g * g;
        let root = if eps_in_root { (v / correction2 + eps).sqrt() } else { (v / correction2).sqrt() + eps };
        let kept = if coupled { w[i] } else { w[i] - lr * decay * w[i] };
        let updated = kept - lr * (m / correction1) / root;
        for (list, value) in result.iter_mut().zip([updated, m, v]) {
            list.push(value);
        }
    }
    result
}

#[test]
fn adamw() {
    let [w, g, m, v] = state();
    let adamw = AdamW {
        learning_rate: f64::from(0.01f32),
        beta1: f64::from(0.9f32),
        beta2: f64::from(0.999f32),
        eps: f64::from(1e-3f32),
        weight_decay: f64::from(0.1f32),
    };
    let rest2 = (1.0 - adamw.beta2) as f32;
    for t in [1, 2, 10, 1000] {
        let expected = adamw.step(t, &w, &g, &m, &v);
        let t = t as i32;
        let [weights, means, squares] = adamw_f32(t, rest2, false, false);
        accepted("adamw weight", &weights, &expected.weight);
        accepted("adamw mean", &means, &expected.mean);
        accepted("adamw mean square", &squares, &expected.mean_square);

        let [.., squares] = adamw_f32(t, 0.001 + 1e-5, false, false);
        refused("1 - beta2 off by a hundredth", &squares, &expected.mean_square);
        let [weights, ..] = adamw_f32(t, rest2, true, false);
        refused("eps in the root", &weights, &expected.weight);
        let [weights, ..] = adamw_f32(t, rest2, false, true);
        refused("decay in the gradient", &weights, &expected.weight);
        let [weights, ..] = adamw_f32(t + 1, rest2, false, false);
        if t < 1000 {
            refused("a step too far", &weights, &expected.weight);
        }
    }
}
