//! relu: y = max(x, 0);  relu6: y = min(max(x, 0), 6)
//!   backward: dx = dy where the slope is one (known from y, or from one bit a value), else 0
//!   mask:     that bit, for a y that nothing else keeps
//! Rows are pixels (N·H·W). One invocation per 8 rows of 4 channels, so that a mask word of 32 bits
//! has one writer.
//!use shared/activation.wgsl
const WG: u32 = 64;
const ACT: u32 = 1;     // 1: relu, 2: relu6
const BITS: u32 = 0;    // backward reads 0: y, 1: the mask

struct Params { rows: u32, c4: u32, items: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;           // (rows, C/4)
@group(0) @binding(2) var<storage, read> y: array<vec4f>;           // (rows, C/4)
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;          // (rows, C/4)
@group(0) @binding(4) var<storage, read> mask: array<u32>;          // (rows/8, C/4)
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;   // (rows, C/4) y or dx
@group(0) @binding(6) var<storage, read_write> bits: array<u32>;    // (rows/8, C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_y(i: u32) -> vec4f { return y[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn store_out(i: u32, value: vec4f) { out[i] = value; }

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    for (var r = 0u; r < 8u; r++) {
        let row = i / p.c4 * 8u + r;
        let at = row * p.c4 + i % p.c4;
        if row < p.rows { store_out(at, activate(ACT, load_x(at))); }
    }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    var word = 0u;
    if BITS == 1u { word = mask[i]; }
    for (var r = 0u; r < 8u; r++) {
        let row = i / p.c4 * 8u + r;
        let at = row * p.c4 + i % p.c4;
        if row < p.rows {
            var open = unpack_bits(word, r);
            if BITS == 0u { open = slope_is_one(ACT, load_y(at)); }
            store_out(at, select(vec4f(), load_dy(at), open));
        }
    }
}

@compute @workgroup_size(WG)
fn mask_bits(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    var word = 0u;
    for (var r = 0u; r < 8u; r++) {
        let row = i / p.c4 * 8u + r;
        if row < p.rows { word |= pack_bits(slope_is_one(ACT, load_y(row * p.c4 + i % p.c4)), r); }
    }
    bits[i] = word;
}
