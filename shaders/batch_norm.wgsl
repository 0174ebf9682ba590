//! batch_norm: y = act(γ·x̂ + β + r),  x̂ = (x − μ)·rstd,  rstd = 1/√(σ² + ε), for each channel
//!
//!   Stats::Batch:   μ and σ² of the m = N·H·W pixels of the batch. The running statistics move towards them:
//!                   running ← (1 − momentum)·running + momentum·batch. The running variance takes the
//!                   unbiased σ²·m/(m − 1), as PyTorch's does
//!   Stats::Running: μ and σ² are the running statistics, which stay as they are
//!   backward:       dz = dy where the activation is open, else 0;  dβ = Σ dz,  dγ = Σ dz·x̂
//!       Batch:      dx = γ·rstd·(dz − (dβ + x̂·dγ)/m)          because μ and σ² depend on x
//!       Running:    dx = γ·rstd·dz                             (Ioffe and Szegedy 2015)
//!
//! Dispatches:
//!   Stats::Batch:   statistics, finish, forward;  backward_reduce, backward_finish, backward_input
//!   Stats::Running: running, forward;  backward_reduce and backward_finish if γ or β trains,
//!                   backward_input_running
//!
//! Arrays: x is (N, H, W, C), read as (rows, C/4) with a row for each pixel; c4 is C/4 in the code.
//!
//! Who computes what:
//! - `statistics` and `backward_reduce` divide the rows into chunks. An invocation takes one chunk and 4
//!   channels, BLOCK rows at a time, and writes two vec4f.
//! - `finish` and `backward_finish` put the chunks together. A workgroup takes ACROSS times 4 channels,
//!   with LANES invocations for each, which take every LANES-th chunk and are then joined as a tree.
//! - `forward`, `backward_input` and `backward_input_running`: an invocation takes 8 rows of 4 channels,
//!   because a word of mask bits is for so many.
//!
//! Example: x (8, 14, 14, 64), rows = 1568, c4 = 16. x[3,5,7,22] is row (3·14 + 5)·14 + 7 = 665, component
//! 22 % 4 = 2 of x[665·16 + 22/4] = x[10645]. In `forward` this is row 665 % 8 = 1 of invocation 665/8·16 +
//! 5 = 1333, and its mask bit would be bit 4·1 + 2 = 6 of word 1333. With 96 rows in a chunk, `statistics`
//! adds it up in invocation 665/96·16 + 5 = 101, in the chunk's third block.
//!
//! The order of all sums is fixed. A value passes through at most k = BLOCK + rows_per_chunk/BLOCK +
//! chunks/LANES + log₂ LANES additions, and a sum is off by at most k·2⁻²⁴·Σ|terms|. Means are taken
//! relative to the first row of the batch, and σ² in units of 2¹⁶, so that nothing overflows unless σ²
//! does. Then the statistics are NaN, and so is the loss. σ² below 10⁻³³ is 0.
//!use shared/activation.wgsl
//!use shared/finite.wgsl
const WG: u32 = 64;        // workgroup: its invocations
const ACT: u32 = 0;        // activation; 0: none, 1: relu, 2: relu6
const RESIDUAL: u32 = 0;   // forward; 1: + residual before the activation
const MASK: u32 = 0;       // backward: what shows an open activation; 0: nothing, 1: x, 2: y, 3: mask
const WEIGHT: u32 = 0;     // backward_finish; 1: write dγ
const BIAS: u32 = 0;       // backward_finish; 1: write dβ
const ACROSS: u32 = 64;    // finish, backward_finish: times 4 channels of a workgroup
const LANES: u32 = 1;      // and invocations for each 4, a power of two; 1: without workgroup memory
const WORKERS = ACROSS * LANES;

struct Params { rows: u32, c4: u32, items: u32, rows_per_chunk: u32, chunks: u32, eps: f32, momentum: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;                    // (rows, C/4)
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;               // (C/4) γ
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;                 // (C/4) β
@group(0) @binding(4) var<storage, read> partial_in: array<vec4f>;           // (chunks, 2, C/4), row 0 (C/4)
@group(0) @binding(5) var<storage, read> stats: array<vec4f>;                // (2, C/4) μ, rstd
@group(0) @binding(6) var<storage, read> affine: array<vec4f>;               // (2, C/4) γ·rstd, β − μ·γ·rstd
@group(0) @binding(7) var<storage, read> residual: array<vec4f>;             // (rows, C/4)
@group(0) @binding(8) var<storage, read> y: array<vec4f>;                    // (rows, C/4)
@group(0) @binding(9) var<storage, read> mask: array<u32>;                   // (rows/8, C/4)
@group(0) @binding(10) var<storage, read> dy: array<vec4f>;                  // (rows, C/4)
@group(0) @binding(11) var<storage, read> sums: array<vec4f>;                // (2, C/4) Σ dz, Σ dz·x̂
@group(0) @binding(12) var<storage, read_write> partial_out: array<vec4f>;   // as partial_in
@group(0) @binding(13) var<storage, read_write> stats_out: array<vec4f>;     // (2, C/4)
@group(0) @binding(14) var<storage, read_write> affine_out: array<vec4f>;    // (2, C/4)
@group(0) @binding(15) var<storage, read_write> running_mean: array<vec4f>;  // (C/4)
@group(0) @binding(16) var<storage, read_write> running_var: array<vec4f>;   // (C/4)
@group(0) @binding(17) var<storage, read_write> out: array<vec4f>;           // (rows, C/4) y or dx
@group(0) @binding(18) var<storage, read_write> sums_out: array<vec4f>;      // (2, C/4)
@group(0) @binding(19) var<storage, read_write> dweight: array<vec4f>;       // (C/4)
@group(0) @binding(20) var<storage, read_write> dbias: array<vec4f>;         // (C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_partial_in(i: u32) -> vec4f { return partial_in[i]; }
fn load_stats(i: u32) -> vec4f { return stats[i]; }
fn load_affine(i: u32) -> vec4f { return affine[i]; }
fn load_residual(i: u32) -> vec4f { return residual[i]; }
fn load_y(i: u32) -> vec4f { return y[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn load_sums(i: u32) -> vec4f { return sums[i]; }
fn store_partial_out(i: u32, value: vec4f) { partial_out[i] = value; }
fn store_stats_out(i: u32, value: vec4f) { stats_out[i] = value; }
fn store_affine_out(i: u32, value: vec4f) { affine_out[i] = value; }
fn store_out(i: u32, value: vec4f) { out[i] = value; }
fn store_sums_out(i: u32, value: vec4f) { sums_out[i] = value; }

const BLOCK = 32u;        // rows added up by themselves
const UNIT = 0.00390625;  // 2⁻⁸: deviations are multiplied by it before they are squared

// Mean and variance of some rows. `mean` is relative to the batch's first row, `variance` in UNIT².
struct Moments { count: f32, mean: vec4f, variance: vec4f }

// Those of the rows of both (Chan, Golub and LeVeque 1979).
fn joined(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / max(count, 1.0);
    let delta = b.mean - a.mean;
    let between = delta * UNIT * (delta * UNIT) * (share * (1.0 - share));
    return Moments(count, a.mean + delta * share, a.variance + (b.variance - a.variance) * share + between);
}

// Moments of a chunk. A block's sums are those of differences from its first row: σ² as the mean of x² less
// μ² would be lost to rounding where |μ| is much larger than σ.
@compute @workgroup_size(WG)
fn statistics(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads x. Writes partial_out: mean and variance of each chunk, and the first row.
    // Workgroup: 64 pairs (chunk, 4 channels), one an invocation.
    let i = id.y * groups.x * WG + id.x;
    if i >= p.chunks * p.c4 { return; }
    let c = i % p.c4;
    let chunk = i / p.c4;
    let first = chunk * p.rows_per_chunk;
    let last = min(first + p.rows_per_chunk, p.rows);
    let origin = load_x(c);
    var all = Moments(0.0, vec4f(), vec4f());
    for (var start = first; start < last; start += BLOCK) {
        let end = min(start + BLOCK, last);
        let shift = load_x(start * p.c4 + c);
        var sum = vec4f();
        var squares = vec4f();
        for (var row = start; row < end; row++) {
            let d = load_x(row * p.c4 + c) - shift;
            sum += d;
            squares = fma(d * UNIT, d * UNIT, squares);
        }
        let count = f32(end - start);
        let mean = sum / count;
        let variance = max(squares / count - mean * UNIT * (mean * UNIT), vec4f());
        all = joined(all, Moments(count, (shift - origin) + mean, variance));
    }
    store_partial_out(2u * chunk * p.c4 + c, all.mean);
    store_partial_out((2u * chunk + 1u) * p.c4 + c, all.variance);
    if chunk == 0u { store_partial_out(2u * p.chunks * p.c4 + c, origin); }
}

var<workgroup> counts: array<f32, WORKERS>;
var<workgroup> firsts: array<vec4f, WORKERS>;
var<workgroup> seconds: array<vec4f, WORKERS>;

// Joins the chunks, then moves the running statistics.
@compute @workgroup_size(ACROSS, LANES)
fn finish(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) worker: u32) {
    // Reads partial_in, weight and bias. Writes stats_out and affine_out; moves running_mean and running_var.
    // Workgroup: ACROSS times 4 channels, LANES invocations for each.
    let block = (group.y * groups.x + group.x) * ACROSS + local.x;
    let c = min(block, p.c4 - 1u);
    var all = Moments(0.0, vec4f(), vec4f());
    for (var chunk = local.y; chunk < p.chunks; chunk += LANES) {
        let count = f32(min(p.rows_per_chunk, p.rows - chunk * p.rows_per_chunk));
        let at = 2u * chunk * p.c4 + c;
        all = joined(all, Moments(count, load_partial_in(at), load_partial_in(at + p.c4)));
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
    let mean = load_partial_in(2u * p.chunks * p.c4 + c) + all.mean;
    let variance = all.variance / (UNIT * UNIT);
    write_statistics(c, mean, variance);
    // A batch that is not finite is left out: it would stay in the running statistics for ever.
    let unbiased = variance * (all.count / max(all.count - 1.0, 1.0));
    let finite = are_finite(mean) & are_finite(unbiased);
    running_mean[c] = select(running_mean[c], mix(running_mean[c], mean, vec4f(p.momentum)), finite);
    running_var[c] = select(running_var[c], mix(running_var[c], unbiased, vec4f(p.momentum)), finite);
}

// Stats::Running: nothing of the batch is read.
@compute @workgroup_size(WG)
fn running(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads running_mean, running_var, weight and bias. Writes stats_out and affine_out.
    // Workgroup: 64 times 4 channels, one an invocation.
    let c = id.y * groups.x * WG + id.x;
    if c < p.c4 { write_statistics(c, running_mean[c], running_var[c]); }
}

fn write_statistics(c: u32, mean: vec4f, variance: vec4f) {
    let rstd = 1.0 / sqrt(infinite_to_nan(variance) + p.eps);
    let scale = weight[c] * rstd;
    store_stats_out(c, mean);
    store_stats_out(p.c4 + c, rstd);
    store_affine_out(c, scale);
    store_affine_out(p.c4 + c, fma(-mean, scale, bias[c]));
}

// y = act(x·scale + shift + r)
@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads x and affine; residual if RESIDUAL = 1. Writes out.
    // Workgroup: 64 pairs (8 rows, 4 channels), one an invocation.
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let scale = load_affine(c);
    let shift = load_affine(p.c4 + c);
    for (var r = 0u; r < 8u; r++) {
        let row = i / p.c4 * 8u + r;
        let at = row * p.c4 + c;
        if row < p.rows {
            var z = fma(load_x(at), scale, shift);
            if RESIDUAL == 1u { z += load_residual(at); }
            store_out(at, activate(ACT, z));
        }
    }
}

// dz, the gradient before the activation, for row r of 8. `word` holds the mask bits of these rows. MASK =
// 1 computes y again from x.
fn gradient_before_activation(at: u32, c: u32, word: u32, r: u32) -> vec4f {
    let d = load_dy(at);
    if MASK == 1u {
        let z = fma(load_x(at), load_affine(c), load_affine(p.c4 + c));
        return select(vec4f(), d, slope_is_one(ACT, z));
    }
    if MASK == 2u { return select(vec4f(), d, slope_is_one(ACT, load_y(at))); }
    if MASK == 3u { return select(vec4f(), d, unpack_bits(word, r)); }
    return d;
}

fn mask_word(row: u32, c: u32) -> u32 {
    if MASK == 3u { return mask[row / 8u * p.c4 + c]; }
    return 0u;
}

// Σ dz and Σ dz·x̂ of a chunk.
@compute @workgroup_size(WG)
fn backward_reduce(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads dy, x and stats; affine if MASK = 1, y if MASK = 2, mask if MASK = 3. Writes partial_out.
    // Workgroup: 64 pairs (chunk, 4 channels), one an invocation.
    let i = id.y * groups.x * WG + id.x;
    if i >= p.chunks * p.c4 { return; }
    let c = i % p.c4;
    let chunk = i / p.c4;
    let mean = load_stats(c);
    let rstd = load_stats(p.c4 + c);
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
            block_x = fma(dz, (load_x(at) - mean) * rstd, block_x);
        }
        sum += block;
        sum_x += block_x;
    }
    store_partial_out(2u * chunk * p.c4 + c, sum);
    store_partial_out((2u * chunk + 1u) * p.c4 + c, sum_x);
}

// Adds up the chunks.
@compute @workgroup_size(ACROSS, LANES)
fn backward_finish(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) worker: u32) {
    // Reads partial_in. Writes sums_out; dweight if WEIGHT = 1, dbias if BIAS = 1.
    // Workgroup: ACROSS times 4 channels, LANES invocations for each.
    let block = (group.y * groups.x + group.x) * ACROSS + local.x;
    let c = min(block, p.c4 - 1u);
    var sum = vec4f();
    var sum_x = vec4f();
    for (var chunk = local.y; chunk < p.chunks; chunk += LANES) {
        sum += load_partial_in(2u * chunk * p.c4 + c);
        sum_x += load_partial_in((2u * chunk + 1u) * p.c4 + c);
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
    store_sums_out(c, sum);
    store_sums_out(p.c4 + c, sum_x);
    if WEIGHT == 1u { dweight[c] = sum_x; }
    if BIAS == 1u { dbias[c] = sum; }
}

// dx for Stats::Batch.
@compute @workgroup_size(WG)
fn backward_input(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads dy, x, stats, affine and sums; y if MASK = 2, mask if MASK = 3. Writes out.
    // Workgroup: 64 pairs (8 rows, 4 channels), one an invocation.
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let first = i / p.c4 * 8u;
    let word = mask_word(first, c);
    let mean = load_stats(c);
    let rstd = load_stats(p.c4 + c);
    let scale = load_affine(c);
    let per_row = 1.0 / f32(p.rows);
    let shared_part = load_sums(c) * per_row;
    let slope_part = load_sums(p.c4 + c) * per_row * rstd;
    for (var r = 0u; r < 8u; r++) {
        let row = first + r;
        let at = row * p.c4 + c;
        if row < p.rows {
            let dz = gradient_before_activation(at, c, word, r);
            store_out(at, scale * (dz - shared_part - (load_x(at) - mean) * slope_part));
        }
    }
}

// dx for Stats::Running.
@compute @workgroup_size(WG)
fn backward_input_running(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads dy and affine; x if MASK = 1, y if MASK = 2, mask if MASK = 3. Writes out.
    // Workgroup: 64 pairs (8 rows, 4 channels), one an invocation.
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let c = i % p.c4;
    let first = i / p.c4 * 8u;
    let word = mask_word(first, c);
    let scale = load_affine(c);
    for (var r = 0u; r < 8u; r++) {
        let row = first + r;
        let at = row * p.c4 + c;
        if row < p.rows { store_out(at, scale * gradient_before_activation(at, c, word, r)); }
    }
}
