//! conv2d: a convolution and its two gradients, computed directly, for any window, stride s and padding.
//!
//!  forward:         y[n,oh,ow,co] = act(scale[co]·Σ_{kh,kw,ci} x[n,ih,iw,ci]·w[kh,kw,ci,co] + shift[co] + r)
//!  backward_input:  dx[n,ih,iw,ci] = Σ_{kh,kw,co} dy[n,oh,ow,co]·w[kh,kw,ci,co] + r
//!  backward_weight: dw[kh,kw,ci,co] = Σ_{n,oh,ow} x[n,ih,iw,ci]·dy[n,oh,ow,co]
//!
//! Everywhere ih = oh·s + kh − top and iw = ow·s + kw − left, and x and dy are 0 outside of their images. r
//! is the residual, an array of the result's shape. scale, shift, r and the activation act are optional.
//!
//! Arrays: activations are (N, H, W, C), weights (KH, KW, C_in, C_out), the last index running fastest.
//! Channels are padded with zeros to a multiple of 4. A vec4f is 4 neighbouring channels; c_in4 is C_in/4.
//!   x (2, 5, 6, 8), c_in4 = 2:     x[1,3,4,6] is component 6 % 4 of x[((1·5 + 3)·6 + 4)·2 + 6/4] = x[105]
//!   w (3, 3, 8, 12), c_out4 = 3:   w[2,1,6,9] is component 9 % 4 of w[((2·3 + 1)·8 + 6)·3 + 9/4] = w[188]
//!
//! Who computes what (drawings/conv2d_strip.svg):
//! - forward: a lane, which is an invocation, computes a strip of PW neighbouring pixels of a row of y, TM
//!   channels each, and keeps the PW·TM sums in registers. For a row of KW taps and 4 input channels it
//!   loads the SPAN pixels of x under the strip once, and uses each for every tap that reaches it. The
//!   weights of a tap, a block of 4 input channels × TM output channels, are the same for all lanes: each
//!   of the S lanes of a subgroup loads X_LOADS of its vec4f, and `share` gives all lanes the one that is
//!   multiplied next.
//! - backward_input: the same with x and y exchanged. A lane computes a strip of PW pixels of dx.
//! - backward_weight: a lane computes KW taps of a row × 4 input channels × TM output channels of dw. It
//!   keeps these sums in registers while it goes through the pixels of y, U of a row at a time.
//! Example, forward, 28 × 28 pixels, stride 1, top = left = 1: PW = 7 makes strips_per_row = 4. Strip 9 is
//! row oh = 9/4 = 2, from pixel ow = 9 % 4 · 7 = 7 on. For tap row 0 it reads row 1 of x, pixels 6 to 14.
//!
//! `share` needs every lane: so indices are clamped instead of returning early, and loops end at values
//! that are the same for a whole workgroup (`workgroup_id`, `p`). Border tests use `&`: with `&&` each
//! comparison is a branch, and some drivers take a minute to compile those. Registers matter most on a
//! software adapter, where a load costs as much as a hundred multiply-adds. GPUs get conv2d_tiled.wgsl
//! instead.
//!use shared/share.{share}.wgsl
//!use shared/epilogue.wgsl

const S: u32 = 8;         // sharers: lanes that load a block of weights together; 1: each loads all of it
const WG: u32 = 8;        // workgroup: its lanes, a multiple of S
const TM: u32 = 16;       // tile: channels of the result that a lane computes, a multiple of 4
const PW: u32 = 7;        // pixel width: pixels of a row that a lane computes (forward, backward_input)
const U: u32 = 2;         // unrolled: pixels of a row that a lane adds at a time (backward_weight)
const KW: u32 = 3;        // kernel width: taps of a row done together; p.kw, or 1 if that is too much code
const STRIDE: u32 = 1;    // s in the formulas
const OVERLAP: u32 = 2;   // input pixels that successive windows have in common: max(KW - STRIDE, 0)
const CI: u32 = 4;        // channels in: those of a vec4f of x without padding (forward, backward_weight)

const TM4 = TM / 4;                        // vec4f of TM channels
const LOADS = (TM + S - 1) / S;            // vec4f that a lane loads of a 4 × TM block of w (backward_input)
const X_LOADS = (CI * TM4 + S - 1) / S;    // the same of a CI × TM block (forward)
const SPAN = (PW - 1) * STRIDE + KW;       // input pixels under PW outputs
const BACK_SPAN = PW + KW - 1;             // output pixels over PW inputs (backward_input, stride 1 or KW 1)
const STEP_SPAN = (U - 1) * STRIDE + KW;   // input pixels under U outputs
const STEP_LOADS = (U * TM4 + S - 1) / S;  // vec4f of a U × TM block of dy that each lane loads

struct Params {
    h_in: u32, w_in: u32, c_in4: u32,
    h_out: u32, w_out: u32, c_out4: u32,
    kh: u32, kw: u32, top: u32, left: u32,
    strips_per_row: u32, strips: u32,     // forward, backward_input: strips of PW pixels
    c_first4: u32, c_end4: u32,           // range summed: of C_in/4 (forward), of C_out/4 (backward_input)
    rows: u32, rows_per_split: u32,       // backward_weight: N·H_out, and the share of one split
    rows_per_run: u32,                    // backward_weight: rows added up before they go into the total
    missing: u32,                         // backward_weight: pixels that the last row of x and of y lacks
    // What is done to the sums. Not constants, because a driver takes up to a second to compile a kernel.
    affine: u32,    // 0: nothing, 1: + shift, 2: · scale + shift, 3: · scale
    residual: u32,  // 1: + residual
    act: u32,       // 0: nothing, 1: relu, 2: relu6
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;          // (N, H_in, W_in, C_in/4)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;          // (KH, KW, C_in, C_out/4)
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;         // (N, H_out, W_out, C_out/4)
@group(0) @binding(4) var<storage, read> affine: array<vec4f>;     // (2, C_out/4) scale, shift; (C_out/4) one
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;   // the shape of y (forward) or of dx
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;    // (N, H_out, W_out, C_out/4)
@group(0) @binding(7) var<storage, read_write> dx: array<vec4f>;   // (N, H_in, W_in, C_in/4)
@group(0) @binding(8) var<storage, read_write> dw: array<vec4f>;   // (splits, KH, KW, C_in, C_out/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_w(i: u32) -> vec4f { return w[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn load_affine(i: u32) -> vec4f { return affine[i]; }
fn load_residual(i: u32) -> vec4f { return residual[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }
fn store_dx(i: u32, value: vec4f) { dx[i] = value; }
fn store_dw(i: u32, value: vec4f) { dw[i] = value; }

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, thread: Thread) {
    // Reads x and w; affine if p.affine > 0; residual if p.residual = 1. Writes y.
    // Workgroup: WG neighbouring strips of PW pixels, counted along x, then z; y: tile of TM output channels.
    let lane = lane_of(thread);
    let item = (group.z * groups.x + group.x) * WG + thread.local;
    let strip = min(item, p.strips - 1u);
    let ow = (strip % p.strips_per_row) * PW;
    let oh = (strip / p.strips_per_row) % p.h_out;
    let n = strip / p.strips_per_row / p.h_out;
    let co = group.y * TM4;

    var acc: array<array<vec4f, PW>, TM4>;
    for (var tap = 0u; tap < p.kh * p.kw; tap += KW) {
        let ih = i32(oh * STRIDE + tap / p.kw) - i32(p.top);
        let iw = i32(ow * STRIDE + tap % p.kw) - i32(p.left);
        let row_inside = (ih >= 0) & (ih < i32(p.h_in));
        let row = (n * p.h_in + u32(clamp(ih, 0, i32(p.h_in) - 1))) * p.w_in;
        for (var c = p.c_first4; c < p.c_end4; c++) {
            // The pixels of x under the strip. With STRIDE > KW no window reaches some of them.
            var xs: array<vec4f, SPAN>;
            for (var i = 0u; i < SPAN; i++) { //!unroll
                let at = iw + i32(i);
                let inside = row_inside & (at >= 0) & (at < i32(p.w_in));
                let pixel = row + u32(clamp(at, 0, i32(p.w_in) - 1));
                if i % STRIDE < KW { xs[i] = select(vec4f(), load_x(pixel * p.c_in4 + c), inside); }
            }
            for (var kw = 0u; kw < KW; kw++) { //!unroll
                // This lane's part of the block of weights: e counts its vec4f, TM4 for each input channel.
                let block = ((tap + kw) * p.c_in4 + c) * 4u;
                var v: array<vec4f, X_LOADS>;
                for (var r = 0u; r < X_LOADS; r++) { //!unroll
                    let e = min(lane + r * S, CI * TM4 - 1u);
                    v[r] = load_w((block + e / TM4) * p.c_out4 + min(co + e % TM4, p.c_out4 - 1u));
                }
                // Vec4f e of the block is v[e / S] of lane e % S.
                for (var m = 0u; m < TM4; m++) { //!unroll
                    var ws: array<vec4f, CI>;
                    for (var i = 0u; i < CI; i++) { //!unroll
                        ws[i] = share(v[(i * TM4 + m) / S], (i * TM4 + m) % S);
                    }
                    for (var q = 0u; q < PW; q++) { //!unroll
                        for (var i = 0u; i < CI; i++) { //!unroll
                            acc[m][q] = fma(ws[i], vec4f(xs[q * STRIDE + kw][i]), acc[m][q]);
                        }
                    }
                }
            }
        }
    }
    if item >= p.strips { return; }
    let out = (n * p.h_out + oh) * p.w_out + ow;
    for (var m = 0u; m < TM4; m++) { //!unroll
        let c = co + m;
        for (var q = 0u; q < PW; q++) { //!unroll
            if c < p.c_out4 && ow + q < p.w_out {
                let at = (out + q) * p.c_out4 + c;
                store_y(at, epilogue(acc[m][q], at, c));
            }
        }
    }
}

// With a stride s, only some taps reach an input pixel: those with kh ≡ ih + top and kw ≡ iw + left (mod
// s). Pixels that the same taps reach are a phase, of which there are s². A strip is PW pixels of one
// phase, so that all of them take the same taps. For s = 2, left = 1, KW = 3, even pixels are reached by
// tap 1 alone, odd ones by taps 0 and 2.
@compute @workgroup_size(WG)
fn backward_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, thread: Thread) {
    // Reads dy and w; residual if p.residual = 1. Writes dx.
    // Workgroup: WG neighbouring strips of a phase, counted along x, then z / s²; y: tile of TM input
    // channels; z % s²: phase.
    let lane = lane_of(thread);
    let phase_h = group.z / STRIDE % STRIDE;
    let phase_w = group.z % STRIDE;
    let rows = (p.h_in + STRIDE - 1u) / STRIDE;
    let item = (group.z / (STRIDE * STRIDE) * groups.x + group.x) * WG + thread.local;
    let strip = min(item, p.strips - 1u);
    let j_w = (strip % p.strips_per_row) * PW;              // iw = j_w·s + phase_w
    let j_h = (strip / p.strips_per_row) % rows;
    let n = strip / p.strips_per_row / rows;
    let ci = group.y * TM4;

    var acc: array<array<vec4f, PW>, TM4>;
    for (var kh = (phase_h + p.top) % STRIDE; kh < p.kh; kh += STRIDE) {
        let oh = i32(j_h) + (i32(phase_h + p.top) - i32(kh)) / i32(STRIDE);
        let row_inside = (oh >= 0) & (oh < i32(p.h_out));
        let row = (n * p.h_out + u32(clamp(oh, 0, i32(p.h_out) - 1))) * p.w_out;
        for (var kw = (phase_w + p.left) % STRIDE; kw < p.kw; kw += STRIDE * KW) {
            let ow = i32(j_w) + (i32(phase_w + p.left) - i32(kw)) / i32(STRIDE) - i32(KW - 1u);
            for (var c = p.c_first4; c < p.c_end4; c++) {
                var ds: array<vec4f, BACK_SPAN>;
                for (var i = 0u; i < BACK_SPAN; i++) { //!unroll
                    let at = ow + i32(i);
                    let inside = row_inside & (at >= 0) & (at < i32(p.w_out));
                    let pixel = row + u32(clamp(at, 0, i32(p.w_out) - 1));
                    ds[i] = select(vec4f(), load_dy(pixel * p.c_out4 + c), inside);
                }
                for (var j = 0u; j < KW; j++) { //!unroll
                    // TM rows of w (input channels) of 4 output channels each. This lane loads LOADS of them.
                    let block = ((kh * p.kw + kw + j) * p.c_in4 + ci) * 4u;
                    var v: array<vec4f, LOADS>;
                    for (var r = 0u; r < LOADS; r++) { //!unroll
                        let e = min(lane + r * S, min(TM, (p.c_in4 - ci) * 4u) - 1u);
                        v[r] = load_w((block + e) * p.c_out4 + c);
                    }
                    // w0 to w3: 4 input channels. Component k of them all belongs to component k of dy.
                    for (var m = 0u; m < TM4; m++) { //!unroll
                        let w0 = share(v[4u * m / S], (4u * m) % S);
                        let w1 = share(v[(4u * m + 1u) / S], (4u * m + 1u) % S);
                        let w2 = share(v[(4u * m + 2u) / S], (4u * m + 2u) % S);
                        let w3 = share(v[(4u * m + 3u) / S], (4u * m + 3u) % S);
                        for (var q = 0u; q < PW; q++) { //!unroll
                            let d = ds[q + KW - 1u - j];
                            acc[m][q] = fma(vec4f(w0.w, w1.w, w2.w, w3.w), vec4f(d.w), fma(vec4f(w0.z, w1.z, w2.z, w3.z), vec4f(d.z),
                                fma(vec4f(w0.y, w1.y, w2.y, w3.y), vec4f(d.y), fma(vec4f(w0.x, w1.x, w2.x, w3.x), vec4f(d.x), acc[m][q]))));
                        }
                    }
                }
            }
        }
    }
    let ih = j_h * STRIDE + phase_h;
    if item >= p.strips || ih >= p.h_in { return; }
    for (var m = 0u; m < TM4; m++) { //!unroll
        let c = ci + m;
        for (var q = 0u; q < PW; q++) { //!unroll
            let iw = (j_w + q) * STRIDE + phase_w;
            if c < p.c_in4 && iw < p.w_in {
                let at = ((n * p.h_in + ih) * p.w_in + iw) * p.c_in4 + c;
                var value = acc[m][q];
                if p.residual == 1u { value += load_residual(at); }
                store_dx(at, value);
            }
        }
    }
}

// The rows of all images are divided into splits, so that a small weight still fills the machine and no
// lane adds up too many; `partials.sum` adds up the splits in a fixed order. Within a split, rows are added
// up in runs, and the runs to the total: a short sum rounds less than a long one. Pixels of a 1×1
// convolution are one long row, which the host cuts into rows; the last may be shorter by `missing`.
@compute @workgroup_size(WG)
fn backward_weight(@builtin(workgroup_id) group: vec3u, thread: Thread) {
    // Reads x and dy. Writes dw, one for each split.
    // Workgroup: x: WG pairs (tap row kh, 4 input channels), one a lane; y: tile of TM output
    // channels; z: split.
    let lane = lane_of(thread);
    let item = group.x * WG + thread.local;
    let t = min(item, p.kh * p.c_in4 - 1u);
    let kh = t / p.c_in4;
    let c = t % p.c_in4;
    let co = group.y * TM4;
    let first = group.z * p.rows_per_split;
    let end = min(first + p.rows_per_split, p.rows);

    var total: array<array<array<vec4f, TM4>, 4>, KW>;
    for (var run = first; run < end; run += p.rows_per_run) {
        var acc = array<array<array<vec4f, TM4>, 4>, KW>();
        for (var out_row = run; out_row < min(run + p.rows_per_run, end); out_row++) {
            let missing = select(0u, p.missing, out_row + 1u == p.rows);
            let w_in = i32(p.w_in - missing);
            let w_out = p.w_out - missing;
            let ih = i32((out_row % p.h_out) * STRIDE + kh) - i32(p.top);
            let row_inside = (ih >= 0) & (ih < i32(p.h_in));
            let row = (out_row / p.h_out * p.h_in + u32(clamp(ih, 0, i32(p.h_in) - 1))) * p.w_in;
            // The pixels of x under U pixels of y. The last OVERLAP of them are the next step's first.
            var xs: array<vec4f, STEP_SPAN>;
            for (var i = 0u; i < OVERLAP; i++) { //!unroll
                let at = i32(i) - i32(p.left);
                let inside = row_inside & (at >= 0) & (at < w_in);
                let pixel = row + u32(clamp(at, 0, w_in - 1));
                xs[U * STRIDE + i] = select(vec4f(), load_x(pixel * p.c_in4 + c), inside);
            }
            for (var ow = 0u; ow < w_out; ow += U) {
                for (var i = 0u; i < OVERLAP; i++) { //!unroll
                    xs[i] = xs[U * STRIDE + i];
                }
                for (var i = OVERLAP; i < STEP_SPAN; i++) { //!unroll
                    let at = i32(ow * STRIDE + i) - i32(p.left);
                    let inside = row_inside & (at >= 0) & (at < w_in);
                    let pixel = row + u32(clamp(at, 0, w_in - 1));
                    xs[i] = select(vec4f(), load_x(pixel * p.c_in4 + c), inside);
                }
                // This lane's part of U pixels of dy × TM output channels.
                var v: array<vec4f, STEP_LOADS>;
                for (var r = 0u; r < STEP_LOADS; r++) { //!unroll
                    let e = min(lane + r * S, U * TM4 - 1u);
                    let at = ow + e / TM4;
                    let channel = co + e % TM4;
                    let source = (out_row * p.w_out + min(at, w_out - 1u)) * p.c_out4 + min(channel, p.c_out4 - 1u);
                    v[r] = select(vec4f(), load_dy(source), at < w_out);
                }
                for (var u = 0u; u < U; u++) { //!unroll
                    for (var m = 0u; m < TM4; m++) { //!unroll
                        let d = share(v[(u * TM4 + m) / S], (u * TM4 + m) % S);
                        for (var kw = 0u; kw < KW; kw++) { //!unroll
                            for (var i = 0u; i < CI; i++) { //!unroll
                                acc[kw][i][m] = fma(d, vec4f(xs[u * STRIDE + kw][i]), acc[kw][i][m]);
                            }
                        }
                    }
                }
            }
        }
        for (var kw = 0u; kw < KW; kw++) { //!unroll
            for (var i = 0u; i < CI; i++) { //!unroll
                for (var m = 0u; m < TM4; m++) { //!unroll
                    total[kw][i][m] += acc[kw][i][m];
                }
            }
        }
    }
    if item >= p.kh * p.c_in4 { return; }
    for (var kw = 0u; kw < KW; kw++) { //!unroll
        let out = ((group.z * p.kh + kh) * KW + kw) * p.c_in4 + c;
        for (var i = 0u; i < 4u; i++) { //!unroll
            for (var m = 0u; m < TM4; m++) { //!unroll
                let at = (out * 4u + i) * p.c_out4 + co + m;
                if co + m < p.c_out4 { store_dw(at, total[kw][i][m]); }
            }
        }
    }
}
