//! batch_norm: y = act(γ·x̂ + β + r),  x̂ = (x − μ)·rstd,  rstd = 1/√(σ² + ε), per channel (Ioffe & Szegedy 2015).
//!   Stats::Batch:   μ, σ² over the m = N·H·W rows of the batch; running ← (1 − momentum)·running + momentum·batch
//!                   (the running variance takes the unbiased σ²·m/(m−1), as PyTorch does)
//!   Stats::Running: μ, σ² are the running statistics
//!   backward, Batch:   dβ = Σ dz, dγ = Σ dz·x̂, dx = γ·rstd·(dz − (dβ + x̂·dγ)/m),  dz = dy where the activation is open
//!   backward, Running: dβ, dγ as above, dx = γ·rstd·dz
//!
//! Rows are pixels (N·H·W). `statistics` and `backward_reduce` cut the rows into chunks, one
//! invocation per (chunk, 4 channels); `finish` and `backward_finish` put the chunks together, one
//! invocation per 4 channels; the others take 8 rows of 4 channels each.
//!use shared/activation.wgsl
//!use shared/finite.wgsl
const WG: u32 = 64;
const ACT: u32 = 0;        // 0: none, 1: relu, 2: relu6
const RESIDUAL: u32 = 0;   // 1: + residual before the activation
const MASK: u32 = 0;       // what tells if the activation is open; 0: there is none, 1: x, 2: y, 3: mask bits
const WEIGHT: u32 = 0;     // 1: write dγ
const BIAS: u32 = 0;       // 1: write dβ

struct Params { rows: u32, c4: u32, items: u32, rows_per_chunk: u32, chunks: u32, eps: f32, momentum: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;                    // (rows, C/4)
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;               // (C/4) γ
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;                 // (C/4) β
@group(0) @binding(4) var<storage, read> partial_in: array<vec4f>;           // (chunks, 2, C/4)
@group(0) @binding(5) var<storage, read> stats: array<vec4f>;                // (2, C/4) μ, rstd
@group(0) @binding(6) var<storage, read> affine: array<vec4f>;               // (2, C/4) scale = γ·rstd, shift = β − μ·scale
@group(0) @binding(7) var<storage, read> residual: array<vec4f>;             // (rows, C/4)
@group(0) @binding(8) var<storage, read> y: array<vec4f>;                    // (rows, C/4)
@group(0) @binding(9) var<storage, read> mask: array<u32>;                   // (rows/8, C/4)
@group(0) @binding(10) var<storage, read> dy: array<vec4f>;                  // (rows, C/4)
@group(0) @binding(11) var<storage, read> sums: array<vec4f>;                // (2, C/4) Σ dz, Σ dz·x̂
@group(0) @binding(12) var<storage, read_write> partial_out: array<vec4f>;   // (chunks, 2, C/4)
@group(0) @binding(13) var<storage, read_write> stats_out: array<vec4f>;     // (2, C/4)
@group(0) @binding(14) var<storage, read_write> affine_out: array<vec4f>;    // (2, C/4)
@group(0) @binding(15) var<storage, read_write> running_mean: array<vec4f>;  // (C/4)
@group(0) @binding(16) var<storage, read_write> running_var: array<vec4f>;   // (C/4)
@group(0) @binding(17) var<storage, read_write> out: array<vec4f>;           // (rows, C/4) y or dx
@group(0) @binding(18) var<storage, read_write> sums_out: array<vec4f>;      // (2, C/4)
@group(0) @binding(19) var<storage, read_write> dweight: array<vec4f>;       // (C/4)
@group(0) @binding(20) var<storage, read_write> dbias: array<vec4f>;         // (C/4)

// Mean and sum of squared deviations of a chunk. Sums are taken about the chunk's first row: about
// zero, σ² would drown in μ² when |μ| is much larger than σ.
@compute @workgroup_size(WG)
fn statistics(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.chunks * p.c4 { return; }
    let c = i % p.c4;
    let chunk = i / p.c4;
    let first = chunk * p.rows_per_chunk;
    let last = min(first + p.rows_per_chunk, p.rows);
    let origin = x[first * p.c4 + c];
    var s1 = vec4f();
    var s2 = vec4f();
    for (var row = first; row < last; row++) {
        let d = x[row * p.c4 + c] - origin;
        s1 += d;
        s2 = fma(d, d, s2);
    }
    let count = f32(last - first);
    partial_out[2u * chunk * p.c4 + c] = origin + s1 / count;
    partial_out[(2u * chunk + 1u) * p.c4 + c] = max(s2 - s1 * s1 / count, vec4f());
}

// Joins the chunks (Chan, Golub & LeVeque 1979), then moves the running statistics.
@compute @workgroup_size(WG)
fn finish(@builtin(global_invocation_id) id: vec3u) {
    let c = id.x;
    if c >= p.c4 { return; }
    var count = 0.0;
    var mean = vec4f();
    var squares = vec4f();
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        let more = f32(min(p.rows_per_chunk, p.rows - chunk * p.rows_per_chunk));
        let total = count + more;
        let delta = partial_in[2u * chunk * p.c4 + c] - mean;
        mean += delta * (more / total);
        squares += partial_in[(2u * chunk + 1u) * p.c4 + c] + delta * delta * (count * more / total);
        count = total;
    }
    let variance = squares / count;
    write_statistics(c, mean, variance);
    // One batch that is not finite would stay in the running statistics for ever.
    let finite = are_finite(mean) & are_finite(squares);
    running_mean[c] = select(running_mean[c], mix(running_mean[c], mean, vec4f(p.momentum)), finite);
    running_var[c] = select(running_var[c], mix(running_var[c], squares / max(count - 1.0, 1.0), vec4f(p.momentum)), finite);
}

// Stats::Running: nothing of the batch is read.
@compute @workgroup_size(WG)
fn running(@builtin(global_invocation_id) id: vec3u) {
    if id.x < p.c4 { write_statistics(id.x, running_mean[id.x], running_var[id.x]); }
}

fn write_statistics(c: u32, mean: vec4f, variance: vec4f) {
    let rstd = 1.0 / sqrt(variance + p.eps);
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
    for (var row = first; row < min(first + p.rows_per_chunk, p.rows); row++) {
        let at = row * p.c4 + c;
        let dz = gradient_before_activation(at, c, mask_word(row, c), row % 8u);
        sum += dz;
        sum_x = fma(dz, (x[at] - mean) * rstd, sum_x);
    }
    partial_out[2u * chunk * p.c4 + c] = sum;
    partial_out[(2u * chunk + 1u) * p.c4 + c] = sum_x;
}

@compute @workgroup_size(WG)
fn backward_finish(@builtin(global_invocation_id) id: vec3u) {
    let c = id.x;
    if c >= p.c4 { return; }
    var sum = vec4f();
    var sum_x = vec4f();
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        sum += partial_in[2u * chunk * p.c4 + c];
        sum_x += partial_in[(2u * chunk + 1u) * p.c4 + c];
    }
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
