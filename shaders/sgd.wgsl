//! sgd: g ← g/scale + λ·p;  v ← μ·v + g;  p ← p − lr·(g + μ·v with Nesterov, else v)   (torch.optim.SGD, dampening 0)
//! One invocation per vec4 of a run of neighbouring parameters. After a loss that is not finite the
//! step does nothing, so that the weights that led there can still be looked at and saved. Where
//! gradients carry a loss scale, `loss_scale.update` decides whether the step is taken.
//!use shared/finite.wgsl
//!use shared/loss_scaler.wgsl
const WG: u32 = 64;
const SCALED: u32 = 0;     // 1: gradients carry a loss scale

struct Params { size4: u32, nesterov: u32, lr: f32, momentum: f32, weight_decay: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;               // (size/4)
@group(0) @binding(2) var<storage, read> summary: array<vec4f>;                // (1) the loss comes first
@group(0) @binding(3) var<storage, read_write> parameter: array<vec4f>;        // (size/4)
@group(0) @binding(4) var<storage, read_write> momentum_buffer: array<vec4f>;  // (size/4)
@group(0) @binding(5) var<storage, read> scaler: LossScaler;  // (1)

@compute @workgroup_size(WG)
fn step(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    var taken = is_finite(summary[0].x);
    var unscale = 1.0;
    if SCALED == 1u {
        taken = scaler.taken == 1u;
        unscale = scaler.unscale;
    }
    if i >= p.size4 || !taken { return; }
    let old = parameter[i];
    let g = fma(vec4f(p.weight_decay), old, unscale * gradient[i]);
    let v = fma(vec4f(p.momentum), momentum_buffer[i], g);
    let direction = select(v, fma(vec4f(p.momentum), v, g), p.nesterov == 1u);
    momentum_buffer[i] = v;
    parameter[i] = fma(vec4f(-p.lr), direction, old);
}
