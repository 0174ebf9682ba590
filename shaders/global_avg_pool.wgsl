//! global_avg_pool: y[n,c] = (1/m)·Σ_{h,w} x[n,h,w,c],  m = H·W;  backward: dx[n,h,w,c] = dy[n,c]/m
//! One invocation per vec4 of y (forward) or of dx (backward).
const WG: u32 = 64;
const CHUNK = 64u;   // pixels summed by themselves: one long sum after a relu loses a digit to rounding

struct Params { pixels: u32, c4: u32, items: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;         // (N, H·W, C/4)
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;        // (N, C/4)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;   // (N, C/4)
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;  // (N, H·W, C/4)

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    var sum = vec4f();
    for (var first = 0u; first < p.pixels; first += CHUNK) {
        var part = vec4f();
        for (var k = first; k < min(first + CHUNK, p.pixels); k++) { part += x[(i / p.c4 * p.pixels + k) * p.c4 + i % p.c4]; }
        sum += part;
    }
    y[i] = sum / f32(p.pixels);
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    dx[i] = dy[i / (p.c4 * p.pixels) * p.c4 + i % p.c4] / f32(p.pixels);
}
