//! depthwise_conv2d: y[n,oh,ow,c] = act(scale[c]·Σ_{kh,kw} x[n, oh·s+kh−top, ow·s+kw−left, c]·w[kh,kw,c] + shift[c])
//!   backward_input:  dx[n,ih,iw,c] = Σ dy[n,oh,ow,c]·w[kh,kw,c]   with oh·s+kh−top = ih, ow·s+kw−left = iw
//!   backward_weight: dw[kh,kw,c] = Σ_{n,oh,ow} x[n, oh·s+kh−top, ow·s+kw−left, c]·dy[n,oh,ow,c]
//!
//! Every channel is its own convolution, so there is nothing to share between lanes.
//!use shared/activation.wgsl
const WG: u32 = 64;
const PW: u32 = 4;        // neighbouring output pixels of a row a lane computes (forward)
const KW: u32 = 3;        // kernel width
const STRIDE: u32 = 1;

const SPAN = (PW - 1) * STRIDE + KW;

struct Params {
    h_in: u32, w_in: u32, h_out: u32, w_out: u32, c4: u32,
    kh: u32, top: u32, left: u32,
    strips_per_row: u32,
    rows: u32, rows_per_split: u32,   // backward_weight: N·H_out, and the share of one split
    items: u32,                       // invocations that have work
    affine: u32,                      // forward: 2: · scale + shift
    act: u32,                         // forward: 0: nothing, 1: relu, 2: relu6
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;         // (N, H_in, W_in, C/4)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;         // (KH, KW, C/4)
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;        // (N, H_out, W_out, C/4)
@group(0) @binding(4) var<storage, read> affine: array<vec4f>;    // (2, C/4) scale, shift
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;   // (N, H_out, W_out, C/4)
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;  // (N, H_in, W_in, C/4)
@group(0) @binding(7) var<storage, read_write> dw: array<vec4f>;  // (splits, KH, KW, C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_w(i: u32) -> vec4f { return w[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn load_affine(i: u32) -> vec4f { return affine[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }
fn store_dx(i: u32, value: vec4f) { dx[i] = value; }
fn store_dw(i: u32, value: vec4f) { dw[i] = value; }

// One invocation per (n, oh, strip of PW pixels, 4 channels).
@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let strip = i / p.c4;
    let ow = (strip % p.strips_per_row) * PW;
    let oh = (strip / p.strips_per_row) % p.h_out;
    let n = strip / p.strips_per_row / p.h_out;
    let iw = i32(ow * STRIDE) - i32(p.left);

    var acc: array<vec4f, PW>;
    for (var kh = 0u; kh < p.kh; kh++) {
        let ih = i32(oh * STRIDE + kh) - i32(p.top);
        if ih >= 0 && ih < i32(p.h_in) {
            let row = (n * p.h_in + u32(ih)) * p.w_in;
            var xs: array<vec4f, SPAN>;
            for (var k = 0u; k < SPAN; k++) { //!unroll
                let at = iw + i32(k);
                let pixel = row + u32(clamp(at, 0, i32(p.w_in) - 1));
                xs[k] = select(vec4f(), load_x(pixel * p.c4 + c), (at >= 0) & (at < i32(p.w_in)));
            }
            for (var kw = 0u; kw < KW; kw++) { //!unroll
                let weight = load_w((kh * KW + kw) * p.c4 + c);
                for (var q = 0u; q < PW; q++) { //!unroll
                    acc[q] = fma(weight, xs[q * STRIDE + kw], acc[q]);
                }
            }
        }
    }
    for (var q = 0u; q < PW; q++) { //!unroll
        if ow + q < p.w_out {
            var value = acc[q];
            if p.affine == 2u { value = fma(value, load_affine(c), load_affine(p.c4 + c)); }
            store_y(((n * p.h_out + oh) * p.w_out + ow + q) * p.c4 + c, activate(p.act, value));
        }
    }
}

// One invocation per (n, ih, iw, 4 channels).
@compute @workgroup_size(WG)
fn backward_input(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let iw = i / p.c4 % p.w_in;
    let ih = i / p.c4 / p.w_in % p.h_in;
    let n = i / p.c4 / p.w_in / p.h_in;

    var sum = vec4f();
    for (var kh = (ih + p.top) % STRIDE; kh < p.kh; kh += STRIDE) {
        let oh = (i32(ih + p.top) - i32(kh)) / i32(STRIDE);
        if ih + p.top >= kh && oh < i32(p.h_out) {
            for (var kw = (iw + p.left) % STRIDE; kw < KW; kw += STRIDE) {
                let ow = (i32(iw + p.left) - i32(kw)) / i32(STRIDE);
                if iw + p.left >= kw && ow < i32(p.w_out) {
                    let pixel = (n * p.h_out + u32(oh)) * p.w_out + u32(ow);
                    sum = fma(load_dy(pixel * p.c4 + c), load_w((kh * KW + kw) * p.c4 + c), sum);
                }
            }
        }
    }
    store_dx(i, sum);
}

// One invocation per (split, kh, kw, 4 channels); `partials.sum` adds the splits up.
@compute @workgroup_size(WG)
fn backward_weight(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let kw = i / p.c4 % KW;
    let kh = i / p.c4 / KW % p.kh;
    let split = i / p.c4 / KW / p.kh;

    var sum = vec4f();
    for (var row = split * p.rows_per_split; row < min((split + 1u) * p.rows_per_split, p.rows); row++) {
        let ih = i32(row % p.h_out * STRIDE + kh) - i32(p.top);
        if ih >= 0 && ih < i32(p.h_in) {
            for (var ow = 0u; ow < p.w_out; ow++) {
                let iw = i32(ow * STRIDE + kw) - i32(p.left);
                if iw >= 0 && iw < i32(p.w_in) {
                    let pixel = (row / p.h_out * p.h_in + u32(ih)) * p.w_in + u32(iw);
                    sum = fma(load_x(pixel * p.c4 + c), load_dy((row * p.w_out + ow) * p.c4 + c), sum);
                }
            }
        }
    }
    store_dw(i, sum);
}
