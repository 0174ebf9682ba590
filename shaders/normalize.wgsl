//! normalize: y = (x/255 − mean) / std,  x bytes, mean and std a channel. There is no gradient.
//! `table` contains the result for every byte and channel, computed by the host, so that y has the same bits on every
//! adapter: WGSL does not round divisions exactly.
//! One invocation per pixel.
const WG: u32 = 64;
const C: u32 = 3;  // channels, 1 to 4

struct Params { pixels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;          // (N·H·W, C) bytes, 4 a word, the first one lowest
@group(0) @binding(2) var<storage, read> table: array<f32>;      // (C, 256)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // (N·H·W, 1)
fn store_y(i: u32, value: vec4f) { y[i] = value; }

fn byte(i: u32) -> u32 {
    return (x[i / 4u] >> (8u * (i % 4u))) & 255u;
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.pixels { return; }
    var v = vec4f();
    for (var c = 0u; c < C; c++) { //!unroll
        v[c] = table[256u * c + byte(C * i + c)];
    }
    store_y(i, v);
}
