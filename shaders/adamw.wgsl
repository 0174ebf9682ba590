//! adamw: g ← g·unscale;  p ← p·(1 − lr·λ);  m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²;
//!        p ← p − lr·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)      (Loshchilov & Hutter 2019; torch.optim.AdamW)
//! The host puts `step_size` = lr/(1 − β₁ᵗ) and `correction` = 1/√(1 − β₂ᵗ) in before every step, and forms
//! 1 − β in double precision: 1 − 0.999 in f32 is off by 5e-5 of itself.
//! `unscale` is 1 over the loss scale, a power of two.
//! One invocation per vec4 of a run of neighbouring parameters; nothing is done after a loss that is not finite.
//!use shared/finite.wgsl
const WG: u32 = 64;

struct Params { size4: u32, lr: f32, step_size: f32, correction: f32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, eps: f32, weight_decay: f32, unscale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;          // (size/4)
@group(0) @binding(2) var<storage, read> summary: array<vec4f>;           // (1) the loss comes first
@group(0) @binding(3) var<storage, read_write> parameter: array<vec4f>;   // (size/4)
@group(0) @binding(4) var<storage, read_write> exp_avg: array<vec4f>;     // (size/4) m
@group(0) @binding(5) var<storage, read_write> exp_avg_sq: array<vec4f>;  // (size/4) v

@compute @workgroup_size(WG)
fn step(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.size4 || !is_finite(summary[0].x) { return; }
    let g = p.unscale * gradient[i];
    let m = fma(vec4f(p.beta1), exp_avg[i], p.rest1 * g);
    let v = fma(vec4f(p.beta2), exp_avg_sq[i], p.rest2 * g * g);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    parameter[i] = parameter[i] * (1.0 - p.lr * p.weight_decay) - p.step_size * m / (sqrt(v) * p.correction + p.eps);
}
