//! cross_entropy: loss = mean over the labelled rows of −Σ_k t_k·log p_k,  p = softmax(logits),
//!   t = (1 − s)·onehot(label) + s/K with label smoothing s (Szegedy et al. 2016). Label 2³²−1: row ignored.
//!   backward: dlogits = scale·(p − t)/labelled rows, with a scale that keeps gradients in the range of f16
//! `forward`: one invocation per row; `mean`: one for all; `backward`: one per 4 logits.
const WG: u32 = 64;

struct Params { rows: u32, classes: u32, c4: u32, slot: u32, smoothing: f32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4f>;             // (N, K/4)
@group(0) @binding(2) var<storage, read> labels: array<u32>;               // (N)
@group(0) @binding(3) var<storage, read> rows_in: array<vec4f>;            // (N) log Σ exp, loss, correct, labelled
@group(0) @binding(4) var<storage, read> summary: array<vec4f>;            // (1) loss, correct, labelled rows, 0
@group(0) @binding(5) var<storage, read_write> rows_out: array<vec4f>;     // (N)
@group(0) @binding(6) var<storage, read_write> summary_out: array<vec4f>;  // (1)
@group(0) @binding(7) var<storage, read_write> history: array<vec4f>;      // the summaries of past steps, a ring
@group(0) @binding(8) var<storage, read_write> dlogits: array<vec4f>;      // (N, K/4)

const IGNORED = 0xffffffffu;

// The lanes of class block k that are classes and not padding.
fn is_class(k: u32) -> vec4<bool> {
    return vec4u(4u * k) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.classes);
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x;
    if row >= p.rows { return; }
    let label = labels[row];
    var top = -3.4028234e38;
    var best = 0u;
    var at_label = 0.0;
    var total = 0.0;
    for (var k = 0u; k < p.c4; k++) {
        let z = logits[row * p.c4 + k];
        let real = is_class(k);
        for (var j = 0u; j < 4u; j++) { //!unroll
            if real[j] {
                if z[j] > top { top = z[j]; best = 4u * k + j; }
                if 4u * k + j == label { at_label = z[j]; }
                total += z[j];
            }
        }
    }
    var sum = 0.0;
    for (var k = 0u; k < p.c4; k++) {
        sum += dot(select(vec4f(), exp(logits[row * p.c4 + k] - top), is_class(k)), vec4f(1.0));
    }
    let log_sum = top + log(sum);
    let loss = log_sum - (1.0 - p.smoothing) * at_label - p.smoothing * total / f32(p.classes);
    let labelled = label != IGNORED;
    rows_out[row] = select(vec4f(log_sum, 0.0, 0.0, 0.0), vec4f(log_sum, loss, f32(best == label), 1.0), labelled);
}

@compute @workgroup_size(1)
fn mean() {
    var total = vec3f();
    for (var row = 0u; row < p.rows; row++) { total += rows_in[row].yzw; }
    let summed = vec4f(total.x / max(total.z, 1.0), total.y, total.z, 0.0);
    summary_out[0] = summed;
    history[p.slot] = summed;
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.rows * p.c4 { return; }
    let k = i % p.c4;
    let row = i / p.c4;
    let label = labels[row];
    let onehot = select(vec4f(), vec4f(1.0 - p.smoothing), vec4u(4u * k) + vec4u(0u, 1u, 2u, 3u) == vec4u(label));
    let target_ = onehot + p.smoothing / f32(p.classes);
    let d = p.scale * (exp(logits[i] - rows_in[row].x) - target_) / max(summary[0].z, 1.0);
    dlogits[i] = select(vec4f(), d, is_class(k) & vec4<bool>(label != IGNORED));
}
