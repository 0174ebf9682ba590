//! sgd: g ← g·unscale + λ·p;  v ← μ·v + g;  p ← p − lr·(g + μ·v with Nesterov, else v)   (torch.optim.SGD, dampening 0)
//! `unscale` is 1 over the loss scale, a power of two.
//! One invocation per vec4 of a run of neighbouring parameters. After a loss that is not finite the
//! step does nothing, so that the weights that led there can still be looked at and saved.
//!use shared/finite.wgsl
const WG: u32 = 64;

struct Params { size4: u32, nesterov: u32, lr: f32, momentum: f32, weight_decay: f32, unscale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;               // (size/4)
@group(0) @binding(2) var<storage, read> summary: array<vec4f>;                // (1) the loss comes first
@group(0) @binding(3) var<storage, read_write> parameter: array<vec4f>;        // (size/4)
@group(0) @binding(4) var<storage, read_write> momentum_buffer: array<vec4f>;  // (size/4)

@compute @workgroup_size(WG)
fn step(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.size4 || !is_finite(summary[0].x) { return; }
    let old = parameter[i];
    let g = fma(vec4f(p.weight_decay), old, p.unscale * gradient[i]);
    let v = fma(vec4f(p.momentum), momentum_buffer[i], g);
    let direction = select(v, fma(vec4f(p.momentum), v, g), p.nesterov == 1u);
    momentum_buffer[i] = v;
    parameter[i] = fma(vec4f(-p.lr), direction, old);
}
