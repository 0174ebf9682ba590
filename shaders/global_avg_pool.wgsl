//! global_avg_pool: y[n,c] = (1/m)·Σ_{h,w} x[n,h,w,c],  m = H·W;  backward: dx[n,h,w,c] = dy[n,c]/m
//! `forward` cuts the pixels of an image into parts, one invocation per (image, part, 4 channels): y[n,part,c] is the
//!   sum of a part over `divisor`. A small image is one part, divided by m. Of a large one the sums of its parts, divided
//!   by 1, are the pixels of a second dispatch. A part is summed in blocks of BLOCK pixels: the error is at most
//!   (BLOCK + part/BLOCK + the same of the second dispatch)·2⁻²⁴·Σ|terms|.
//! `backward`: one invocation per vec4 of dx.
const WG: u32 = 64;
const BLOCK = 32u;   // pixels summed by themselves: one long sum after a relu loses a digit to rounding

struct Params { pixels: u32, c4: u32, items: u32, per_part: u32, parts: u32, divisor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;         // (N, pixels, C/4)
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;        // (N, C/4)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;   // (N, parts, C/4)
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;  // (N, pixels, C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }
fn store_dx(i: u32, value: vec4f) { dx[i] = value; }

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let part = i / p.c4 % p.parts;
    let image = i / p.c4 / p.parts * p.pixels;
    let end = min((part + 1u) * p.per_part, p.pixels);
    var sum = vec4f();
    for (var first = part * p.per_part; first < end; first += BLOCK) {
        var block = vec4f();
        for (var k = first; k < min(first + BLOCK, end); k++) {
            block += load_x((image + k) * p.c4 + c);
        }
        sum += block;
    }
    store_y(i, sum / p.divisor);
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    store_dx(i, load_dy(i / (p.c4 * p.pixels) * p.c4 + i % p.c4) / p.divisor);
}
