//! conv2d_tiled: the sums of conv2d.wgsl as products of matrices, C[m, n] = Σ_k A[m, k]·B[k, n], for GPUs.
//!                    C   m                     n      k                A   B
//!   forward          y   pixels of y           C_out  (kh, kw, C_in)   x   w
//!   backward_input   dx  pixels of one phase   C_in   (kh, kw, C_out)  dy  w, transposed
//!   backward_weight  dw  (kh, kw, C_in)        C_out  pixels of y      x   dy
//! Layout: activations NHWC, weights (KH, KW, C_in, C_out); channels padded to 4 and read as vec4.
//!
//! A GPU has far more arithmetic than bandwidth, so what is loaded is shared. A workgroup computes
//! BM × BN of C. Slice by slice, BK deep, its threads bring both operands into workgroup memory, where
//! all of them read what all have brought. TX·TY workers add up RM × RN each and use a value that
//! they read RN or RM times; `product.….wgsl` says who a worker is and how it multiplies. A is not
//! in memory as such: the pixels under a window are found while they are loaded ("implicit GEMM"),
//! and are zeros outside of the image. A 1×1 convolution and `linear` are the same with one tap.
//!
//! Operands are loaded in blocks of 4 × 4, four vec4s along whatever is contiguous, dealt out to the
//! threads. In workgroup memory the values of one k lie side by side; a block whose vec4s run along
//! k is transposed, which is only a choice of registers. A slice's blocks are loaded before the slice
//! before it is multiplied, to be under way in the meantime. With BUFFERS = 2 there are two slices
//! in workgroup memory, and one barrier a slice is enough.
//!
//! Threads over the edge of C take part in every barrier, load in range and store nothing.
//!use shared/product.{FRAGMENT}.wgsl
//!use shared/activation.wgsl

const BM: u32 = 64;       // rows of C that a workgroup computes, a multiple of RM
const BN: u32 = 64;       // columns of C that a workgroup computes, a multiple of RN
const BK: u32 = 16;       // depth of a slice, a multiple of 4 and of FRAGMENT
const RM: u32 = 8;        // rows of C that a worker computes, a multiple of 4 and of FRAGMENT
const RN: u32 = 4;        // columns of C that a worker computes, likewise
const BUFFERS: u32 = 1;   // slices in workgroup memory, 1 or 2
const FRAGMENT: u32 = 1;  // 1: a worker is a thread; 8, 16: a subgroup, multiplying matrices of that size
const S: u32 = 1;         // threads of a worker

const TX = BN / RN;              // workers along n
const TY = BM / RM;              // workers along m
const THREADS = S * TX * TY;
const BM4 = BM / 4;
const BN4 = BN / 4;
const BK4 = BK / 4;
const RM4 = RM / 4;
const RN4 = RN / 4;
const SUMS = RM * RN4 / S;       // vec4s of C that a thread stores
const BLOCKS_A = BM4 * BK4;      // blocks of a slice: first those of A, then those of B
const BLOCKS = BLOCKS_A + BN4 * BK4;
const LOADS = (BLOCKS + THREADS - 1) / THREADS;   // blocks that a thread loads

struct Params {
    h_in: u32, w_in: u32, c_in4: u32,
    h_out: u32, w_out: u32, c_out4: u32,
    kh: u32, kw: u32, stride: u32, top: u32, left: u32,
    tiles_n: u32,           // workgroups along n
    pixels: u32,            // in the whole batch: rows of C or, in backward_weight, the depth
    pixels_per_split: u32,  // backward_weight: a multiple of BK
    k_first4: u32, k_end4: u32,   // forward, backward_input: the range of k/4 summed up, from a multiple of BK4
    k_split4: u32,                // and how much of it one split takes, a multiple of BK4
    size4: u32, splits: u32,      // backward_input, finish: vec4s of the result; finish: splits to add up
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

var<private> next: array<mat4x4f, LOADS>;            // this thread's blocks of the next slice, a column for each k
var<private> under: array<array<vec3u, 4>, LOADS>;   // the four pixels of each block of A
var<private> taps: array<vec3u, LOADS>;              // the tap and channels of each block

// Two things are counted in three digits, the last of which runs fastest: pixels, as (image, row,
// column), and what is added up for one of them, as (kh, kw, c/4).
fn digits(i: u32, base: vec2u) -> vec3u {
    return vec3u(i / base.y / base.x, i / base.y % base.x, i % base.y);
}

// at + step, with carries: divisions would take longer.
fn further(at: vec3u, step: vec3u, base: vec2u) -> vec3u {
    let low = at.z + step.z;
    let middle = at.y + step.y + select(0u, 1u, low >= base.y);
    let high = at.x + step.x + select(0u, 1u, middle >= base.x);
    return vec3u(high, select(middle, middle - base.x, middle >= base.x), select(low, low - base.y, low >= base.y));
}

// Where block e of an operand lies in its slice, as (k/4, m/4 or n/4). Threads that are neighbours
// get blocks that are neighbours in memory.
fn place(e: u32, width4: u32, along_k: bool) -> vec2u {
    if along_k { return vec2u(e % BK4, e / BK4); }
    return vec2u(e / width4, e % width4);
}

// x under a tap of the window of a pixel of y. A row above the image is a huge unsigned number, so
// that one comparison finds both borders.
fn x_under(pixel: vec3u, tap: vec3u, wanted: bool) -> vec4f {
    let ih = pixel.y * p.stride + tap.x - p.top;
    let iw = pixel.z * p.stride + tap.y - p.left;
    let inside = wanted & (ih < p.h_in) & (iw < p.w_in);
    let at = select(0u, ((pixel.x * p.h_in + ih) * p.w_in + iw) * p.c_in4 + tap.z, inside);
    return select(vec4f(), x[at], inside);
}

// Brings `next` into buffer `half` of the slices.
fn stage(half: u32, local: u32, a_along_k: bool, b_along_k: bool) {
    for (var l = 0u; l < LOADS; l++) { //!unroll
        let e = local + l * THREADS;
        if e < BLOCKS_A {
            let at = place(e, BM4, a_along_k);
            for (var i = 0u; i < 4u; i++) { //!unroll
                put_a(half, 4u * at.x + i, at.y, next[l][i]);
            }
        } else if e < BLOCKS {
            let at = place(e - BLOCKS_A, BN4, b_along_k);
            for (var i = 0u; i < 4u; i++) { //!unroll
                put_b(half, 4u * at.x + i, at.y, next[l][i]);
            }
        }
    }
}

// Where C alone does not fill the machine, its depth is split over z, and `finish` adds the splits up.
// (x, y): tile of C, those that read the same pixels side by side; z: split of the depth.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * groups.x + group.x;
    let first = tile / p.tiles_n * BM;
    let co = tile % p.tiles_n * BN4;
    let first4 = p.k_first4 + group.z * p.k_split4;
    let end4 = min(first4 + p.k_split4, p.k_end4);
    for (var l = 0u; l < LOADS; l++) { //!unroll
        let at = place(local + l * THREADS, BM4, true);
        taps[l] = digits(first4 + at.x, vec2u(p.kw, p.c_in4));
        for (var i = 0u; i < 4u; i++) { //!unroll
            under[l][i] = digits(min(first + 4u * at.y + i, p.pixels - 1u), vec2u(p.h_out, p.w_out));
        }
    }
    let step = digits(BK4, vec2u(p.kw, p.c_in4));
    var half = 0u;
    load_forward(first4, co, step, local);
    for (var k4 = first4; k4 < end4; k4 += BK4) {
        stage(half, local, true, false);
        workgroupBarrier();
        if k4 + BK4 < end4 { load_forward(k4 + BK4, co, step, local); }
        multiply(half, local);
        if BUFFERS == 1u { workgroupBarrier(); } else { half = 1u - half; }
    }
    collect(local);
    for (var i = 0u; i < SUMS; i++) { //!unroll
        let pixel = first + sum_at(i, local).x;
        let c = co + sum_at(i, local).y;
        if pixel < p.pixels && c < p.c_out4 {
            let at = (group.z * p.pixels + pixel) * p.c_out4 + c;
            y[at] = epilogue(sums[i], at, c);
        }
    }
}

// y[i] = act(Σ_z x[z, i] · scale + shift + residual), the end of a convolution whose depth was split:
// x holds the splits (splits, size/4), added up in the order of z. One invocation per vec4 of y.
@compute @workgroup_size(64)
fn finish(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * 64u + id.x;
    if i >= p.size4 { return; }
    var total = vec4f();
    for (var z = 0u; z < p.splits; z++) { total += x[z * p.size4 + i]; }
    y[i] = epilogue(total, i, i % p.c_out4);
}

fn load_forward(first4: u32, co: u32, step: vec3u, local: u32) {
    for (var l = 0u; l < LOADS; l++) { //!unroll
        let e = local + l * THREADS;
        if e < BLOCKS_A {
            for (var i = 0u; i < 4u; i++) { //!unroll
                next[l][i] = x_under(under[l][i], taps[l], taps[l].x < p.kh);
            }
            next[l] = transpose(next[l]);
            taps[l] = further(taps[l], step, vec2u(p.kw, p.c_in4));
        } else if e < BLOCKS {
            let at = place(e - BLOCKS_A, BN4, false);
            let k = 4u * (first4 + at.x);
            let inside = k < 4u * p.kh * p.kw * p.c_in4;
            for (var i = 0u; i < 4u; i++) { //!unroll
                next[l][i] = select(vec4f(), w[select(0u, (k + i) * p.c_out4 + min(co + at.y, p.c_out4 - 1u), inside)], inside);
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

// With a stride s, an input pixel is reached by the taps of its phase only: kh ≡ ih + top (mod s).
// Its phase's pixels are ih = j_h·s + phase.x; tap 0 of the phase meets row j_h + row.x of y, and
// tap i, s·i further down the kernel, the row i above. Columns (.y) likewise.
struct Phase {
    phase: vec2u,
    first: vec2u,   // its tap 0 in the kernel
    meets: vec2u,   // the row and column of y that tap 0 meets, beyond (j_h, j_w)
    taps: vec2u,    // how many taps it has
}

fn phase_at(z: u32) -> Phase {
    let phase = vec2u(z / p.stride, z % p.stride);
    let from_edge = phase + vec2u(p.top, p.left);
    let first = from_edge % p.stride;
    let taps = (max(vec2u(p.kh, p.kw), first) - first + p.stride - 1u) / p.stride;
    return Phase(phase, first, from_edge / p.stride, select(taps, vec2u(), min(taps.x, taps.y) == 0u));
}

// (x, y): tile of C, those that read the same pixels side by side; z: split of the depth × phase (s × s).
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * groups.x + group.x;
    let first = tile / p.tiles_n * BM;
    let ci = tile % p.tiles_n * BN4;
    let phases = p.stride * p.stride;
    let phase = phase_at(group.z % phases);
    let split = group.z / phases;
    let first4 = p.k_first4 + split * p.k_split4;
    let size = (vec2u(p.h_in, p.w_in) + p.stride - 1u) / p.stride;
    let base = vec2u(max(phase.taps.y, 1u), p.c_out4);
    for (var l = 0u; l < LOADS; l++) { //!unroll
        let at = place(local + l * THREADS, BM4, true);
        taps[l] = digits(first4 + at.x, base);
        for (var i = 0u; i < 4u; i++) { //!unroll
            under[l][i] = digits(min(first + 4u * at.y + i, p.pixels - 1u), size);
        }
    }
    let step = digits(BK4, base);
    let end4 = min(min(first4 + p.k_split4, p.k_end4), phase.taps.x * phase.taps.y * p.c_out4);
    var half = 0u;
    load_backward_input(phase, ci, step, local);
    for (var k4 = first4; k4 < end4; k4 += BK4) {
        stage(half, local, true, true);
        workgroupBarrier();
        if k4 + BK4 < end4 { load_backward_input(phase, ci, step, local); }
        multiply(half, local);
        if BUFFERS == 1u { workgroupBarrier(); } else { half = 1u - half; }
    }
    collect(local);
    for (var i = 0u; i < SUMS; i++) { //!unroll
        let pixel = first + sum_at(i, local).x;
        let c = ci + sum_at(i, local).y;
        let cell = digits(pixel, size);
        let ih = cell.y * p.stride + phase.phase.x;
        let iw = cell.z * p.stride + phase.phase.y;
        if pixel < p.pixels && ih < p.h_in && iw < p.w_in && c < p.c_in4 {
            let at = ((cell.x * p.h_in + ih) * p.w_in + iw) * p.c_in4 + c;
            var value = sums[i];
            if p.residual == 1u { value += residual[at]; }
            dx[split * p.size4 + at] = value;
        }
    }
}

fn load_backward_input(phase: Phase, ci: u32, step: vec3u, local: u32) {
    for (var l = 0u; l < LOADS; l++) { //!unroll
        let e = local + l * THREADS;
        let tap = taps[l];
        let wanted = tap.x < phase.taps.x;
        if e < BLOCKS_A {
            for (var i = 0u; i < 4u; i++) { //!unroll
                let oh = under[l][i].y + phase.meets.x - tap.x;
                let ow = under[l][i].z + phase.meets.y - tap.y;
                let inside = wanted & (oh < p.h_out) & (ow < p.w_out);
                let at = select(0u, ((under[l][i].x * p.h_out + oh) * p.w_out + ow) * p.c_out4 + tap.z, inside);
                next[l][i] = select(vec4f(), dy[at], inside);
            }
        } else if e < BLOCKS {
            let at = place(e - BLOCKS_A, BN4, true);
            let kernel = phase.first + tap.xy * p.stride;
            let c = ((kernel.x * p.kw + kernel.y) * p.c_in4 + min(ci + at.y, p.c_in4 - 1u)) * 4u;
            for (var i = 0u; i < 4u; i++) { //!unroll
                next[l][i] = select(vec4f(), w[select(0u, (c + i) * p.c_out4 + tap.z, wanted)], wanted);
            }
        }
        next[l] = transpose(next[l]);
        taps[l] = further(tap, step, vec2u(phase.taps.y, p.c_out4));
    }
}

// The pixels are split over z so that a small weight still fills the machine; `partials.sum` adds
// the splits up in a fixed order.
// (x, y): tile of C; z: split of the pixels.
@compute @workgroup_size(THREADS)
fn backward_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * groups.x + group.x;
    let first4 = tile / p.tiles_n * BM4;
    let co = tile % p.tiles_n * BN4;
    let rows4 = p.kh * p.kw * p.c_in4;
    let begin = group.z * p.pixels_per_split;
    let end = min(begin + p.pixels_per_split, p.pixels);
    for (var l = 0u; l < LOADS; l++) { //!unroll
        let at = place(local + l * THREADS, BM4, false);
        taps[l] = digits(min(first4 + at.y, rows4 - 1u), vec2u(p.kw, p.c_in4));
        for (var i = 0u; i < 4u; i++) { //!unroll
            under[l][i] = digits(begin + 4u * at.x + i, vec2u(p.h_out, p.w_out));
        }
    }
    let step = digits(BK, vec2u(p.h_out, p.w_out));
    var half = 0u;
    load_backward_weight(begin, end, co, step, local);
    for (var pixel = begin; pixel < end; pixel += BK) {
        stage(half, local, false, false);
        workgroupBarrier();
        if pixel + BK < end { load_backward_weight(pixel + BK, end, co, step, local); }
        multiply(half, local);
        if BUFFERS == 1u { workgroupBarrier(); } else { half = 1u - half; }
    }
    collect(local);
    for (var i = 0u; i < SUMS; i++) { //!unroll
        let m = 4u * first4 + sum_at(i, local).x;
        let c = co + sum_at(i, local).y;
        if m < 4u * rows4 && c < p.c_out4 { dw[(group.z * 4u * rows4 + m) * p.c_out4 + c] = sums[i]; }
    }
}

fn load_backward_weight(first: u32, end: u32, co: u32, step: vec3u, local: u32) {
    for (var l = 0u; l < LOADS; l++) { //!unroll
        let e = local + l * THREADS;
        if e < BLOCKS_A {
            let pixel = first + 4u * place(e, BM4, false).x;
            for (var i = 0u; i < 4u; i++) { //!unroll
                next[l][i] = x_under(under[l][i], taps[l], pixel + i < end);
                under[l][i] = further(under[l][i], step, vec2u(p.h_out, p.w_out));
            }
        } else if e < BLOCKS {
            let at = place(e - BLOCKS_A, BN4, false);
            let pixel = first + 4u * at.x;
            for (var i = 0u; i < 4u; i++) { //!unroll
                let inside = pixel + i < end;
                next[l][i] = select(vec4f(), dy[select(0u, (pixel + i) * p.c_out4 + min(co + at.y, p.c_out4 - 1u), inside)], inside);
            }
        }
    }
}
