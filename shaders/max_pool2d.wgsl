//! max_pool2d: y[n,oh,ow,c] = max over the K×K window at (oh·s − padding, ow·s − padding) of x; padding never wins.
//!   The first maximum wins, as in PyTorch; its place kh·K + kw is kept as one byte a value.
//!   backward: dx[n,ih,iw,c] = Σ dy[n,oh,ow,c] over the windows whose maximum came from (ih, iw). Windows may
//!   overlap: gathering over windows needs no atomics and has a fixed order.
//! An invocation of forward computes one vec4 of y, one of backward a square of CELL×CELL pixels of dx and 4
//! channels: the same windows are over all pixels of a square, so that each is loaded once.
//! Example with kernel 3, stride 2, padding 1, CELL = 2: square (3, 0) is rows 5 and 6, columns −1 and 0 of dx.
//! Windows 2 and 3 are over these rows, window 0 over column 0; column −1 is padding.
//!use shared/finite.wgsl
const WG: u32 = 64;
const ARGMAX: u32 = 0;   // 1: forward keeps the place of the maximum
const CELL: u32 = 1;     // backward: rows and columns of a square: the stride, or 1

struct Params {
    h_in: u32, w_in: u32, h_out: u32, w_out: u32, c4: u32,
    kernel: u32, stride: u32, padding: u32, items: u32,
    first: u32, cells_h: u32, cells_w: u32,   // backward: number of the first square; squares down and across
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;                // (N, H_in, W_in, C/4)
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;               // (N, H_out, W_out, C/4)
@group(0) @binding(3) var<storage, read> argmax: array<u32>;             // (N, H_out, W_out, C/4) four bytes
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;          // (N, H_out, W_out, C/4)
@group(0) @binding(5) var<storage, read_write> argmax_out: array<u32>;   // (N, H_out, W_out, C/4)
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;         // (N, H_in, W_in, C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }
fn store_dx(i: u32, value: vec4f) { dx[i] = value; }

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
                let value = load_x(((n * p.h_in + u32(ih)) * p.w_in + u32(iw)) * p.c4 + c);
                // A NaN must come through, or a run that diverges would look healthy.
                let wins = ((value > best) & !is_nan(best)) | is_nan(value) | (place == vec4u(255u));
                best = select(best, value, wins);
                place = select(place, vec4u(kh * p.kernel + kw), wins);
            }
        }
    }
    store_y(i, best);
    if ARGMAX == 1u { argmax_out[i] = place.x | (place.y << 8u) | (place.z << 16u) | (place.w << 24u); }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let cell = i / p.c4;
    // Row and column of the square's first pixel, counted with padding.
    let row = (cell / p.cells_w % p.cells_h + p.first) * CELL;
    let column = (cell % p.cells_w + p.first) * CELL;
    let n = cell / p.cells_w / p.cells_h;

    // Windows from the last one over the square to the first: kh and kw ascend for every pixel.
    var sums: array<array<vec4f, CELL>, CELL>;
    let windows = (p.kernel + p.stride - 1u) / p.stride;
    for (var back_h = 0u; back_h < windows; back_h++) {
        let oh = i32(row / p.stride) - i32(back_h);
        if oh >= 0 && oh < i32(p.h_out) {
            for (var back_w = 0u; back_w < windows; back_w++) {
                let ow = i32(column / p.stride) - i32(back_w);
                if ow >= 0 && ow < i32(p.w_out) {
                    let at = ((n * p.h_out + u32(oh)) * p.w_out + u32(ow)) * p.c4 + c;
                    let place = (vec4u(argmax[at]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
                    let d = load_dy(at);
                    for (var a = 0u; a < CELL; a++) { //!unroll
                        for (var b = 0u; b < CELL; b++) { //!unroll
                            let kh = row + a - u32(oh) * p.stride;
                            let kw = column + b - u32(ow) * p.stride;
                            let came = (place == vec4u(kh * p.kernel + kw)) & vec4<bool>(kw < p.kernel);
                            sums[a][b] += select(vec4f(), d, came);
                        }
                    }
                }
            }
        }
    }
    for (var a = 0u; a < CELL; a++) { //!unroll
        for (var b = 0u; b < CELL; b++) { //!unroll
            let ih = i32(row + a) - i32(p.padding);
            let iw = i32(column + b) - i32(p.padding);
            if ih >= 0 && ih < i32(p.h_in) && iw >= 0 && iw < i32(p.w_in) {
                store_dx(((n * p.h_in + u32(ih)) * p.w_in + u32(iw)) * p.c4 + c, sums[a][b]);
            }
        }
    }
}
