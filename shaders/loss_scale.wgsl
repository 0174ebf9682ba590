//! loss_scale: dynamic loss scaling, for gradients stored as f16 (Micikevicius et al. 2018; torch.amp.GradScaler)
//! `check`: overflow ← 1 if a gradient is infinite or NaN.
//! `update`, after it: taken = no overflow, and a finite loss.
//!   taken: good_steps ← good_steps + 1; at growth_interval scale ← min(2·scale, 2²⁴), good_steps ← 0
//!   else:  scale ← max(scale/2, 1), good_steps ← 0, skipped_steps ← skipped_steps + 1
//!   A growth_interval of 0 leaves the scale as it is.
//!   bias1 = 1 − β₁ᵗ, bias2 = 1 − β₂ᵗ, t = step − skipped_steps: the steps taken, this one included
//! `check`: one invocation per 16 vec4 of the flat buffer of gradients, 64 vec4 apart. `update`: one invocation.
//!use shared/finite.wgsl
//!use shared/loss_scaler.wgsl
const WG: u32 = 64;
const PER: u32 = 16;
const LARGEST: f32 = 16777216.0;

struct Params { size4: u32, step: u32, growth_interval: u32, decay1: f32, decay2: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;              // (size/4)
@group(0) @binding(2) var<storage, read> summary: array<vec4f>;               // (1) the loss comes first
@group(0) @binding(3) var<storage, read_write> overflow: array<atomic<u32>>;  // (1) 0 between two steps
@group(0) @binding(4) var<storage, read_write> scaler: LossScaler;  // (1)

@compute @workgroup_size(WG)
fn check(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.y * groups.x + group.x) * WG * PER + lane;
    var bad = false;
    for (var q = 0u; q < PER; q++) {
        let i = first + q * WG;
        if i < p.size4 { bad = bad || !all(are_finite(gradient[i])); }
    }
    if bad { atomicStore(&overflow[0], 1u); }
}

@compute @workgroup_size(1)
fn update() {
    let taken = atomicLoad(&overflow[0]) == 0u && is_finite(summary[0].x);
    atomicStore(&overflow[0], 0u);
    var scale = scaler.scale;
    var good = 0u;
    scaler.unscale = 1.0 / scale;
    scaler.taken = u32(taken);
    if taken {
        good = scaler.good_steps + 1u;
        if good == p.growth_interval { scale = min(2.0 * scale, LARGEST); good = 0u; }
    } else {
        scaler.skipped_steps += 1u;
        if p.growth_interval > 0u { scale = max(0.5 * scale, 1.0); }
    }
    scaler.scale = scale;
    scaler.good_steps = good;
    // The host counts this step once it has begun it; a step that it did not count is the first.
    let t = f32(max(p.step, scaler.skipped_steps + 1u) - scaler.skipped_steps);
    scaler.bias1 = rest(t * p.decay1);
    scaler.bias2 = rest(t * p.decay2);
}

// 1 − e⁻ˣ for x ≥ 0. Near 0 the difference would lose all digits: there it is x − x²/2! + x³/3! − …
fn rest(x: f32) -> f32 {
    if x > 0.5 { return 1.0 - exp(-min(x, 80.0)); }
    var sum = 1.0;
    for (var n = 9u; n > 1u; n--) { sum = 1.0 - x / f32(n) * sum; }
    return x * sum;
}
