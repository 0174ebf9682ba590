//! silu: y = x·σ(x),  σ(x) = 1/(1 + exp(−x));  backward: dx = dy·σ(x)·(1 + x·σ(−x))
//! σ(−x) is 1 − σ(x) without its rounding error. Both passes: one invocation per vec4 of the result.
//!use shared/activation.wgsl
const WG: u32 = 64;
const SILU = 3u;   // of `activate`

struct Params { items: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;         // (N·H·W, C/4)
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;        // (N·H·W, C/4)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;   // (N·H·W, C/4)
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;  // (N·H·W, C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }
fn store_dx(i: u32, value: vec4f) { dx[i] = value; }

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    store_y(i, activate(SILU, load_x(i)));
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let z = load_x(i);
    store_dx(i, load_dy(i) * sigmoid(z) * (1.0 + z * sigmoid(-z)));
}
