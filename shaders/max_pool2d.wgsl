//! max_pool2d: y[n,oh,ow,c] = max over the K×K window at (oh·s − padding, ow·s − padding) of x; padding never wins.
//!   The first maximum wins, as in PyTorch; its place kh·K + kw is kept as one byte a value.
//!   backward: dx[n,ih,iw,c] = Σ dy[n,oh,ow,c] over the windows whose maximum came from (ih, iw). Windows may
//!   overlap: gathering over windows needs no atomics and has a fixed order.
//! One invocation per vec4 of y (forward) or of dx (backward).
//!use shared/finite.wgsl
const WG: u32 = 64;
const ARGMAX: u32 = 0;   // 1: forward keeps the place of the maximum

struct Params { h_in: u32, w_in: u32, h_out: u32, w_out: u32, c4: u32, kernel: u32, stride: u32, padding: u32, items: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;                // (N, H_in, W_in, C/4)
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;               // (N, H_out, W_out, C/4)
@group(0) @binding(3) var<storage, read> argmax: array<u32>;             // (N, H_out, W_out, C/4) four bytes
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;          // (N, H_out, W_out, C/4)
@group(0) @binding(5) var<storage, read_write> argmax_out: array<u32>;   // (N, H_out, W_out, C/4)
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;         // (N, H_in, W_in, C/4)

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let ow = i / p.c4 % p.w_out;
    let oh = i / p.c4 / p.w_out % p.h_out;
    let n = i / p.c4 / p.w_out / p.h_out;

    var best = vec4f(-3.4028234e38);
    var place = vec4u(255u);
    for (var kh = 0u; kh < p.kernel; kh++) {
        for (var kw = 0u; kw < p.kernel; kw++) {
            let ih = i32(oh * p.stride + kh) - i32(p.padding);
            let iw = i32(ow * p.stride + kw) - i32(p.padding);
            if ih >= 0 && ih < i32(p.h_in) && iw >= 0 && iw < i32(p.w_in) {
                let value = x[((n * p.h_in + u32(ih)) * p.w_in + u32(iw)) * p.c4 + c];
                // A NaN must come through, or a run that diverges would look healthy.
                let wins = ((value > best) & !is_nan(best)) | is_nan(value) | (place == vec4u(255u));
                best = select(best, value, wins);
                place = select(place, vec4u(kh * p.kernel + kw), wins);
            }
        }
    }
    y[i] = best;
    if ARGMAX == 1u { argmax_out[i] = place.x | (place.y << 8u) | (place.z << 16u) | (place.w << 24u); }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let iw = i / p.c4 % p.w_in;
    let ih = i / p.c4 / p.w_in % p.h_in;
    let n = i / p.c4 / p.w_in / p.h_in;

    var sum = vec4f();
    for (var kh = (ih + p.padding) % p.stride; kh < p.kernel; kh += p.stride) {
        let oh = (i32(ih + p.padding) - i32(kh)) / i32(p.stride);
        if ih + p.padding >= kh && oh < i32(p.h_out) {
            for (var kw = (iw + p.padding) % p.stride; kw < p.kernel; kw += p.stride) {
                let ow = (i32(iw + p.padding) - i32(kw)) / i32(p.stride);
                if iw + p.padding >= kw && ow < i32(p.w_out) {
                    let at = ((n * p.h_out + u32(oh)) * p.w_out + u32(ow)) * p.c4 + c;
                    let place = (vec4u(argmax[at]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
                    sum += select(vec4f(), dy[at], place == vec4u(kh * p.kernel + kw));
                }
            }
        }
    }
    dx[i] = sum;
}
