//! adamw: g ← g/scale;  p ← p·(1 − lr·λ);  m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²;
//!        p ← p − lr·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)      (Loshchilov & Hutter 2019; torch.optim.AdamW)
//! The host puts `step_size` = lr/(1 − β₁ᵗ) and `correction` = 1/√(1 − β₂ᵗ) in before every step, and forms
//! 1 − β in double precision: 1 − 0.999 in f32 is off by 5e-5 of itself.
//! Where gradients carry a loss scale, `loss_scale.update` decides whether the step is taken, counts those
//! that were, and computes 1 − βᵗ from their number.
//! One invocation per vec4 of a run of neighbouring parameters; nothing is done after a loss that is not finite.
//!use shared/finite.wgsl
//!use shared/loss_scaler.wgsl
const WG: u32 = 64;
const SCALED: u32 = 0;   // 1: gradients carry a loss scale

struct Params { size4: u32, lr: f32, step_size: f32, correction: f32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, eps: f32, weight_decay: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;          // (size/4)
@group(0) @binding(2) var<storage, read> summary: array<vec4f>;           // (1) the loss comes first
@group(0) @binding(3) var<storage, read_write> parameter: array<vec4f>;   // (size/4)
@group(0) @binding(4) var<storage, read_write> exp_avg: array<vec4f>;     // (size/4) m
@group(0) @binding(5) var<storage, read_write> exp_avg_sq: array<vec4f>;  // (size/4) v
@group(0) @binding(6) var<storage, read> scaler: LossScaler;  // (1)

@compute @workgroup_size(WG)
fn step(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    var taken = is_finite(summary[0].x);
    var unscale = 1.0;
    var step_size = p.step_size;
    var correction = p.correction;
    if SCALED == 1u {
        taken = scaler.taken == 1u;
        unscale = scaler.unscale;
        step_size = p.lr / scaler.bias1;
        correction = 1.0 / sqrt(scaler.bias2);
    }
    if i >= p.size4 || !taken { return; }
    let g = unscale * gradient[i];
    let m = fma(vec4f(p.beta1), exp_avg[i], p.rest1 * g);
    let v = fma(vec4f(p.beta2), exp_avg_sq[i], p.rest2 * g * g);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    parameter[i] = parameter[i] * (1.0 - p.lr * p.weight_decay) - step_size * m / (sqrt(v) * correction + p.eps);
}
