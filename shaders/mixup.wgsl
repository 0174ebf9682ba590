//! mixup: y_n = λ_n·x_n + (1 − λ_n)·x_m,  m the partner of image n in the batch (Zhang et al. 2018, "mixup: Beyond
//!   Empirical Risk Minimization"). There is no gradient. `cross_entropy` mixes the labels.
//! One invocation per pixel and 4 channels.
const WG: u32 = 64;

struct Params { items: u32, image: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // (N, H·W, C/4)
@group(0) @binding(2) var<storage, read> mixes: array<vec4f>;    // (N) partner, λ, 0, 0
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // (N, H·W, C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_mixes(i: u32) -> vec4f { return mixes[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let own = load_mixes(i / p.image);
    let partner = load_x(u32(own.x) * p.image + i % p.image);
    store_y(i, own.y * load_x(i) + (1.0 - own.y) * partner);
}
