//! conv2d_tiled: the sums of conv2d.wgsl as matrix products C[m,n] = Σ_k A[m,k]·B[k,n], for GPUs.
//!
//!                    C   m                     n      k                A   B
//!   forward          y   pixels of y           C_out  (kh, kw, C_in)   x   w
//!   backward_input   dx  pixels of one phase   C_in   (kh, kw, C_out)  dy  w, transposed
//!   backward_weight  dw  (kh, kw, C_in)        C_out  pixels of y      x   dy
//!
//! Pixels are those of all images of the batch. A is not stored: A[m,k] of `forward` is x at pixel m moved by
//! the tap of k, and 0 outside of the image. A thread finds it while it loads ("implicit GEMM"). A 1×1
//! convolution and `linear` are the same with one tap. Arrays are those of conv2d.wgsl.
//!
//! Who computes what (drawings/tile.svg):
//! - A workgroup computes BM rows × BN columns of C, in slices of BK of the depth k. For every slice its
//!   threads copy BM × BK of A and BK × BN of B to workgroup memory, wait for each other, and multiply.
//! - TX·TY workers compute RM × RN of these sums each. A worker uses a value of A for RN sums and one of B
//!   for RM. It is a thread, or a subgroup that multiplies small matrices: shared/product.{FRAGMENT}.wgsl.
//! - Both operands are loaded in blocks of 4 × 4, four vec4f each, which are dealt out to the threads. In
//!   workgroup memory the values of one k are contiguous. A vec4f of x or dy in A runs along k, one of w in B
//!   along n: blocks whose vec4f run along k are transposed in registers.
//! - The blocks of a slice are loaded before the slice before it is multiplied, so that loads and arithmetic
//!   overlap. With BUFFERS = 2 there are two slices in workgroup memory and one barrier a slice is enough.
//! - Threads outside of C take part in every barrier, load from valid indices and store nothing.
//!
//! Example, forward, 2 images of 14 × 14 pixels, 3×3 taps, 64 to 128 channels, stride 1, top = left = 1:
//! C has 392 rows and 128 columns, tiles_n = 2. Pixel 200 is image 1, row 0, column 4. k = 300 is tap 300/64
//! = 4, which is kh = kw = 1, channel 300 % 64 = 44. So A[200,300] = x[1,0,4,44], and B[300,20] =
//! w[1,1,44,20]. C[200,20] belongs to workgroup 6, rows 192 to 255 and columns 0 to 63, and there, with the
//! constants below, to thread 2·16 + 5 = 37, as row 8 = 4·2 + 0 and column 20 = 4·5 + 0. It is component 0
//! of this thread's sums[0].
//!use shared/product.{FRAGMENT}.wgsl
//!use shared/epilogue.wgsl

const BM: u32 = 64;       // block: rows of C that a workgroup computes, a multiple of RM
const BN: u32 = 64;       // block: columns of C that a workgroup computes, a multiple of RN
const BK: u32 = 16;       // block: depth of a slice, a multiple of 4 and of FRAGMENT
const RM: u32 = 8;        // registers: rows of C that a worker computes, a multiple of 4 and of FRAGMENT
const RN: u32 = 4;        // registers: columns of C that a worker computes, likewise
const BUFFERS: u32 = 1;   // slices in workgroup memory, 1 or 2
const FRAGMENT: u32 = 1;  // 1: a worker is a thread; 8, 16: a subgroup that multiplies matrices of that size
const S: u32 = 1;         // threads of a worker

const TX = BN / RN;              // workers along n
const TY = BM / RM;              // workers along m
const THREADS = S * TX * TY;
const BM4 = BM / 4;
const BN4 = BN / 4;
const BK4 = BK / 4;
const RM4 = RM / 4;
const RN4 = RN / 4;
const SUMS = RM * RN4 / S;       // vec4f of C that a thread stores
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
    k_first4: u32, k_end4: u32,   // forward, backward_input: range of k/4 summed, from a multiple of BK4
    k_split4: u32,                // and how much of it one split takes, a multiple of BK4
    size4: u32, splits: u32,      // backward_input, finish: vec4f of the result; finish: splits to add up
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

// What a thread holds between the functions below:
var<private> next: array<mat4x4f, LOADS>;            // its blocks of the next slice, a column for each k
var<private> under: array<array<vec3u, 4>, LOADS>;   // the four pixels of each block of A
var<private> taps: array<vec3u, LOADS>;              // the tap and channels of each block

// Index i as three digits, the last of which runs fastest: a pixel as (image, row, column) with base (height,
// width), or a depth k/4 as (kh, kw, c/4) with base (KW, C/4).
fn digits(i: u32, base: vec2u) -> vec3u {
    return vec3u(i / base.y / base.x, i / base.y % base.x, i % base.y);
}

// at + step, digit by digit with carries: divisions would take longer.
fn further(at: vec3u, step: vec3u, base: vec2u) -> vec3u {
    let low = at.z + step.z;
    let middle = at.y + step.y + select(0u, 1u, low >= base.y);
    let high = at.x + step.x + select(0u, 1u, middle >= base.x);
    return vec3u(high, select(middle, middle - base.x, middle >= base.x), select(low, low - base.y, low >= base.y));
}

// Where block e of an operand is in its slice, as (k/4, m/4 or n/4). Neighbouring threads get blocks that are
// neighbours in memory: along k, or along the width of the slice, width4.
fn place(e: u32, width4: u32, along_k: bool) -> vec2u {
    if along_k { return vec2u(e % BK4, e / BK4); }
    return vec2u(e / width4, e % width4);
}

// x under a tap of the window of a pixel of y; 0 outside of the image or where nothing is wanted. A row
// above the image is a huge unsigned number, so that one comparison finds both borders.
fn x_under(pixel: vec3u, tap: vec3u, wanted: bool) -> vec4f {
    let ih = pixel.y * p.stride + tap.x - p.top;
    let iw = pixel.z * p.stride + tap.y - p.left;
    let inside = wanted & (ih < p.h_in) & (iw < p.w_in);
    let at = select(0u, ((pixel.x * p.h_in + ih) * p.w_in + iw) * p.c_in4 + tap.z, inside);
    return select(vec4f(), load_x(at), inside);
}

// Copies `next` to buffer `half` of the slices.
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

// The three passes have the same loop: load the first slice; then, for every slice, copy it to workgroup
// memory, load the next one, multiply. Before it, `taps` and `under` get the digits of each block, which
// the load functions move on from slice to slice. If C alone does not fill the machine, the depth is
// divided into splits, which `finish` adds up.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    // Reads x and w; affine if p.affine > 0; residual if p.residual = 1. Writes y, or splits of it.
    // Workgroup: (x, y): tile of BM pixels × BN output channels, those of the same pixels next to each other;
    // z: split of the depth.
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
            store_y(at, epilogue(sums[i], at, c));
        }
    }
}

// y[i] = act(scale·Σ_z x[z, i] + shift + residual): the end of a convolution whose depth was divided. The
// splits are added up in the order of z.
@compute @workgroup_size(64)
fn finish(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads x, which holds the splits (splits, size/4); affine and residual as forward does. Writes y.
    // Workgroup: 64 vec4f of y, one an invocation.
    let i = id.y * groups.x * 64u + id.x;
    if i >= p.size4 { return; }
    var total = vec4f();
    for (var z = 0u; z < p.splits; z++) { total += load_x(z * p.size4 + i); }
    store_y(i, epilogue(total, i, i % p.c_out4));
}

// Loads this thread's blocks of the slice that starts at depth 4·first4, and moves `taps` on by a slice.
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
                let index = select(0u, (k + i) * p.c_out4 + min(co + at.y, p.c_out4 - 1u), inside);
                next[l][i] = select(vec4f(), load_w(index), inside);
            }
        }
    }
}

// With a stride s, an input pixel is reached by the taps of its phase only: kh ≡ ih + top (mod s). Row j_h
// of a phase is row ih = j_h·s + phase.x of the image. The phase's tap 0 meets row j_h + meets.x of y; tap
// i, which is s·i further down the kernel, meets the row i above that. Columns (.y) likewise.
struct Phase {
    phase: vec2u,   // (ih % s, iw % s)
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

@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    // Reads dy and w; residual if p.residual = 1. Writes dx, or splits of it.
    // Workgroup: (x, y): tile of BM pixels of a phase × BN input channels; z % s²: phase; z / s²: split.
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
            if p.residual == 1u { value += load_residual(at); }
            store_dx(split * p.size4 + at, value);
        }
    }
}

// As load_forward. Both operands' vec4f run along k, so both are transposed.
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
                next[l][i] = select(vec4f(), load_dy(at), inside);
            }
        } else if e < BLOCKS {
            let at = place(e - BLOCKS_A, BN4, true);
            let kernel = phase.first + tap.xy * p.stride;
            let c = ((kernel.x * p.kw + kernel.y) * p.c_in4 + min(ci + at.y, p.c_in4 - 1u)) * 4u;
            for (var i = 0u; i < 4u; i++) { //!unroll
                let index = select(0u, (c + i) * p.c_out4 + tap.z, wanted);
                next[l][i] = select(vec4f(), load_w(index), wanted);
            }
        }
        next[l] = transpose(next[l]);
        taps[l] = further(tap, step, vec2u(phase.taps.y, p.c_out4));
    }
}

// The pixels are divided into splits, so that a small weight still fills the machine; `partials.sum` adds
// up the splits in a fixed order.
@compute @workgroup_size(THREADS)
fn backward_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    // Reads x and dy. Writes dw, one for each split.
    // Workgroup: (x, y): tile of BM rows (kh, kw, C_in) × BN output channels; z: split of the pixels.
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
        let at = (group.z * 4u * rows4 + m) * p.c_out4 + c;
        if m < 4u * rows4 && c < p.c_out4 { store_dw(at, sums[i]); }
    }
}

// Loads this thread's blocks of the slice of pixels from `first` on, and moves `under` on by a slice.
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
                let index = select(0u, (pixel + i) * p.c_out4 + min(co + at.y, p.c_out4 - 1u), inside);
                next[l][i] = select(vec4f(), load_dy(index), inside);
            }
        }
    }
}
