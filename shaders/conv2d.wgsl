//! conv2d: y[n,oh,ow,co] = act(scale[co]·Σ x[n, oh·s+kh−top, ow·s+kw−left, ci]·w[kh,kw,ci,co] + shift[co] + r)
//!   backward_input:  dx[n,ih,iw,ci] = Σ_{kh,kw,co} dy[n,oh,ow,co]·w[kh,kw,ci,co]  with oh·s+kh−top = ih, ow·s+kw−left = iw
//!   backward_weight: dw[kh,kw,ci,co] = Σ_{n,oh,ow} x[n, oh·s+kh−top, ow·s+kw−left, ci]·dy[n,oh,ow,co]
//!
//! Layout: activations NHWC, weights (KH, KW, C_in, C_out); channels padded to 4 and read as vec4.
//!
//! A load costs as much as a hundred multiply-adds on a software adapter, so every value loaded is
//! used many times from registers. In `forward` a lane owns PW neighbouring pixels of one output
//! row and TM channels of them: the row window under them is loaded once for KW taps. The
//! weight block (4 input channels × TM output channels) is the same for every lane, so the S lanes
//! of a subgroup load a part each and hand it round with `share`. `backward_input` is the mirror
//! image (lanes own input pixels), `backward_weight` keeps the weights in registers and walks over
//! the pixels. All lanes must stay active for `share`: indices are clamped, never returned early, and
//! loops end at what is the same for a whole workgroup (`workgroup_id`, `p`). Border tests use `&`: with
//! `&&` each comparison is a branch, and some drivers take a minute to compile those.
//!use shared/share.{share}.wgsl
//!use shared/activation.wgsl

const S: u32 = 8;         // lanes that share a block; 1 = every lane loads its own
const WG: u32 = 8;        // workgroup size, a multiple of S
const TM: u32 = 16;       // channels a lane computes, a multiple of 4
const PW: u32 = 7;        // pixels of a row a lane computes (forward, backward_input)
const U: u32 = 2;         // pixels a lane takes in at a time (backward_weight)
const KW: u32 = 3;        // taps of a row done together: p.kw, or 1 where the code would grow too long
const STRIDE: u32 = 1;
const OVERLAP: u32 = 2;   // input pixels that successive windows share: max(KW - STRIDE, 0)
const CI: u32 = 4;        // channels of a vec4 of x that are not padding: fewer in an image's only one (forward, backward_weight)

const TM4 = TM / 4;
const LOADS = (TM + S - 1) / S;            // vec4s of a 4 × TM weight block that each lane loads
const X_LOADS = (CI * TM4 + S - 1) / S;    // the same of a CI × TM block (forward)
const SPAN = (PW - 1) * STRIDE + KW;       // input pixels under PW outputs
const BACK_SPAN = PW + KW - 1;             // output pixels over PW inputs (backward_input, stride 1 or KW 1)
const STEP_SPAN = (U - 1) * STRIDE + KW;   // input pixels under U outputs
const STEP_LOADS = (U * TM4 + S - 1) / S;  // vec4s of a U × TM block of dy that each lane loads

struct Params {
    h_in: u32, w_in: u32, c_in4: u32,
    h_out: u32, w_out: u32, c_out4: u32,
    kh: u32, kw: u32, top: u32, left: u32,
    strips_per_row: u32, strips: u32,     // forward, backward_input: strips of PW pixels
    c_first4: u32, c_end4: u32,           // forward: the range of C_in/4 summed up; backward_input: of C_out/4
    rows: u32, rows_per_split: u32,       // backward_weight: N·H_out, and the share of one split
    rows_per_run: u32,                    // backward_weight: rows added up before they go into the total
    missing: u32,                         // backward_weight: pixels by which the last row is shorter, here and in x
    // What happens to the sums. Not constants: compiling a kernel costs a driver up to a second.
    affine: u32,    // 0: nothing, 1: + shift, 2: · scale + shift, 3: · scale
    residual: u32,  // 1: + residual
    act: u32,       // 0: nothing, 1: relu, 2: relu6
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;          // (N, H_in, W_in, C_in/4)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;          // (KH, KW, C_in, C_out/4)
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;         // (N, H_out, W_out, C_out/4)
@group(0) @binding(4) var<storage, read> affine: array<vec4f>;     // (C_out/4) shift, or (2, C_out/4) scale, shift
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;   // the shape of y (forward) or of dx
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;    // (N, H_out, W_out, C_out/4)
@group(0) @binding(7) var<storage, read_write> dx: array<vec4f>;   // (N, H_in, W_in, C_in/4)
@group(0) @binding(8) var<storage, read_write> dw: array<vec4f>;   // (splits, KH, KW, C_in, C_out/4)

// (x, z): strip of PW output pixels; y: tile of TM output channels.
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, thread: Thread) {
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
            var xs: array<vec4f, SPAN>;
            for (var i = 0u; i < SPAN; i++) { //!unroll
                let at = iw + i32(i);
                let inside = row_inside & (at >= 0) & (at < i32(p.w_in));
                if i % STRIDE < KW { xs[i] = select(vec4f(), x[(row + u32(clamp(at, 0, i32(p.w_in) - 1))) * p.c_in4 + c], inside); }
            }
            for (var kw = 0u; kw < KW; kw++) { //!unroll
                let block = ((tap + kw) * p.c_in4 + c) * 4u;
                var v: array<vec4f, X_LOADS>;
                for (var r = 0u; r < X_LOADS; r++) { //!unroll
                    let e = min(lane + r * S, CI * TM4 - 1u);
                    v[r] = w[(block + e / TM4) * p.c_out4 + min(co + e % TM4, p.c_out4 - 1u)];
                }
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
                y[at] = epilogue(acc[m][q], at, c);
            }
        }
    }
}

fn epilogue(sum: vec4f, at: u32, c: u32) -> vec4f {
    var value = sum;
    if p.affine == 1u { value += affine[c]; }
    if p.affine == 2u { value = fma(value, affine[c], affine[p.c_out4 + c]); }
    if p.affine == 3u { value *= affine[c]; }
    if p.residual == 1u { value += residual[at]; }
    return activate(p.act, value);
}

// With a stride, an input pixel is reached by the taps of its phase only: kh ≡ ih + top (mod s).
// (x, z / s²): strip of PW input pixels of one phase; y: tile of TM input channels; z % s²: phase (s × s).
@compute @workgroup_size(WG)
fn backward_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, thread: Thread) {
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
                    ds[i] = select(vec4f(), dy[(row + u32(clamp(at, 0, i32(p.w_out) - 1))) * p.c_out4 + c], inside);
                }
                for (var j = 0u; j < KW; j++) { //!unroll
                    // TM rows of w, each 4 output channels wide.
                    let block = ((kh * p.kw + kw + j) * p.c_in4 + ci) * 4u;
                    var v: array<vec4f, LOADS>;
                    for (var r = 0u; r < LOADS; r++) { //!unroll
                        let e = min(lane + r * S, min(TM, (p.c_in4 - ci) * 4u) - 1u);
                        v[r] = w[(block + e) * p.c_out4 + c];
                    }
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
                if p.residual == 1u { value += residual[at]; }
                dx[at] = value;
            }
        }
    }
}

// The pixels are split over z so that a small weight still fills the machine and no lane sums up for
// long; `partials.sum` adds the splits up in a fixed order. Within a split, rows are added up in runs,
// and runs to the total: a short sum rounds less than a long one. A 1×1 convolution's one long row
// is cut into rows, of which the last may be shorter.
// x: (kh, 4 input channels); y: tile of TM output channels; z: split of the output rows.
@compute @workgroup_size(WG)
fn backward_weight(@builtin(workgroup_id) group: vec3u, thread: Thread) {
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
            var xs: array<vec4f, STEP_SPAN>;
            for (var i = 0u; i < OVERLAP; i++) { //!unroll
                let at = i32(i) - i32(p.left);
                let inside = row_inside & (at >= 0) & (at < w_in);
                xs[U * STRIDE + i] = select(vec4f(), x[(row + u32(clamp(at, 0, w_in - 1))) * p.c_in4 + c], inside);
            }
            for (var ow = 0u; ow < w_out; ow += U) {
                for (var i = 0u; i < OVERLAP; i++) { //!unroll
                    xs[i] = xs[U * STRIDE + i];
                }
                for (var i = OVERLAP; i < STEP_SPAN; i++) { //!unroll
                    let at = i32(ow * STRIDE + i) - i32(p.left);
                    let inside = row_inside & (at >= 0) & (at < w_in);
                    xs[i] = select(vec4f(), x[(row + u32(clamp(at, 0, w_in - 1))) * p.c_in4 + c], inside);
                }
                var v: array<vec4f, STEP_LOADS>;
                for (var r = 0u; r < STEP_LOADS; r++) { //!unroll
                    let e = min(lane + r * S, U * TM4 - 1u);
                    let at = ow + e / TM4;
                    let channel = co + e % TM4;
                    let source = (out_row * p.w_out + min(at, w_out - 1u)) * p.c_out4 + min(channel, p.c_out4 - 1u);
                    v[r] = select(vec4f(), dy[source], at < w_out);
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
                if co + m < p.c_out4 { dw[(out * 4u + i) * p.c_out4 + co + m] = total[kw][i][m]; }
            }
        }
    }
}
