//! add: y = act(a + b), all of one shape. Its gradient is dy for both, so it has no backward kernel.
//! One invocation per 8 rows of 4 channels.
//!use shared/activation.wgsl
const WG: u32 = 64;
const ACT: u32 = 0;    // 0: none, 1: relu, 2: relu6

struct Params { rows: u32, c4: u32, items: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;         // (rows, C/4)
@group(0) @binding(2) var<storage, read> b: array<vec4f>;         // (rows, C/4)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;   // (rows, C/4)
fn load_a(i: u32) -> vec4f { return a[i]; }
fn load_b(i: u32) -> vec4f { return b[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    for (var r = 0u; r < 8u; r++) {
        let row = i / p.c4 * 8u + r;
        let at = row * p.c4 + i % p.c4;
        if row < p.rows { store_y(at, activate(ACT, load_a(at) + load_b(at))); }
    }
}
