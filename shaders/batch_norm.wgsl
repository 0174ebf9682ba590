//! batch_norm: y = act(γ·x̂ + β + r),  x̂ = (x − μ)·rstd,  rstd = 1/√(σ² + ε), per channel (Ioffe & Szegedy 2015).
//!   Stats::Batch:   μ, σ² over the m = N·H·W rows of the batch; running ← (1 − momentum)·running + momentum·batch
//!                   (the running variance takes the unbiased σ²·m/(m−1), as PyTorch does)
//!   Stats::Running: μ, σ² are the running statistics
//!   backward, Batch:   dβ = Σ dz, dγ = Σ dz·x̂, dx = γ·rstd·(dz − (dβ + x̂·dγ)/m),  dz = dy where the activation is open
//!   backward, Running: dβ, dγ as above, dx = γ·rstd·dz
//!
//! Rows are pixels (N·H·W). `statistics` and `backward_reduce` cut the rows into chunks, one
//! invocation per (chunk, 4 channels), which takes them in blocks of BLOCK rows. `finish` and
//! `backward_finish` put the chunks together: a workgroup takes ACROSS blocks of 4 channels, LANES
//! invocations each. An invocation takes every LANES-th chunk, and the lanes are joined in a tree.
//! The others take 8 rows of 4 channels each. The order of all sums is fixed. A value passes through
//! at most k = BLOCK + rows_per_chunk/BLOCK + chunks/LANES + log₂ LANES additions, and a sum is off by
//! at most k·2⁻²⁴·Σ|terms|.
//!
//! Means are taken relative to the first row of the batch, and σ² in units of 2¹⁶, so that nothing
//! overflows unless σ² does. Then the statistics are NaN, and so is the loss. σ² below 10⁻³³ is 0.
//!use shared/activation.wgsl
//!use shared/finite.wgsl
const WG: u32 = 64;
const ACT: u32 = 0;        // 0: none, 1: relu, 2: relu6
const RESIDUAL: u32 = 0;   // 1: + residual before the activation
const MASK: u32 = 0;       // what tells if the activation is open; 0: there is none, 1: x, 2: y, 3: mask bits
const WEIGHT: u32 = 0;     // 1: write dγ
const BIAS: u32 = 0;       // 1: write dβ
const ACROSS: u32 = 64;    // `finish`, `backward_finish`: blocks of 4 channels of a workgroup
const LANES: u32 = 1;      // and invocations for each, a power of two; 1: without workgroup memory
const WORKERS = ACROSS * LANES;

struct Params { rows: u32, c4: u32, items: u32, rows_per_chunk: u32, chunks: u32, eps: f32, momentum: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;                    // (rows, C/4)
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;               // (C/4) γ
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;                 // (C/4) β
@group(0) @binding(4) var<storage, read> partial_in: array<vec4f>;           // (chunks, 2, C/4), and the first row (C/4)
@group(0) @binding(5) var<storage, read> stats: array<vec4f>;                // (2, C/4) μ, rstd
@group(0) @binding(6) var<storage, read> affine: array<vec4f>;               // (2, C/4) scale = γ·rstd, shift = β − μ·scale
@group(0) @binding(7) var<storage, read> residual: array<vec4f>;             // (rows, C/4)
@group(0) @binding(8) var<storage, read> y: array<vec4f>;                    // (rows, C/4)
@group(0) @binding(9) var<storage, read> mask: array<u32>;                   // (rows/8, C/4)
@group(0) @binding(10) var<storage, read> dy: array<vec4f>;                  // (rows, C/4)
@group(0) @binding(11) var<storage, read> sums: array<vec4f>;                // (2, C/4) Σ dz, Σ dz·x̂
@group(0) @binding(12) var<storage, read_write> partial_out: array<vec4f>;   // the same
@group(0) @binding(13) var<storage, read_write> stats_out: array<vec4f>;     // (2, C/4)
@group(0) @binding(14) var<storage, read_write> affine_out: array<vec4f>;    // (2, C/4)
@group(0) @binding(15) var<storage, read_write> running_mean: array<vec4f>;  // (C/4)
@group(0) @binding(16) var<storage, read_write> running_var: array<vec4f>;   // (C/4)
@group(0) @binding(17) var<storage, read_write> out: array<vec4f>;           // (rows, C/4) y or dx
@group(0) @binding(18) var<storage, read_write> sums_out: array<vec4f>;      // (2, C/4)
@group(0) @binding(19) var<storage, read_write> dweight: array<vec4f>;       // (C/4)
@group(0) @binding(20) var<storage, read_write> dbias: array<vec4f>;         // (C/4)

const BLOCK = 32u;       // rows added up by themselves
const UNIT = 0.00390625;  // 2⁻⁸: deviations are multiplied by it before they are squared

// Mean and variance of some rows. `mean` is relative to the batch's first row, `variance` in UNIT².
struct Moments { count: f32, mean: vec4f, variance: vec4f }

// Those of the rows of both (Chan, Golub & LeVeque 1979).
fn joined(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / max(count, 1.0);
    let delta = b.mean - a.mean;
    let between = delta * UNIT * (delta * UNIT) * (share * (1.0 - share));
    return Moments(count, a.mean + delta * share, a.variance + (b.variance - a.variance) * share + between);
}

// Moments of a chunk. A block's sums are taken about its first row: about zero, σ² would drown in μ²
// when |μ| is much larger than σ.
@compute @workgroup_size(WG)
fn statistics(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.chunks * p.c4 { return; }
    let c = i % p.c4;
    let chunk = i / p.c4;
    let first = chunk * p.rows_per_chunk;
    let last = min(first + p.rows_per_chunk, p.rows);
    let origin = x[c];
    var all = Moments(0.0, vec4f(), vec4f());
    for (var start = first; start < last; start += BLOCK) {
        let end = min(start + BLOCK, last);
        let shift = x[start * p.c4 + c];
        var sum = vec4f();
        var squares = vec4f();
        for (var row = start; row < end; row++) {
            let d = x[row * p.c4 + c] - shift;
            sum += d;
            squares = fma(d * UNIT, d * UNIT, squares);
        }
        let count = f32(end - start);
        let mean = sum / count;
        let variance = max(squares / count - mean * UNIT * (mean * UNIT), vec4f());
        all = joined(all, Moments(count, (shift - origin) + mean, variance));
    }
    partial_out[2u * chunk * p.c4 + c] = all.mean;
    partial_out[(2u * chunk + 1u) * p.c4 + c] = all.variance;
    if chunk == 0u { partial_out[2u * p.chunks * p.c4 + c] = origin; }
}

var<workgroup> counts: array<f32, WORKERS>;
var<workgroup> firsts: array<vec4f, WORKERS>;
var<workgroup> seconds: array<vec4f, WORKERS>;

// Joins the chunks, then moves the running statistics.
@compute @workgroup_size(ACROSS, LANES)
fn finish(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) worker: u32) {
    let block = (group.y * groups.x + group.x) * ACROSS + local.x;
    let c = min(block, p.c4 - 1u);
    var all = Moments(0.0, vec4f(), vec4f());
    for (var chunk = local.y; chunk < p.chunks; chunk += LANES) {
        let count = f32(min(p.rows_per_chunk, p.rows - chunk * p.rows_per_chunk));
        let at = 2u * chunk * p.c4 + c;
        all = joined(all, Moments(count, partial_in[at], partial_in[at + p.c4]));
    }
    if LANES > 1u {
        for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
            counts[worker] = all.count;
            firsts[worker] = all.mean;
            seconds[worker] = all.variance;
            workgroupBarrier();
            let other = worker + stride * ACROSS;
            if local.y < stride { all = joined(all, Moments(counts[other], firsts[other], seconds[other])); }
            workgroupBarrier();
        }
    }
    if block >= p.c4 || local.y > 0u { return; }
    let mean = partial_in[2u * p.chunks * p.c4 + c] + all.mean;
    let variance = all.variance / (UNIT * UNIT);
    write_statistics(c, mean, variance);
    // One batch that is not finite would stay in the running statistics for ever.
    let unbiased = variance * (all.count / max(all.count - 1.0, 1.0));
    let finite = are_finite(mean) & are_finite(unbiased);
    running_mean[c] = select(running_mean[c], mix(running_mean[c], mean, vec4f(p.momentum)), finite);
    running_var[c] = select(running_var[c], mix(running_var[c], unbiased, vec4f(p.momentum)), finite);
}

// Stats::Running: nothing of the batch is read.
@compute @workgroup_size(WG)
fn running(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let c = id.y * groups.x * WG + id.x;
    if c < p.c4 { write_statistics(c, running_mean[c], running_var[c]); }
}

fn write_statistics(c: u32, mean: vec4f, variance: vec4f) {
    let rstd = 1.0 / sqrt(infinite_to_nan(variance) + p.eps);
    let scale = weight[c] * rstd;
    stats_out[c] = mean;
    stats_out[p.c4 + c] = rstd;
    affine_out[c] = scale;
    affine_out[p.c4 + c] = fma(-mean, scale, bias[c]);
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let scale = affine[c];
    let shift = affine[p.c4 + c];
    for (var r = 0u; r < 8u; r++) {
        let row = i / p.c4 * 8u + r;
        let at = row * p.c4 + c;
        if row < p.rows {
            var z = fma(x[at], scale, shift);
            if RESIDUAL == 1u { z += residual[at]; }
            out[at] = activate(ACT, z);
        }
    }
}

// dz: the gradient before the activation. `word` holds the mask bits of eight rows.
fn gradient_before_activation(at: u32, c: u32, word: u32, r: u32) -> vec4f {
    if MASK == 1u { return select(vec4f(), dy[at], slope_is_one(ACT, fma(x[at], affine[c], affine[p.c4 + c]))); }
    if MASK == 2u { return select(vec4f(), dy[at], slope_is_one(ACT, y[at])); }
    if MASK == 3u { return select(vec4f(), dy[at], unpack_bits(word, r)); }
    return dy[at];
}

fn mask_word(row: u32, c: u32) -> u32 {
    if MASK == 3u { return mask[row / 8u * p.c4 + c]; }
    return 0u;
}

@compute @workgroup_size(WG)
fn backward_reduce(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.chunks * p.c4 { return; }
    let c = i % p.c4;
    let chunk = i / p.c4;
    let mean = stats[c];
    let rstd = stats[p.c4 + c];
    var sum = vec4f();
    var sum_x = vec4f();
    let first = chunk * p.rows_per_chunk;
    let last = min(first + p.rows_per_chunk, p.rows);
    for (var start = first; start < last; start += BLOCK) {
        var block = vec4f();
        var block_x = vec4f();
        for (var row = start; row < min(start + BLOCK, last); row++) {
            let at = row * p.c4 + c;
            let dz = gradient_before_activation(at, c, mask_word(row, c), row % 8u);
            block += dz;
            block_x = fma(dz, (x[at] - mean) * rstd, block_x);
        }
        sum += block;
        sum_x += block_x;
    }
    partial_out[2u * chunk * p.c4 + c] = sum;
    partial_out[(2u * chunk + 1u) * p.c4 + c] = sum_x;
}

@compute @workgroup_size(ACROSS, LANES)
fn backward_finish(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) worker: u32) {
    let block = (group.y * groups.x + group.x) * ACROSS + local.x;
    let c = min(block, p.c4 - 1u);
    var sum = vec4f();
    var sum_x = vec4f();
    for (var chunk = local.y; chunk < p.chunks; chunk += LANES) {
        sum += partial_in[2u * chunk * p.c4 + c];
        sum_x += partial_in[(2u * chunk + 1u) * p.c4 + c];
    }
    if LANES > 1u {
        for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
            firsts[worker] = sum;
            seconds[worker] = sum_x;
            workgroupBarrier();
            if local.y < stride {
                sum += firsts[worker + stride * ACROSS];
                sum_x += seconds[worker + stride * ACROSS];
            }
            workgroupBarrier();
        }
    }
    if block >= p.c4 || local.y > 0u { return; }
    sums_out[c] = sum;
    sums_out[p.c4 + c] = sum_x;
    if WEIGHT == 1u { dweight[c] = sum_x; }
    if BIAS == 1u { dbias[c] = sum; }
}

@compute @workgroup_size(WG)
fn backward_input(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let first = i / p.c4 * 8u;
    let word = mask_word(first, c);
    let mean = stats[c];
    let rstd = stats[p.c4 + c];
    let scale = affine[c];
    let per_row = 1.0 / f32(p.rows);
    let shared_part = sums[c] * per_row;
    let slope_part = sums[p.c4 + c] * per_row * rstd;
    for (var r = 0u; r < 8u; r++) {
        let row = first + r;
        let at = row * p.c4 + c;
        if row < p.rows {
            let dz = gradient_before_activation(at, c, word, r);
            out[at] = scale * (dz - shared_part - (x[at] - mean) * slope_part);
        }
    }
}

@compute @workgroup_size(WG)
fn backward_input_running(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let first = i / p.c4 * 8u;
    let word = mask_word(first, c);
    let scale = affine[c];
    for (var r = 0u; r < 8u; r++) {
        let row = first + r;
        let at = row * p.c4 + c;
        if row < p.rows { out[at] = scale * gradient_before_activation(at, c, word, r); }
    }
}
